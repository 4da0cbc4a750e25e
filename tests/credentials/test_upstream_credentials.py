"""Upstream servers are shown what is kept for tenant and person, also when it changes while they run."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.embedded.tenancy import EVERY_TENANT
from connectors.mcp_upstream.declaration import BadUpstream, read_servers
from gateway.app import open_gateway
from gateway.background import background
from gateway.call import call_tool
from gateway.credentials.keys import key_source
from gateway.credentials.kinds import Content, Place, written
from gateway.credentials.table import CredentialTable
from gateway.gateway import ToolCall
from gateway.journal import Entry, read_journal
from gateway.principal import Principal
from gateway.settings import Settings
from tests.credentials.conftest import KEY
from tests.credentials.endpoint import CLIENT, CLIENT_SECRET, token_endpoint
from tests.credentials.guarded import Guarded, serving
from tests.processes import free_port
from tests.upstream.conftest import Fronting, Upstream

OURS, ANAS, THEIRS = "Bearer ours-4f1d0e7b", "Bearer anas-9a81c3d2", "Bearer theirs-77ab01fe"
ANA, BEN = Principal("larkspur", person="ana@larkspur.example"), Principal("larkspur", person="ben@larkspur.example")
ZOE = Principal("other", person="zoe@other.example")
AGENT = Principal("larkspur", agent="ana@larkspur.example")
PERSONAL = 'looks_as = "larkspur"\npersonal = true'
eras = pytest.mark.parametrize("modern", [True, False], ids=["modern server", "older server"])


@pytest.fixture
def settings(home: Path, policies: Path) -> Settings:
    roles = "".join(f"g, {who.name}, role:agent, {who.tenant}\n" for who in (ANA, BEN, ZOE, AGENT))
    (policies / "roles.csv").write_text(roles)
    return Settings(home=home, policies=policies, call_tries=1, policy_poll=0.05, credentials_key=KEY)


@pytest.fixture
def entries(settings: Settings) -> Callable[[], list[Entry]]:
    def read() -> list[Entry]:
        with settings.open_database() as database:
            return list(read_journal(database, EVERY_TENANT))

    return read


@pytest.fixture
def guarded() -> Guarded:
    return Guarded(free_port(), {OURS, ANAS, THEIRS})


def put(settings: Settings, token: str, tenant: str = "larkspur", person: str = "", **more: Any) -> None:
    """Have a person set a credential, as another process does."""
    given = more.pop("given", {"kind": "token", "token": token.removeprefix("Bearer ")})
    place = Place(tenant, "up", person)
    sealed = key_source(settings).keys().seal(written(Content.model_validate({"given": given, **more})), place)
    settings.home.mkdir(parents=True, exist_ok=True)
    with settings.open_database() as database:
        database.prepare()
        CredentialTable(database).put(place, given["kind"], sealed, "rosa", datetime.now(UTC))


@asynccontextmanager
async def fronting(settings: Settings, guarded: Guarded) -> AsyncIterator[Fronting]:
    async with serving(guarded), open_gateway(settings) as gateway, background(gateway, settings):
        front = Fronting(gateway)
        await front.until(lambda: front.looked)
        yield front


async def told(front: Fronting, who: Principal = ANA, tool: str = "up_look") -> str:
    """What became of a call."""
    answer = await call_tool(front.gateway, ToolCall(who, tool, {}))
    return answer.status if answer.error is None else f"{answer.error.kind}: {answer.error.message}"


@eras
async def test_each_tenant_and_person_shows_their_own(
    up: Upstream, settings: Settings, guarded: Guarded, modern: bool
) -> None:
    guarded.modern = modern
    guarded.declare(up, PERSONAL)
    put(settings, OURS)
    put(settings, ANAS, person=str(ANA.person))
    put(settings, THEIRS, tenant="other")
    async with fronting(settings, guarded) as front:
        for who in (ANA, BEN, ZOE, AGENT):
            assert await told(front, who) == "ok"
            assert await told(front, who, "up_write") == "ok"
    expected = {ANA: ANAS, BEN: OURS, ZOE: THEIRS, AGENT: OURS}
    assert guarded.calls == [(shown, tool) for shown in expected.values() for tool in ("look", "write")]


async def test_a_server_that_knows_no_people_is_shown_the_tenants(
    up: Upstream, settings: Settings, guarded: Guarded
) -> None:
    guarded.declare(up)
    put(settings, OURS)
    put(settings, ANAS, person=str(ANA.person))
    async with fronting(settings, guarded) as front:
        assert await told(front, ANA) == "ok"
    assert guarded.calls == [(OURS, "look")]


@eras
async def test_who_has_no_credential_reaches_nothing(
    up: Upstream, settings: Settings, guarded: Guarded, modern: bool, entries: Callable[[], list[Entry]]
) -> None:
    guarded.modern = modern
    guarded.declare(up)
    put(settings, OURS)
    async with fronting(settings, guarded) as front:
        for tool in ("up_look", "up_write"):
            said = await told(front, ZOE, tool)
            assert said == "unavailable: there is no credential for `up`; nothing was done, tell the operator"
        assert await told(front) == "ok"
    assert guarded.calls == [(OURS, "look")]
    assert {each.body["status"] for each in entries() if each.kind == "outcome" and each.tenant == "other"} == {
        "failed"
    }


@eras
async def test_another_token_is_shown_without_a_restart(
    up: Upstream, settings: Settings, guarded: Guarded, modern: bool
) -> None:
    guarded.modern = modern
    guarded.declare(up)
    put(settings, OURS)
    async with fronting(settings, guarded) as front:
        assert await told(front) == "ok"
        guarded.good, new = {"Bearer brand-new-1"}, "Bearer brand-new-1"
        put(settings, new)
        assert await told(front) == "ok"
        assert await told(front, tool="up_write") == "ok"
        assert guarded.calls[-2:] == [(new, "look"), (new, "write")]


@eras
@pytest.mark.parametrize("who", [ANA, ZOE], ids=["on the shared session", "on one of its own"])
async def test_a_server_that_refuses_it_has_done_nothing(
    up: Upstream, settings: Settings, guarded: Guarded, modern: bool, who: Principal
) -> None:
    guarded.modern = modern
    guarded.declare(up)
    put(settings, OURS)
    put(settings, THEIRS, tenant="other")
    async with fronting(settings, guarded) as front:
        assert await told(front, who) == "ok"
        guarded.forbidden = {OURS, THEIRS}
        said = "unavailable: the server `up` does not let this credential do that; nothing was done"
        assert await told(front, who, "up_write") == said
        guarded.good = set()
        assert (await told(front, who, "up_write")).startswith("unavailable: ")
    assert [tool for _, tool in guarded.calls] == ["look"]


async def test_a_token_that_was_revoked_is_renewed_within_the_call(
    up: Upstream, settings: Settings, guarded: Guarded
) -> None:
    async with token_endpoint() as endpoint:
        guarded.declare(up)
        guarded.good = {"Bearer access-1"}
        given = {"kind": "refresh", "token_url": endpoint.url, "client_id": CLIENT, "client_secret": CLIENT_SECRET}
        put(settings, "", given={**given, "refresh_token": endpoint.refresh})
        async with fronting(settings, guarded) as front:
            assert await told(front, tool="up_write") == "ok"
            guarded.good = {"Bearer access-2"}
            assert await told(front, tool="up_write") == "ok"
            endpoint.down, guarded.good = True, {"Bearer access-3"}
            said = await told(front, tool="up_write")
        assert said.startswith("unavailable: the credential for `up` is not good: it cannot be renewed")
        assert guarded.calls == [("Bearer access-1", "write"), ("Bearer access-2", "write")]


async def test_a_credential_can_stand_in_another_header(up: Upstream, settings: Settings, guarded: Guarded) -> None:
    guarded.declare(up, 'looks_as = "larkspur"\nheader = "X-Api-Key"\nbefore = ""')
    guarded.header, guarded.good = "x-api-key", {"ours-4f1d0e7b"}
    put(settings, OURS)
    async with fronting(settings, guarded) as front:
        assert await told(front) == "ok"
    assert guarded.calls == [("ours-4f1d0e7b", "look")]


async def test_an_expired_one_is_not_shown(up: Upstream, settings: Settings, guarded: Guarded) -> None:
    guarded.declare(up)
    put(settings, OURS)
    async with fronting(settings, guarded) as front:
        put(settings, THEIRS, tenant="other", expires_at=datetime.now(UTC) - timedelta(seconds=1))
        assert "is not good: it has expired" in await told(front, ZOE)
    assert not guarded.calls


@pytest.mark.parametrize(
    ("credential", "told"),
    [
        ("", "`http.credential.looks_as` is missing"),
        ('looks_as = "a"\nheader = "X:Y"', "`http.credential.header`"),
        ('looks_as = "a"\nbefore = "Bearer\\n"', "`http.credential.before`"),
        ('looks_as = "a"\nscopes = ["a b"]', "`http.credential.scopes"),
        ('looks_as = "a"\ntoken = "x"', "`http.credential.token`: unknown field"),
        ('looks_as = "a"\n[http.headers]\nauthorization = { env = "X" }', "which shows the credential"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, credential: str, told: str) -> None:
    text = f'prefix = "up"\n[http]\nurl = "https://up.example/mcp"\n[http.credential]\n{credential}\n'
    (tmp_path / "up.toml").write_text(text)
    with pytest.raises(BadUpstream, match=r"up\.toml:\d+: ") as refused:
        read_servers(tmp_path)
    assert told in str(refused.value)


def test_the_first_of_a_servers_tenants_looks_at_its_definitions(tmp_path: Path) -> None:
    text = 'prefix = "up"\ntenants = ["one", "two"]\n[http]\nurl = "https://up.example/mcp"\n[http.credential]\n'
    (tmp_path / "up.toml").write_text(text)
    [server] = read_servers(tmp_path)
    assert server.looks_as == "one"
