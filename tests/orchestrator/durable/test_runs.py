"""What a workflow may count on: steps are done once, waiting outlives the worker, what cannot be kept is said."""

import math
from functools import partial
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, ValidationError

from orchestrator.durable.run import LARGEST_OUTPUT, BadStep, Parked, Run, TryLater
from orchestrator.durable.store import Begin, Fenced, State, Store
from orchestrator.durable.worker import Unfit
from tests.orchestrator.durable.working import Flow, begin, make, works


def noted(log: list[str], gives: Any = None) -> Any:
    async def do() -> Any:
        log.append("done")
        return gives

    return do


async def value(it: Any) -> Any:
    return it


async def test_a_step_that_was_done_is_not_done_again_and_gives_what_it_gave(store: Store) -> None:
    log: list[str] = []

    async def flow(run: Run) -> str:
        found = await run.step("look", noted(log, {"n": 1}))
        await run.wait("go", "go")
        return str(found["n"])

    assert (await make(store, flow)).state is State.WAITING
    await store.tell("go")
    await works(store, flow)
    kept, steps = await store.find("run")
    assert (kept.state, kept.result, log) == (State.DONE, "1", ["done"])
    assert list(steps) == ["look", "go"]


async def test_a_step_gives_the_same_type_and_value_when_it_is_done_and_when_it_is_repeated(store: Store) -> None:
    class Found(BaseModel):
        names: tuple[str, ...]

    seen: list[Any] = []

    async def flow(run: Run) -> str:
        seen.append(await run.step("typed", lambda: value(Found(names=("a",))), Found))
        seen.append(await run.step("plain", lambda: value({"names": ("a",)})))
        await run.wait("go", "go")
        return ""

    await make(store, flow)
    await store.tell("go")
    await works(store, flow)
    assert seen[:2] == seen[2:] == [Found(names=("a",)), {"names": ["a"]}]


async def test_a_step_within_a_loop_is_numbered(store: Store) -> None:
    async def flow(run: Run) -> str:
        return "".join([str(await run.step("turn", partial(value, n))) for n in range(3)])

    assert (await make(store, flow)).result == "012"
    assert list((await store.find("run"))[1]) == ["turn", "turn#2", "turn#3"]


async def test_steps_after_what_is_kept_are_the_same_ones_when_it_is_not_gone_through_again(store: Store) -> None:
    async def flow(run: Run) -> str:
        async def deeper() -> str:
            return str(await run.step("look", lambda: value("deepest")))

        async def several() -> str:
            await run.keep("deeper", deeper)
            return str(await run.step("look", lambda: value("within")))

        first = await run.keep("found", several)
        then = await run.step("look", lambda: value("after"))
        await run.wait("go", "go")
        return f"{first} {then} {await run.step('look', lambda: value('at last'))}"

    await make(store, flow)
    await store.tell("go")
    await works(store, flow)
    kept, steps = await store.find("run")
    assert kept.result == "within after at last"
    assert {"look", "look#2", "look#3", "look#4"} <= set(steps)


@pytest.mark.parametrize("name", ["turn#2", "", "x" * 121, "a\nb", "ü"])
async def test_a_name_that_could_be_another_steps_or_fits_no_database_is_refused(store: Store, name: str) -> None:
    log: list[str] = []

    async def flow(run: Run) -> str:
        await run.step(name, noted(log))
        return ""

    kept = await make(store, flow)
    assert kept.state is State.FAILED
    assert kept.why.startswith("BadStep: step ")
    assert log == []


async def test_a_step_within_a_step_is_refused_as_it_would_be_numbered_anew_on_the_way_back(store: Store) -> None:
    async def flow(run: Run) -> str:
        await run.step("outer", lambda: run.step("inner", lambda: value(1)))
        return ""

    kept = await make(store, flow)
    assert (kept.state, kept.why.partition(":")[0]) == (State.FAILED, "BadStep")


async def test_what_does_not_survive_json_fails_before_it_is_kept(store: Store) -> None:
    async def flow(run: Run) -> str:
        await run.step("number", lambda: value(math.nan), float)
        return ""

    kept = await make(store, flow)
    assert kept.why == "BadStep: what step `number` gives does not survive JSON as its type"
    assert (await store.find("run"))[1] == {}


async def test_an_output_too_large_to_be_read_again_and_again_is_refused(store: Store) -> None:
    async def flow(run: Run) -> str:
        await run.step("huge", lambda: value("x" * LARGEST_OUTPUT))
        return ""

    kept = await make(store, flow)
    assert kept.state is State.FAILED
    assert "step `huge` gives more than 16,777,216 letters" in kept.why


async def test_megabytes_and_every_letter_of_unicode_come_back_as_they_were(store: Store) -> None:
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000)])) + "x" * 4_000_000

    async def flow(run: Run) -> str:
        kept = await run.step("text", lambda: value(text), str, facts=lambda _: {"said": "a\0b\ud800"})
        await run.wait("go", "go")
        return str(kept == text)

    await make(store, flow)
    await store.tell("go")
    await works(store, flow)
    kept, steps = await store.find("run")
    assert kept.result == "True"
    assert steps["text"].facts == {"said": "a\0b\ud800"}


async def test_a_step_that_is_given_other_things_than_before_ends_the_run_and_says_so(store: Store) -> None:
    given = ["then"]

    async def flow(run: Run) -> str:
        await run.step("look", lambda: value(1), given=list(given))
        await run.wait("go", "go")
        return ""

    await make(store, flow)
    given[0] = "now"
    await store.tell("go")
    await works(store, flow)
    kept, _ = await store.find("run")
    assert (kept.state, kept.why.partition(":")[0]) == (State.FAILED, "StepChanged")


async def test_an_event_told_before_it_is_waited_for_is_not_missed_and_the_first_telling_stays(store: Store) -> None:
    assert await store.tell("paid", {"amount": 5}) is True
    assert await store.tell("paid", {"amount": 6}) is False

    async def flow(run: Run) -> str:
        return str(await run.wait("pay", "paid"))

    kept = await make(store, flow)
    assert (kept.state, kept.result) == (State.DONE, "{'amount': 5}")


async def test_waiting_ends_with_its_time_and_later_events_change_nothing(store: Store) -> None:
    async def flow(run: Run) -> str:
        first = await run.wait("pay", "paid", seconds=0)
        await run.wait("go", "go")
        return str(first)

    await make(store, flow)
    await store.tell("paid", "late")
    await store.tell("go")
    await works(store, flow)
    assert (await store.find("run"))[0].result == "None"


async def test_a_sleeping_run_is_due_when_its_time_has_come_by_the_databases_clock(store: Store) -> None:
    async def flow(run: Run) -> str:
        await run.sleep("night", 3_600)
        return ""

    kept = await make(store, flow)
    assert (kept.state, kept.why) == (State.WAITING, "sleeps")
    assert kept.due is not None
    assert 3_590_000 < kept.due - kept.begun <= 3_660_000


async def test_a_run_taken_up_when_it_is_due_goes_on_though_the_workers_own_clock_is_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 0)
    taken_up: list[str] = []

    async def flow(run: Run) -> str:
        taken_up.append(run.id)
        await run.sleep("moment", 0.2)
        return ""

    await make(store, flow)
    while (await store.find("run"))[0].state is State.WAITING:
        await works(store, flow)
    assert len(taken_up) == 2


async def test_a_person_is_asked_and_each_question_of_a_loop_has_an_answer_of_its_own(store: Store) -> None:
    async def flow(run: Run) -> str:
        return "".join([(await run.ask("fine", "Is it fine?", ["yes", "no"]))["choice"] for _ in range(2)])

    kept = await make(store, flow)
    assert (kept.state, kept.why) == (State.WAITING, "asks a person: Is it fine?")
    asked = (await store.find("run"))[1]["fine.asked"]
    assert (asked.kind, asked.facts["choices"]) == ("person", ["yes", "no"])
    await store.tell(asked.facts["event"], {"choice": "yes", "note": "", "by": "maya"})
    await works(store, flow)
    kept, steps = await store.find("run")
    assert kept.state is State.WAITING, "the second question is not answered by the first one's answer"
    await store.tell(steps["fine.asked#2"].facts["event"], {"choice": "no", "note": "", "by": "maya"})
    await works(store, flow)
    assert (await store.find("run"))[0].result == "yesno"


async def test_a_question_that_nobody_answers_in_time_has_no_choice(store: Store) -> None:
    async def flow(run: Run) -> str:
        return str((await run.ask("fine", "Is it fine?", ["yes"], seconds=0))["choice"] == "")

    assert (await make(store, flow)).result == "True"


def parent_and_child(child: Flow) -> Flow:
    async def flow(run: Run) -> str:
        if run.kept.parent:
            return await child(run)
        return "+".join([await run.child("part", Begin("flow", 1, str(n))) for n in range(2)])

    return flow


async def test_a_child_is_begun_once_and_each_of_a_loop_is_another(store: Store) -> None:
    async def child(run: Run) -> str:
        return f"done {run.kept.given}"

    flow = parent_and_child(child)
    kept = await make(store, flow)
    assert (kept.state, kept.result) == (State.DONE, "done 0+done 1")
    assert {each.parent for each in await store.list() if each.id != "run"} == {"run"}
    assert len(await store.list()) == 3


async def test_the_parent_of_a_failed_child_waits_until_it_is_resumed(store: Store) -> None:
    broken = [True]

    async def child(_run: Run) -> str:
        if broken[0]:
            raise TypeError
        return "mended"

    flow = parent_and_child(child)
    kept = await make(store, flow)
    assert kept.state is State.WAITING
    (failed,) = await store.list([State.FAILED])
    assert failed.id in kept.why
    broken[0] = False
    assert await store.resume(failed.id)
    await works(store, flow)
    assert (await store.find("run"))[0].result == "mended+mended"


async def test_the_parent_of_a_cancelled_child_goes_on_without_a_result(store: Store) -> None:
    async def child(run: Run) -> str:
        await run.wait("go", "never")
        return ""

    flow = parent_and_child(child)
    await make(store, flow)
    for _ in range(2):
        (waiting,) = [each for each in await store.list([State.WAITING]) if each.parent]
        await store.cancel(waiting.id, "not needed")
        await works(store, flow)
    assert (await store.find("run"))[0].result == "+"


async def test_children_end_with_a_parent_that_is_cancelled(store: Store) -> None:
    async def child(run: Run) -> str:
        await run.wait("go", "never")
        return ""

    await make(store, parent_and_child(child))
    assert await store.cancel("run", "enough")
    assert await store.count() == {State.CANCELLED: 2}


async def test_a_run_is_put_off_while_something_outside_does_not_answer_and_says_what(store: Store) -> None:
    async def flow(_run: Run) -> str:
        raise TryLater("the gateway does not answer")

    kept = await make(store, flow)
    assert (kept.state, kept.why, kept.tries) == (State.READY, "the gateway does not answer", 1)


async def test_a_run_that_no_worker_is_fit_for_stays_with_its_reason_and_never_fails_of_it(store: Store) -> None:
    async def flow(_run: Run) -> str:
        raise Unfit("workflow `flow` is version 2 here, and the run's is 1")

    await store.begin(begin("run"))
    for _ in range(3):
        await store.resume("run")
        await works(store, flow)
    kept, _ = await store.find("run")
    assert (kept.state, kept.tries) == (State.READY, 0)
    assert kept.why == "workflow `flow` is version 2 here, and the run's is 1"


async def test_why_a_run_failed_never_quotes_what_a_foreign_error_says(store: Store) -> None:
    class Order(BaseModel):
        amount: int

    async def flow(_run: Run) -> str:
        try:
            Order.model_validate({"amount": "lena@customer.example"})
        except ValidationError as error:
            raise KeyError("lena@customer.example") from error
        return ""

    kept = await make(store, flow)
    assert kept.state is State.FAILED
    assert kept.why.startswith("KeyError at test_runs.py:")
    assert "lena" not in kept.why


@pytest.mark.parametrize("text", ["half of a letter: \ud800", "nothing: \0", "x" * 10_000])
async def test_whatever_an_error_says_the_run_fails_and_the_worker_lives(store: Store, text: str) -> None:
    async def flow(run: Run) -> str:
        if run.id == "run":
            raise BadStep(text)
        return "fine"

    assert (await make(store, flow)).state is State.FAILED
    assert (await make(store, flow, "next")).result == "fine"


async def test_of_several_things_at_the_same_time_the_run_waits_for_all_that_wait(store: Store) -> None:
    async def flow(run: Run) -> str:
        async with anyio.create_task_group() as tasks:
            for name in ("a", "b"):
                tasks.start_soon(run.wait, name, name)
        return "both"

    kept = await make(store, flow)
    assert kept.state is State.WAITING
    for name in ("b", "a"):
        await store.tell(name)
        await works(store, flow)
    assert (await store.find("run"))[0].result == "both"


@pytest.mark.parametrize(
    ("together", "state"),
    [
        ([Parked(frozenset(), "waits"), BadStep("no"), TryLater("away")], State.FAILED),
        ([Parked(frozenset(), "waits"), TryLater("away")], State.READY),
        ([Parked(frozenset(), "waits"), Parked(frozenset(), "waits too")], State.WAITING),
        ([BadStep("no"), Fenced("lost")], State.RUNNING),
    ],
)
async def test_what_counts_of_what_ended_at_the_same_time(
    store: Store, together: list[BaseException], state: State
) -> None:
    async def flow(_run: Run) -> str:
        raise BaseExceptionGroup("at the same time", [BaseExceptionGroup("deeper", together)])

    assert (await make(store, flow)).state is state


async def test_parked_is_no_error_that_a_workflow_catches(store: Store) -> None:
    async def flow(run: Run) -> str:
        try:
            await run.wait("go", "go")
        except Exception:  # noqa: BLE001 - as a careless workflow would
            return "caught"
        return "told"

    assert not issubclass(Parked, Exception)
    assert (await make(store, flow)).state is State.WAITING


async def test_a_begun_run_is_not_begun_again_under_its_id(store: Store) -> None:
    assert await store.begin(begin("one", "1")) == await store.begin(begin("one", "2")) == "one"
    assert [each.given for each in await store.list()] == ["1"]
    assert len({await store.begin(begin()) for _ in range(3)}) == 3


@pytest.mark.parametrize("part", ["id", "team", "customer", "person"])
async def test_what_one_of_the_databases_would_not_take_is_refused_on_both(store: Store, part: str) -> None:
    with pytest.raises(ValueError, match=f"a run's `{part}` has at most"):
        await store.begin(Begin("flow", 1, "{}", **{part: "x" * 201}))


async def test_what_a_run_is_about_is_one_line(store: Store) -> None:
    await store.begin(begin("run", about="Order\n\0 7 " + "x" * 300))
    kept, _ = await store.find("run")
    assert kept.about.startswith("Order 7 x")
    assert len(kept.about) == 200


async def test_what_is_unguessable_is_the_same_each_time_and_another_ones_for_each_run(store: Store) -> None:
    seen: list[str] = []

    async def flow(run: Run) -> str:
        seen.append(run.unguessable("mark"))
        await run.wait("go", "go")
        return ""

    await make(store, flow)
    await store.resume("run")
    await works(store, flow)
    await make(store, flow, "other")
    assert seen[0] == seen[1] != seen[2]
    assert "seed=" not in repr((await store.find("run"))[0])
