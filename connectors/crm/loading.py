"""Loading accounts, contacts, deals, orders and activities into the embedded CRM."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

from sqlalchemy import Connection, bindparam, func, select

from connectors.crm.tables import accounts, activities, contacts, deals, orders, refunds
from connectors.embedded.columns import in_cents
from connectors.embedded.database import stable_id
from connectors.embedded.loading import LoadReport
from connectors.embedded.queries import folded
from connectors.embedded.sources import Parts, Row, Target, load_records, loaded_ids, resolve, select_among
from connectors.records import AccountRecord, ActivityRecord, ContactRecord, DealRecord, OrderRecord, Record

R = TypeVar("R", bound=Record)
CrmRecord = AccountRecord | ContactRecord | DealRecord | OrderRecord | ActivityRecord


def load(connection: Connection, tenant: str, records: Sequence[CrmRecord]) -> LoadReport:
    """Load records in any order: what others refer to comes first.

    Raises:
        InvalidInput: If a deal, an order or an activity refers to something that was never loaded.
    """
    return (
        _load_accounts(connection, tenant, _only(AccountRecord, records))
        + _load_contacts(connection, tenant, _only(ContactRecord, records))
        + _load_deals(connection, tenant, _only(DealRecord, records))
        + _load_orders(connection, tenant, _only(OrderRecord, records))
        + _load_activities(connection, tenant, _only(ActivityRecord, records))
    )


def contact_search(name: str, email: str, title: str) -> str:
    """The text in which a contact is found, beside its account's name."""
    return folded(name, email, title)


def _only(kind: type[R], records: Sequence[CrmRecord]) -> list[R]:
    return [record for record in records if isinstance(record, kind)]


def _load_accounts(connection: Connection, tenant: str, records: Sequence[AccountRecord]) -> LoadReport:
    def row(record: AccountRecord) -> Row:
        search = folded(record.name, record.domain, record.industry, record.country)
        return {**record.model_dump(exclude={"source_id"}), "search": search, "name_search": folded(record.name)}

    return load_records(connection, tenant, Target(accounts, "acc", row), records)


def _load_contacts(connection: Connection, tenant: str, records: Sequence[ContactRecord]) -> LoadReport:
    by_source = loaded_ids(connection, tenant, accounts.name, (record.account for record in records))
    by_name = _accounts_by_name(connection, tenant, (record.account for record in records))

    def row(record: ContactRecord) -> Row:
        account = by_source.get(record.account) or by_name.get(folded(record.account))
        search = contact_search(record.name, record.email, record.title)
        return {**record.model_dump(exclude={"source_id", "account"}), "account_id": account, "search": search}

    def assign(fresh: Sequence[ContactRecord], known: Mapping[str, str]) -> dict[str, str]:
        ids = _contact_ids(tenant, fresh, known, _emails(connection, tenant, fresh, known))
        # Addresses may move from one contact to another: free them all before any is given out.
        free = contacts.update().where(contacts.c.tenant == tenant, contacts.c.id == bindparam("this"))
        if ids:
            connection.execute(free.values(email=contacts.c.id), [{"this": id_} for id_ in set(ids.values())])
        return ids

    return load_records(connection, tenant, Target(contacts, "con", row), records, assign)


def _load_deals(connection: Connection, tenant: str, records: Sequence[DealRecord]) -> LoadReport:
    known = loaded_ids(connection, tenant, accounts.name, (record.account for record in records))

    def row(record: DealRecord) -> Row:
        account = resolve(known, record, "account", "deal")
        fields = record.model_dump(exclude={"source_id", "account"})
        return {**fields, "account_id": account, "owner_search": folded(record.owner)}

    return load_records(connection, tenant, Target(deals, "dea", row), records)


def _load_orders(connection: Connection, tenant: str, records: Sequence[OrderRecord]) -> LoadReport:
    known_accounts = loaded_ids(connection, tenant, accounts.name, (record.account for record in records))
    known_contacts = loaded_ids(connection, tenant, contacts.name, (record.contact for record in records))

    def row(record: OrderRecord) -> Row:
        lines = [{**line.model_dump(), "unit_price": str(in_cents(line.unit_price))} for line in record.lines]
        return {
            **record.model_dump(include={"number", "status", "currency", "placed_at", "delivered_at"}),
            "number_search": folded(record.number),
            "account_id": resolve(known_accounts, record, "account", "order"),
            "contact_id": resolve(known_contacts, record, "contact", "order"),
            "lines": lines,
            "total": sum((line.quantity * line.unit_price for line in record.lines), Decimal(0)),
        }

    def refund_rows(record: OrderRecord) -> list[Row]:
        return [{**refund.model_dump(), "currency": record.currency} for refund in record.refunds]

    target = Target(orders, "ord", row, Parts(refunds, "order_id", "ref", refund_rows))
    return load_records(connection, tenant, target, records)


def _load_activities(connection: Connection, tenant: str, records: Sequence[ActivityRecord]) -> LoadReport:
    known_accounts = loaded_ids(connection, tenant, accounts.name, (record.account for record in records))
    known_contacts = loaded_ids(connection, tenant, contacts.name, (record.contact for record in records))

    def row(record: ActivityRecord) -> Row:
        account = resolve(known_accounts, record, "account", "activity")
        contact = resolve(known_contacts, record, "contact", "activity")
        fields = record.model_dump(exclude={"source_id", "account", "contact"})
        return {**fields, "account_id": account, "contact_id": contact}

    return load_records(connection, tenant, Target(activities, "act", row), records)


def _accounts_by_name(connection: Connection, tenant: str, names: Iterable[str]) -> dict[str, str]:
    """Account ids by name; a name that several accounts share is left out, for a wrong link is worse than none."""
    wanted = filter(None, map(folded, names))
    column = accounts.c.name_search
    query = select(column, func.min(accounts.c.id).label("id")).where(accounts.c.tenant == tenant)
    query = query.group_by(column).having(func.count() == 1)
    return {row[column]: row["id"] for row in select_among(connection, query, column, wanted)}


def _emails(
    connection: Connection, tenant: str, records: Sequence[ContactRecord], known: Mapping[str, str]
) -> dict[str, str]:
    """Who holds the records' addresses now, and the addresses of the contacts known for the records: email to id."""
    query = select(contacts.c.id, contacts.c.email).where(contacts.c.tenant == tenant)
    by_email = select_among(connection, query, contacts.c.email, (record.email for record in records))
    by_id = select_among(connection, query, contacts.c.id, known.values())
    return {row["email"]: row["id"] for rows in (by_email, by_id) for row in rows}


def _contact_ids(
    tenant: str, records: Sequence[ContactRecord], known: Mapping[str, str], holders: Mapping[str, str]
) -> dict[str, str]:
    """Which contact each record is: who holds its address, else who it was before, else a new one.

    Args:
        tenant: Whose contacts.
        records: In the order of their source; the later of two with one address is the same contact.
        known: Source id to contact id, as loaded before.
        holders: Email address to contact id, as stored now.
    """
    holder = dict(holders)
    address = {id_: email for email, id_ in holder.items()}
    taken: set[str] = set()
    ids = {}
    # Known contacts first: an address that one of them gives up here is free for a new one.
    for record in sorted(records, key=lambda record: record.source_id not in known):
        source, email = record.source_id, record.email
        own = (known.get(source, ""), stable_id("con", tenant, source), stable_id("con", tenant, source, email))
        id_ = holder.get(email) or next(id_ for id_ in own if id_ and id_ not in taken)
        holder.pop(address.get(id_, ""), None)
        holder[email], address[id_], ids[source] = id_, email, id_
        taken.add(id_)
    return {record.source_id: ids[record.source_id] for record in records}
