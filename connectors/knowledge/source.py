"""Where documents lie that are answered from an index: what such a source can say, and how it is waited for."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread

from connectors.errors import Unavailable
from connectors.records import DocumentRecord

T = TypeVar("T")

_CLOSING_SECONDS = 1.0


class Source(Protocol):
    """Where documents lie. `IndexedKnowledge` asks it one thing at a time."""

    name: str
    """What it is to people, such as "the folder `handbook`"."""

    async def listing(self) -> Mapping[str, str]:
        """Every document that there is now: by name what changes whenever anything of it does, its readers included.

        Raises:
            Unavailable: If the source cannot be read, or not all of it.
        """
        ...

    async def read(self, names: list[str]) -> Mapping[str, DocumentRecord | str]:
        """Documents of the last listing, each with its name as `source_id`, or the reason why it is not served.

        What is left out was gone or changed at this moment, and is asked for again next time.

        Raises:
            Unavailable: If the source cannot be read.
        """
        ...

    async def close(self) -> None:
        """Let go of whatever is held."""
        ...


class OwnThreads:
    """Threads of one source's own: one that hangs, as a network's file system can, holds nobody else up.

    Those that hang are counted, too: there are never more than `at_once`.

    Args:
        name: What the source is to people.
        seconds: How long it may take for one thing.
        at_once: How many things at once.
    """

    def __init__(self, name: str, seconds: float, at_once: int = 2) -> None:
        self._name = name
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(at_once)

    async def run(self, work: Callable[[], T]) -> T:
        """Do something that blocks.

        Raises:
            Unavailable: If it takes too long or the system refuses it.
        """
        try:
            with anyio.fail_after(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise Unavailable(
                f"{self._name} does not answer within {self._seconds:g} s; repeat the call later"
            ) from None
        except OSError as error:
            reason = (error.strerror or "input error").lower()
            raise Unavailable(
                f"{self._name} cannot be read: {reason}; nothing is answered from it until then"
            ) from error

    async def close(self) -> None:
        """Begin nothing more, and wait a moment for what is under way."""
        with anyio.move_on_after(_CLOSING_SECONDS):
            end = partial(self._threads.shutdown, cancel_futures=True)
            await anyio.to_thread.run_sync(end, abandon_on_cancel=True)
