"""Trying again: with bounds, with pauses that cost nothing, and never a try twice."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from orchestrator.durable.run import BadStep, Run, StepChanged, TryLater
from orchestrator.durable.store import Begin, Kept, State, Store
from orchestrator.durable.worker import Worker
from orchestrator.patterns import retry
from orchestrator.work import Work
from tests.orchestrator.triaging import opened


class Shop:
    """Is closed for the first few who come; `came` counts the tries."""

    def __init__(self, closed: int) -> None:
        self.closed, self.came = closed, list[int]()

    async def __call__(self, number: int) -> str:
        self.came.append(number)
        if len(self.came) <= self.closed:
            raise OSError("closed")
        return f"bought at try {number}"


@asynccontextmanager
async def begun(folder: Path) -> AsyncIterator[Store]:
    store = opened(folder)
    await store.begin(Begin("shopping", 1, "{}", id="r"))
    yield store
    store.database.close()


async def gone_through(store: Store, shop: Callable[[int], Awaitable[str]], seconds: float = 0) -> Kept:
    async def work(run: Run) -> str:
        hands = SimpleNamespace(run=run, note=run.note, sleep=run.sleep)
        return await retry(cast("Work", hands), "shop", shop, tries=3, seconds=seconds)

    await Worker(store, work, idle=0.01).run(until_idle=True)
    kept, _ = await store.find("r")
    return kept


async def test_what_fails_for_now_is_tried_again_until_it_does_not(tmp_path: Path) -> None:
    async with begun(tmp_path) as store:
        kept = await gone_through(store, shop := Shop(closed=2))
    assert (kept.state, kept.result, shop.came) == (State.DONE, "bought at try 3", [1, 2, 3])


async def test_after_the_last_try_its_error_is_the_runs(tmp_path: Path) -> None:
    async with begun(tmp_path) as store:
        kept = await gone_through(store, shop := Shop(closed=9))
    assert (kept.state, shop.came) == (State.FAILED, [1, 2, 3])
    assert kept.why.startswith("OSError")


@pytest.mark.parametrize("error", [TryLater("away"), StepChanged("another"), BadStep("no name")])
async def test_what_is_no_failure_of_the_try_takes_none_of_them(tmp_path: Path, error: Exception) -> None:
    async def do(_number: int) -> str:
        raise error

    async with begun(tmp_path) as store:
        kept = await gone_through(store, do)
        _, steps = await store.find("r")
    assert steps == {}
    assert kept.state is (State.READY if isinstance(error, TryLater) else State.FAILED)


async def test_a_pause_is_a_row_and_a_try_that_failed_is_not_made_again_after_it(tmp_path: Path) -> None:
    async with begun(tmp_path) as store:
        kept = await gone_through(store, shop := Shop(closed=1), seconds=3_600)
        assert (kept.state, kept.why, shop.came) == (State.WAITING, "sleeps", [1])
        await store.resume("r")
        kept = await gone_through(store, shop, seconds=3_600)
        assert (kept.state, shop.came) == (State.WAITING, [1]), "it is not time yet"
