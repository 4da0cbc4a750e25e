"""A proxy in front of a server that speaks TLS from the start: it sees what is said, and fails when it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

_TAIL = 64


class Action(Enum):
    """What becomes of a server's answer."""

    DROP = auto()
    """It is not passed on; the connection ends."""
    STALL = auto()
    """It is not passed on, and nothing after it; the connection stays."""
    GARBLE = auto()
    """Something else is passed on in its place."""
    TELL = auto()
    """It is passed on; only `happened` is set."""


@dataclass(frozen=True)
class Fault:
    """Fails once, at the first answer that matches.

    Args:
        action: What becomes of the answer.
        after: What the client must have said at the end of its last words.
        answer: What the answer must hold.
    """

    action: Action
    after: bytes = b""
    answer: bytes = b""


@dataclass
class TcpFaults:
    """Passes everything on, but for one fault at a time.

    Args:
        target: The server's port.
        folder: Has the certificates (`systems/mail.py`).
    """

    target: int
    folder: Path
    port: int = 0
    next: Fault | None = None
    refuses: bool = False
    """Whether connections are closed as soon as they come."""
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the fault has been made."""
    connections: int = 0
    """How many there have been."""
    _said: dict[int, bytes] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        self.connections += 1
        number = self.connections
        try:
            if self.refuses:
                return
            there = ssl.create_default_context(cafile=self.folder / "ca.pem")
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target, ssl=there)
            try:
                up = asyncio.create_task(self._up(number, reader, to_server))
                await self._down(number, from_server, writer)
                up.cancel()
                await asyncio.gather(up, return_exceptions=True)
            finally:
                # By now nothing more is to be said; to take leave in TLS would outlast the test.
                to_server.transport.abort()
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _up(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                self._said[number] = (self._said.get(number, b"") + data)[-_TAIL:]
                writer.write(data)
                await writer.drain()
            writer.close()

    async def _down(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            fault = self.next
            if fault and self._said.get(number, b"").endswith(fault.after) and fault.answer in data:
                self.next = None
                self.happened.set()
                if fault.action is Action.DROP:
                    return
                if fault.action is Action.STALL:
                    await reader.read(-1)
                    return
                if fault.action is Action.GARBLE:
                    data = b"\xff\xfe nothing of the kind\r\n"
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def tcp_faults(target: int, folder: Path) -> AsyncIterator[TcpFaults]:
    """Stand in front of a server until the block ends.

    Args:
        target: Its port; it speaks TLS from the start.
        folder: Has the certificates.
    """
    faults = TcpFaults(target, folder)
    here = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    here.load_cert_chain(folder / "server.pem", folder / "server.key")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        with suppress(asyncio.CancelledError):
            await faults.serve(reader, writer)
        tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=here)
    faults.port = server.sockets[0].getsockname()[1]
    try:
        yield faults
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)  # what was closed is let go of
