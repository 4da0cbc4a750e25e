"""What back ends need that change records in systems which cannot compare them first."""

from collections.abc import Awaitable
from hashlib import sha256
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio

from connectors.contract import CallContext, Output
from connectors.errors import ConnectorError, InDoubt, Unavailable
from connectors.vendor.read_back import read_back

T = TypeVar("T")


class OneAtATime:
    """Locks by name: this process looks at a record and changes it before it looks at it for another call."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> anyio.Lock:
        """The lock of this name, to be held as long as it is needed."""
        lock = self._locks.get(name) or anyio.Lock()
        self._locks[name] = lock
        return lock


def mark_of(call: CallContext) -> str:
    """What a call's key leaves at what it changes: 32 hexadecimal digits."""
    return sha256(call.key.encode()).hexdigest()[:32]


async def found(system: str, finding: Awaitable[Output | None]) -> Output:
    """What was found under a key, in a system that cannot be told to refuse what is still on its way.

    Args:
        system: Its name.
        finding: Gives it; None if there is nothing.

    Raises:
        Unavailable: If it cannot be asked.
        InDoubt: If there is nothing, or nothing that can be shown.
    """
    try:
        output = await finding
    except Unavailable:
        raise
    except ConnectorError as error:
        raise InDoubt(f"{system} cannot show what there is under this key: {error.message}") from None
    if output is None:
        raise InDoubt(f"{system} has nothing under this key, but it may still be on its way there")
    return output


async def done(reading: Awaitable[T]) -> T:
    """What a change gave: it was made, whatever becomes of reading it.

    Raises:
        InDoubt: If it cannot be read.
    """
    return await read_back(reading, "it was changed, and then could not be read")
