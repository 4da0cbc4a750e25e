"""Whatever is done to a run in whatever order, by whichever worker, it is what a simple model of it says.

`REMIT_EXAMPLES=200` tries so many orders.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import update

from orchestrator.durable.store import Done, Fenced, Kept, State, Store
from orchestrator.durable.tables import events, runs
from tests.orchestrator.durable.working import begin

EXAMPLES = int(os.environ.get("REMIT_EXAMPLES", "30"))
EVENTS = st.sampled_from(["paid", "answered"])
ENDED = (State.DONE, State.FAILED, State.CANCELLED)


@dataclass
class Model:
    """What a run ought to be. `due` says whether a worker may take it up now."""

    state: State = State.READY
    fence: int = 0
    steps: list[str] = field(default_factory=list)
    awaits: set[str] = field(default_factory=set)
    due: bool = True
    losses: int = 0


class Runs(RuleBasedStateMachine):
    """Several runs, two workers and what happens around them."""

    store: ClassVar[Store]
    loop: ClassVar[asyncio.AbstractEventLoop]
    claims = Bundle("claims")
    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        with self.store.database.engine.begin() as connection:
            for table in (events, runs):  # what belongs to a run goes with it
                connection.execute(table.delete())
        self.model: dict[str, Model] = {}
        self.told: set[str] = set()

    def do(self, what: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(_awaited(what))

    def holds(self, kept: Kept) -> bool:
        run = self.model[kept.id]
        return run.state is State.RUNNING and run.fence == kept.fence

    def writes(self, kept: Kept, what: Callable[[], Awaitable[None]]) -> bool:
        """Write for a run as whoever has this claim on it: refused to everybody but its holder."""
        if self.holds(kept):
            self.do(what())
            return True
        with pytest.raises(Fenced):
            self.do(what())
        return False

    @initialize()
    def one_is_there(self) -> None:
        self.model["run0"] = Model()
        self.do(self.store.begin(begin("run0")))

    @rule(target=names, number=st.integers(0, 3))
    def begin(self, number: int) -> str:
        name = f"run{number}"
        self.do(self.store.begin(begin(name)))
        self.model.setdefault(name, Model())
        return name

    @rule(target=claims, worker=st.sampled_from(["one", "other"]))
    def claim(self, worker: str) -> Any:
        claimed: list[Kept] = self.do(self.store.claim(worker, 10, 600))
        assert {kept.id for kept in claimed} == {name for name, run in self.model.items() if run.due}
        for kept in claimed:
            run = self.model[kept.id]
            run.losses += run.state is State.RUNNING
            run.state, run.due, run.fence, run.awaits = State.RUNNING, False, run.fence + 1, set()
            assert (kept.fence, kept.losses) == (run.fence, run.losses)
        return multiple(*sorted(claimed, key=lambda kept: kept.id))

    @rule(kept=claims)
    def step(self, kept: Kept) -> None:
        run = self.model[kept.id]
        name = f"step{len(run.steps)}"
        if self.writes(kept, lambda: self.store.add_step(kept.id, kept.fence, Done(name, "function", "", "1", {}, 1))):
            run.steps.append(name)
            run.losses = 0

    @rule(kept=consumes(claims), awaits=st.sets(EVENTS))
    def park(self, kept: Kept, awaits: set[str]) -> None:
        run = self.model[kept.id]
        if self.writes(kept, lambda: self.store.park(kept.id, kept.fence, awaits, "waits", None, 0)):
            run.state, run.awaits, run.losses = State.WAITING, awaits, 0
            run.due = bool(awaits & self.told)

    @rule(kept=consumes(claims), state=st.sampled_from([State.DONE, State.FAILED]))
    def end(self, kept: Kept, state: State) -> None:
        if self.writes(kept, lambda: self.store.end(kept.id, kept.fence, state, "1")):
            self.model[kept.id].state, self.model[kept.id].due = state, False

    @rule(kept=consumes(claims), now=st.booleans())
    def put_off(self, kept: Kept, now: bool) -> None:
        run = self.model[kept.id]
        if self.writes(kept, lambda: self.store.put_off(kept.id, kept.fence, "away", 0 if now else 600, 1)):
            run.state, run.due = State.READY, now

    @rule(kept=claims)
    def renew(self, kept: Kept) -> None:
        still = self.do(self.store.renew({kept.id: kept.fence}, 600))
        assert still == ({kept.id} if self.holds(kept) else set())
        if still:
            self.model[kept.id].due = False

    @rule(name=names)
    def the_lease_runs_out(self, name: str) -> None:
        run = self.model[name]
        if run.state is State.RUNNING:
            late = update(runs).where(runs.c.id == name).values(due=1)
            self.do(self.store.database.run(lambda connection: connection.execute(late)))
            run.due = True

    @rule(event=EVENTS)
    def tell(self, event: str) -> None:
        assert self.do(self.store.tell(event)) is (event not in self.told)
        self.told.add(event)
        for run in self.model.values():
            if run.state is State.WAITING and event in run.awaits:
                run.due = True

    @rule(name=names)
    def cancel(self, name: str) -> None:
        run = self.model[name]
        goes = run.state not in (State.DONE, State.CANCELLED)
        assert self.do(self.store.cancel(name, "no")) is goes
        if goes:
            run.state, run.due, run.fence, run.awaits = State.CANCELLED, False, run.fence + 1, set()

    @rule(name=names)
    def resume(self, name: str) -> None:
        run = self.model[name]
        goes = run.state in (State.FAILED, State.WAITING, State.READY)
        assert self.do(self.store.resume(name)) is goes
        if goes:
            run.state, run.due, run.losses = State.READY, True, 0

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        for name, run in self.model.items():
            kept, done = self.do(self.store.find(name))
            assert (kept.state, kept.fence, kept.losses) == (run.state, run.fence, run.losses), name
            assert sorted(done) == sorted(run.steps), "steps that were done stay done"
            assert (kept.due is None) <= (not run.due)
            assert not (kept.state in ENDED and kept.due), "what has ended is never taken up"


async def _awaited(what: Awaitable[Any]) -> Any:
    return await what


def test_runs_are_what_a_simple_model_says_whatever_is_done_to_them(store: Store) -> None:
    loop = asyncio.new_event_loop()
    machine = type("RunsThere", (Runs,), {"store": store, "loop": loop})
    how = settings(
        max_examples=EXAMPLES, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=how)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
