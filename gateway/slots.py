"""How many calls run and wait at once, so that a flood is told to come back instead of piling up."""

from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import anyio


class Busy(Exception):
    """All slots are taken and the queue is full."""


class Slots:
    """A bounded number of running calls and a bounded queue before them, in all and for each place.

    A place is one tenant's area, so that a back end that is slow for one tenant fills neither all slots nor the whole
    queue (the bulkhead pattern).

    Args:
        running: How many calls run at the same time.
        waiting: How many more may wait.
        running_for_place: How many of the running ones may be of the same place; by default all. It may also have only
            this share of those who wait.
    """

    def __init__(self, running: int, waiting: int, running_for_place: int | None = None) -> None:
        self._most = running
        self._running = anyio.Semaphore(running)
        self._room = running + waiting
        self._place_running = min(running_for_place or running, running)
        self._place_room = self._place_running + waiting * self._place_running // running
        self._inside: Counter[Hashable] = Counter()
        self._places: WeakValueDictionary[Hashable, anyio.Semaphore] = WeakValueDictionary()

    @property
    def running(self) -> int:
        """How many calls hold a slot."""
        return self._most - self._running.value

    @property
    def waiting(self) -> int:
        """How many calls wait for one."""
        return self._inside.total() - self.running

    @asynccontextmanager
    async def take(self, place: Hashable = "") -> AsyncIterator[None]:
        """Hold a slot for the length of a call.

        Args:
            place: Where the call goes.

        Raises:
            Busy: If the queue is full.
        """
        if self._inside.total() >= self._room or self._inside[place] >= self._place_room:
            raise Busy
        of_place = self._places.setdefault(place, anyio.Semaphore(self._place_running))
        self._inside[place] += 1
        try:
            # First the place's, so that whoever waits for a slow back end holds no slot meanwhile.
            async with of_place, self._running:
                yield
        finally:
            self._inside[place] -= 1
            if not self._inside[place]:
                del self._inside[place]
