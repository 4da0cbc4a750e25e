"""What it costs that runs are durable: steps a second with one worker and with two, and what a step costs more.

    python benchmarks/orchestrator.py

Each run is a loop of steps that wait for a moment, as for a model, and give a kilobyte. `plain` is the same loop
without anything kept, in the same process and as many at once; the ratio beside each line is to it. `added` is what a
step takes longer when one run works alone. Each worker is a process of its own. PostgreSQL is a server of its own
that syncs what it commits.
"""

import argparse
import asyncio
import multiprocessing
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

import anyio
from pydantic import BaseModel

from orchestrator.durable.database import Database
from orchestrator.durable.run import Run
from orchestrator.durable.store import Begin, State, Store
from orchestrator.durable.worker import Worker
from tests.postgres import postgres_server

AT_ONCE = 16
_PROCESSES = multiprocessing.get_context("spawn")


class Given(BaseModel):
    steps: int
    milliseconds: float


class Found(BaseModel):
    number: int
    text: str


async def find(number: int, milliseconds: float) -> Found:
    """What a step does."""
    await anyio.sleep(milliseconds / 1_000)
    return Found(number=number, text="x" * 1_000)


async def durable(run: Run) -> str:
    """The loop as a workflow."""
    given = Given.model_validate_json(run.kept.given)
    for number in range(given.steps):
        await run.step(f"find{number}", partial(find, number, given.milliseconds), Found)
    return "{}"


async def plain(given: Given, runs: int, at_once: int) -> float:
    """Seconds of the loop without anything kept."""
    room = anyio.CapacityLimiter(at_once)

    async def one() -> None:
        async with room:
            for number in range(given.steps):
                await find(number, given.milliseconds)

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(runs):
            tasks.start_soon(one)
    return time.perf_counter() - began


def work(url: str, at_once: int) -> None:
    """A worker's process."""
    asyncio.run(Worker(Store(Database(url)), durable, at_once=at_once, idle=0.05).run())


async def kept(url: str, given: Given, runs: int, workers: int, at_once: int) -> float:
    """Seconds of the same with workers: from when all runs are there until all have ended."""
    database = Database(url)
    database.prepare()
    store = Store(database)
    waiting = [_PROCESSES.Process(target=work, args=(url, at_once), daemon=True) for _ in range(workers)]
    await store.begin(Begin("loop", 1, Given(steps=1, milliseconds=0).model_dump_json()))
    for process in waiting:
        process.start()
    await _until(partial(_ended, store, 1))  # everything is imported and connected
    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(runs):
            tasks.start_soon(store.begin, Begin("loop", 1, given.model_dump_json()))
    await _until(partial(_ended, store, runs + 1))
    took = time.perf_counter() - began
    for process in waiting:
        process.kill()
        process.join()
    database.close()
    return took


async def _ended(store: Store, runs: int) -> bool:
    return (await store.count()).get(State.DONE, 0) >= runs


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():  # noqa: ASYNC110 - it is in a database
        await anyio.sleep(0.05)


@contextmanager
def _databases() -> Iterator[dict[str, Callable[[], str]]]:
    with TemporaryDirectory() as folder, postgres_server(fsync=True) as server:
        numbers = iter(range(1_000))
        yield {
            "SQLite": lambda: f"sqlite:///{folder}/{next(numbers)}.db",
            "PostgreSQL": server.new_database,
        }


async def measure(runs: int, steps: int, milliseconds: float) -> list[str]:
    """The lines of the table."""
    given = Given(steps=steps, milliseconds=milliseconds)
    alone = await plain(given, 1, 1)
    together = await plain(given, runs, AT_ONCE)
    lines = [_line("plain, one worker", runs * steps, together, together)]
    with _databases() as databases:
        for name, new in databases.items():
            one = await kept(new(), given, 1, 1, 1)
            for workers in (1, 2):
                took = await kept(new(), given, runs, workers, AT_ONCE)
                lines.append(
                    _line(f"{name}, {('one worker', 'two workers')[workers - 1]}", runs * steps, took, together)
                )
            lines.append(f"{name + ', added to a step':<28} {(one - alone) / steps * 1_000:>8.2f} ms")
    return lines


def _line(what: str, steps: int, seconds: float, compared: float) -> str:
    return f"{what:<28} {steps / seconds:>8,.0f} steps/s {seconds / compared:>8.1f} times as long"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="how many runs (default 100)")
    parser.add_argument("--steps", type=int, default=40, help="steps of each (default 40)")
    parser.add_argument("--milliseconds", type=float, default=20.0, help="how long a step takes (default 20)")
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, {options.runs} runs of {options.steps} steps, {AT_ONCE} at once a worker"
    )
    for line in asyncio.run(measure(options.runs, options.steps, options.milliseconds)):
        print(line)


if __name__ == "__main__":
    main()
