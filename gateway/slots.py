"""How many calls run and wait at once, so that a flood is told to come back instead of piling up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Busy(Exception):
    """All slots are taken and the queue is full."""


class Slots:
    """A bounded number of running calls and a bounded queue before them.

    Args:
        running: How many calls run at the same time.
        waiting: How many more may wait.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._most = running
        self._running = anyio.Semaphore(running)
        self._room = running + waiting
        self._inside = 0

    @property
    def running(self) -> int:
        """How many calls hold a slot."""
        return self._most - self._running.value

    @property
    def waiting(self) -> int:
        """How many calls wait for one."""
        return self._inside - self.running

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold a slot for the length of a call.

        Raises:
            Busy: If the queue is full.
        """
        if self._inside >= self._room:
            raise Busy
        self._inside += 1
        try:
            async with self._running:
                yield
        finally:
            self._inside -= 1
