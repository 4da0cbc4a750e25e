"""What workers owe each other and their runs: leases, taking over, letting go, and living through anything."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from threading import Barrier
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.exc import OperationalError

from orchestrator.commands.worker import forget
from orchestrator.durable import run as run_module
from orchestrator.durable.database import Database, UnfitDatabase
from orchestrator.durable.run import BadStep, Run, TryLater
from orchestrator.durable.store import ANYTHING, MAX_LOSSES, MAX_TRIES, Begin, Done, Fenced, State, Store, UnknownRun
from orchestrator.durable.tables import events, form, runs, steps, waits
from orchestrator.durable.worker import Worker
from tests.orchestrator.durable.working import begin, held, make, until, works

STEP = Done("look", "function", "", "1", {}, 5)


async def lapse(store: Store, name: str = "run") -> None:
    """Have the lease of a run be over."""
    await store.database.run(lambda connection: connection.execute(update(runs).values(due=1).where(runs.c.id == name)))


async def done(_run: Run) -> str:
    return "done"


async def test_a_lease_that_is_over_lets_another_worker_take_the_run_and_the_first_writes_nothing_more(
    store: Store,
) -> None:
    first = await held(store)
    assert await store.claim("other", 10, 60) == []
    await lapse(store)
    (second,) = await store.claim("other", 10, 60)
    assert (second.fence, second.losses) == (first.fence + 1, 1)
    writes: list[Callable[[], Awaitable[None]]] = [
        lambda: store.add_step("run", first.fence, STEP),
        lambda: store.park("run", first.fence, ["e"], "waits", None),
        lambda: store.end("run", first.fence, State.DONE, "1"),
        lambda: store.put_off("run", first.fence, "later", 1, 1),
    ]
    for write in writes:
        with pytest.raises(Fenced):
            await write()
    await store.add_step("run", second.fence, STEP)
    kept, found = await store.find("run")
    assert (kept.state, kept.worker, kept.losses, list(found)) == (State.RUNNING, "other", 0, ["look"])


async def test_who_lost_a_run_does_not_prolong_the_lease_of_who_has_it(store: Store) -> None:
    first = await held(store)
    await lapse(store)
    (second,) = await store.claim("other", 10, 60)
    assert await store.renew({"run": first.fence}, 3_600) == set()
    assert (await store.find("run"))[0].due == second.due
    assert await store.renew({"run": second.fence}, 3_600) == {"run"}


async def test_many_claims_at_once_give_each_run_to_one_worker_and_none_more_than_it_asked_for(store: Store) -> None:
    for number in range(30):
        await store.begin(begin(f"run{number}"))
    taken: list[list[str]] = []

    async def claim(number: int) -> None:
        taken.append([kept.id for kept in await store.claim(f"w{number}", 4, 60)])

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(claim, number)
    while claimed := await store.claim("last", 4, 60):  # rows that another was looking at were passed over
        taken.append([kept.id for kept in claimed])
    assert max(map(len, taken)) <= 4
    assert sorted(chain.from_iterable(taken)) == sorted(f"run{number}" for number in range(30))


async def test_two_workers_do_each_step_of_each_run_once(database: Database) -> None:
    log: list[str] = []

    async def flow(run: Run) -> str:
        async def do() -> None:
            log.append(run.id)

        for _ in range(3):
            await run.step("turn", do)
        return ""

    store = Store(database)
    for number in range(20):
        await store.begin(begin(f"run{number}"))
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(works, store, flow)
    assert await store.count() == {State.DONE: 20}
    assert len(log) == 60


async def test_a_worker_that_is_cancelled_lets_go_of_its_runs_at_once(store: Store) -> None:
    begun = anyio.Event()

    async def forever(_run: Run) -> str:
        begun.set()
        await anyio.sleep_forever()
        return ""

    await store.begin(begin("run"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(store, forever, lease=3_600).run)
        await begun.wait()
        tasks.cancel_scope.cancel()
    kept, _ = await store.find("run")
    assert (kept.state, kept.why, kept.losses) == (State.READY, "its worker was stopped", 0)
    await works(store, done)
    assert (await store.find("run"))[0].state is State.DONE


async def test_a_worker_that_is_cancelled_while_it_takes_up_runs_lets_go_of_them_as_well(store: Store) -> None:
    async def forever(_run: Run) -> str:
        await anyio.sleep_forever()
        return ""

    for moment in range(0, 60, 3):
        await store.begin(begin(f"run{moment}"))
        async with anyio.create_task_group() as others:
            for number in range(3):
                others.start_soon(store.tell, f"told{moment}-{number}")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Worker(store, forever, lease=3_600).run)
                for _ in range(moment):
                    await checkpoint()
                tasks.cancel_scope.cancel()
    assert await store.count() == {State.READY: 20}


async def test_a_worker_that_is_told_to_stop_ends_when_what_it_has_begun_is_over(store: Store) -> None:
    begun, goes_on = anyio.Event(), anyio.Event()

    async def flow(_run: Run) -> str:
        begun.set()
        await goes_on.wait()
        return "done"

    await store.begin(begin("run"))
    worker = Worker(store, flow, at_once=1, lease=3_600)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await begun.wait()
        worker.stop()
        await store.begin(begin("next"))
        goes_on.set()
    assert await store.count() == {State.DONE: 1, State.READY: 1}


async def test_a_run_that_was_cancelled_is_broken_off_and_writes_nothing_more(store: Store) -> None:
    begun, log = anyio.Event(), list[str]()

    async def flow(_run: Run) -> str:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            log.append("broken off")
        return ""

    await store.begin(begin("run"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(store, flow, lease=0.1).run)
        await begun.wait()
        assert await store.cancel("run", "not needed")
        await until(lambda: value(bool(log)))
        tasks.cancel_scope.cancel()
    kept, _ = await store.find("run")
    assert (kept.state, kept.why) == (State.CANCELLED, "not needed")


async def value(it: Any) -> Any:
    return it


async def test_cancelling_and_resuming_say_whether_they_did_anything(store: Store) -> None:
    async def flow(run: Run) -> str:
        await run.wait("go", "go")
        raise TypeError

    await make(store, flow)
    assert await store.resume("run"), "a waiting run looks for itself"
    await works(store, flow)
    assert (await store.find("run"))[0].state is State.WAITING
    await store.tell("go")
    await works(store, flow)
    assert (await store.find("run"))[0].state is State.FAILED
    assert await store.resume("run")
    assert await store.cancel("run", "no")
    assert not await store.cancel("run", "no")
    assert not await store.resume("run")
    for change in (store.resume, lambda name: store.cancel(name, "no")):
        with pytest.raises(UnknownRun):
            await change("unknown")


async def test_a_run_that_ends_its_workers_again_and_again_is_given_up_and_says_so(store: Store) -> None:
    await store.begin(begin("run"))
    for _ in range(MAX_LOSSES + 1):
        (kept,) = await store.claim("dies", 1, 60)
        await lapse(store)
    log: list[str] = []

    async def flow(run: Run) -> str:
        log.append(run.id)
        return ""

    await works(store, flow)
    kept, _ = await store.find("run")
    assert (kept.state, log) == (State.FAILED, [])
    assert kept.why == f"given up: workers were lost or stopped {MAX_LOSSES + 1} times while they had it"
    await store.resume("run")
    await works(store, flow)
    assert (await store.find("run"))[0].state is State.DONE


async def test_a_run_that_gets_on_is_not_given_up_however_often_its_worker_is_lost(store: Store) -> None:
    await store.begin(begin("run"))
    for number in range(2 * MAX_LOSSES):
        (kept,) = await store.claim("dies", 1, 60)
        await store.add_step("run", kept.fence, replace(STEP, name=f"s{number}"))
        await lapse(store)
    await works(store, done)
    assert (await store.find("run"))[0].state is State.DONE


async def test_a_run_that_is_put_off_without_end_is_given_up(store: Store) -> None:
    kept = await held(store)
    await store.put_off("run", kept.fence, "away", 0, MAX_TRIES)

    async def flow(_run: Run) -> str:
        raise TryLater("still away")

    await works(store, flow)
    kept, _ = await store.find("run")
    assert (kept.state, kept.why) == (State.FAILED, f"given up after {MAX_TRIES} tries: still away")


async def test_a_run_whose_records_cannot_be_read_fails_and_the_worker_goes_on_with_the_others(store: Store) -> None:
    kept = await held(store)
    await store.add_step("run", kept.fence, STEP)
    await store.database.run(lambda connection: connection.execute(update(steps).values(facts="{")))
    await lapse(store)
    await store.begin(begin("other"))
    await works(store, done)
    assert await store.count() == {State.FAILED: 1, State.DONE: 1}


async def test_a_workflow_that_cancels_itself_ends_neither_the_worker_nor_other_runs(store: Store) -> None:
    async def flow(run: Run) -> str:
        if run.id == "run":
            raise asyncio.CancelledError
        return ""

    kept = await held(store)
    await store.put_off("run", kept.fence, "", 0, MAX_TRIES)
    await store.begin(begin("other"))
    await works(store, flow)
    assert await store.count() == {State.FAILED: 1, State.DONE: 1}


async def test_one_worker_with_room_for_one_run_does_all_of_them(store: Store) -> None:
    for number in range(5):
        await store.begin(begin(f"run{number}"))
    await works(store, done, at_once=1)
    assert await store.count() == {State.DONE: 5}


def failing(store: Store, times: int, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """Have the database fail the next times, before or after it has done what it was asked for."""
    carried_out, left = store.database.run, [times]

    async def run(work: Callable[[Connection], Any]) -> Any:
        if left[0] and not after:
            left[0] -= 1
            raise OperationalError("", {}, Exception("server closed the connection"))
        result = await carried_out(work)
        if left[0]:
            left[0] -= 1
            raise OperationalError("", {}, Exception("server closed the connection"))
        return result

    monkeypatch.setattr(store.database, "run", run)
    monkeypatch.setattr(run_module, "_PATIENCE", (0.0,) * 6)


@pytest.mark.parametrize("after", [False, True])
async def test_what_was_done_is_kept_although_the_database_is_away_for_a_moment(
    store: Store, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    log: list[str] = []

    async def flow(run: Run) -> str:
        async def do() -> int:
            log.append("done")
            failing(store, 3, monkeypatch, after=after)
            return 7

        return str(await run.step("look", do, int))

    kept = await make(store, flow)
    assert (kept.state, kept.result, log) == (State.DONE, "7", ["done"])


async def test_a_database_that_stays_away_is_not_taken_for_an_error_of_the_workflow(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def flow(run: Run) -> str:
        async def do() -> None:
            failing(store, 6, monkeypatch, after=False)

        try:
            await run.step("look", do)
        except Exception:  # noqa: BLE001 - as a careless workflow would
            return "caught"
        return ""

    await store.begin(begin("run"))
    await works(store, flow, at_once=1)  # a worker that has all it takes asks for nothing else meanwhile
    kept, _ = await store.find("run")
    assert kept.state is State.RUNNING, "its lease runs out, and it is taken up again"
    await lapse(store)
    await works(store, done)
    assert (await store.find("run"))[0].result == "done"


async def test_a_worker_that_works_until_idle_does_not_take_a_database_that_is_away_for_nothing_to_do(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.begin(begin("run"))
    failing(store, 1, monkeypatch, after=False)
    await works(store, done)
    assert await store.count() == {State.DONE: 1}


async def test_a_worker_that_works_until_idle_does_what_was_begun_while_it_looked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, claim = anyio.Event(), store.claim

    async def flow(run: Run) -> str:
        if run.id == "run":
            await looked.wait()
            await store.begin(begin("next"))
        return ""

    async def slowly(*what: Any) -> Any:
        found = await claim(*what)
        if not found and not looked.is_set():
            looked.set()
            await until(lambda: are_done(store, 1))
        return found

    monkeypatch.setattr(store, "claim", slowly)
    await store.begin(begin("run"))
    await works(store, flow)
    assert await store.count() == {State.DONE: 2}


async def are_done(store: Store, number: int) -> bool:
    return (await store.count()).get(State.DONE, 0) == number


async def test_a_worker_for_one_run_works_on_what_it_has_begun_and_on_nothing_else(store: Store) -> None:
    async def flow(run: Run) -> str:
        if run.id == "run" or run.kept.given == "deeper":
            given = "deeper" if run.id == "run" else "deepest"
            return await run.child("part", Begin("flow", 1, given))
        return "at the bottom"

    for name in ("run", "other", "run.of.another"):
        await store.begin(begin(name))
    await Worker(store, flow, only="run", idle=0.01).run(until_idle=True)
    assert (await store.find("run"))[0].result == "at the bottom"
    assert await store.count() == {State.DONE: 3, State.READY: 2}


async def test_when_nobody_knows_what_changed_whatever_comes_to_wait_looks_once_more(store: Store) -> None:
    kept = await held(store)
    await store.wake([ANYTHING])
    await store.park("run", kept.fence, ["approval:1"], "waits", None, kept.changed)
    assert len(await store.claim("next", 1, 60)) == 1


async def test_an_event_told_while_a_run_is_about_to_wait_for_it_takes_it_up(store: Store) -> None:
    kept = await held(store)
    await store.wake(["approval:1"])
    await store.park("run", kept.fence, ["approval:1", "other"], "waits", None, kept.changed)
    (kept,) = await store.claim("next", 1, 60)
    await store.park("run", kept.fence, ["approval:1"], "waits", None, kept.changed)
    assert await store.claim("next", 1, 60) == [], "what it knew when it looked does not take it up again and again"
    await store.wake(["approval:1"])
    assert len(await store.claim("next", 1, 60)) == 1


async def test_telling_and_parking_at_the_same_time_never_miss_each_other(store: Store) -> None:
    async def flow(run: Run) -> str:
        await run.wait("go", f"go:{run.id}")
        return ""

    async def tell(number: int) -> None:
        await anyio.lowlevel.checkpoint()
        await store.tell(f"go:run{number}")

    for number in range(40):
        await store.begin(begin(f"run{number}"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(works, store, flow)
        for number in range(40):
            tasks.start_soon(tell, number)
    await works(store, flow)
    assert await store.count() == {State.DONE: 40}


async def test_who_waits_for_what_can_be_asked(store: Store) -> None:
    kept = await held(store)
    await store.park("run", kept.fence, ["approval:1", "approvals", "x"], "waits", None)
    assert await store.awaited("approval:") == ["approval:1"]
    await store.cancel("run", "no")
    assert await store.awaited("approval:") == []


async def aged(store: Store, name: str) -> None:
    def write(connection: Connection) -> None:
        connection.execute(update(runs).values(begun=1, changed=2).where(runs.c.id == name))

    await store.database.run(write)


async def rows(store: Store) -> tuple[int, int]:
    def count(connection: Connection) -> tuple[int, int]:
        found = [connection.scalar(select(func.count()).select_from(table)) or 0 for table in (steps, events)]
        return found[0], found[1]

    return await store.database.read(count)


async def test_a_run_that_ended_long_ago_is_forgotten_with_its_steps_and_events(store: Store) -> None:
    async def flow(run: Run) -> str:
        return str(await run.step("look", lambda: value("a customer's words")))

    await make(store, flow)
    await make(store, flow, "recent")
    await aged(store, "run")
    await store.database.run(lambda connection: connection.execute(update(events).values(at=1)))
    assert await store.forget(90) == 1
    assert [kept.id for kept in await store.list()] == ["recent"]
    assert await rows(store) == (1, 0)


async def test_nothing_is_forgotten_that_a_living_run_could_still_ask_for(store: Store) -> None:
    async def flow(run: Run) -> str:
        await run.wait("go", "go")
        return ""

    await make(store, flow)
    await store.begin(begin("child", parent="run"))
    await store.database.run(lambda c: c.execute(update(runs).values(state=State.FAILED).where(runs.c.id == "child")))
    await store.tell("answer:run:later", {"choice": "yes"})
    for name in ("run", "child"):
        await aged(store, name)
    await store.database.run(lambda connection: connection.execute(update(events).values(at=3)))
    assert await store.forget(90) == 0
    assert await store.event("answer:run:later") == (True, {"choice": "yes"})
    await store.cancel("run", "no")
    for name in ("run", "child"):
        await aged(store, name)
    assert await store.forget(90) == 2


async def test_a_database_of_another_form_is_refused(store: Store) -> None:
    def change(connection: Connection) -> None:
        connection.execute(delete(form))
        connection.execute(form.insert().values(number=99))

    await store.database.run(change)
    with pytest.raises(UnfitDatabase, match="has form 99"):
        store.database.prepare()


@pytest.mark.parametrize("url", ["", "mysql://h/d", "sqlite://", "nonsense", "postgresql://u:se@cret:word@h/d"])
def test_a_database_is_sqlite_or_postgresql(url: str) -> None:
    with pytest.raises(UnfitDatabase, match="a database is given as"):
        Database(url)


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnfitDatabase, match="the orchestrator's database cannot be used: File exists"):
        Database(f"sqlite:///{tmp_path}/file/orchestrator.db")


async def test_of_two_that_wait_for_each_other_both_are_done(empty_postgres_url: str) -> None:
    store = Store(Database(empty_postgres_url))  # a file has one writer at a time
    store.database.prepare()
    for name in ("child", "parent"):
        await store.begin(begin(name))
    both_hold_one, first = Barrier(2), [True, True]

    def of(me: int, names: list[str]) -> Callable[[Connection], int]:
        def write(connection: Connection) -> int:
            for name in names:
                connection.execute(update(runs).where(runs.c.id == name).values(tries=runs.c.tries + 1))
                if first[me]:
                    first[me] = False
                    both_hold_one.wait(30)
            return me

        return write

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.database.run, of(0, ["child", "parent"]))
        tasks.start_soon(store.database.run, of(1, ["parent", "child"]))
    assert {kept.tries for kept in await store.list()} == {2}
    store.database.close()


async def test_a_run_that_was_given_up_begins_no_other_any_more(store: Store) -> None:
    kept = await held(store)
    run = Run(kept, {}, store)
    await store.cancel("run", "enough")
    with pytest.raises(Fenced):
        await run.child("part", Begin("flow", 1, "{}"))
    assert await store.count() == {State.CANCELLED: 1}


async def test_a_run_begun_while_its_parent_is_given_up_is_given_up_with_it(store: Store) -> None:
    for number in range(20):
        await store.begin(begin(f"run{number}"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.cancel, f"run{number}", "enough")
            tasks.start_soon(begun_unless_lost, store, begin(f"child{number}", parent=f"run{number}"))
    assert set(await store.count()) == {State.CANCELLED}


async def begun_unless_lost(store: Store, wanted: Begin) -> None:
    with suppress(Fenced):
        await store.begin(wanted)


async def test_a_worker_outlives_that_nothing_can_be_forgotten_just_now(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(store, 1, monkeypatch, after=False)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise Fenced

    monkeypatch.setattr("orchestrator.commands.worker.anyio.sleep", pause)
    with pytest.raises(Fenced):
        await forget(store, 90)
    assert pauses == [3_600, 3_600]


async def test_of_what_is_written_together_one_part_that_fails_is_undone_alone(store: Store) -> None:
    await held(store)
    outcomes: list[str] = []

    async def write(work: Callable[[], Awaitable[Any]]) -> None:
        try:
            await work()
            outcomes.append("written")
        except Fenced:
            outcomes.append("refused")

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            step, fence = replace(STEP, name=f"s{number}"), 1 + number % 2
            tasks.start_soon(write, lambda step=step, fence=fence: store.add_step("run", fence, step))
    assert sorted(outcomes) == ["refused"] * 15 + ["written"] * 15
    assert set((await store.find("run"))[1]) == {f"s{number}" for number in range(0, 30, 2)}


async def test_who_stops_waiting_for_a_write_does_not_stop_the_others(store: Store) -> None:
    async def write(number: int) -> None:
        with anyio.CancelScope() as scope:
            if number % 2:
                scope.cancel()
            await store.begin(begin(f"run{number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(write, number)
    assert {f"run{number}" for number in range(0, 10, 2)} <= {kept.id for kept in await store.list()}


async def test_waiting_rows_go_with_the_take_up(store: Store) -> None:
    kept = await held(store)
    await store.park("run", kept.fence, ["e"], "waits", 1)
    await store.claim("next", 1, 60)
    left = await store.database.read(lambda connection: connection.scalar(select(func.count()).select_from(waits)))
    assert left == 0


def test_a_bad_step_is_an_error_of_the_workflow() -> None:
    assert issubclass(BadStep, Exception)
