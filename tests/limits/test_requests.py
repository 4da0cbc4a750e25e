"""Floods of HTTP requests: 429 with when to come back, by address before anything is known, then by who calls."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access import Access
from gateway.app import open_gateway
from gateway.gateway import Gateway
from gateway.http import build_http_app
from gateway.identity import Caller, StaticTokenVerifier
from gateway.limits.flood import Flood, address
from gateway.limits.requests import Requests
from gateway.principal import Principal
from gateway.server import build_server
from gateway.settings import Settings
from gateway.tokens import Tokens
from tests.limits.conftest import ANA, BEN, TRIAGE_FOR_ANA, ZOE, gateways, write_policy
from tests.limits.test_limits_file import limited

BY_ADDRESS = 'limit, N1, role:everyone, *, requests, 2, 10s, address, ""'
BY_PERSON = 'limit, N2, role:agent, *, requests, 2, 10s, person, ""'
BY_TENANT = 'limit, N3, role:everyone, *, requests, 3, 10s, tenant, ""'
EXAMPLES = int(os.environ.get("REMIT_LIMIT_EXAMPLES", "60"))


def client(app: ASGIApp, host: str = "192.0.2.1") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(host, 1)), base_url="http://127.0.0.1:8000")


async def test_an_address_that_sends_too_many_is_told_when_to_come_back_before_its_token_is_looked_at(
    tmp_path: Path,
) -> None:
    made = Settings(home=tmp_path / "home", policies=write_policy(tmp_path / "policies", BY_ADDRESS))
    with made.open_database() as database:
        async with open_gateway(made) as gateway:
            verifier = StaticTokenVerifier(Tokens(database), gateway.now)
            app = build_http_app(gateway, build_server(gateway, None), made, "127.0.0.1", 8000, verifier, database)
            async with client(app) as near, client(app, "192.0.2.2") as other:
                found = [(await near.post("/mcp", json={})).status_code for _ in range(2)]
                refused = await near.post("/mcp", json={}, headers={"Authorization": "Bearer remit_wrong"})
                page = await near.get("/console")
                probes = [(await near.get(path)).status_code for path in ("/healthz", "/readyz")]
                elsewhere = await other.post("/mcp", json={})
            text = gateway.metrics.written().decode()
    assert (found, elsewhere.status_code, probes, page.status_code) == ([401, 401], 401, [200, 200], 429)
    assert refused.status_code == 429
    seconds = int(refused.headers["Retry-After"])
    assert 1 <= seconds <= 11
    assert refused.json() == {
        "error": "too_many_requests",
        "error_description": f"limit N1 is reached; nothing was done, come back in {seconds} s",
        "retry_after": seconds,
    }
    assert 'remit_calls_limited_total{limit="N1"} 2.0' in text


@contextmanager
def counted(gateway: Gateway, clock: Any) -> Iterator[Any]:
    """Sends requests of principals to an app that answers each."""

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("")(scope, receive, send)

    inner = Flood(gateway, clock).by_caller(answers)

    async def send_as(who: Principal | None) -> int:
        async def known(scope: Scope, receive: Receive, send: Send) -> None:
            await inner({**scope, **({"user": Caller(Access(who, "t"))} if who else {})}, receive, send)

        async with client(known) as http:
            return (await http.get("/mcp")).status_code

    yield send_as


async def test_a_caller_is_counted_by_person_role_and_tenant(tmp_path: Path) -> None:
    time = [0.0]
    async with gateways(tmp_path, "", BY_PERSON, BY_TENANT) as [gateway]:
        with counted(gateway, lambda: time[0]) as send_as:
            assert [await send_as(ANA) for _ in range(3)] == [200, 200, 429]
            assert await send_as(TRIAGE_FOR_ANA) == 429, "a person's agent is that person"
            assert [await send_as(BEN) for _ in range(2)] == [200, 429], "the tenant has sent three"
            assert await send_as(ZOE) == 200, "another tenant is counted apart"
            assert await send_as(Principal("other", person=ANA.person)) == 200
            assert await send_as(None) == 200, "who is not known yet is counted by address elsewhere"
            time[0] = 11
            assert await send_as(ANA) == 200


async def test_a_changed_limit_counts_at_once(tmp_path: Path) -> None:
    async with gateways(tmp_path, "", BY_PERSON) as [gateway]:
        with counted(gateway, lambda: 0.0) as send_as:
            assert [await send_as(ANA) for _ in range(3)] == [200, 200, 429]
            gateway.policy.current = limited(
                BY_PERSON.replace("agent", "everyone").replace("requests, 2", "requests, 3")
            )
            assert [await send_as(ANA) for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("host", "counted_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        (None, ""),
    ],
)
def test_one_sender_is_one_address(host: str | None, counted_as: str) -> None:
    assert address({"client": host and (host, 1)}) == counted_as


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40)), max_size=60),
    st.integers(1, 4),
)
def test_no_window_holds_more_than_the_limit_and_after_it_everything_is_free_again(
    steps: list[tuple[str, int]], most: int
) -> None:
    [limit] = limited(f'limit, N1, role:everyone, *, requests, {most}, 10s, address, ""').limits
    requests, now, passed = Requests(), 0.0, dict[str, list[float]](a=[], b=[])
    for who, tenths in steps:
        now += tenths / 4
        refused = requests.count([limit], {"address": who}, now)
        in_window = [at for at in passed[who] if at > now - 10]
        if refused is None:
            passed[who].append(now)
            assert len(in_window) < most
        else:
            assert len([at for at in passed[who] if at > now - 11]) >= most, "no more than a step too careful"
            assert 0 < refused.seconds <= 11
            later = Requests.count(requests, [limit], {"address": who}, now + refused.seconds)
            assert later is None
            now += refused.seconds
            passed[who].append(now)
    assert requests.count([limit], {"address": "a"}, now + 11) is None


def test_a_flood_of_addresses_makes_nothing_grow() -> None:
    [limit] = limited('limit, N1, role:everyone, *, requests, 1, 10s, address, ""').limits
    requests = Requests(most=2)
    assert [requests.count([limit], {"address": who}, 0) is None for who in "abcab"] == [True] * 5
    assert requests.count([limit], {"address": "b"}, 0) is not None
