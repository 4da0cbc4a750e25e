"""Mutated MCP requests against a whole gateway: nothing may break it, leak from it or get past its policy.

    python benchmarks/fuzz.py [--requests 1000000] [--processes 2] [--seed 1]

Requests know how a request is built: mostly a well-formed one of any protocol era with one to six changes to its
JSON, its headers or its bytes, from callers of two tenants with good and bad tokens, many at the same time. The
gateway is whole (HTTP app, tokens, policy, flow, journal, embedded back ends), without a network. Looked for in every
answer: a 5xx other than a deliberate 503, an `internal` error, internals, secrets, the other tenant's data, something
done without a token; in every effect: that a model of the policy, which shares no code with it, allows it to one of
the callers; in every batch: that the journal has one intent for each thing done and one outcome for each intent. What
is found is printed with the number that makes it again (`--only SEED:BATCH:NUMBER`). Exits with 1 if anything was
found.
"""

import argparse
import asyncio
import logging
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.fuzzing.asgi import send
from benchmarks.fuzzing.asking import Asked, asked
from benchmarks.fuzzing.judging import wrong_with_answer, wrong_with_effect
from benchmarks.fuzzing.world import World, calls_by_kind, opened
from gateway.journal import Kind
from gateway.principal import Principal

BATCH, BATCHES = 5_000, 20
AT_ONCE = 32


@dataclass
class Batch:
    """What a batch of requests showed."""

    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    effects: int = 0
    megabytes: float = 0.0

    def add(self, other: "Batch") -> None:
        self.sent += other.sent
        self.statuses += other.statuses
        self.findings += other.findings
        self.effects += other.effects
        self.megabytes = max(self.megabytes, other.megabytes)


async def run_batch(seed: int, number: int, requests: int) -> Batch:
    """Send a batch to a gateway of its own.

    Args:
        seed: The run's.
        number: The batch's within the run.
        requests: How many.
    """
    batch = Batch(requests)
    with TemporaryDirectory() as folder:
        async with opened(Path(folder)) as world:
            await _all_sent(world, batch, seed, number, requests)
            batch.findings += [f"{seed}:{number}: {each}" for each in _wrong_with_journal(world, batch.effects)]
    batch.megabytes = psutil.Process().memory_info().rss / 2**20
    return batch


async def _all_sent(world: World, batch: Batch, seed: int, number: int, requests: int) -> None:
    calling: Counter[Principal] = Counter()
    todo = iter(range(requests))

    async def sender() -> None:
        for each in todo:
            one = asked(world, Random(f"{seed}:{number}:{each}"))
            who = one.caller
            calling[who] += 1 if who else 0
            wrong = await _wrong_with_one(world, batch, one, calling)
            batch.findings += [f"{seed}:{number}:{each}: {what}" for what in wrong]
            calling[who] -= 1 if who else 0

    await asyncio.gather(*(sender() for _ in range(AT_ONCE)))


async def _wrong_with_one(world: World, batch: Batch, one: Asked, calling: Counter[Principal]) -> list[str]:
    try:
        response = await send(world.app, one.request)
    except Exception as error:  # noqa: BLE001 - whatever leaves the app is a finding
        return [f"{type(error).__name__}: {error}"]
    batch.statuses[str(response.status)] += 1
    wrong = list(wrong_with_answer(world, one, response))
    # Whoever's request led to it has not been answered yet, or is this one.
    told, world.done[:] = list(world.done), []
    batch.effects += len(told)
    return [*wrong, *(each for done in told for each in wrong_with_effect(done, +calling))]


def _wrong_with_journal(world: World, effects: int) -> Iterator[str]:
    kinds = calls_by_kind(world.database)
    begun, ended = kinds.get(Kind.INTENT, Counter()), kinds.get(Kind.OUTCOME, Counter())
    if begun.total() != effects:
        yield f"{effects} things were done, the journal has {begun.total()} intents"
    if begun != ended:
        yield f"intents without one outcome: {list((begun - ended) + (ended - begun))[:5]}"


def _batch(which: tuple[int, int, int]) -> Batch:
    logging.disable(logging.CRITICAL)  # A line for each request that is refused; what matters is in the answers.
    return asyncio.run(run_batch(*which))


def _played(batches: list[tuple[int, int, int]], processes: int) -> Iterator[Batch]:
    """Play batches in fresh processes: a leak of memory is seen within those of one. A killed one breaks the run."""
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_batch, each) for each in batches]):
            yield future.result()


def _shown(total: Batch, seconds: float, cores: int) -> Table:
    table = Table(
        title=f"{total.sent:,} requests in {seconds / 60:.1f} min on {cores} processes",
        title_justify="left",
    )
    table.add_column("what")
    table.add_column("count", justify="right")
    for status, count in sorted(total.statuses.items()):
        table.add_row(f"answers {status}", f"{count:,}")
    table.add_row("back ends told to do something", f"{total.effects:,}")
    table.add_row("most memory of a process, MB", f"{total.megabytes:,.0f}")
    table.add_row("findings", f"{len(total.findings):,}")
    return table


def main() -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first batch; to go on with a run")
    parser.add_argument("--only", metavar="SEED:BATCH:NUMBER", help="print one request")
    given = parser.parse_args()
    console, total, start = Console(), Batch(), time.monotonic()
    if given.only:
        asyncio.run(_one_shown(*map(int, given.only.split(":"))))
        return 0
    sizes = [min(BATCH, given.requests - at) for at in range(0, given.requests, BATCH)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    todo = [(given.seed, given.first + number, size) for number, size in enumerate(sizes)]
    rounds = [todo[at : at + given.processes * BATCHES] for at in range(0, len(todo), given.processes * BATCHES)]
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("requests", total=given.requests)
        for batch in chain.from_iterable(_played(each, given.processes) for each in rounds):
            total.add(batch)
            for finding in batch.findings[:20]:
                progress.console.print(finding, markup=False)
            progress.advance(task, batch.sent)
    console.print(_shown(total, time.monotonic() - start, given.processes))
    return 1 if total.findings else 0


async def _one_shown(seed: int, number: int, each: int) -> None:
    with TemporaryDirectory() as folder:
        async with opened(Path(folder)) as world:
            one = asked(world, Random(f"{seed}:{number}:{each}"))
            response = await send(world.app, one.request)
    print(one.caller, one.request.method, one.request.path, *one.request.headers, one.request.body, sep="\n")
    print(response.status, *response.headers, response.body, sep="\n")


if __name__ == "__main__":
    sys.exit(main())
