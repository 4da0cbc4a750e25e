"""`POST /grants`: who gets one, for whom, and what a wrong request is told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.database import Database
from gateway.gateway import Gateway
from gateway.grants.endpoint import MAX_BODY, grant_routes
from gateway.identity import StaticTokenVerifier
from gateway.journal import Entry, JournalUnavailable, Kind
from gateway.principal import Principal
from gateway.tokens import Audience, Tokens
from tests.gateway.conftest import OpenGateway
from tests.grants.granting import ANA, INES, TRIAGE, create

TRIAGE_FOR_ANA = Principal("larkspur", person=ANA.person, agent="triage")
TRIAGE_FOR_INES = Principal("larkspur", person=INES.person, agent="triage")


@dataclass(frozen=True)
class Site:
    gateway: Gateway
    tokens: Tokens
    http: httpx.AsyncClient

    def token(self, who: Principal, audience: Audience = Audience.GRANTS, **lasting: float) -> str:
        now = self.gateway.now()
        return self.tokens.create(who, now, now + timedelta(**(lasting or {"days": 1})), audience)[0]

    async def post(self, path: str, token: str, **body: Any) -> httpx.Response:
        return await self.http.post(path, json=body, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def site(opened: OpenGateway, database: Database) -> Any:
    @asynccontextmanager
    async def open_site() -> AsyncIterator[Site]:
        async with opened() as gateway:
            tokens = Tokens(database)
            app = Starlette(routes=grant_routes(gateway.grants, tokens, gateway.now))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
                yield Site(gateway, tokens, http)

    return open_site


async def test_an_issuing_token_gets_a_grant_that_its_caller_can_use(site: Any) -> None:
    async with site() as here:
        answer = await here.post("/grants", here.token(ANA), request="Add Kim", tools=["crm_create_*"], ttl=60)
        told = answer.json()
        assert answer.status_code == 201
        assert set(told) == {"id", "run", "token", "issued_at", "expires_at"}
        assert (await create(here.gateway, told["token"])).status == "ok"


@pytest.mark.parametrize(
    ("issuer", "agent", "whom"),
    [
        (TRIAGE, "", TRIAGE),
        (TRIAGE_FOR_ANA, "", TRIAGE_FOR_ANA),
        (ANA, "triage", TRIAGE_FOR_ANA),
        (TRIAGE_FOR_ANA, "triage", TRIAGE_FOR_ANA),
    ],
)
async def test_it_is_issued_for_the_tokens_caller_or_for_an_agent_of_the_person(
    site: Any, issuer: Principal, agent: str, whom: Principal
) -> None:
    async with site() as here:
        told = (await here.post("/grants", here.token(issuer), agent=agent)).json()
        assert (await here.gateway.grants.verify(told["token"], whom, here.gateway.now())).principal == whom


@pytest.mark.parametrize(("issuer", "agent"), [(TRIAGE, "other"), (TRIAGE_FOR_ANA, "other")])
async def test_an_agent_issues_for_nobody_else(site: Any, issuer: Principal, agent: str) -> None:
    async with site() as here:
        answer = await here.post("/grants", here.token(issuer), agent=agent)
    assert (answer.status_code, answer.json()["error"]["kind"]) == (403, "not_allowed")


async def test_a_token_for_calls_or_for_the_console_issues_nothing_and_one_that_issues_makes_no_calls(
    site: Any, entries: Callable[[], list[Entry]]
) -> None:
    async with site() as here:
        for audience in (Audience.MCP, Audience.CONSOLE):
            answer = await here.post("/grants", here.token(ANA, audience))
            assert (answer.status_code, answer.json()["error"]["kind"]) == (403, "not_allowed")
        issuing = here.token(ANA)
        assert await StaticTokenVerifier(here.tokens, here.gateway.now).verify(issuing) is None
    assert entries() == []


async def test_without_a_good_token_nothing_is_issued(site: Any, entries: Callable[[], list[Entry]]) -> None:
    async with site() as here:
        revoked, now = here.tokens.create(ANA, here.gateway.now(), here.gateway.now() + timedelta(1), Audience.GRANTS)
        here.tokens.revoke(now.id, here.gateway.now())
        for sent in (
            "",
            "Bearer",
            "Bearer wrong",
            "Basic x",
            f"Bearer {revoked}",
            f"Bearer {here.token(ANA, days=-1)}",
        ):
            answer = await here.http.post("/grants", json={}, headers={"Authorization": sent})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert entries() == []


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, ""),
        (b"[]", 400, ""),
        (b'"\\ud800"', 400, ""),
        (b'{"request": 5}', 400, "request"),
        (b'{"request": "\\ud800"}', 400, ""),
        (b'{"reqest": "x"}', 400, "reqest"),
        (b'{"tools": "crm_*"}', 400, "tools"),
        (b'{"tools": ["crm_nothing"]}', 400, "tools.crm_nothing"),
        (b'{"ttl": 90000}', 400, "ttl"),
        (b'{"ttl": NaN}', 400, "ttl"),
        (b'{"values": [1' + b"0" * 5_000 + b"]}", 400, ""),
        (b'{"agent": "a b"}', 400, "agent"),
        (b'{"request": "' + b"x" * 8_001 + b'"}', 400, "request"),
        (b'{"request": "' + b"x" * MAX_BODY + b'"}', 413, ""),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong_and_leaves_no_trace(
    site: Any, entries: Callable[[], list[Entry]], body: bytes, status: int, field: str
) -> None:
    async with site() as here:
        headers = {"Authorization": f"Bearer {here.token(ANA)}"}
        answer = await here.http.post("/grants", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"].get("field", "") == field
    assert entries() == []


async def test_a_grant_is_taken_back_by_whoever_may_issue_it_and_by_nobody_else(
    site: Any, entries: Callable[[], list[Entry]]
) -> None:
    async with site() as here:
        mine, told = here.token(ANA), (await here.post("/grants", here.token(ANA), agent="triage")).json()
        path = f"/grants/{told['id']}/revoke"
        for other in (INES, TRIAGE, TRIAGE_FOR_INES, Principal("other", person=ANA.person)):
            assert (await here.post(path, here.token(other))).status_code == 404
        assert (await here.post(path, here.token(ANA, Audience.MCP))).status_code == 403
        assert (await here.post(path, mine)).json() == {"id": told["id"], "revoked": True, "was_in_force": True}
        assert (await here.post(path, mine)).json()["was_in_force"] is False
        for unknown in ("gra_nothing", "gra_%00", "x" * 5_000):
            assert (await here.post(f"/grants/{unknown}/revoke", mine)).status_code == 404
        assert (await create(here.gateway, told["token"], who=TRIAGE_FOR_ANA)).rules == ["grant"]
    assert sum(entry.kind is Kind.REVOKED for entry in entries()) == 1


async def test_what_cannot_be_recorded_is_not_issued(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site() as here:

        async def fails(_entry: Entry) -> None:
            raise JournalUnavailable("disk full")

        monkeypatch.setattr(here.gateway.journal, "append", fails)
        answer = await here.post("/grants", here.token(ANA))
    assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "journal_unavailable")
    assert "token" not in answer.json()
