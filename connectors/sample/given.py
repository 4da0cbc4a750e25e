"""A company from a file in place of the sample one: exactly the records that somebody wants to try something on.

The file is YAML or JSON: parts by name, each with `customers`, `orders`, `tickets`, `mails` and `documents` in a short
form. A record has an `id` within its part, by which others name it; those of the part "" are known in all parts.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from email.message import EmailMessage
from email.utils import formataddr
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from sqlalchemy import Connection, select

from connectors.crm.tables import contacts, orders
from connectors.crm.tools import OrderStatus
from connectors.email.loading import message_row_id
from connectors.email.tables import messages
from connectors.embedded.database import Database, stable_id
from connectors.embedded.sources import loaded_ids, select_among
from connectors.errors import InvalidInput
from connectors.fields import Address, Currency, Language
from connectors.knowledge.tools import Trust
from connectors.records import (
    AccountRecord,
    CommentRecord,
    ContactRecord,
    DocumentRecord,
    MessageRecord,
    Money,
    OrderLineRecord,
    OrderRecord,
    Record,
    TicketRecord,
)
from connectors.registry import EmbeddedBackEnds
from connectors.ticketing.tables import tickets
from connectors.ticketing.tools import Priority, Status, Tags

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
_DAY = "2026-11-20"


class _Short(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Customer(_Short):
    """A contact; `company` makes its account, without one the account has the contact's name."""

    id: Id = "customer"
    name: str
    email: Address
    company: str = ""
    language: Language = "en"
    notes: str = ""


class Order(_Short):
    """An order of a customer, named by id, of one `item` that costs the `total`."""

    id: Id = "order"
    number: str
    customer: Id = "customer"
    status: OrderStatus = "delivered"
    currency: Currency = "EUR"
    total: Money
    item: str = "Instrument"


class Said(_Short):
    """A message or a comment. `sender` is a customer's id or an address, by default the first one's."""

    sender: str = ""
    name: str = ""
    subject: str = ""
    body: str = ""
    by_staff: bool = False
    headers: dict[str, str] = {}
    padding: Annotated[int, Field(ge=0, le=1_000_000)] = 0

    @property
    def text(self) -> str:
        """The body, with so many characters of readings in the place of `[padding]`."""
        return self.body.replace(
            "[padding]", ("Reading 12.01, nothing noted. " * (self.padding // 30 + 1))[: self.padding]
        )


class Ticket(_Short):
    """A ticket; `later` are the comments after the first."""

    id: Id = "ticket"
    sender: str = "customer"
    name: str = ""
    subject: str
    body: str
    later: list[Said] = []
    status: Status = "new"
    priority: Priority = "normal"
    tags: Tags = []


class Mail(Said):
    """A conversation, unread; `later` are the messages after the first."""

    id: Id = "mail"
    sender: str = "customer"
    mailbox: Address = "support@larkspur.example"
    later: list[Said] = []


class Document(_Short):
    """A document that everyone may read."""

    id: Id = "document"
    title: str
    text: str
    origin: Trust = "official"


class Part(_Short):
    """Some records of the company."""

    customers: list[Customer] = []
    orders: list[Order] = []
    tickets: list[Ticket] = []
    mails: list[Mail] = []
    documents: list[Document] = []


def read_company(path: Path) -> dict[str, Part]:
    """Read a company's file.

    Raises:
        InvalidInput: If it is neither YAML nor JSON, or a record in it is wrong; says which.
        OSError: If it cannot be read.
    """
    try:
        # YAML reads most JSON, but not how JSON escapes what lies beyond the first 65,536 characters.
        read = json.loads if path.suffix == ".json" else yaml.safe_load
        return TypeAdapter(dict[str, Part]).validate_python(read(path.read_bytes()))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"`{path}`: `{where}`: {first['msg'].lower()}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInput(f"`{path}` is neither YAML nor JSON: {' '.join(str(error).split())[:200]}") from None


async def load_given(
    company: Mapping[str, Part], back_ends: EmbeddedBackEnds, database: Database, tenant: str
) -> dict[str, dict[str, str]]:
    """Load a company's records; loading them again changes nothing.

    Returns:
        By part and id the id that a record has in its back end; a mail's is its conversation's.

    Raises:
        InvalidInput: If a record refers to a customer who is not there.
        Unavailable: If a back end does not answer.
    """
    kinds: dict[str, list[Any]] = {"crm": [], "ticket": [], "email": [], "knowledge": []}
    for name, part in company.items():
        for kind, records in _records(name, part, company.get("", Part())).items():
            kinds[kind] += records
    for kind, records in kinds.items():
        await getattr(back_ends, kind).load(tenant, records)
    found: dict[str, dict[str, str]] = {}
    ids = await database.read(tenant, lambda connection: dict(_ids(connection, kinds, tenant)))
    for source, id_ in ids.items():
        place, _, own = source.partition("/")
        found.setdefault(place, {})[own] = id_
    return found


def _records(name: str, part: Part, common: Part) -> dict[str, list[Record]]:
    """A part's records in their long form; their source ids are `part/id`."""
    known = (("", common), (name, part))
    people = {each.id: (f"{place}/{each.id}", each) for place, of in known for each in of.customers}
    try:
        return {
            "crm": [
                *(record for each in part.customers for record in _customer(name, each)),
                *(_order(name, each, people[each.customer][0]) for each in part.orders),
            ],
            "ticket": [_ticket(name, each, people) for each in part.tickets],
            "email": [record for each in part.mails for record in _conversation(name, each, people)],
            "knowledge": [
                DocumentRecord(
                    source_id=f"{name}/{each.id}",
                    source=each.title,
                    title=each.title,
                    text=each.text,
                    origin=each.origin,
                    updated_at=_moment(0),
                )
                for each in part.documents
            ],
        }
    except KeyError as error:
        raise InvalidInput(f"part `{name}` names the customer `{error.args[0]}`, whom it does not have") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InvalidInput(f"part `{name}`: `{first['loc'][0]}`: {first['msg'].lower()}") from None


_People = Mapping[str, tuple[str, Customer]]


def _customer(part: str, each: Customer) -> Iterator[Record]:
    times = {"created_at": _moment(0), "updated_at": _moment(0)}
    account = f"{part}/{each.id}.account"
    yield AccountRecord(source_id=account, name=each.company or each.name, **times)
    fields = each.model_dump(include={"name", "email", "language", "notes"})
    yield ContactRecord(source_id=f"{part}/{each.id}", account=account, **fields, **times)


def _order(part: str, each: Order, customer: str) -> Record:
    return OrderRecord(
        source_id=f"{part}/{each.id}",
        contact=customer,
        account=f"{customer}.account",
        lines=[OrderLineRecord(sku="ITEM", name=each.item, quantity=1, unit_price=each.total)],
        placed_at=_moment(0),
        **each.model_dump(include={"number", "status", "currency"}),
    )


def _ticket(part: str, each: Ticket, people: _People) -> Record:
    said = [Said(body=each.body), *each.later]
    address, name = _who(each.sender, each.name, people)
    return TicketRecord(
        source_id=f"{part}/{each.id}",
        requester_email=address,
        requester_name=name,
        comments=[
            CommentRecord(
                author=(_who(one.sender, one.name, people)[1] if one.sender else name) or address,
                by_staff=one.by_staff,
                body=one.text,
                at=_moment(hour),
            )
            for hour, one in enumerate(said)
        ],
        created_at=_moment(0),
        updated_at=_moment(0),
        **each.model_dump(include={"subject", "status", "priority", "tags"}),
    )


def _conversation(part: str, mail: Mail, people: _People) -> Iterator[Record]:
    first = f"<{part}/{mail.id}@parts.example>"
    for hour, said in enumerate([mail, *mail.later]):
        sender, name = (said.sender, said.name) if said.sender else (mail.sender, mail.name)
        address, name = _who(sender, name, people)
        message = EmailMessage()
        message["From"] = formataddr((name, address))
        message["To"] = mail.mailbox
        message["Subject"] = said.subject or (f"Re: {mail.subject}" if hour else "")
        message["Date"] = f"Fri, 20 Nov 2026 {hour:02}:00:00 +0000"
        message["Message-ID"] = f"<{part}/{mail.id}.{hour}@parts.example>" if hour else first
        if hour:
            message["In-Reply-To"] = message["References"] = first
        for header, value in said.headers.items():
            message[header] = value
        message.set_content(said.text)
        yield MessageRecord(
            source_id=f"{part}/{mail.id}.{hour}" if hour else f"{part}/{mail.id}",
            mailbox=mail.mailbox,
            folder="sent" if said.by_staff else "inbox",
            unread=not said.by_staff,
            raw=message.as_bytes(),
        )


def _who(sender: str, name: str, people: _People) -> tuple[str, str]:
    if "@" in sender:
        return sender, name
    customer = people[sender][1]
    return customer.email, name or customer.name


def _moment(hour: int) -> str:
    return f"{_DAY}T{hour:02}:00:00Z"


def _ids(connection: Connection, kinds: Mapping[str, list[Any]], tenant: str) -> Iterator[tuple[str, str]]:
    crm, ticketing = kinds["crm"], kinds["ticket"]
    loaded: Iterable[tuple[str, Iterable[Record]]] = (
        (contacts.name, (each for each in crm if isinstance(each, ContactRecord))),
        (orders.name, (each for each in crm if isinstance(each, OrderRecord))),
        (tickets.name, ticketing),
    )
    for table, records in loaded:
        yield from loaded_ids(connection, tenant, table, [record.source_id for record in records]).items()
    yield from ((record.source_id, stable_id("doc", tenant, record.source_id)) for record in kinds["knowledge"])
    rows = {message_row_id(record, tenant): record.source_id for record in kinds["email"]}
    query = select(messages.c.id, messages.c.thread_id).where(messages.c.tenant == tenant)
    for row in select_among(connection, query, messages.c.id, list(rows)):
        yield rows[row["id"]], row["thread_id"]
