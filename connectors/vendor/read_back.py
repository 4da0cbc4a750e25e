"""Reading what a write left: the write was done, whatever becomes of reading it."""

from collections.abc import Awaitable
from typing import TypeVar

from connectors.errors import ConnectorError, InDoubt

T = TypeVar("T")


async def read_back(reading: Awaitable[T], told: str) -> T:
    """What a write left.

    Args:
        reading: Gives it.
        told: What to say where that fails; the reason follows, with its mark where outsiders may have worded it.

    Raises:
        InDoubt: If it cannot be read.
    """
    try:
        return await reading
    except ConnectorError as error:
        raise InDoubt(f"{told}: {error.message}", is_untrusted=error.is_untrusted) from error
