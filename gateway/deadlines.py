"""Futures that another thread settles, and a time limit for many of them: one timer, whatever their number."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

Waited: TypeAlias = asyncio.Future[None]


def settle(waited: Waited, error: Exception | None) -> None:
    """Tell whoever waits how it went, unless it was given up on; called in the loop."""
    if waited.done():
        return
    if error is None:
        waited.set_result(None)
    else:
        waited.set_exception(error)


class Deadlines:
    """Gives up on futures of one event loop that are not done in time.

    A timer for each would cost as much as the future itself, and nearly every one would be cancelled.

    Args:
        loop: The event loop.
        patience: Seconds that a future may take.
        give_up: Is called in the loop with each one that took longer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float, give_up: Callable[[Waited], None]) -> None:
        self.loop = loop
        self._patience = patience
        self._give_up = give_up
        self._waiting: deque[tuple[float, Waited]] = deque()
        self._is_armed = False

    def watch(self, future: Waited) -> None:
        """Give up on a future when its time is over; called in the loop."""
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        deadline = self.loop.time() + self._patience
        waiting.append((deadline, future))
        if not self._is_armed:
            self._arm(deadline)

    def _arm(self, deadline: float) -> None:
        self._is_armed = True
        self.loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._is_armed = False
        now, waiting = self.loop.time(), self._waiting
        while waiting and (waiting[0][1].done() or waiting[0][0] <= now):
            future = waiting.popleft()[1]
            if not future.done():
                self._give_up(future)
        if waiting:
            self._arm(waiting[0][0])
