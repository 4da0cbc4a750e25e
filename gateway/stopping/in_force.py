"""The stops in force, held beside the calls: read again and again, and nothing runs where they cannot be read."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

import anyio
import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from gateway.stopping.book import StopBook
from gateway.stopping.stop import Stop

log = get_logger("remit.stopping")

FRESH_SECONDS = 0.8
"""What was read longer ago a call reads again itself, so that a stop counts within a second without any watcher."""

_READ_SECONDS = 1.0


class StopsUnread(Exception):
    """What is stopped could not be read for too long, so everything counts as stopped."""


@dataclass
class _Known:
    stops: tuple[Stop, ...] = ()
    read_at: float = float("-inf")
    tried_at: float = float("-inf")
    failing: bool = False


class StopsInForce:
    """What is stopped, as one process knows it.

    Args:
        book: Where it is kept.
        every: Seconds between two looks of the watcher.
        longest: Seconds for which what was read counts when it cannot be read again.
        clock: Gives seconds that only rise.
    """

    def __init__(self, book: StopBook, every: float, longest: float, clock: Callable[[], float] = monotonic) -> None:
        self.book = book
        self._every, self._longest, self._clock = every, longest, clock
        self._known = _Known()
        self._reading = anyio.Lock()

    @property
    def unread(self) -> bool:
        """Whether calls are refused because the stops cannot be read."""
        return self._clock() - self._known.read_at > self._longest

    def known(self, now: datetime) -> tuple[Stop, ...]:
        """The stops in force as far as they were read, however long ago."""
        return tuple(each for each in self._known.stops if each.in_force(now))

    async def watch(self) -> None:
        """Read them again and again. Runs until cancelled."""
        while True:
            await self.read()
            await anyio.sleep(self._every)

    async def current(self, now: datetime) -> tuple[Stop, ...]:
        """The stops in force, none of them older than a second.

        Args:
            now: The time.

        Raises:
            StopsUnread: If they could not be read for too long.
        """
        if not self._is_fresh():
            async with self._reading:
                # One reads for all that wait, and where that failed nobody tries again at once.
                if not self._is_fresh() and self._clock() - self._known.tried_at > FRESH_SECONDS:
                    await self._read()
        if self.unread:
            raise StopsUnread("what is stopped cannot be read, so nothing runs")
        return self.known(now)

    async def read(self) -> None:
        """Read them now; what cannot be read is logged and stays as it was."""
        async with self._reading:
            await self._read()

    async def _read(self) -> None:
        started = self._known.tried_at = self._clock()
        try:
            # Others wait for what it finds and do not look again: whoever reads for them reads to the end.
            with anyio.fail_after(_READ_SECONDS, shield=True):
                found = await anyio.to_thread.run_sync(self.book.read, abandon_on_cancel=True)
        except (SQLAlchemyError, TimeoutError, ValueError) as error:
            if not self._known.failing:
                log.error("stops_unread", error=type(error).__name__)
            self._known.failing = True
            return
        self._known.stops, self._known.read_at, self._known.failing = found, started, False

    def _is_fresh(self) -> bool:
        return self._clock() - self._known.read_at <= FRESH_SECONDS
