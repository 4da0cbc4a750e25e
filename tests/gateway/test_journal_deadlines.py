"""Every future is given up when its own time is over, not before, at the price of one timer."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deadlines import Deadlines, Waited

PATIENCE = 5.0


class ClockedLoop(asyncio.SelectorEventLoop):
    """A real event loop whose clock is moved by the test."""

    now = 100.0
    timers = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        self.timers += 1
        return super().call_at(when, callback, *args, context=context)

    def turn(self, seconds: float = 0) -> None:
        """Let time pass, and everything that is due run."""
        self.now += seconds
        for _ in range(3):
            self.run_until_complete(asyncio.sleep(0))


@pytest.fixture
def loop() -> Iterator[ClockedLoop]:
    made = ClockedLoop()
    yield made
    made.close()


class Watched:
    """Futures under deadlines, and which of them were given up, when."""

    def __init__(self, loop: ClockedLoop) -> None:
        self.loop = loop
        self.given_up: dict[Waited, float] = {}
        self._deadlines = Deadlines(loop, PATIENCE, self._give_up)

    def _give_up(self, future: Waited) -> None:
        self.given_up[future] = self.loop.now
        future.cancel()

    def another(self) -> Waited:
        future: Waited = self.loop.create_future()
        self._deadlines.watch(future)
        return future


def test_each_is_given_up_when_its_own_time_is_over(loop: ClockedLoop) -> None:
    watched = Watched(loop)
    first = watched.another()
    loop.turn(3)
    second = watched.another()
    loop.turn(PATIENCE - 3.1)
    assert not watched.given_up
    loop.turn(0.1)
    assert watched.given_up.keys() == {first}
    loop.turn(3)
    assert watched.given_up.keys() == {first, second}


def test_what_is_done_in_time_is_left_alone_and_what_comes_later_is_watched_again(loop: ClockedLoop) -> None:
    watched = Watched(loop)
    watched.another().set_result(None)
    loop.turn(2 * PATIENCE)
    assert not watched.given_up
    late = watched.another()
    loop.turn(PATIENCE)
    assert watched.given_up.keys() == {late}


def test_a_thousand_take_one_timer(loop: ClockedLoop) -> None:
    watched = Watched(loop)
    for future in [watched.another() for _ in range(1_000)]:
        future.set_result(None)
    assert loop.timers == 1
    unfinished = watched.another()
    assert not unfinished.done()
    assert loop.timers == 1


STEPS = st.lists(st.tuples(st.sampled_from(["begin", "end"]), st.integers(0, 10), st.floats(0, 4)), max_size=40)


@given(STEPS)
def test_whatever_the_order_none_waits_longer_than_its_patience_and_none_is_given_up_early(
    steps: list[tuple[str, int, float]],
) -> None:
    loop = ClockedLoop()
    watched, begun = Watched(loop), {}
    for step, which, seconds in steps:
        if step == "begin":
            begun[watched.another()] = loop.now
        elif begun:
            future = list(begun)[which % len(begun)]
            if not future.done():
                future.set_result(None)
        loop.turn(seconds)
        for future, since in begun.items():
            assert future.done() or loop.now < since + PATIENCE
    for future, at in watched.given_up.items():
        assert at >= begun[future] + PATIENCE
    loop.close()
