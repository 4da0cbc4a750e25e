"""How many calls run and wait at once: a flood is told to come back, and nobody takes what others need.

Bulkheads without walls: each place (one tenant's area) and each caller may hold at most a share of what is free at the
moment, so that there is always something left for others, however many back ends stall. (Dynamic thresholds as in
shared-memory switches: Choudhury and Hahne, 1998.) Whoever waits is let in by turns: first of the tenant, then of the
caller, that holds least. When the queue is full, whoever fills it makes room.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

import anyio

_WEIGHT = 0.2
"""How much the newest call counts in how long calls take."""


class Busy(Exception):
    """There is no room, or none in time; nothing was done.

    Args:
        seconds: When to come back.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = max(ceil(seconds), 1)
        super().__init__(f"too many calls at the moment; nothing was done, come back in {self.seconds} s")


class Place(NamedTuple):
    """Where a call goes, and whose it is."""

    tenant: str
    area: str = ""
    caller: Hashable = ""

    @property
    def of_area(self) -> Hashable:
        """All calls to one area of the tenant."""
        return self.tenant, self.area

    @property
    def of_caller(self) -> Hashable:
        """All calls of one caller of the tenant, under a key that is no area's."""
        return self.tenant, None, self.caller

    @property
    def crowds(self) -> tuple[Hashable, ...]:
        """Whom it waits among, from the largest crowd to the smallest."""
        return self.tenant, self.of_caller, (self.of_caller, self.area)


@dataclass(eq=False, slots=True)
class _Waiting:
    place: Place
    number: int
    room: anyio.Event = field(default_factory=anyio.Event)
    is_in: bool = False


class Slots:
    """A bounded number of running calls and a bounded queue before them.

    Args:
        running: How many calls run at the same time.
        waiting: How many more may wait.
        share: How many of those that run may be of one tenant's area while nobody else calls; by default all. The more
            others hold, the fewer. A caller may have half of the rest as well, so that one stalled area leaves it the
            others.
        patience: For how many seconds a call waits at most.
        clock: Seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        running: int,
        waiting: int,
        share: int | None = None,
        patience: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = running
        self._most_waiting = waiting
        self._share = min(share or running, running)
        self._share_of_caller = running - (running - self._share) // 2
        self._patience = patience
        self._clock = clock
        self._held: Counter[Hashable] = Counter()
        self._running = 0
        self._number = 0
        self._last: dict[Hashable, int] = {}
        self._queue: list[_Waiting] = []
        self._usual: dict[Hashable, float] = {}

    @property
    def running(self) -> int:
        """How many calls hold a slot."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many calls wait for one."""
        return len(self._queue)

    @asynccontextmanager
    async def take(self, place: Place) -> AsyncIterator[None]:
        """Hold a slot for the length of a call.

        Args:
            place: Where the call goes.

        Raises:
            Busy: If the queue is full and nobody has more in it, or if it would take too long, or did.
        """
        await self._enter(place)
        began = self._clock()
        try:
            yield
        finally:
            self._leave(place, self._clock() - began)

    async def _enter(self, place: Place) -> None:
        if self._has_room(place):
            self._hold(place, 1)
            return
        expected = self._expected(place)
        if expected > self._patience or not self._room_in_queue(place):
            raise Busy(min(expected, self._patience))
        self._number += 1
        mine = _Waiting(place, self._number)
        self._queue.append(mine)
        try:
            with anyio.move_on_after(self._patience):
                await mine.room.wait()
        except BaseException:
            self._give_up(mine)
            raise
        if not mine.is_in:
            self._give_up(mine)
            raise Busy(min(self._expected(place), self._patience))

    def _has_room(self, place: Place) -> bool:
        return self._within(self._share, place.of_area) and self._within(self._share_of_caller, place.of_caller)

    def _within(self, share: int, of: Hashable) -> bool:
        # What is held stands to what stays free at most as `share` to all the others: alone it gets `share` exactly.
        free = self._most - self._running
        return self._held[of] * (self._most - share) < share * free

    def _expected(self, place: Place) -> float:
        """For how many seconds a call would wait, by how long such calls took lately and how many wait before it."""
        before = sum(each.place.of_area == place.of_area for each in self._queue)
        return self._usual.get(place.of_area, 0.0) * (before + 1) / max(self._held[place.of_area], 1)

    def _room_in_queue(self, place: Place) -> bool:
        """Whether there is room in the queue, made if need be by whoever has most in it."""
        if len(self._queue) < self._most_waiting:
            return True
        crowds = Counter(crowd for each in self._queue for crowd in each.place.crowds)
        # Of whoever has most the newest goes: it has waited least.
        heaviest = max(
            reversed(self._queue), key=lambda each: [crowds[crowd] for crowd in each.place.crowds], default=None
        )
        if heaviest is None or not _is_lighter(place, heaviest.place, crowds):
            return False
        self._queue.remove(heaviest)
        heaviest.room.set()
        return True

    def _hold(self, place: Place, count: int) -> None:
        self._running += count
        for each in (place.tenant, place.of_area, place.of_caller):
            self._held[each] += count
            if not self._held[each]:
                del self._held[each]

    def _leave(self, place: Place, took: float) -> None:
        self._hold(place, -1)
        usual = self._usual.get(place.of_area, took)
        self._usual[place.of_area] = usual + _WEIGHT * (took - usual)
        self._let_in()

    def _let_in(self) -> None:
        while waiting := self._next():
            self._queue.remove(waiting)
            self._hold(waiting.place, 1)
            self._number += 1
            self._last[waiting.place.tenant] = self._last[waiting.place.of_caller] = self._number
            waiting.is_in = True
            waiting.room.set()
        if not self._queue:
            self._last.clear()

    def _next(self) -> _Waiting | None:
        """Of those for whom there is room, whose tenant and caller hold least, or were let in longest ago."""
        # Most wait in the same few places.
        first = {each.place: each for each in reversed(self._queue)}
        ready = [each for place, each in first.items() if self._has_room(place)]
        return min(ready, key=self._turn, default=None)

    def _turn(self, waiting: _Waiting) -> tuple[int, ...]:
        tenant, caller = waiting.place.tenant, waiting.place.of_caller
        of_tenant, of_caller = ((self._held[each], self._last.get(each, 0)) for each in (tenant, caller))
        return *of_tenant, *of_caller, waiting.number

    def _give_up(self, waiting: _Waiting) -> None:
        if waiting.is_in:
            self._hold(waiting.place, -1)
            self._let_in()
        elif waiting in self._queue:
            self._queue.remove(waiting)


def _is_lighter(place: Place, heaviest: Place, crowds: Counter[Hashable]) -> bool:
    """Whether the largest crowd that two places do not share would stay smaller with one more."""
    for mine, other in zip(place.crowds, heaviest.crowds, strict=True):
        if mine != other:
            return crowds[mine] + 1 < crowds[other]
    return False
