"""What a step does by itself in each stage, what is recorded of it, and how stages rise and fall."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from pydantic import BaseModel

from orchestrator.durable.database import Database
from orchestrator.durable.store import State, Store
from orchestrator.durable.worker import Worker
from orchestrator.gateway_client import Approval, Declared, Denied, GatewayClient, Ok, Pending
from orchestrator.models.asking import Models
from orchestrator.promotion import (
    ITSELF,
    Act,
    Rating,
    Stage,
    Standing,
    rated,
    record,
    set_stage,
    standing,
)
from orchestrator.stages import act
from orchestrator.work import Surroundings, Work
from orchestrator.workflow import Workflow, Workflows, workflow
from orchestrator.working import Working

LETTER = {"to": "kim@customer.example", "body": "We send a new one today."}
REPLY = Act("letters", "reply", Stage.RECOMMEND)
DRAFT = ("email_create_draft", LETTER)


class Given(BaseModel):
    exception: str = ""
    drafts: bool = True
    twice: bool = False


class Result(BaseModel):
    stage: str
    choice: str
    status: str
    arguments: dict[str, Any]


@workflow("letters", version=1, acts={"reply": "recommend"})
async def letters(work: Work, given: Given) -> Result:
    draft = DRAFT if given.drafts else None
    done = await act(work, "reply", "email_send_message", LETTER, draft=draft, exception=given.exception)
    if given.twice:
        done = await act(work, "reply", "email_send_message", LETTER, name="reply to the supplier")
    status = done.outcome.status if done.outcome else ""
    return Result(stage=done.stage, choice=done.choice, status=status, arguments=dict(done.arguments))


@dataclass
class Gateway:
    """Answers each call as it was told, and keeps what was called."""

    answers: list[Ok | Denied | Pending] = field(default_factory=list)
    called: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def call(self, tool: str, arguments: dict[str, Any], declared: Declared) -> Ok | Denied | Pending:
        self.called.append((tool, arguments))
        return self.answers.pop(0) if self.answers else Ok(result={})


@dataclass
class Office:
    """A database, a gateway, and a worker that is called when there is something to do."""

    store: Store
    gateway: Gateway = field(default_factory=Gateway)
    flow: Workflow = letters

    async def work(self) -> None:
        @asynccontextmanager
        async def connect() -> AsyncIterator[GatewayClient]:
            yield cast("GatewayClient", self.gateway)

        around = Surroundings(cast("Models", None), hears=True)
        await Worker(self.store, Working(Workflows([self.flow]), around, connect), idle=0.01).run(until_idle=True)

    async def begin(self, **given: Any) -> str:
        run = await self.store.begin(self.flow.begin(given))
        await self.work()
        return run

    async def answer(self, run: str, choice: str, step: str = "reply", **more: Any) -> None:
        said = {"choice": choice, "note": "", "by": "maya", **more}
        assert await self.store.tell(f"answer:{run}:{step}", said)
        await self.work()

    async def result(self, run: str) -> Result:
        kept, _ = await self.store.find(run)
        assert kept.state is State.DONE, (kept.state, kept.why)
        return Result.model_validate_json(kept.result)

    async def standing(self) -> Standing:
        return await self.store.database.run(lambda it: standing(it, REPLY))

    async def put(self, stage: Stage, **thresholds: Any) -> Standing:
        return await set_stage(self.store.database, REPLY, stage, thresholds, "ines", "a test", anyway=True)

    async def ratings(self, since: int = 0) -> list[Rating]:
        return await self.store.database.run(lambda it: rated(it, REPLY, since))


@pytest.fixture(params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    on_server = request.param == "postgresql"
    url = request.getfixturevalue("empty_postgres_url") if on_server else f"sqlite:///{tmp_path}/orchestrator.db"
    database = Database(url)
    database.prepare()
    yield Office(Store(database))
    database.close()


async def test_in_shadow_nothing_is_called_and_what_the_person_did_is_recorded(office: Office) -> None:
    run = await office.begin()
    waiting, steps = await office.store.find(run)
    assert waiting.state is State.WAITING
    assert "kim@" not in waiting.why, "what waits is named, and customers' data is not"
    assert "kim@" in steps["reply.proposal"].output
    await office.answer(run, "edit", edited={"body": "We send a new one tomorrow."}, note="out of stock")
    assert office.gateway.called == []
    [rating] = await office.ratings()
    assert (rating.choice, rating.stage, rating.person, rating.note) == (
        "edit",
        Stage.RECOMMEND,
        "maya",
        "out of stock",
    )
    assert 0 < rating.distance < 0.5
    assert (await office.result(run)).arguments == {**LETTER, "body": "We send a new one tomorrow."}


async def test_as_a_draft_the_draft_is_made_and_nothing_is_sent(office: Office) -> None:
    await office.put(Stage.DRAFT)
    run = await office.begin()
    await office.answer(run, "accept")
    assert office.gateway.called == [DRAFT]
    assert (await office.result(run)).status == "ok"


async def test_a_step_without_a_draft_only_recommends_where_it_may_draft(office: Office) -> None:
    await office.put(Stage.DRAFT)
    run = await office.begin(drafts=False)
    await office.answer(run, "accept")
    assert office.gateway.called == []


@pytest.mark.parametrize(
    ("choice", "edited", "called"),
    [
        ("accept", None, [LETTER]),
        ("edit", {"body": "Soon."}, [{**LETTER, "body": "Soon."}]),
        ("reject", None, []),
    ],
)
async def test_with_approval_what_a_person_accepts_or_edits_is_done(
    office: Office, choice: str, edited: Any, called: list[dict[str, Any]]
) -> None:
    await office.put(Stage.APPROVE)
    run = await office.begin()
    assert office.gateway.called == []
    await office.answer(run, choice, edited=edited)
    assert office.gateway.called == [("email_send_message", arguments) for arguments in called]
    assert [rating.choice for rating in await office.ratings(1)] == [choice]


async def test_by_itself_it_is_done_at_once_and_an_exception_is_asked_all_the_same(office: Office) -> None:
    await office.put(Stage.ACT)
    run = await office.begin()
    assert (await office.result(run)).choice == ""
    assert len(office.gateway.called) == 1
    special = await office.begin(exception="the customer threatens with a lawyer")
    assert len(office.gateway.called) == 1
    await office.answer(special, "needless")
    assert len(office.gateway.called) == 2
    [rating] = await office.ratings(1)
    assert rating.escalated
    assert not rating.is_incident


async def test_the_gateway_disposes_whatever_the_stage(office: Office) -> None:
    await office.put(Stage.ACT)
    office.gateway.answers = [Denied(reason="no rule allows it")]
    assert (await office.result(await office.begin())).status == "denied"
    assert (await office.standing()).stage is Stage.ACT, "that policy said no is no incident: nothing happened"


async def test_what_an_approver_of_the_gateway_refuses_is_an_incident_of_what_acts_by_itself(office: Office) -> None:
    await office.put(Stage.ACT)
    pending = Pending(approval=Approval(id="c7"))
    office.gateway.answers = [pending, Denied(reason="maya@larkspur.example refused c7: not to them")]
    run = await office.begin()
    await office.store.wake(["approval:c7"])
    await office.work()
    assert (await office.result(run)).choice == "reject"
    now = await office.standing()
    assert (now.stage, now.person, now.reason) == (Stage.APPROVE, ITSELF, "1 incident(s)")


@pytest.mark.parametrize("edited", [None, [], "body=x", 7])
async def test_an_edit_that_is_no_object_is_asked_for_again(office: Office, edited: Any) -> None:
    await office.put(Stage.APPROVE)
    run = await office.begin()
    await office.answer(run, "edit", edited=edited)
    waiting, _ = await office.store.find(run)
    assert "as an object" in waiting.why
    await office.answer(run, "whatever", "reply.again2")
    await office.answer(run, "reject", "reply.again3")
    assert office.gateway.called == []
    assert (await office.result(run)).choice == "reject"


async def test_an_edit_that_changes_nothing_is_an_acceptance(office: Office) -> None:
    await office.put(Stage.APPROVE)
    run = await office.begin()
    await office.answer(run, "edit", edited={"body": LETTER["body"]})
    assert [(rating.choice, rating.distance) for rating in await office.ratings(1)] == [("accept", 0)]


async def test_a_step_may_act_several_times_under_names_of_its_own(office: Office) -> None:
    run = await office.begin(twice=True)
    await office.answer(run, "accept")
    await office.answer(run, "reject", "reply to the supplier")
    assert [rating.name for rating in await office.ratings()] == ["reply", "reply to the supplier"]


async def test_a_stage_holds_for_acts_begun_after_it_and_not_for_those_before(office: Office) -> None:
    before = await office.begin()
    await office.put(Stage.ACT)
    await office.begin()
    assert len(office.gateway.called) == 1
    await office.answer(before, "accept")
    assert len(office.gateway.called) == 1
    assert (await office.result(before)).stage == "recommend"


def rating(run: str, choice: str, since: int, stage: Stage = Stage.ACT) -> Rating:
    return Rating(run, "reply", choice, "letters", "reply", stage, since)


async def test_two_workers_that_record_at_once_take_a_stage_back_once(office: Office) -> None:
    since = (await office.put(Stage.ACT)).since
    other = Database(str(office.store.database.engine.url.render_as_string(hide_password=False)))
    async with anyio.create_task_group() as tasks:
        for number in range(8):
            where = office.store.database if number % 2 else other
            tasks.start_soon(record, where, rating(f"r{number}", "reject", since), REPLY)
    other.close()
    now = await office.standing()
    assert (now.stage, now.number) == (Stage.APPROVE, 2)
    assert len(await office.ratings(since)) == 8, "no rating is lost to the race"
