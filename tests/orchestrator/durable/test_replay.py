"""A run that is interrupted after any of its steps, or within one, ends as one that never was."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.durable.database import Database
from orchestrator.durable.run import Run
from orchestrator.durable.store import State, Store
from orchestrator.durable.worker import Worker
from tests.orchestrator.durable.working import begin


@dataclass
class Interrupting:
    """Ends the worker in the middle of the steps that are named by their number, after or before they are kept."""

    at: set[int]
    done: int = 0
    effects: Counter[str] = field(default_factory=Counter)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def step(self, run: Run, name: str, gives: int) -> int:
        async def do() -> int:
            self.effects[f"{run.id}:{name}"] += 1
            self.done += 1
            if self.done in self.at:
                self.scope.cancel()
                await anyio.sleep_forever()
            return gives

        return await run.step(name, do, int)

    async def flow(self, run: Run) -> str:
        total = 0
        for number in range(2):
            total += await self.step(run, "turn", number + 1)
        both: dict[str, int] = {}

        async def one(name: str) -> None:
            both[name] = await self.step(run, name, 10)

        async with anyio.create_task_group() as tasks:
            for name in ("left", "right"):
                tasks.start_soon(one, name)
        answer = (await run.ask("fine", "Is it?", ["yes"]))["choice"]
        await run.sleep("moment", 0)
        return f"{total} {sum(both.values())} {answer} {await self.step(run, 'last', 100)} {run.unguessable('x') != ''}"


async def through(url: str, at: set[int]) -> tuple[str, list[str], Counter[str]]:
    """Go through a run with interruptions, and see how it ended."""
    database = Database(url)
    database.prepare()
    store, interrupting = Store(database), Interrupting(at)
    name = await store.begin(begin())
    while (kept := (await store.find(name))[0]).state not in (State.DONE, State.FAILED):
        if kept.state is State.WAITING:
            await store.tell(f"answer:{name}:fine", {"choice": "yes"})
        with anyio.CancelScope() as interrupting.scope:
            await Worker(store, interrupting.flow, idle=0.01).run(until_idle=True)
    kept, steps = await store.find(name)
    database.close()
    effects = Counter({each.removeprefix(f"{name}:"): count for each, count in interrupting.effects.items()})
    return kept.result, sorted(steps), effects


@given(at=st.sets(st.integers(1, 12), max_size=6))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_interrupted_anywhere_it_gives_the_same_result_and_the_same_steps(runs_url: str, at: set[int]) -> None:
    result, steps, effects = anyio.run(partial(through, runs_url, at))
    assert result == "3 20 yes 100 True"
    assert steps == ["fine", "fine.asked", "last", "left", "moment", "moment.until", "right", "turn", "turn#2"]
    assert set(effects) == {"turn", "left", "right", "last"}


@pytest.mark.parametrize("number", range(1, 6))
async def test_only_the_step_that_was_interrupted_is_done_again(runs_url: str, number: int) -> None:
    _, _, effects = await through(runs_url, {number})
    assert sum(effects.values()) in (6, 7), "what went on at the same time may have to be done again as well"
