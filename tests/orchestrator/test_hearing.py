"""A worker hears from a real gateway that a person has answered, and nothing that it could have heard is lost."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from gateway.call import call_tool
from gateway.gateway import Gateway, ToolCall
from gateway.http import build_http_app
from gateway.identity import StaticTokenVerifier
from gateway.server import build_server
from gateway.settings import Settings
from gateway.tokens import Tokens
from orchestrator.durable.database import Database
from orchestrator.durable.store import Begin, Kept, State, Store
from orchestrator.durable.tables import runs
from orchestrator.working import hear_once
from tests.gateway.conftest import opened
from tests.gateway.test_approvals import ANA, APPROVERS, MAYA, REFUND, ROLES, RULES
from tests.policies import policy_folder

__all__ = ["opened"]

WHERE, KEPT = "http://gateway:80/approvals/changes", "heard:here"
HOME = "home"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / HOME


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return policy_folder(tmp_path / "policies", roles=ROLES, rules=RULES, approvers=APPROVERS)


@pytest.fixture
def database_url() -> str:
    """The gateway's is a file: what changes is the orchestrator's."""
    return ""


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    there = request.param == "postgresql"
    url = request.getfixturevalue("empty_postgres_url") if there else f"sqlite:///{tmp_path}/orchestrator.db"
    database = Database(url)
    database.prepare()
    yield Store(database)
    database.close()


@dataclass(frozen=True)
class Site:
    gateway: Gateway
    http: httpx.AsyncClient
    store: Store

    async def ask(self, amount: int = 80) -> str:
        answer = await call_tool(self.gateway, ToolCall(ANA, "crm_issue_refund", {**REFUND, "amount": amount}))
        assert answer.approval is not None
        return answer.approval.id

    async def answer(self, question: str) -> None:
        policy = self.gateway.policy.current
        await self.gateway.approvals.answer(question, MAYA, policy, True, "", self.gateway.now())

    async def hear(self) -> bool:
        return await hear_once(self.store, self.http, WHERE, KEPT)

    async def run(self) -> Kept:
        await self.store.begin(Begin("trying", 1, "{}"))
        return await self.taken_up()

    async def taken_up(self) -> Kept:
        [kept] = await self.store.claim("worker", 1, 60)
        return kept

    async def park(self, run: Kept, question: str) -> None:
        await self.store.park(run.id, run.fence, {f"approval:{question}"}, "asks", None, run.changed)

    async def due(self) -> int:
        """How many waiting runs are to be taken up, now or later."""
        query = select(runs.c.id).where(runs.c.state == State.WAITING, runs.c.due.is_not(None))
        return len(await self.store.database.run(lambda connection: connection.execute(query).all()))


@pytest.fixture
def site(opened: Any, home: Path, policies: Path, store: Store) -> Any:
    @asynccontextmanager
    async def open_() -> AsyncIterator[Site]:
        settings = Settings(home=home, policies=policies)
        with settings.open_database() as kept:
            async with opened() as gateway:
                tokens, now = Tokens(kept), gateway.now()
                token, _ = tokens.create(ANA, now, now + timedelta(days=1))
                verifier = StaticTokenVerifier(tokens, gateway.now)
                app = build_http_app(gateway, build_server(gateway, None), settings, "gateway", 80, verifier, kept)
                headers = {"Authorization": f"Bearer {token}", "Host": "gateway:80"}
                async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as http:
                    yield Site(gateway, http, store)

    return open_


async def test_a_run_that_waits_for_a_person_is_taken_up_when_they_answer(site: Any) -> None:
    async with site() as here:
        await here.hear()
        answered, other = await here.ask(1), await here.ask(2)
        for question in (answered, other):
            await here.park(await here.run(), question)
        assert (await here.hear(), await here.due()) == (False, 0)
        await here.answer(answered)
        assert (await here.hear(), await here.due()) == (True, 1)
        assert (await here.hear(), await here.due()) == (False, 1)


async def test_an_answer_heard_of_before_the_run_came_to_wait_takes_it_up_once_and_not_for_ever(site: Any) -> None:
    async with site() as here:
        await here.hear()
        run, question = await here.run(), await here.ask()
        await here.answer(question)
        await here.hear()
        await here.park(run, question)
        assert await here.due() == 1, "it had asked before the answer was given"
        again = await here.taken_up()
        await here.park(again, question)
        assert await here.due() == 0, "it has looked since"


async def test_what_was_answered_while_no_worker_was_there_is_heard_of_by_the_next(site: Any) -> None:
    async with site() as here:
        await here.hear()
        run, question = await here.run(), await here.ask()
        await here.park(run, question)
    async with site() as here:
        await here.answer(question)
    async with site() as here:
        await here.hear()
        assert await here.due() == 1


async def test_an_error_between_hearing_and_writing_down_loses_nothing(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site() as here:
        await here.hear()
        questions = [await here.ask(1), await here.ask(2)]
        for question in questions:
            await here.park(await here.run(), question)
            await here.answer(question)
        heard, keep = 0, Store.keep

        async def fails_at_the_second(store: Store, name: str, payload: object) -> None:
            nonlocal heard
            heard += 1
            if heard == 2:
                raise httpx.ReadError("gone")
            await keep(store, name, payload)

        monkeypatch.setattr(Store, "keep", fails_at_the_second)
        with pytest.raises(httpx.ReadError):
            await here.hear()
        assert await here.due() == 1
        await here.hear()
        assert await here.due() == 2


async def test_a_gateway_that_refuses_the_token_moves_nothing(site: Any) -> None:
    async with site() as here:
        await here.hear()
        run, question = await here.run(), await here.ask()
        await here.park(run, question)
        await here.answer(question)
        async with httpx.AsyncClient(transport=here.http._transport) as stranger:
            with pytest.raises(httpx.HTTPStatusError):
                await hear_once(here.store, stranger, WHERE, KEPT)
        assert (await here.hear(), await here.due()) == (True, 1)


async def test_where_nothing_is_known_of_what_was_heard_every_run_that_waits_looks_for_itself_spread_out(
    site: Any,
) -> None:
    async with site() as here:
        late, question = await here.run(), await here.ask()
        for number in range(120):
            await here.park(await here.run(), f"apr_{number}")
        await here.store.keep(KEPT, "a cursor of another gateway")
        assert (await here.hear(), await here.due()) == (False, 120)
        query = select(runs.c.due).where(runs.c.due.is_not(None), runs.c.state == State.WAITING).distinct()
        moments = await here.store.database.run(lambda connection: sorted(connection.scalars(query)))
        assert moments[-1] - moments[0] >= 4_500
        await here.park(late, question)
        assert await here.due() == 121, "one that was under way meanwhile looks too"
        assert not await here.hear()
