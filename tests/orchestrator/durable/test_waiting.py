"""Runs that wait cost a worker neither memory nor work, and another one takes them over and finishes them.

`REMIT_WAITING=10000 pytest tests/orchestrator/durable/test_waiting.py -s` does it with so many and prints what it took.
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from urllib.parse import urlsplit

import anyio
import psutil
import pytest

from orchestrator.durable.database import Database
from orchestrator.durable.run import Run
from orchestrator.durable.store import State, Store
from orchestrator.durable.worker import Worker
from tests.orchestrator.durable.working import begin, until

WAITING = int(os.environ.get("REMIT_WAITING", "200"))
# Until then the database's own caches fill up.
WARM, TOGETHER = WAITING // 4, 64
MEMORY_MB, SHARE_OF_A_CORE = 8, 0.2
IDLE_SECONDS = 3
_PROCESSES = multiprocessing.get_context("spawn")


async def flow(run: Run) -> str:
    async def look() -> str:
        return "x" * 10_000

    kept = await run.step("look", look, str)
    return f"{len(kept)} {await run.wait('told', f'told:{run.id}')}"


def work(url: str) -> None:
    asyncio.run(Worker(Store(Database(url)), flow, at_once=TOGETHER).run())


@contextmanager
def working(url: str) -> Iterator[BaseProcess]:
    process = _PROCESSES.Process(target=work, args=(url,), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


async def for_each(numbers: range, do: Callable[[str], Awaitable[object]]) -> None:
    async def some(part: range) -> None:
        for number in part:
            await do(f"run{number}")

    async with anyio.create_task_group() as tasks:
        for first in range(TOGETHER):
            tasks.start_soon(some, numbers[first::TOGETHER])


async def all_are(store: Store, state: State, count: int) -> None:
    async def holds() -> bool:
        assert not await store.list([State.FAILED])
        return (await store.count()).get(state, 0) >= count

    await until(holds, seconds=120 + WAITING / 5, pause=0.2)


def megabytes(process: BaseProcess) -> float:
    assert process.pid
    return float(psutil.Process(process.pid).memory_info().rss) / 1e6


async def share_of_a_core(process: BaseProcess) -> float:
    assert process.pid
    measured = psutil.Process(process.pid)
    before, began = measured.cpu_times(), time.monotonic()
    await anyio.sleep(IDLE_SECONDS)
    after = measured.cpu_times()
    used = after.user + after.system - before.user - before.system
    return float(used) / (time.monotonic() - began)


@pytest.mark.process
@pytest.mark.timeout(300 + WAITING)
async def test_waiting_runs_cost_no_memory_and_a_fresh_worker_finishes_them(store: Store, runs_url: str) -> None:
    async def start(name: str) -> None:
        await store.begin(begin(name))

    async def tell(name: str) -> None:
        await store.tell(f"told:{name}", name)

    with working(runs_url) as first:
        await for_each(range(WARM), start)
        await all_are(store, State.WAITING, WARM)
        before = megabytes(first)
        began = time.monotonic()
        await for_each(range(WARM, WAITING), start)
        await all_are(store, State.WAITING, WAITING)
        parked = time.monotonic() - began
        after, share = megabytes(first), await share_of_a_core(first)
    with working(runs_url):
        began = time.monotonic()
        await for_each(range(WAITING), tell)
        await all_are(store, State.DONE, WAITING)
        finished = time.monotonic() - began
    print(  # noqa: T201 - whoever does it with many wants to know
        f"{urlsplit(runs_url).scheme}: {WAITING} runs wait after {parked:.0f} s, {before:.1f} -> {after:.1f} MB, "
        f"{share:.1%} of a core while they wait; a fresh worker finished them in {finished:.0f} s"
    )
    assert after - before < MEMORY_MB
    assert share < SHARE_OF_A_CORE
    assert {kept.result for kept in await store.list(most=WAITING)} == {f"10000 run{n}" for n in range(WAITING)}


async def test_who_waits_is_not_looked_at_until_it_is_told(store: Store) -> None:
    await for_each(range(TOGETHER), lambda name: store.begin(begin(name)))
    looked: list[str] = []

    async def counted(run: Run) -> str:
        looked.append(run.id)
        return await flow(run)

    worker = Worker(store, counted, idle=0.01)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        async def parked() -> bool:
            return (await store.count()).get(State.WAITING) == TOGETHER

        await until(parked)
        await store.tell("told:run1", "now")

        async def is_done() -> bool:
            return (await store.count()).get(State.DONE) == 1

        await until(is_done)
        worker.stop()
    assert len(looked) == TOGETHER + 1
    assert looked[-1] == "run1"
