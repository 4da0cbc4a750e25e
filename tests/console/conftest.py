"""A console in this process: real gateway, journal, policy and back ends, spoken to over HTTP without a socket."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.answer import Answer
from gateway.app import open_gateway
from gateway.call import call_tool
from gateway.database import Database
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.http import build_http_app
from gateway.identity import StaticTokenVerifier
from gateway.journal import Entry, read_journal
from gateway.principal import Principal
from gateway.server import build_server
from gateway.settings import Settings
from gateway.tokens import Audience, Tokens
from tests.policies import policy_folder
from tests.sqlite import ready_home

HOST = "127.0.0.1:8900"
URL = f"http://{HOST}"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
ROLES = """\
g, person:ana@larkspur.example, role:agent, larkspur
g, person:maya@larkspur.example, role:lead, larkspur
g, person:nadia@larkspur.example, role:lead, larkspur
g, person:ines@larkspur.example, role:auditor, larkspur
g, person:tom@larkspur.example, role:sales, larkspur
g, person:zoe@other.example, role:lead, other
g, person:otto@other.example, role:agent, other
g, agent:triage, role:agent, larkspur
"""
RULES = """\
p, A1, role:agent, crm_*, , allow, support works in the CRM
p, A2, role:agent, crm_issue_refund, args.amount > 50, ask, refunds above 50 need a second look
p, A3, role:agent, crm_issue_refund, args.amount > 500, deny, nobody refunds more than 500
p, A4, role:agent, ticket_*, , allow, support works on tickets
p, A5, role:agent, ticket_add_reply, , ask, a person reads what goes out
p, A6, role:agent, ticket_update_ticket, , ask, a person looks at changes
p, A7, role:agent, email_send_message, , ask, a person reads what is sent
p, A8, role:agent, email_reply_message, , ask, a person reads what is answered
p, A9, role:agent, email_search_messages, , allow, support finds mail
p, B1, role:agent, email_get_thread, , allow, support reads mail
p, L1, role:lead, ticket_get_*, , allow, leads read tickets
p, T1, role:sales, crm_get_*, , allow, sales reads
p, U1, role:auditor, crm_get_*, , allow, auditors read
"""
APPROVERS = """\
approver, role:lead, crm_*, *, standing=3
approver, role:lead, ticket_*, *
approver, role:lead, email_*, *
viewer, role:auditor, journal, larkspur
viewer, role:auditor, policy, larkspur
"""
REFUND: dict[str, Any] = {"order_id": "ord_abcd2345", "amount": 80, "currency": "EUR", "reason": "late"}


def person(name: str, tenant: str = "larkspur") -> Principal:
    return Principal(tenant, person=f"{name}@{tenant}.example")


ANA, MAYA, NADIA, INES, TOM = map(person, ("ana", "maya", "nadia", "ines", "tom"))
ZOE, OTTO = person("zoe", "other"), person("otto", "other")
TRIAGE = Principal("larkspur", person=ANA.person, agent="triage")


@dataclass
class Clock:
    """A clock that a test can move."""

    ahead: timedelta = timedelta()
    start: Callable[[], datetime] = field(default=lambda: datetime.now().astimezone())

    def __call__(self) -> datetime:
        return self.start() + self.ahead


@dataclass(frozen=True)
class Site:
    """A gateway with its console."""

    gateway: Gateway
    app: Starlette
    tokens: Tokens
    clock: Clock
    database: Database

    def token(self, who: Principal, audience: Audience = Audience.CONSOLE) -> str:
        return self.tokens.create(who, self.clock(), self.clock() + timedelta(days=30), audience)[0]

    def browser(self, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=URL, headers={**OWN_PAGE, **headers})

    @asynccontextmanager
    async def signed_in(self, who: Principal) -> AsyncIterator["Person"]:
        async with self.browser() as http:
            answer = await http.post("/console/sign-in", data={"token": self.token(who)})
            assert answer.status_code == 303, answer.text
            yield Person(http)

    async def call(self, who: Principal, tool: str, declared: dict[str, Any] | None = None, **args: Any) -> Answer[Any]:
        said = Declared.model_validate(declared or {})
        return await call_tool(self.gateway, ToolCall(who, tool, args, declared=said))

    async def ask(self, who: Principal, tool: str, declared: dict[str, Any] | None = None, **args: Any) -> str:
        """Make a call that waits for a person; give the question's id."""
        answer = await self.call(who, tool, declared, **args)
        assert answer.approval is not None, answer
        return answer.approval.id

    def entries(self) -> list[Entry]:
        return list(read_journal(self.database, EVERY_TENANT))


@dataclass(frozen=True)
class Person:
    """Somebody's browser, signed in."""

    http: httpx.AsyncClient

    async def see(self, path: str, status: int = 200) -> str:
        answer = await self.http.get(f"/console{path}")
        assert answer.status_code == status, answer.text
        return answer.text

    async def send(self, path: str, page: str | None = None, **fields: str) -> httpx.Response:
        """Send a form of a page, with the hidden fields that the page gave it."""
        shown = await self.see(page if page is not None else path.rpartition("/")[0])
        hidden = dict(re.findall(r'type="hidden" name="(form_token|seen)" value="([^"]*)"', shown))
        return await self.http.post(f"/console{path}", data={**hidden, **fields})


def text_of(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


OpenSite = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def site(tmp_path: Path) -> OpenSite:
    """Opens a site on files."""
    return _site(tmp_path, "")


@pytest.fixture
def site_on_each(tmp_path: Path, database_url: str) -> OpenSite:
    """Opens a site on files, and one on PostgreSQL."""
    return _site(tmp_path, database_url)


def _site(tmp_path: Path, url: str) -> OpenSite:
    policies = policy_folder(tmp_path / "policies", roles=ROLES, rules=RULES, approvers=APPROVERS)

    @asynccontextmanager
    async def open_(**chosen: Any) -> AsyncIterator[Site]:
        clock = Clock()
        settings = Settings(home=tmp_path / "home", policies=policies, database_url=SecretStr(url), **chosen)
        ready_home(settings)
        async with open_gateway(settings) as opened, AsyncExitStack() as stack:
            database = stack.enter_context(settings.open_database())
            gateway = replace(opened, now=clock)
            tokens = Tokens(database)
            verifier = StaticTokenVerifier(tokens, clock)
            app = build_http_app(gateway, build_server(gateway, None), settings, "127.0.0.1", 8900, verifier, database)
            yield Site(gateway, app, tokens, clock, database)

    return open_
