"""Two tenants on one gateway whose people, customers and records bear the same names, and the calls that they make.

Everything is as the test says: time, secrets and the ids of calls. So the same calls give the same answers, unless
something else plays into them.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import text

from connectors.email.mime import parse
from connectors.embedded.tenancy import EVERY_TENANT
from connectors.records import (
    AccountRecord,
    ActivityRecord,
    CommentRecord,
    ContactRecord,
    DealRecord,
    DocumentRecord,
    MessageRecord,
    OrderLineRecord,
    OrderRecord,
    TicketRecord,
)
from connectors.registry import TOOLS, EmbeddedBackEnds
from gateway.app import open_gateway
from gateway.approvals.answering import NotAnswerable
from gateway.approvals.book import UnknownApproval
from gateway.call import call_tool
from gateway.catalog import UnknownTool
from gateway.database import Database
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.home import make_home
from gateway.journal import read_journal
from gateway.listing import Listings
from gateway.principal import Principal
from gateway.secret import naming_secret
from gateway.settings import Settings

OURS, THEIRS = "ours", "theirs"
MARK = "zebrafinch"
"""Stands in everything that belongs to the other tenant, and nowhere else."""
MAILBOX = "support@shop.example"
CUSTOMERS = ("kim@customer.example", "lee@customer.example", "new@customer.example")
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROLES = f"""\
g, person:sam@shop.example, role:staff, {OURS}
g, person:sam@shop.example, role:staff, {THEIRS}
g, person:max@shop.example, role:lead, {OURS}
g, person:max@shop.example, role:lead, {THEIRS}
"""
RULES = """\
p, A1, role:staff, *, , allow, staff do everything
p, A2, role:staff, crm_issue_refund, , ask, but money
p, A3, role:staff, email_send_message, first_time(args.to), ask, but for strangers
p, A4, role:staff, ticket_add_note, calls('ticket_add_note') >= 2, deny, two notes are enough
p, A5, role:staff, crm_update_contact, "origin(args.contact_id) not in ['request', 'organisation']", ask, from where?
"""
APPROVERS = f"approver, role:lead, *, {OURS}\napprover, role:lead, *, {THEIRS}\n"


WORDS = ("telescope", "returned within ten days", "Kim", "lens", "", "quarterly order", "12")
NOWHERE = "abcd2345"


@dataclass(frozen=True)
class Step:
    """A call, or with `approve` a yes to the oldest open question first.

    Args:
        tool: The tool.
        arguments: What it is called with.
        key: An idempotency key, if any.
        approve: Whether the lead of the same tenant answers what is open before.
    """

    tool: str
    arguments: Mapping[str, Any]
    key: str | None = None
    approve: bool = False


def steps(ids: Mapping[str, Sequence[str]]) -> st.SearchStrategy[list[Step]]:
    """Scripts that use every tool, with ids and cursors of both tenants."""
    once = st.tuples(*(step(tool.name, ids) for tool in TOOLS))
    again = st.lists(st.sampled_from(TOOLS).flatmap(lambda tool: step(tool.name, ids)), max_size=8)
    return st.tuples(once, again).flatmap(lambda both: st.permutations([*both[0], *both[1]]))


def step(tool: str, ids: Mapping[str, Sequence[str]]) -> st.SearchStrategy[Step]:
    [found] = [each for each in TOOLS if each.name == tool]
    schema = found.input.model_json_schema()
    required = schema.get("required", ())
    fields = {
        name: _value(name, part, ids) if name in required else st.one_of(st.none(), _value(name, part, ids))
        for name, part in schema["properties"].items()
    }
    said = st.fixed_dictionaries(fields).map(lambda all_: {name: v for name, v in all_.items() if v is not None})
    return st.builds(Step, st.just(tool), said, st.sampled_from([None, None, "key-1", "key-2"]), st.booleans())


def _value(name: str, part: Mapping[str, Any], ids: Mapping[str, Sequence[str]]) -> st.SearchStrategy[Any]:
    part = next((each for each in part.get("anyOf", ()) if each["type"] != "null"), part)
    pattern = part.get("pattern", "")
    if prefix := pattern[1:4] if pattern[4:5] == "_" else "":
        return st.sampled_from([*ids[prefix], f"{prefix}_{NOWHERE}"])
    match name, part["type"], part.get("format"):
        case "cursor", _, _:
            return st.sampled_from(["", *ids["cursor"]])
        case "mailbox", _, _:
            return st.just(MAILBOX)
        case _, "array", _:
            return st.lists(_value("", part["items"], ids), min_size=1, max_size=2, unique=True)
        case _, _, "email":
            return st.sampled_from(CUSTOMERS)
        case _, _, "date":
            return st.just("2026-04-01")
        case _, "boolean", _:
            return st.booleans()
        case _, "integer" | "number", _:
            return st.integers(max(1, part.get("minimum", 1)), 3 if name == "version" else 40)
    if "enum" in part:
        return st.sampled_from(part["enum"])
    plain = pattern.startswith("^[a-z0-9]") or name == "phone"
    return st.just("12") if plain else st.sampled_from([word for word in WORDS if word or not part.get("minLength")])


@dataclass
class Clock:
    """Goes on with our own steps alone."""

    now: datetime = AT + timedelta(days=1)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class World:
    """A gateway on a database of its own.

    Args:
        gateway: The gateway.
        database: Its own database.
        clock: Its time.
    """

    gateway: Gateway
    database: Database
    clock: Clock
    taken: dict[str, int] = field(default_factory=lambda: {OURS: 0, THEIRS: 0})

    async def take(self, tenant: str, step: Step) -> Any:
        """Take a step in a tenant; gives everything that comes back."""
        if step.approve:
            await self.approve(tenant, [each.question.id for each in await self.open(tenant)][-1:])
        self.taken[tenant] += 1
        call = ToolCall(
            Principal(tenant, person="sam@shop.example"),
            step.tool,
            step.arguments,
            declared=Declared.model_validate({"remit/key": step.key} if step.key else {}),
            id=f"call_{self.taken[tenant]:016x}{tenant:_<16}",
        )
        try:
            answer = await call_tool(self.gateway, call)
        except UnknownTool as error:
            return str(error)
        return answer.to_wire()

    async def approve(self, tenant: str, ids: Sequence[str]) -> None:
        """Say yes to questions as a tenant's lead, if they are that tenant's."""
        lead, policy = Principal(tenant, person="max@shop.example"), self.gateway.policy.current
        for each in ids:
            with suppress(UnknownApproval, NotAnswerable):
                await self.gateway.approvals.answer(each, lead, policy, True, "", self.clock())

    async def open(self, tenant: str) -> Any:
        return await self.gateway.approvals.open(self.clock(), tenant)

    async def overview(self, tenant: str) -> list[Any]:
        """What a tenant's people are shown besides answers."""
        asked = [
            [each.question.id, each.state(self.clock()), each.arguments]
            for each in await self.gateway.approvals.recent(tenant, self.clock())
        ]
        entries = [
            [entry.call_id, entry.principal, entry.at.isoformat(), entry.kind, entry.body]
            for entry in read_journal(self.database, tenant)
        ]
        doubts = [entry.call_id for entry in await self.gateway.recorded.doubts(tenant)]
        tools = Listings(self.gateway.catalog.tools.values(), self.gateway.policy.current)
        listing = await tools.under(self.gateway.policy.current)
        seen = listing.tools(Principal(tenant, person="sam@shop.example"))
        return [asked, entries, doubts, [tool.model_dump(mode="json") for tool in seen]]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[World]:
    """Open a world on what `fill` made."""
    clock = Clock()
    with settings.open_database() as database:
        async with open_gateway(settings) as gateway:
            yield World(replace(gateway, now=clock), database, clock)


async def fill(settings: Settings, *, plenty: bool) -> dict[str, list[str]]:
    """Put both tenants' records into a new database; gives the ids of both, and the others' cursors.

    Args:
        settings: Of the home.
        plenty: Whether the others have many records of the same words, rather than a few.
    """
    make_home(settings)
    with settings.open_database() as database:
        naming_secret(database, lambda _bytes: bytes(range(32)))
    async with open_gateway(settings) as gateway:
        back_ends = gateway.back_ends
        assert isinstance(back_ends, EmbeddedBackEnds)
        await _load(back_ends, OURS, "", 2)
        await _load(back_ends, THEIRS, f" {MARK}", 12 if plenty else 2)
        cursors = [
            (await call_tool(gateway, ToolCall(Principal(THEIRS, person="sam@shop.example"), tool, args))).result
            for tool, args in (
                ("crm_search_contacts", {"limit": 1}),
                ("ticket_search_tickets", {"limit": 1}),
                ("knowledge_search_documents", {"query": "telescope", "limit": 1}),
            )
        ]
        engine = back_ends.crm._database.engine
        with engine.connect().execution_options(tenant=EVERY_TENANT) as connection:
            ids = {
                prefix: list(connection.execute(text(f"SELECT DISTINCT {column} FROM {table} ORDER BY 1")).scalars())  # noqa: S608
                for prefix, (table, column) in _IDS.items()
            }
    return ids | {"cursor": [page.next_cursor for page in cursors if page and page.next_cursor], "dra": []}


_IDS = {
    "con": ("crm_contacts", "id"),
    "acc": ("crm_accounts", "id"),
    "dea": ("crm_deals", "id"),
    "ord": ("crm_orders", "id"),
    "tic": ("tickets", "id"),
    "thr": ("email_messages", "thread_id"),
    "msg": ("email_messages", "id"),
    "att": ("email_attachments", "id"),
    "doc": ("knowledge_documents", "id"),
}


async def _load(back_ends: EmbeddedBackEnds, tenant: str, mark: str, many: int) -> None:
    """Records that only the mark, and how many there are, tell from the other tenant's."""
    times = {"created_at": AT, "updated_at": AT}
    crm: list[Any] = []
    for n in range(many):
        line = OrderLineRecord(sku="S1", name=f"telescope{mark}", quantity=1, unit_price=Decimal(90))
        contact = (
            {"email": CUSTOMERS[n], "name": f"Kim{mark}"} if n < 2 else {"email": f"kim{n}@c.example", "name": "Kim"}
        )
        order = {"number": f"N{n}", "account": f"a{n}", "contact": f"c{n}", "status": "delivered", "lines": [line]}
        deal = {"account": f"a{n}", "title": f"lens{mark}", "stage": "proposal", "amount": 9, "currency": "EUR"}
        crm += [
            AccountRecord(source_id=f"a{n}", name=f"Nordwind {n}{mark}", notes=f"telescope{mark}", **times),
            ContactRecord(source_id=f"c{n}", account=f"a{n}", notes=f"lens{mark}", **contact, **times),
            DealRecord.model_validate({"source_id": f"d{n}", **deal, **times}),
            OrderRecord.model_validate({"source_id": f"o{n}", "currency": "EUR", "placed_at": AT, **order}),
            ActivityRecord(source_id=f"v{n}", kind="call", subject=f"lens{mark}", contact=f"c{n}", actor="Sam", at=AT),
        ]
    await back_ends.crm.load(tenant, crm)
    await back_ends.ticket.load(tenant, [_ticket(n, mark) for n in range(many)])
    await back_ends.email.load(tenant, [_mail(n, mark) for n in range(many)])
    documents = [
        DocumentRecord(
            source_id=f"k{n}",
            title=f"Returns {n}{mark}",
            text=f"# Telescope\n\nA telescope is returned within ten days. {'Telescope lens. ' * n}{mark}",
            source=f"k{n}.md",
            updated_at=AT,
        )
        for n in range(many)
    ]
    await back_ends.knowledge.load(tenant, documents)


def _ticket(number: int, mark: str) -> TicketRecord:
    comment = CommentRecord(author="Kim", body=f"Where is my telescope?{mark}", at=AT)
    asked = {"source_id": f"t{number}", "subject": f"telescope{mark}", "requester_email": CUSTOMERS[0]}
    return TicketRecord(**asked, comments=[comment], created_at=AT, updated_at=AT)


def _mail(number: int, mark: str) -> MessageRecord:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"Kim <{CUSTOMERS[0]}>", MAILBOX, f"telescope{mark}"
    mail["Message-ID"], mail["Date"] = f"<{number}@customer.example>", "Mon, 02 Mar 2026 12:00:00 +0000"
    mail.set_content(f"Where is it?{mark}")
    mail.add_attachment(f"lens{mark}".encode(), "text", "plain", filename=f"telescope{mark}.txt")
    raw = mail.as_bytes().replace(b"\r\n", b"\n")
    return MessageRecord(source_id=parse(raw).message_id, mailbox=MAILBOX, raw=raw)
