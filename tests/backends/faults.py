"""A proxy in front of a system under test that fails in a chosen way, once, at the next request."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto

import httpx

# A client that is given none reads and parses all authorities' certificates anew; the systems speak no TLS.
NO_TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length", "host"}
_BUSY = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"
_SHORTLY_BUSY = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
_OUTAGE = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
_UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
_MALFORMED = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"id": [}'


class Fault(Enum):
    """What goes wrong with one request."""

    LOST_ANSWER = auto()
    """The system acts, and its answer never arrives."""
    RATE_LIMITED = auto()
    """429, to come back in a minute."""
    SHORTLY_RATE_LIMITED = auto()
    """429, to come back at once."""
    OUTAGE = auto()
    """502; the system hears nothing."""
    UNAUTHORIZED = auto()
    """401; the system hears nothing."""
    MALFORMED = auto()
    """The system acts, and what arrives is no JSON."""


_ANSWERS = {
    Fault.RATE_LIMITED: _BUSY,
    Fault.SHORTLY_RATE_LIMITED: _SHORTLY_BUSY,
    Fault.OUTAGE: _OUTAGE,
    Fault.UNAUTHORIZED: _UNAUTHORIZED,
}


@dataclass
class Faults:
    """The proxy.

    Args:
        target: The system's address, without a path.
        url: The proxy's own.
        fault: What goes wrong with the next request; None for nothing.
        when: Which requests count, by method and path; those before pass.
        after: Which request must have passed before.
        seen: Method and path of every request.
    """

    target: str
    url: str = ""
    fault: Fault | None = None
    when: str = ""
    after: str = ""
    seen: list[str] = field(default_factory=list)
    _serving: "list[asyncio.Task[None]]" = field(default_factory=list)

    def fail(self, fault: Fault, when: str = "", after: str = "") -> None:
        """Have the next request fail whose line (`POST /path`) contains a text, once one has passed with another."""
        self.fault, self.when, self.after = fault, when, after

    def _taken(self, line: str) -> Fault | None:
        if self.fault is None or self.after or self.when not in line:
            self.after = "" if self.after in line else self.after
            return None
        fault, self.fault = self.fault, None
        return fault

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._serving.append(asyncio.create_task(self._handle(reader, writer)))

    async def end(self) -> None:
        """Serve none any more."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with httpx.AsyncClient(timeout=30, verify=NO_TRUST, trust_env=False) as http:
                while await self._one(http, reader, writer):
                    pass
        except (OSError, asyncio.IncompleteReadError, httpx.HTTPError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _one(self, http: httpx.AsyncClient, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = await reader.readexactly(length)
        self.seen.append(f"{method} {path}")
        fault = self._taken(f"{method} {path}")
        if fault in _ANSWERS:
            writer.write(_ANSWERS[fault])
            await writer.drain()
            return True
        kept = [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
        answer = await http.request(method, self.target + path, headers=kept, content=body)
        if fault is Fault.LOST_ANSWER:
            writer.transport.abort()
            return False
        writer.write(_MALFORMED if fault is Fault.MALFORMED else _raw(answer))
        await writer.drain()
        return True


def _raw(answer: httpx.Response) -> bytes:
    headers = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in _HOP_BY_HOP]
    lines = [f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}", *(f"{name}: {value}" for name, value in headers)]
    has_none = answer.status_code == 204 or answer.request.method == "HEAD"
    lines += [] if has_none else [f"content-length: {len(answer.content)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if has_none else answer.content)


@asynccontextmanager
async def faulty(target: str) -> AsyncIterator[Faults]:
    """Run the proxy in front of a system.

    Args:
        target: The system's address, such as `http://127.0.0.1:8080`.
    """
    faults = Faults(target.rstrip("/"))
    server = await asyncio.start_server(faults.accept, "127.0.0.1", 0, limit=2**20)
    faults.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield faults
    finally:
        server.close()
        await faults.end()
