"""What a workflow works with: calls that wait for people, grants that end before their run does, and what was seen."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pydantic import BaseModel
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from orchestrator.agent import DurableModel
from orchestrator.durable.database import Database
from orchestrator.durable.store import Begin, Done, Kept, State, Store
from orchestrator.durable.worker import Worker
from orchestrator.gateway_client import Approval, Declared, Denied, Failed, GatewayClient, Ok, Pending, Problem, Tool
from orchestrator.grants import Grant, Issuer, Task
from orchestrator.models.asking import Account, Answered, Ask, Models
from orchestrator.prompt import Prompt
from orchestrator.work import Surroundings, Work, reply_event
from orchestrator.workflow import Workflow, Workflows, workflow
from orchestrator.working import Working

OVER = "2020-01-01T00:00:00+00:00"
LATER = "2999-01-01T00:00:00+00:00"
TASK = Task("Look at ticket tic_1.", ["ticket_get_ticket", "ticket_add_note"])


class Given(BaseModel):
    text: str = "x"


class Said(BaseModel):
    status: str


@dataclass
class Gateway:
    """Answers `get` at once and `note` after a yes; says what it was asked."""

    calls: list[tuple[str, str, str]] = field(default_factory=list)
    approved: bool = False
    gone: bool = False
    level: str = "internal"
    hidden: str = ""
    expired: str = ""
    questions: list[str] = field(default_factory=list)
    replies: list[tuple[str, str]] = field(default_factory=list)

    async def list_tools(self, grant: str = "") -> dict[str, Tool]:
        tools = {
            "ticket_get_ticket": Tool("ticket_get_ticket", "", {}, read_only=True),
            "ticket_add_note": Tool("ticket_add_note", "", {}, read_only=False),
        }
        return {name: tool for name, tool in tools.items() if name != self.hidden}

    async def call(self, tool: str, arguments: Mapping[str, Any], declared: Declared) -> Ok | Denied | Pending | Failed:
        self.calls.append((tool, declared.key, declared.grant))
        if tool == "ticket_get_ticket" and self.gone:
            return Failed(error=Problem(kind="not_found", message="there is no such ticket"))
        if declared.grant and declared.grant == self.expired:
            return Denied(reason="the grant expired", rules=["grant"])
        if tool == "ticket_add_note" and not self.approved:
            if self.questions and declared.reply:
                self.replies.append((self.questions.pop(0), declared.reply))
            asked = self.questions[0] if self.questions else None
            return Pending(approval=Approval(id="apr_1", asked_back=asked), reason="rule T1 asks")
        return Ok(result={"id": "tic_1"}, untrusted=[], confidentiality=self.level)


class Grants(Issuer):
    """Issues grants; the first is over as soon as somebody looks at it."""

    issued: list[Grant]

    def __init__(self) -> None:
        super().__init__("http://nowhere", "")
        object.__setattr__(self, "issued", [])

    async def grant(self, task: Task) -> Grant:
        self.issued.append(Grant(f"gra_{len(self.issued)}", f"token{len(self.issued)}", LATER if self.issued else OVER))
        return self.issued[-1]


@asynccontextmanager
async def runs_of(folder: Path, do: Callable[[Work, Given], Awaitable[Said]]) -> AsyncIterator[tuple[Store, Workflow]]:
    database = Database(f"sqlite:///{folder}/orchestrator.db")
    database.prepare()
    do.__annotations__["given"] = Given
    try:
        yield Store(database), workflow("trying", version=1)(do)
    finally:
        database.close()


async def gone_through(
    store: Store, made: Workflow, gateway: Gateway, issuer: Issuer | None = None, models: Models | None = None
) -> tuple[Kept, dict[str, Done]]:
    """What has become of the run `r` after a worker had it."""

    class NoModels:
        async def ask(self, ask: Ask) -> Any:
            raise AssertionError(ask)

    @asynccontextmanager
    async def connect() -> AsyncIterator[GatewayClient]:
        yield cast("GatewayClient", gateway)

    around = Surroundings(models or cast("Models", NoModels()), issuer, hears=True)
    await store.begin(made.begin({}, "r"))
    await Worker(store, Working(Workflows([made]), around, connect)).run(until_idle=True)
    return await store.find("r")


async def read_and_write(work: Work, given: Given) -> Said:
    await work.grant(TASK)
    await work.call("read", "ticket_get_ticket", {"ticket_id": "tic_1"})
    return Said(status=(await work.call("note", "ticket_add_note", {"body": "hello"})).status)


async def test_a_call_that_a_person_must_answer_parks_the_run_and_is_made_again_under_its_key(tmp_path: Path) -> None:
    gateway = Gateway()
    async with runs_of(tmp_path, read_and_write) as (store, made):
        kept, _ = await gone_through(store, made, gateway)
        assert (kept.state, kept.why, kept.due) == (State.WAITING, "needs approval: rule T1 asks", None)
        assert await store.awaited("approval:") == ["approval:apr_1"]
        gateway.approved = True
        await store.wake(["approval:apr_1"])
        kept, _ = await gone_through(store, made, gateway)
    assert (kept.state, kept.result) == (State.DONE, '{"status":"ok"}')
    assert [tool for tool, _, _ in gateway.calls] == ["ticket_get_ticket", "ticket_add_note", "ticket_add_note"]
    assert len({key for tool, key, _ in gateway.calls if tool == "ticket_add_note"}) == 1


async def test_a_run_that_outlives_its_grant_reads_again_under_the_next_before_it_writes(tmp_path: Path) -> None:
    gateway, grants = Gateway(approved=True), Grants()

    async def twice(work: Work, given: Given) -> Said:
        await work.grant(TASK)
        await work.call("read", "ticket_get_ticket", {"ticket_id": "tic_1"})
        await work.wait("answer", "customer", why="the customer's answer")
        return Said(status=(await work.call("note", "ticket_add_note", {"body": "hello"})).status)

    async with runs_of(tmp_path, twice) as (store, made):
        object.__setattr__(grants, "issued", [Grant("gra_0", "token0", LATER)])
        await gone_through(store, made, gateway, grants)
        await _let_end(store, "grant")
        await store.tell("customer")
        kept, steps = await gone_through(store, made, gateway, grants)
    assert kept.state is State.DONE, kept.why
    assert [(tool, grant) for tool, _, grant in gateway.calls] == [
        ("ticket_get_ticket", "token1"),
        ("ticket_get_ticket", "token2"),
        ("ticket_add_note", "token2"),
    ]
    assert "grant2.read" in steps


async def test_what_can_no_longer_be_read_again_ends_a_run_whose_grant_is_over(tmp_path: Path) -> None:
    gateway, grants = Gateway(), Grants()
    async with runs_of(tmp_path, read_and_write) as (store, made):
        object.__setattr__(grants, "issued", [Grant("gra_0", "token0", LATER)])
        await gone_through(store, made, gateway, grants)
        await _let_end(store, "grant")
        gateway.approved = gateway.gone = True
        await store.wake(["approval:apr_1"])
        kept, _ = await gone_through(store, made, gateway, grants)
    assert kept.state is State.FAILED
    assert "gives no more what it gave" in kept.why
    assert [tool for tool, _, _ in gateway.calls].count("ticket_add_note") == 1


async def test_what_was_read_with_a_tool_that_is_not_offered_any_more_ends_a_run_whose_grant_is_over(
    tmp_path: Path,
) -> None:
    gateway, grants = Gateway(), Grants()
    async with runs_of(tmp_path, read_and_write) as (store, made):
        object.__setattr__(grants, "issued", [Grant("gra_0", "token0", LATER)])
        await gone_through(store, made, gateway, grants)
        await _let_end(store, "grant")
        gateway.approved, gateway.hidden = True, "ticket_get_ticket"
        await store.wake(["approval:apr_1"])
        kept, _ = await gone_through(store, made, gateway, grants)
    assert kept.state is State.FAILED, "the gateway would not know what the run has seen"
    assert [tool for tool, _, _ in gateway.calls].count("ticket_add_note") == 1


async def test_a_grant_that_ends_while_its_run_is_worked_on_costs_no_call(tmp_path: Path) -> None:
    gateway, grants = Gateway(approved=True), Grants()

    async def slow(work: Work, given: Given) -> Said:
        await work.grant(TASK)
        await work.wait("answer", "customer")
        if not gateway.expired:  # while a model thinks
            gateway.expired = "token1"
            object.__setattr__(work, "_grant", Grant("gra_1", "token1", OVER))
            await _let_end(work.run.store, "grant")
        return Said(status=(await work.call("note", "ticket_add_note", {"body": "hello"})).status)

    async with runs_of(tmp_path, slow) as (store, made):
        object.__setattr__(grants, "issued", [Grant("gra_0", "token0", LATER)])
        await gone_through(store, made, gateway, grants)
        await store.tell("customer")
        await gone_through(store, made, gateway, grants)
        await store.resume("r")
        kept, _ = await gone_through(store, made, gateway, grants)
    assert (kept.state, kept.result) == (State.DONE, '{"status":"ok"}')
    assert [grant for _, _, grant in gateway.calls] == ["token1", "token2"]


async def test_each_reply_goes_to_the_question_that_it_was_given_for(tmp_path: Path) -> None:
    gateway = Gateway(questions=["Why now?"])
    async with runs_of(tmp_path, read_and_write) as (store, made):
        await gone_through(store, made, gateway)

        async def replied(text: str) -> None:
            _, done = await store.find("r")
            assert await store.tell(reply_event("r", "note", done), text)
            await store.resume("r")
            await gone_through(store, made, gateway)

        await replied("It is urgent.")
        gateway.questions = ["For whom?"]
        await store.wake(["approval:apr_1"])
        kept, _ = await gone_through(store, made, gateway)
        assert (kept.state, kept.why) == (State.WAITING, "approver asks: For whom?")
        await replied("For Lena.")
    assert gateway.replies == [("Why now?", "It is urgent."), ("For whom?", "For Lena.")]


async def test_a_clock_that_is_far_ahead_does_not_ask_for_grants_without_end(tmp_path: Path) -> None:
    gateway, grants = Gateway(approved=True), Grants()
    async with runs_of(tmp_path, read_and_write) as (store, made):
        kept, _ = await gone_through(store, made, gateway, grants)
    assert kept.state is State.DONE
    assert {grant for _, _, grant in gateway.calls} == {"token0"}


async def test_a_run_sees_as_much_as_the_most_confidential_of_what_it_read(tmp_path: Path) -> None:
    seen: list[str] = []

    async def look(work: Work, given: Given) -> Said:
        seen.append(work.sees)
        outcome = await work.call("read", "ticket_get_ticket", {"ticket_id": "tic_1"})
        seen.append(work.sees)
        return Said(status=outcome.status)

    for number, level in enumerate(("confidential", "", "of another version")):
        (tmp_path / str(number)).mkdir()
        async with runs_of(tmp_path / str(number), look) as (store, made):
            await gone_through(store, made, Gateway(level=level))
    assert seen == ["public", "confidential", "public", "internal", "public", "restricted"]


async def test_what_a_run_had_another_read_counts_as_seen(tmp_path: Path) -> None:
    seen: list[str] = []

    async def ask_another(work: Work, given: Given) -> Said:
        if work.run.kept.parent:
            outcome = await work.call("read", "ticket_get_ticket", {"ticket_id": "tic_1"})
            return Said(status=outcome.status)
        await work.child("part", Begin("trying", 1, "{}"))
        seen.append(work.sees)
        return Said(status="ok")

    async with runs_of(tmp_path, ask_another) as (store, made):
        kept, _ = await gone_through(store, made, Gateway(level="confidential"))
    assert (kept.state, seen) == (State.DONE, ["confidential"])


async def test_each_question_to_a_model_has_a_key_of_its_own_though_its_step_is_in_a_loop(tmp_path: Path) -> None:
    keys: list[str] = []

    class Answering:
        async def ask(self, ask: Ask) -> Answered:
            keys.append(ask.key)
            return Answered(ModelResponse(parts=[TextPart("yes")]), Account(model="small"))

    async def twice(work: Work, given: Given) -> Said:
        prompt = cast("Prompt", SimpleNamespace(label="p@1#0"))
        for _ in range(2):
            model = DurableModel(work, "write", "reason", prompt)
            await model.request([ModelRequest(parts=[UserPromptPart("?")])], None, ModelRequestParameters())
        return Said(status="ok")

    async with runs_of(tmp_path, twice) as (store, made):
        _, steps = await gone_through(store, made, Gateway(), models=cast("Models", Answering()))
    assert list(steps) == ["write.model1", "write.model1#2"]
    assert keys == ["r:write.model1", "r:write.model1#2"]


async def test_marks_of_two_runs_differ_and_a_runs_own_stay(tmp_path: Path) -> None:
    marks: list[str] = []

    async def look(work: Work, given: Given) -> Said:
        marks.append(work.mark)
        return Said(status=(await work.call("note", "ticket_add_note", {"body": "hello"})).status)

    for number in range(2):
        (tmp_path / str(number)).mkdir()
        async with runs_of(tmp_path / str(number), look) as (store, made):
            gateway = Gateway()
            await gone_through(store, made, gateway)
            gateway.approved = True
            await store.wake(["approval:apr_1"])
            await gone_through(store, made, gateway)
    first, again, second, _ = marks
    assert first == again != second
    assert re.fullmatch("[0-9a-f]{12}", first)


async def _let_end(store: Store, step: str) -> None:
    """As if time had passed: the grant of a step is over."""
    await store.database.run(
        lambda connection: connection.exec_driver_sql(
            "UPDATE steps SET output = replace(output, '2999', '2020') WHERE name = :name", {"name": step}
        )
    )
