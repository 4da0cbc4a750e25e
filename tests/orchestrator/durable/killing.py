"""Runs whose workers are killed again and again, and what must hold afterwards."""

import multiprocessing
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
from sqlalchemy import func, select

from connectors.registry import TOOLS
from gateway.app import open_approvals
from gateway.home import utc_now
from gateway.policy.load import load_policy
from gateway.settings import load_settings
from orchestrator.durable.database import Database
from orchestrator.durable.store import Kept, State, Store
from orchestrator.durable.tables import steps
from tests.gateway.crashing import MAYA, Crashes
from tests.orchestrator.durable import worker_process
from tests.orchestrator.durable.model_server import ModelServer
from tests.orchestrator.durable.worker_process import Outcome, everything
from tests.orchestrator.durable.working import until
from tests.orchestrator.fake_gateway import serving as serving_app
from tests.processes import make_token, remit, serving

MOST_STEPS, LATEST_SECONDS = 16, 0.05
MOST_UNDER_WAY = 8
BY_COMMAND = 2
PATIENCE = 400
WAITS_EVERY = 3

# A process that has everything imported forks the workers: the kills hit their work and not their start.
_PROCESSES = multiprocessing.get_context("forkserver")


@dataclass
class Kills:
    """Runs in one database whose workers are killed.

    Args:
        home: The gateway's home folder.
        database_url: Where the runs are kept.
        chance: Decides when who is killed.
        runs: How many runs; so many kills there are.
        workers: How many workers work at a time.
    """

    home: Path
    database_url: str
    chance: Random
    runs: int
    workers: int = 2
    model: ModelServer = field(init=False)
    _alive: list[BaseProcess] = field(default_factory=list)
    _answered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        _PROCESSES.set_forkserver_preload([worker_process.__name__])

    async def drive(self) -> dict[str, int]:
        """Work on all runs, kill workers meanwhile, and hold what must hold; returns what was counted."""
        self.model = ModelServer(self.chance)
        gateway = Crashes(self.home, self.chance)
        await anyio.to_thread.run_sync(gateway.prepare)
        token = make_token(self.home, "--agent", "triage")
        database = Database(self.database_url)
        database.prepare()
        store = Store(database)
        # Its own limits aside, a gateway's process and the provider's outlive all workers.
        with serving(self.home) as served:
            async with serving_app(self.model.app()) as (provider, _):
                given = (self.database_url, served.mcp, token, provider)
                async with self._people(store):
                    reference = await self._never_killed(store, given)
                    await self._killed(store, given)
            counted = await self._check(store, reference, gateway.made())
        database.close()
        return counted

    async def _never_killed(self, store: Store, given: tuple[str, ...]) -> list[tuple[list[str], Kept]]:
        for number in range(WAITS_EVERY):
            await self._begin(store, number)
        self._start(given)
        await self._until_done(store, WAITS_EVERY)
        self._kill()
        return [await self._came_about(store, number) for number in range(WAITS_EVERY)]

    async def _killed(self, store: Store, given: tuple[str, ...]) -> None:
        for _ in range(self.workers):
            self._start(given)
        for number in range(self.runs):
            await self._begin(store, WAITS_EVERY + number)
            await self._something_happens(store, WAITS_EVERY + number)
            await anyio.to_thread.run_sync(self._kill)
            self._start(given)
        await self._until_done(store, WAITS_EVERY + self.runs)
        while self._alive:
            self._kill()

    async def _something_happens(self, store: Store, runs: int) -> None:
        """Some steps further, and a moment into the next."""
        seen, further = await self._steps(store), self.chance.randint(1, MOST_STEPS)

        async def has_happened() -> bool:
            await _none_failed(store)
            under_way = 1 + runs - (await store.count()).get(State.DONE, 0)
            is_further = not under_way or await self._steps(store) >= seen + further
            return is_further and under_way <= MOST_UNDER_WAY

        await self._until(store, has_happened)
        await anyio.sleep(self.chance.random() * LATEST_SECONDS)

    async def _until(self, store: Store, holds: Callable[[], Awaitable[bool]]) -> None:
        try:
            await until(holds, seconds=PATIENCE)
        except TimeoutError:
            left = await store.list([State.READY, State.RUNNING, State.WAITING])
            raise AssertionError([(kept.id, kept.state, kept.why, kept.tries, kept.losses) for kept in left]) from None

    async def _steps(self, store: Store) -> int:
        count = select(func.count()).select_from(steps)
        return await store.database.read(lambda connection: connection.scalar(count) or 0)

    async def _begin(self, store: Store, number: int) -> None:
        given = {"mark": _mark(number), "waits": number % WAITS_EVERY == 0}
        await store.begin(everything.begin(given, run_id=f"run{number}"))

    def _start(self, given: tuple[str, ...]) -> None:
        process = _PROCESSES.Process(target=worker_process.work, args=given, daemon=True)
        process.start()
        self._alive.append(process)

    def _kill(self) -> None:
        victim = self._alive.pop(self.chance.randrange(len(self._alive)))
        assert victim.is_alive(), "a worker ended by itself"
        victim.kill()
        victim.join()

    @asynccontextmanager
    async def _people(self, store: Store) -> AsyncIterator[None]:
        """Somebody approves what waits, by command and otherwise, and tells of what is waited for."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._approve, store)
            tasks.start_soon(self._tell, store)
            yield
            tasks.cancel_scope.cancel()

    async def _approve(self, store: Store) -> None:
        settings = load_settings(home=self.home)
        policy = load_policy(settings.policies, TOOLS)
        async with open_approvals(settings) as book:
            while True:
                for approval in await book.open(utc_now(), tenant="larkspur"):
                    name = approval.question.id
                    if name in self._answered:
                        continue
                    if len(self._answered) < BY_COMMAND:
                        options = ("--as", f"person:{MAYA.person}", "--home", str(self.home))
                        await anyio.to_thread.run_sync(remit, "approvals", "approve", name, *options)
                    else:
                        await book.answer(name, MAYA, policy, True, "fine", utc_now())
                    self._answered.append(name)
                    await store.wake([f"approval:{name}"])
                await anyio.sleep(0.1)

    async def _tell(self, store: Store) -> None:
        while True:
            for event in await store.awaited("told:"):
                await store.tell(event, event)
            await anyio.sleep(0.2)

    async def _until_done(self, store: Store, runs: int) -> None:
        async def are_done() -> bool:
            await _none_failed(store)
            return (await store.count()).get(State.DONE, 0) == runs

        await self._until(store, are_done)

    async def _came_about(self, store: Store, number: int) -> tuple[list[str], Kept]:
        kept, found = await store.find(f"run{number}")
        # That a person was asked is not noted where the yes was there before the run was taken up again.
        return sorted(f"{step.kind} {step.name}" for step in found.values() if step.kind != "person"), kept

    async def _check(
        self, store: Store, reference: list[tuple[list[str], Kept]], made: dict[str, Counter[str]]
    ) -> dict[str, int]:
        total, models = WAITS_EVERY + self.runs, 0
        for number in range(total):
            done, kept = await self._came_about(store, number)
            assert kept.state is State.DONE
            assert done == reference[number % WAITS_EVERY][0], "its steps are those of a run that was never killed"
            assert Outcome.model_validate_json(kept.result) == _expected(number)
            models += sum(step.startswith("model ") for step in done)
        marks = {_mark(number) for number in range(total)}
        once, twice = dict.fromkeys(marks, 1), dict.fromkeys(marks, 2)
        assert made == {"sent": twice, "outbox": twice, "tickets": once, "contacts": once}, "each effect is there once"
        assert len(self.model.paid) == models == 3 * total, "each answer of a model was paid once"
        again = sum(self.model.asked.values()) - models
        return {"runs": total, "kills": self.runs, "effects": 4 * total, "answers": models, "asked again": again}


async def _none_failed(store: Store) -> None:
    failed = await store.list([State.FAILED])
    assert not failed, [(kept.id, kept.why) for kept in failed]


def _mark(number: int) -> str:
    return f"mark {number:05}"


def _expected(number: int) -> Outcome:
    mark, says = _mark(number), f"about {_mark(number)}"
    told = f"told:{mark}" if number % WAITS_EVERY == 0 else None
    return Outcome(mark=mark, first=says, then=says, statuses=["ok"] * 4, told=told)
