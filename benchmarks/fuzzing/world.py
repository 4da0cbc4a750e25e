"""A gateway with the data of two tenants, whose back ends say what they were told to do."""

import inspect
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from starlette.types import ASGIApp

from benchmarks.fuzzing.asgi import Request, send
from benchmarks.fuzzing.model import CALLERS, files
from connectors.contract import CallContext
from connectors.embedded.tenancy import EVERY_TENANT
from connectors.records import (
    AccountRecord,
    CommentRecord,
    ContactRecord,
    DocumentRecord,
    MessageRecord,
    OrderLineRecord,
    OrderRecord,
    TicketRecord,
)
from connectors.registry import BackEnds, EmbeddedBackEnds
from gateway.app import open_gateway
from gateway.database import Database
from gateway.gateway import Gateway
from gateway.home import utc_now
from gateway.http import build_http_app
from gateway.identity import StaticTokenVerifier
from gateway.journal import Kind, read_journal
from gateway.principal import Principal
from gateway.server import build_server
from gateway.settings import SHIPPED_POLICIES, Settings
from gateway.tokens import Audience, Tokens

MARKERS = {"larkspur": "zzmarklarkspurzz", "borealis": "zzmarkborealiszz"}
"""Stands in every record of a tenant, and in no request."""
_AT = datetime(2026, 5, 4, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Done:
    """One time that a back end was told to do something."""

    tenant: str
    actor: str
    tool: str
    args: dict[str, Any]


@dataclass(frozen=True)
class World:
    """What is fuzzed.

    Args:
        app: The gateway's HTTP app, started.
        gateway: The gateway itself.
        tokens: The secret of each caller.
        sessions: The id of a session that each caller opened as a client up to 2025-11-25 does.
        bad_tokens: Secrets that open nothing.
        ids: Ids of records by tenant and kind, such as `con`.
        done: What the back ends were told, in order.
        database: Where the journal is.
        secrets: What must never stand in an answer.
    """

    app: ASGIApp
    gateway: Gateway
    tokens: dict[Principal, str]
    sessions: dict[Principal, str]
    bad_tokens: tuple[str, ...]
    ids: dict[str, dict[str, list[str]]]
    done: list[Done]
    database: Database
    secrets: tuple[str, ...]


class _Watched:
    """A back end that keeps what it is told before it does it."""

    def __init__(self, inner: object, done: list[Done]) -> None:
        self._inner, self._done = inner, done

    def __getattr__(self, name: str) -> Any:
        method: Callable[[CallContext, BaseModel], Awaitable[Any]] = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(method) or name.count("_") < 2:
            return method

        async def told(call: CallContext, args: BaseModel) -> Any:
            self._done.append(Done(call.tenant, call.actor, name, args.model_dump()))
            return await method(call, args)

        return told


def write_policies(folder: Path) -> None:
    """Make the policy folder that the model stands for."""
    folder.mkdir(parents=True)
    for name, text in files((SHIPPED_POLICIES / "model.conf").read_text()).items():
        (folder / name).write_text(text)


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[World]:
    """Open a gateway in an empty folder.

    Args:
        home: The folder.
    """
    policies = home / "policies"
    write_policies(policies)
    settings = Settings(
        home=home / "home",
        policies=policies,
        metrics_token=SecretStr("zz-metrics-token-of-the-world-zz"),
        approval_hold=0,
    )
    done: list[Done] = []
    async with open_gateway(settings) as shipped:
        assert isinstance(shipped.back_ends, EmbeddedBackEnds)
        for tenant in MARKERS:
            await fill(shipped.back_ends, tenant)
        ids = {tenant: await ids_of(shipped.back_ends, tenant) for tenant in MARKERS}
        watched = {
            area: _Watched(getattr(shipped.back_ends, area), done) for area in ("crm", "ticket", "email", "knowledge")
        }
        gateway = replace(shipped, back_ends=BackEnds(**watched))  # type: ignore[arg-type]
        with settings.open_database() as database:
            tokens = Tokens(database)
            now = utc_now()
            good = {who: tokens.create(who, now, now + timedelta(days=1))[0] for who in CALLERS}
            app = build_http_app(
                gateway,
                build_server(gateway, None),
                settings,
                "127.0.0.1",
                8_000,
                StaticTokenVerifier(tokens, utc_now),
                database,
            )
            async with app.router.lifespan_context(app):
                sessions = {who: await open_session(app, token) for who, token in good.items()}
                yield World(
                    app,
                    gateway,
                    good,
                    sessions,
                    _bad(tokens),
                    ids,
                    done,
                    database,
                    (*good.values(), str(home), "zz-metrics-token-of-the-world-zz"),
                )


def _bad(tokens: Tokens) -> tuple[str, ...]:
    now, ana = utc_now(), CALLERS[0]
    revoked, known = tokens.create(ana, now, now + timedelta(days=1))
    tokens.revoke(known.id, now)
    expired, _ = tokens.create(ana, now - timedelta(days=2), now - timedelta(days=1))
    console, _ = tokens.create(ana, now, now + timedelta(days=1), Audience.CONSOLE)
    grants, _ = tokens.create(ana, now, now + timedelta(days=1), Audience.GRANTS)
    return revoked, expired, console, grants, "remit_unknown", "", "x" * 4_000, "tok_" + "0" * 12


def calls_by_kind(database: Database) -> dict[Kind, Counter[str]]:
    """How many entries of each kind the journal has of each call."""
    kinds: dict[Kind, Counter[str]] = {}
    for entry in read_journal(database, EVERY_TENANT):
        kinds.setdefault(entry.kind, Counter())[entry.call_id] += 1
    return kinds


async def open_session(app: ASGIApp, token: str) -> str:
    """Open a session as a client of 2025-06-18 does; return its id."""
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "fuzz", "version": "1"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).encode()
    headers = {
        "host": "127.0.0.1:8000",
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
    }
    opening = Request("POST", "/mcp", tuple((name.encode(), value.encode()) for name, value in headers.items()), body)
    return (await send(app, opening)).header(b"mcp-session-id").decode()


async def fill(back_ends: EmbeddedBackEnds, tenant: str) -> None:
    """Give a tenant its records."""
    for record in (record for number in range(1, 7) for record in _crm(tenant, number)):
        await back_ends.crm.load(tenant, [record])
    await back_ends.ticket.load(tenant, [_ticket(tenant, number) for number in range(1, 7)])
    await back_ends.email.load(tenant, [_mail(tenant, number) for number in range(1, 7)])
    mark = MARKERS[tenant]
    text = f"Returns within 30 days. {mark}"
    document = DocumentRecord(source_id="d1", title=f"{mark} returns", text=text, source="d1", updated_at=_AT)
    await back_ends.knowledge.load(tenant, [document])


def _crm(tenant: str, n: int) -> tuple[AccountRecord, ContactRecord, OrderRecord]:
    mark, times = MARKERS[tenant], {"created_at": _AT, "updated_at": _AT}
    address = f"kim{n}@works{n}.example"
    line = OrderLineRecord(sku="S1", name=f"{mark} scale", quantity=1, unit_price=Decimal(900))
    account = AccountRecord(source_id=f"a{n}", name=f"{mark} works {n}", domain=f"works{n}.example", **times)
    contact = ContactRecord(
        source_id=f"c{n}", name=f"{mark} Kim {n}", email=address, account=f"a{n}", notes=mark, **times
    )
    order = OrderRecord(
        source_id=f"o{n}", number=f"1000{n}", account=f"a{n}", contact=f"c{n}", status="shipped", currency="EUR",
        lines=[line], placed_at=_AT,
    )  # fmt: skip
    return account, contact, order


def _ticket(tenant: str, n: int) -> TicketRecord:
    comment = CommentRecord(author="Kim", body=MARKERS[tenant], at=_AT)
    return TicketRecord(
        source_id=f"t{n}", subject=f"{MARKERS[tenant]} late", requester_email=f"kim{n}@works{n}.example",
        comments=[comment], created_at=_AT, updated_at=_AT,
    )  # fmt: skip


def _mail(tenant: str, number: int) -> MessageRecord:
    mail = EmailMessage()
    mail["From"], mail["To"] = f"kim{number}@works{number}.example", f"support@{tenant}.example"
    mail["Subject"], mail["Date"], mail["Message-ID"] = f"{MARKERS[tenant]} where", _AT, f"<{number}@works.example>"
    mail.set_content(f"Where is it? {MARKERS[tenant]}")
    return MessageRecord(source_id=f"m{number}", mailbox=f"support@{tenant}.example", raw=mail.as_bytes())


async def ids_of(back_ends: EmbeddedBackEnds, tenant: str) -> dict[str, list[str]]:
    """Ids of a tenant's records by kind."""
    from connectors.crm.tools import GetOrders, SearchAccounts, SearchContacts
    from connectors.email.tools import SearchEmail
    from connectors.ticketing.tools import SearchTickets

    call = CallContext(tenant, "filling", "filling", utc_now(), readers=())
    messages = (
        await back_ends.email.email_search_messages(call, SearchEmail(mailbox=f"support@{tenant}.example"))
    ).messages
    return {
        "con": [each.id for each in (await back_ends.crm.crm_search_contacts(call, SearchContacts())).contacts],
        "acc": [each.id for each in (await back_ends.crm.crm_search_accounts(call, SearchAccounts())).accounts],
        "ord": [each.id for each in (await back_ends.crm.crm_get_orders(call, GetOrders(number="10001"))).orders],
        "tic": [each.id for each in (await back_ends.ticket.ticket_search_tickets(call, SearchTickets())).tickets],
        "msg": [each.id for each in messages],
        "thr": [each.thread_id for each in messages],
    }
