"""A bounded number of calls run and wait; the rest come back later, and nobody takes what others need."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.slots import Busy, Place, Slots

HERE = Place("t")
EXAMPLES = int(os.environ.get("REMIT_LIMIT_EXAMPLES", "60"))
PLACES = [Place(tenant, area, caller) for tenant in "TU" for area in "ab" for caller in "cd"]


class Floor:
    """Calls that stay until they are told to go."""

    def __init__(self, slots: Slots, tasks: TaskGroup) -> None:
        self.slots = slots
        self.tasks = tasks
        self.inside: list[Place] = []
        self.came: list[Place] = []
        self.turned_away: list[Place] = []
        self.going: list[tuple[Place, anyio.Event]] = []

    async def come(self, *places: Place) -> None:
        """Let calls come, and wait until each is in, waits or is turned away."""
        for place in places:
            self.tasks.start_soon(self._call, place)
            await anyio.wait_all_tasks_blocked()

    async def go(self, wanted: Callable[[Place], bool] = lambda _place: True) -> None:
        """Let one of those inside go."""
        found = next(each for each in self.going if wanted(each[0]))
        found[1].set()
        await anyio.wait_all_tasks_blocked()

    async def _call(self, place: Place) -> None:
        go = anyio.Event()
        try:
            async with self.slots.take(place):
                self.inside.append(place)
                self.came.append(place)
                self.going.append((place, go))
                await go.wait()
                self.inside.remove(place)
                self.going.remove((place, go))
        except Busy:
            self.turned_away.append(place)


@asynccontextmanager
async def floor(slots: Slots) -> AsyncIterator[Floor]:
    async with anyio.create_task_group() as tasks:
        yield Floor(slots, tasks)
        tasks.cancel_scope.cancel()
    assert (slots.running, slots.waiting) == (0, 0)


async def test_calls_beyond_running_and_waiting_are_refused_and_slots_come_back() -> None:
    async with floor(Slots(running=1, waiting=1)) as on:
        await on.come(HERE, HERE, HERE)
        assert (len(on.inside), on.slots.waiting, len(on.turned_away)) == (1, 1, 1)
        await on.go()
        assert (len(on.came), on.slots.waiting) == (2, 0)
        await on.go()
        assert on.slots.running == 0


async def test_a_call_that_fails_gives_its_slot_back() -> None:
    slots = Slots(running=1, waiting=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with slots.take(HERE):
                raise ZeroDivisionError


async def test_an_area_alone_gets_its_share_and_leaves_its_callers_the_others() -> None:
    async with floor(Slots(running=64, waiting=256, share=32)) as on:
        await on.come(*[Place("t", "slow", "ana")] * 60)
        assert (len(on.inside), on.slots.waiting) == (32, 28)
        await on.come(*[Place("t", "quick", "ana")] * 4, *[Place("t", "quick", "ben")] * 4)
        assert len(on.inside) == 40, "all that call a quick area are in, whoever calls it"


@pytest.mark.parametrize("stalled", [1, 2, 3, 5])
async def test_however_many_areas_stall_others_go_on(stalled: int) -> None:
    async with floor(Slots(running=64, waiting=1_000, share=32)) as on:
        for number in range(stalled):
            await on.come(*[Place(f"t{number % 3}", f"a{number}", number)] * 60)
        stuck = len(on.inside)
        assert 32 <= stuck < 64
        for _ in range(200):
            await on.come(Place("other", "quick", "zoe"))
            await on.go(lambda place: place.area == "quick")
        assert (len(on.came), on.turned_away) == (stuck + 200, [])


async def test_one_caller_of_all_areas_leaves_something_to_others() -> None:
    async with floor(Slots(running=64, waiting=256, share=32)) as on:
        await on.come(*[Place("t", area, "greedy") for area in "abcd" for _ in range(40)])
        assert len(on.inside) == 48
        await on.come(*[Place("t", area, "modest") for area in "cd"])
        assert [place.area for place in on.inside if place.caller == "modest"] == ["c", "d"]


async def test_whoever_holds_least_is_let_in_first() -> None:
    async with floor(Slots(running=6, waiting=50)) as on:
        await on.come(
            *[Place("big", "a", "greedy")] * 20, *[Place("big", "a", "modest")] * 2, Place("small", "a", "zoe")
        )
        before = len(on.came)
        for _ in range(3):
            await on.go(lambda place: place.caller == "greedy")
        assert [place.caller for place in on.came[before:]] == ["zoe", "modest", "modest"]


async def test_a_full_queue_makes_room_for_who_has_less_in_it() -> None:
    async with floor(Slots(running=1, waiting=6)) as on:
        await on.come(*[Place("big", "a", "greedy")] * 7)
        await on.come(Place("big", "b", "modest"), Place("small", "a", "zoe"))
        assert on.turned_away == [Place("big", "a", "greedy")] * 2
        await on.come(Place("big", "a", "greedy"))
        assert on.turned_away == [Place("big", "a", "greedy")] * 3, "who has most in it waits for no turn of others"
        for _ in range(3):
            await on.go()
        assert {place.caller for place in on.came} == {"greedy", "modest", "zoe"}


async def test_who_would_wait_too_long_is_told_at_once_when_to_come_back() -> None:
    now = 0.0
    slots = Slots(running=1, waiting=50, patience=20, clock=lambda: now)
    async with slots.take(HERE):
        now += 12.0
    async with floor(slots) as on:
        await on.come(HERE, HERE, HERE)
        assert (on.slots.running, on.slots.waiting, len(on.turned_away)) == (1, 1, 1)
        with pytest.raises(Busy) as refused:
            async with slots.take(HERE):
                raise AssertionError
        assert refused.value.seconds == 20


async def test_who_has_waited_too_long_is_told_so() -> None:
    async with floor(Slots(running=1, waiting=5, patience=0.01)) as on:
        await on.come(HERE)
        with pytest.raises(Busy, match="come back in 1 s"):
            async with on.slots.take(HERE):
                raise AssertionError
        assert on.slots.waiting == 0


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PLACES), st.integers(0, 5), st.booleans()), max_size=40),
    st.integers(1, 6),
    st.integers(0, 6),
    st.integers(1, 6),
)
def test_no_more_run_or_wait_than_may_and_nobody_is_forgotten(
    plan: list[tuple[Place, int, bool]], running: int, waiting: int, share: int
) -> None:
    async def run() -> None:
        slots = Slots(running, waiting, share)
        inside: Counter[tuple[str, str]] = Counter()
        ended: list[Place] = []

        async def call(place: Place, steps: int, given_up: bool) -> None:
            with anyio.CancelScope() as patience:
                if given_up:
                    patience.cancel()
                try:
                    async with slots.take(place):
                        inside[place[:2]] += 1
                        try:
                            assert inside.total() <= slots.running <= running
                            assert inside[place[:2]] <= share
                            assert slots.waiting <= waiting
                            for _ in range(steps):
                                await anyio.lowlevel.checkpoint()
                        finally:
                            inside[place[:2]] -= 1
                except Busy:
                    pass
            ended.append(place)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for place, steps, given_up in plan:
                    tasks.start_soon(call, place, steps, given_up)
                    if steps % 2:
                        await anyio.lowlevel.checkpoint()
        assert Counter(ended) == Counter(place for place, _, _ in plan)
        assert (slots.running, slots.waiting) == (0, 0)
        async with AsyncExitStack() as stack:
            for _ in range(min(share, running)):
                await stack.enter_async_context(slots.take(HERE))

    anyio.run(run)
