"""Runs and workers of tests."""

from collections.abc import Awaitable, Callable

import anyio

from orchestrator.durable.run import Run
from orchestrator.durable.store import Begin, Kept, Store
from orchestrator.durable.worker import Worker

Flow = Callable[[Run], Awaitable[str]]


def begin(name: str = "", given: str = "{}", **more: str) -> Begin:
    return Begin("flow", 1, given, id=name, **more)


async def works(store: Store, flow: Flow, *, at_once: int = 16) -> None:
    """Let a worker do whatever is to be done now."""
    await Worker(store, flow, at_once=at_once, idle=0.01).run(until_idle=True)


async def make(store: Store, flow: Flow, name: str = "run", given: str = "{}") -> Kept:
    """Begin a run, let a worker go through it as far as it comes, and look at it."""
    await store.begin(begin(name, given))
    await works(store, flow)
    kept, _ = await store.find(name)
    return kept


async def held(store: Store, name: str = "run", lease: float = 60.0) -> Kept:
    """A run that a worker holds."""
    await store.begin(begin(name))
    claimed = await store.claim("holder", 10, lease)
    return next(kept for kept in claimed if kept.id == name)


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 60, pause: float = 0.02) -> None:
    """Wait until something holds that another task or process brings about."""
    with anyio.fail_after(seconds):
        while not await holds():  # noqa: ASYNC110 - it is in a database
            await anyio.sleep(pause)
