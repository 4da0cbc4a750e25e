"""A gateway in this process that trusts a certified provider in a process of its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.app import open_gateway
from gateway.database import Database
from gateway.gateway import Gateway
from gateway.http import build_http_app
from gateway.identity import StaticTokenVerifier
from gateway.journal import Entry, read_journal
from gateway.principal import Principal
from gateway.server import build_server
from gateway.settings import Settings
from gateway.tokens import Tokens
from tests.oauth.provider import Provider, provider
from tests.policies import policy_folder
from tests.sqlite import ready_home

ROLES = """\
g, person:ana.ruiz@larkspur.example, role:support, larkspur
g, agent:triage, role:triage, larkspur
g, agent:assistant, role:support, larkspur
g, role:lead, role:support, larkspur
"""
RULES = """\
p, A1, role:support, crm_*, , allow, support works in the CRM
p, A2, role:support, crm_issue_refund, args.amount > 50, deny, no large refunds
p, L1, role:lead, ticket_*, , allow, leads work on tickets
p, T1, role:triage, crm_search_accounts, , allow, triage looks customers up
p, T2, role:triage, crm_create_contact, , allow, triage adds customers
"""
IDENTITY = """\
resource = "{resource}"

[issuers.staff]
issuer = "{issuer}"
tenant = "larkspur"
algorithms = ["RS256"]

[issuers.staff.person]
claim = "email"
domains = ["larkspur.example"]

[issuers.staff.clients]
desktop = "person"
triage-bot = "agent:triage"
assistant-app = "agent:assistant"

[issuers.staff.roles]
claim = "groups"
give = {{ leads = "role:lead" }}
"""
SCOPES = """
[scopes]
"remit.read" = ["read"]
"remit.write" = ["read", "write"]
"remit.send" = ["read", "send"]
"""
HOST, PORT = "127.0.0.1", 8900
URL = f"http://{HOST}:{PORT}"
CALL: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass
class Clock:
    """A clock that a test can move."""

    ahead: timedelta = timedelta()
    start: Callable[[], datetime] = field(default=lambda: datetime.now().astimezone())

    def __call__(self) -> datetime:
        return self.start() + self.ahead

    def forward(self, **time: float) -> None:
        self.ahead += timedelta(**time)


@dataclass(frozen=True)
class Site:
    """A gateway behind OAuth."""

    app: Starlette
    http: httpx.AsyncClient
    gateway: Gateway
    tokens: Tokens
    clock: Clock
    database: Database
    url: str = URL
    resource: str = f"{URL}/mcp"

    def static(self, who: Principal) -> str:
        """A token that `remit token create` makes."""
        return self.tokens.create(who, self.clock(), self.clock() + timedelta(days=1))[0]

    async def call(
        self, token: str | None, tool: str = "crm_search_accounts", scheme: str = "Bearer", **given: Any
    ) -> httpx.Response:
        """One `tools/call` of a bare client."""
        arguments, proof = given.pop("arguments", {}), given.pop("proof", None)
        params = {"_meta": CALL, "name": tool, "arguments": arguments}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}
        headers |= {"Mcp-Method": "tools/call", "Mcp-Name": tool, **given}
        headers |= {} if token is None else {"Authorization": f"{scheme} {token}"}
        headers |= {} if proof is None else {"DPoP": proof}
        return await self.http.post("/mcp", json=body, headers=headers)

    async def status(self, token: str | None, tool: str = "crm_search_accounts", **given: Any) -> str:
        """What becomes of one call: the answer's status, or the HTTP status with the error's code."""
        answer = await self.call(token, tool, **given)
        found: dict[str, Any] = answer.json()
        error = found.get("error", "")
        if isinstance(error, dict):
            return str(error["message"])
        if answer.status_code != 200:
            return f"{answer.status_code} {error}".strip()
        return str(found["result"]["structuredContent"]["status"])

    def entries(self) -> list[Entry]:
        return list(read_journal(self.database, EVERY_TENANT))


OpenSite = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """The provider of this test run. Tests that give it new keys leave it with new keys."""
    with provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return policy_folder(tmp_path / "policies", roles=ROLES, rules=RULES)


@pytest.fixture
def site(tmp_path: Path, policies: Path, issuer: Provider) -> OpenSite:
    """Opens a gateway whose `identity.toml` trusts the provider; `more` is added to it, `changed` replaces parts."""

    @asynccontextmanager
    async def open_(more: str = "", changed: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[Site]:
        text = IDENTITY.format(resource=f"{URL}/mcp", issuer=issuer.url)
        for before, after in changed:
            assert before in text
            text = text.replace(before, after)
        (policies / "identity.toml").write_text(text + more)
        settings = Settings(home=tmp_path / "home", policies=policies, console_url=issuer.console)
        ready_home(settings)
        async with open_gateway(settings) as opened:
            with settings.open_database() as database:
                clock, tokens = Clock(), Tokens(database)
                gateway, static = replace(opened, now=clock), StaticTokenVerifier(tokens, clock)
                app = build_http_app(gateway, build_server(gateway, None), settings, HOST, PORT, static, database)
                client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL)
                async with app.router.lifespan_context(app), client as http:
                    yield Site(app, http, gateway, tokens, clock, database)

    return open_
