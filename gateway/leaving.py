"""The end of a process: whoever was let in is answered, nobody else is, and what cannot end in time is told.

A call's intent is on the disk before it runs, so a call that is cut off here is found out by the next process
(`gateway/recovery.py`), and its caller hears of it by repeating it under its key.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import IntEnum
from functools import partial
from multiprocessing import parent_process
from types import FrameType
from typing import TYPE_CHECKING, TypeAlias

import anyio
import anyio.to_thread
from structlog import get_logger

if TYPE_CHECKING:
    from gateway.gateway import Gateway
    from gateway.settings import Settings

log = get_logger("remit.leaving")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.05
_LAST_WORDS_SECONDS = 0.2
"""What was answered last is on its way."""
_CUT_OFF_SECONDS = 5.0
"""What is cut off may still be recorded as such."""


_Handler: TypeAlias = Callable[[int, FrameType | None], object] | int


class Stage(IntEnum):
    """How far a process is on its way out."""

    SERVING = 0
    LEAVING = 1
    """It says that it is not ready, and still takes calls: whoever sends them has not heard it yet."""
    CLOSED = 2
    """It takes no more calls."""


class Leaving:
    """Where a process stands on its way out; it only goes forward."""

    def __init__(self) -> None:
        self.stage = Stage.SERVING

    def reach(self, stage: Stage) -> None:
        """Go on to a stage, unless the process is past it."""
        self.stage = max(self.stage, stage)

    @property
    def is_closed(self) -> bool:
        """Whether no more calls are taken."""
        return self.stage is Stage.CLOSED


async def leave(gateway: "Gateway", delay: float, patience: float) -> tuple[str, ...]:
    """Bring the calls of a process to an end.

    Args:
        gateway: Whose calls.
        delay: For how many seconds calls are still taken, until a load balancer has seen that it is not ready.
        patience: How many seconds the calls that run then may take.

    Returns:
        The names of the calls that still run.
    """
    gateway.leaving.reach(Stage.LEAVING)
    log.info("leaving", running=gateway.slots.running, waiting=gateway.slots.waiting, held=len(gateway.patience.held))
    await anyio.sleep(delay)
    gateway.leaving.reach(Stage.CLOSED)
    gateway.patience.held.let_go()
    with anyio.move_on_after(patience):
        while gateway.slots.running or gateway.slots.waiting or gateway.patience.held:  # noqa: ASYNC110 - a count
            await anyio.sleep(_LOOK_SECONDS)
        await anyio.sleep(_LAST_WORDS_SECONDS)
    left = gateway.running.names
    for name in left:
        log.warning("left_running", call=name)
    return left


@asynccontextmanager
async def leaving_when_told(gateway: "Gateway", settings: "Settings") -> AsyncIterator[None]:
    """Until the block ends, leave when SIGTERM or SIGINT comes; a second one ends the process at once.

    One of several processes hears of SIGTERM only, once: a terminal and a service manager tell it as well as its parent
    does, and its parent alone says when it has to end at once (`gateway/cli/parent.py`).

    Then whoever handled the signal before is told of it. Where nobody did, and where calls cannot be waited for any
    longer, the process ends here, with status 0 and a closed journal.
    """
    before: dict[int, _Handler] = {number: signal.getsignal(number) or signal.SIG_DFL for number in _SIGNALS}
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[int] = loop.create_future()
    is_worker = parent_process() is not None
    for number in _SIGNALS:
        loop.add_signal_handler(number, _hear_as_worker if is_worker else _hear, heard, number)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_leave_then_stop, gateway, settings, heard, before)
            yield
            tasks.cancel_scope.cancel()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


def _hear(heard: "asyncio.Future[int]", number: int) -> None:
    if heard.done():
        log.warning("stopped_at_once")
        os._exit(128 + number)
    heard.set_result(number)


def _hear_as_worker(heard: "asyncio.Future[int]", number: int) -> None:
    if number == signal.SIGTERM and not heard.done():
        heard.set_result(number)


async def _leave_then_stop(
    gateway: "Gateway", settings: "Settings", heard: "asyncio.Future[int]", before: dict[int, _Handler]
) -> None:
    number = await heard
    left = await leave(gateway, settings.shutdown_delay, settings.shutdown_patience)
    stop = before[number]
    if not callable(stop) or stop is signal.default_int_handler:
        await anyio.to_thread.run_sync(_end, gateway)
    if left:
        asyncio.get_running_loop().call_later(_CUT_OFF_SECONDS, partial(_end, gateway))
    if callable(stop):
        stop(number, None)


def _end(gateway: "Gateway") -> None:
    """End the process although something in it still runs."""
    gateway.journal.close()
    log.info("ended")
    os._exit(0)
