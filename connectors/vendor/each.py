"""Asking a system for several things at once, as many at a time as it likes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from connectors.errors import ConnectorError

K = TypeVar("K")
V = TypeVar("V")


async def each_of(items: Sequence[K], get: Callable[[K], Awaitable[V]], *, at_once: int) -> list[V]:
    """What each of the items gives, in their order.

    Args:
        items: What is asked for.
        get: Asks for one.
        at_once: How many are asked for at a time.

    Raises:
        ConnectorError: If one of them fails, once all have ended.
    """
    found: dict[int, V] = {}
    failed: list[ConnectorError] = []
    limit = anyio.Semaphore(at_once)

    async def one(number: int, item: K) -> None:
        try:
            async with limit:
                found[number] = await get(item)
        except ConnectorError as error:
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        for number, item in enumerate(items):
            tasks.start_soon(one, number, item)
    if failed:
        raise failed[0]
    return [found[number] for number in range(len(items))]
