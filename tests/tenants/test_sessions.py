"""A session of an older client is one tenant's, also where another tenant has a person of the same name."""

from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import httpx

from gateway.app import open_gateway
from gateway.home import make_home, utc_now
from gateway.http import build_http_app
from gateway.identity import StaticTokenVerifier
from gateway.principal import Principal
from gateway.server import build_server
from gateway.settings import Settings
from gateway.tokens import Tokens

HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
OPENING = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


async def served(stack: AsyncExitStack, settings: Settings) -> httpx.AsyncClient:
    """A client of a process on a home."""
    gateway = await stack.enter_async_context(open_gateway(settings))
    database = stack.enter_context(settings.open_database())
    verifier = StaticTokenVerifier(Tokens(database), utc_now)
    app = build_http_app(gateway, build_server(gateway, None), settings, "127.0.0.1", 8900, verifier, database)
    await stack.enter_async_context(app.router.lifespan_context(app))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8900", headers=HEADERS)
    return await stack.enter_async_context(client)


async def sent(client: httpx.AsyncClient, token: str, session: str, method: str, **params: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", **({"MCP-Session-Id": session} if session else {})}
    return await client.post(
        "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, headers=headers
    )


async def ended(client: httpx.AsyncClient, token: str, session: str) -> int:
    headers = {"Authorization": f"Bearer {token}", "MCP-Session-Id": session}
    return (await client.delete("/mcp", headers=headers)).status_code


async def test_it_is_unknown_to_another_tenant_in_the_process_that_opened_it_and_in_every_other(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    make_home(settings)
    with settings.open_database() as database:
        ours, theirs = (
            Tokens(database).create(Principal(tenant, person="sam"), utc_now(), utc_now() + timedelta(days=1))[0]
            for tenant in ("ours", "theirs")
        )
    async with AsyncExitStack() as stack:
        first, second, third = [await served(stack, settings) for _ in range(3)]
        opened = await sent(first, ours, "", "initialize", **OPENING)
        session = opened.headers["mcp-session-id"]
        refused = [await sent(each, theirs, session, "tools/list") for each in (first, second)]
        served_all = [await sent(each, ours, session, "tools/list") for each in (first, second, third)]
        refused.append(await sent(third, theirs, session, "tools/list"))
    assert [each.status_code for each in refused] == [404] * 3
    assert [each.status_code for each in served_all] == [200] * 3


async def test_nobody_but_its_owner_ends_it_in_whichever_process(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    make_home(settings)
    with settings.open_database() as database:
        sam, kim, theirs = (
            Tokens(database).create(who, utc_now(), utc_now() + timedelta(days=1))[0]
            for who in (Principal("ours", "sam"), Principal("ours", "kim"), Principal("theirs", "sam"))
        )
    async with AsyncExitStack() as stack:
        first, second = [await served(stack, settings) for _ in range(2)]
        session = (await sent(first, sam, "", "initialize", **OPENING)).headers["mcp-session-id"]
        refused = [await ended(each, whose, session) for each in (first, second) for whose in (kim, theirs)]
        served_all = [await sent(each, sam, session, "tools/list") for each in (first, second)]
        over = await ended(second, sam, session), (await sent(second, sam, session, "tools/list")).status_code
    assert refused == [404] * 4
    assert [each.status_code for each in served_all] == [200] * 2
    assert over == (200, 404)
