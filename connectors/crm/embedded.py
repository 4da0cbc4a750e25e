"""The embedded CRM: every CRM tool on the company's own database."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, func, select

from connectors.contract import CallContext, Output, Tool
from connectors.crm import loading
from connectors.crm.tables import accounts, activities, contacts, deals, orders, refunds
from connectors.crm.tools import (
    Account,
    AccountPage,
    Activity,
    Contact,
    ContactPage,
    CreateContact,
    Deal,
    DealPage,
    GetAccount,
    GetContact,
    GetDeal,
    GetOrders,
    IssueRefund,
    ListDeals,
    LogActivity,
    Order,
    OrderPage,
    Refund,
    SearchAccounts,
    SearchContacts,
    UpdateContact,
    UpdateDeal,
)
from connectors.embedded.columns import in_cents
from connectors.embedded.database import Database, stable_id
from connectors.embedded.loading import LoadReport
from connectors.embedded.queries import changes, folded, get_row, holding, newest_first, within
from connectors.errors import Conflict, InvalidInput

_CONTACTS = select(
    *(contacts.c[name] for name in Contact.model_fields if name in contacts.c),
    func.coalesce(accounts.c.name, "").label("account_name"),
).select_from(
    contacts.outerjoin(accounts, (accounts.c.tenant == contacts.c.tenant) & (accounts.c.id == contacts.c.account_id))
)
_ACCOUNTS = select(*(accounts.c[name] for name in Account.model_fields))
_DEALS = select(*(deals.c[name] for name in Deal.model_fields))
_ORDERS = select(*(orders.c[name] for name in Order.model_fields if name in orders.c))
_REFUNDS = select(*(refunds.c[name] for name in Refund.model_fields))
_ACTIVITIES = select(*(activities.c[name] for name in Activity.model_fields))


class EmbeddedCrm:
    """Implements `connectors.crm.tools.Crm` on the embedded database.

    Args:
        database: Where the company's data is; missing tables are made.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, tenant: str, records: Sequence[loading.CrmRecord]) -> LoadReport:
        """Load records, all or none; loading the same ones again changes nothing.

        An email address belongs to one contact: of several records with one address the later ones change it.

        Raises:
            InvalidInput: If a deal, an order or an activity refers to something that was never loaded.
        """
        return await self._database.change(tenant, lambda connection: loading.load(connection, tenant, records))

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        return await self._database.find_effect(call, tool)

    async def crm_search_contacts(self, call: CallContext, args: SearchContacts) -> ContactPage:
        query = _CONTACTS.where(
            *within(contacts, call.tenant, email=args.email, account_id=args.account_id),
            *holding(args.query, contacts.c.search, accounts.c.name_search),
        )

        def work(connection: Connection) -> ContactPage:
            columns = contacts.c.updated_at, contacts.c.id
            rows, cursor = newest_first(connection, query, *columns, args.cursor, args.limit)
            return ContactPage(contacts=[Contact(**row) for row in rows], next_cursor=cursor)

        return await self._database.read(call.tenant, work)

    async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
        return await self._database.read(call.tenant, lambda connection: _contact(connection, call, args.contact_id))

    async def crm_create_contact(self, call: CallContext, args: CreateContact) -> Contact:
        def work(connection: Connection) -> Contact:
            if args.account_id:
                _account(connection, call, args.account_id)
            _refuse_known(connection, call, args.email)
            contact_id = stable_id("con", call.tenant, call.key)
            row = {
                **args.model_dump(),
                "search": loading.contact_search(args.name, args.email, args.title),
                "created_at": call.now,
                "updated_at": call.now,
            }
            connection.execute(contacts.insert().values(tenant=call.tenant, id=contact_id, **row))
            return _contact(connection, call, contact_id)

        return await self._database.write(call, "crm_create_contact", Contact, work)

    async def crm_update_contact(self, call: CallContext, args: UpdateContact) -> Contact:
        def work(connection: Connection) -> Contact:
            current = _contact(connection, call, args.contact_id, lock=True)
            changed = changes("contact", current, args)
            if "email" in changed:
                _refuse_known(connection, call, changed["email"])
            after = current.model_copy(update=changed)
            search = loading.contact_search(after.name, after.email, after.title)
            _change(connection, call, contacts, current.id, {**changed, "search": search})
            return _contact(connection, call, current.id)

        return await self._database.write(call, "crm_update_contact", Contact, work)

    async def crm_search_accounts(self, call: CallContext, args: SearchAccounts) -> AccountPage:
        query = _ACCOUNTS.where(
            *within(accounts, call.tenant, tier=args.tier, status=args.status),
            *holding(args.query, accounts.c.search),
        )

        def work(connection: Connection) -> AccountPage:
            columns = accounts.c.updated_at, accounts.c.id
            rows, cursor = newest_first(connection, query, *columns, args.cursor, args.limit)
            return AccountPage(accounts=[Account(**row) for row in rows], next_cursor=cursor)

        return await self._database.read(call.tenant, work)

    async def crm_get_account(self, call: CallContext, args: GetAccount) -> Account:
        return await self._database.read(call.tenant, lambda connection: _account(connection, call, args.account_id))

    async def crm_list_deals(self, call: CallContext, args: ListDeals) -> DealPage:
        wanted = {"account_id": args.account_id, "stage": args.stage, "owner_search": folded(args.owner)}
        query = _DEALS.where(*within(deals, call.tenant, **wanted))

        def work(connection: Connection) -> DealPage:
            columns = deals.c.updated_at, deals.c.id
            rows, cursor = newest_first(connection, query, *columns, args.cursor, args.limit)
            return DealPage(deals=[Deal(**row) for row in rows], next_cursor=cursor)

        return await self._database.read(call.tenant, work)

    async def crm_get_deal(self, call: CallContext, args: GetDeal) -> Deal:
        return await self._database.read(call.tenant, lambda connection: _deal(connection, call, args.deal_id))

    async def crm_update_deal(self, call: CallContext, args: UpdateDeal) -> Deal:
        def work(connection: Connection) -> Deal:
            current = _deal(connection, call, args.deal_id, lock=True)
            if current.stage in ("won", "lost"):
                raise Conflict(f"deal `{current.id}` is already {current.stage} and cannot be changed", field="deal_id")
            _change(connection, call, deals, current.id, changes("deal", current, args))
            return _deal(connection, call, current.id)

        return await self._database.write(call, "crm_update_deal", Deal, work)

    async def crm_get_orders(self, call: CallContext, args: GetOrders) -> OrderPage:
        wanted = {
            "id": args.order_id,
            "number_search": folded(args.number),
            "account_id": args.account_id,
            "contact_id": args.contact_id,
        }
        query = _ORDERS.where(*within(orders, call.tenant, **wanted))

        def work(connection: Connection) -> OrderPage:
            if args.order_id:
                get_row(connection, _ORDERS, orders, call.tenant, args.order_id, "order")
            columns = orders.c.placed_at, orders.c.id
            rows, cursor = newest_first(connection, query, *columns, args.cursor, args.limit)
            return OrderPage(orders=_orders(connection, call, rows), next_cursor=cursor)

        return await self._database.read(call.tenant, work)

    async def crm_log_activity(self, call: CallContext, args: LogActivity) -> Activity:
        def work(connection: Connection) -> Activity:
            if not (args.contact_id or args.account_id):
                raise InvalidInput("give the `contact_id` or the `account_id` that it concerns", field="contact_id")
            if args.contact_id:
                _contact(connection, call, args.contact_id)
            if args.account_id:
                _account(connection, call, args.account_id)
            activity_id = stable_id("act", call.tenant, call.key)
            row = {**args.model_dump(), "actor": call.actor, "at": call.now}
            connection.execute(activities.insert().values(tenant=call.tenant, id=activity_id, **row))
            return Activity(**get_row(connection, _ACTIVITIES, activities, call.tenant, activity_id, "activity"))

        return await self._database.write(call, "crm_log_activity", Activity, work)

    async def crm_issue_refund(self, call: CallContext, args: IssueRefund) -> Refund:
        def work(connection: Connection) -> Refund:
            _check_refund(_order(connection, call, args.order_id, lock=True), args)
            refund_id = stable_id("ref", call.tenant, call.key)
            row = {**args.model_dump(), "issued_by": call.actor, "issued_at": call.now}
            connection.execute(refunds.insert().values(tenant=call.tenant, id=refund_id, **row))
            return Refund(**get_row(connection, _REFUNDS, refunds, call.tenant, refund_id, "refund"))

        return await self._database.write(call, "crm_issue_refund", Refund, work)


def _contact(connection: Connection, call: CallContext, contact_id: str, *, lock: bool = False) -> Contact:
    return Contact(**get_row(connection, _CONTACTS, contacts, call.tenant, contact_id, "contact", lock=lock))


def _account(connection: Connection, call: CallContext, account_id: str) -> Account:
    return Account(**get_row(connection, _ACCOUNTS, accounts, call.tenant, account_id, "account"))


def _deal(connection: Connection, call: CallContext, deal_id: str, *, lock: bool = False) -> Deal:
    return Deal(**get_row(connection, _DEALS, deals, call.tenant, deal_id, "deal", lock=lock))


def _order(connection: Connection, call: CallContext, order_id: str, *, lock: bool = False) -> Order:
    row = get_row(connection, _ORDERS, orders, call.tenant, order_id, "order", lock=lock)
    return _orders(connection, call, [row])[0]


def _orders(connection: Connection, call: CallContext, rows: Sequence[RowMapping]) -> list[Order]:
    """The orders of these rows, each with its refunds, oldest first."""
    given = _REFUNDS.where(refunds.c.tenant == call.tenant, refunds.c.order_id.in_([row["id"] for row in rows]))
    by_order: dict[str, list[Refund]] = defaultdict(list)
    for refund in connection.execute(given.order_by(refunds.c.issued_at, refunds.c.id)).mappings():
        by_order[refund["order_id"]].append(Refund(**refund))
    return [
        Order(
            **row,
            refunds=by_order[row["id"]],
            refunded=sum((refund.amount for refund in by_order[row["id"]]), Decimal("0.00")),
        )
        for row in rows
    ]


def _refuse_known(connection: Connection, call: CallContext, email: str) -> None:
    known = connection.execute(select(contacts.c.id).where(*within(contacts, call.tenant, email=email))).scalar()
    if known:
        raise Conflict(f"`{email}` already belongs to contact `{known}`; update that contact instead", field="email")


def _change(connection: Connection, call: CallContext, table: Table, id_: str, changed: dict[str, Any]) -> None:
    row = {**changed, "version": table.c.version + 1, "updated_at": call.now}
    connection.execute(table.update().where(*within(table, call.tenant, id=id_)).values(row))


def _check_refund(order: Order, args: IssueRefund) -> None:
    if order.status == "cancelled":
        raise Conflict(f"order `{order.id}` is cancelled; there is nothing to refund", field="order_id")
    if args.currency != order.currency:
        raise InvalidInput(f"order `{order.id}` is in {order.currency}, not `{args.currency}`", field="currency")
    rest = order.total - order.refunded
    if args.amount > rest:
        raise Conflict(
            f"`{in_cents(args.amount)}` is more than the unrefunded rest of order `{order.id}`: "
            f"at most {max(rest, in_cents(Decimal(0)))} {order.currency} can be given back",
            field="amount",
        )
