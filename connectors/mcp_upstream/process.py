"""A server as a child process: lines in, lines out, an environment of its own, ended with everything it started."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from subprocess import PIPE

import anyio
from anyio.abc import ByteReceiveStream, Process
from structlog import get_logger

from connectors.mcp_upstream.declaration import Stdio

log = get_logger("remit.upstream")

_LONGEST_LINE = 16 * 2**20
_TOLD_LINES = 20
_TOLD_CHARACTERS = 200
_GRACE_SECONDS = 1.0
_POLL_SECONDS = 0.01


class Child:
    """A running server."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def lines(self) -> AsyncIterator[bytes]:
        """Each line that it writes, until it ends or writes one without an end."""
        assert self._process.stdout  # noqa: S101 - it was opened so
        held = bytearray()
        async for chunk in self._process.stdout:
            held += chunk
            *whole, rest = held.split(b"\n") if b"\n" in chunk else [held]
            held = bytearray(rest)
            for line in whole:
                yield bytes(line)
            if len(held) > _LONGEST_LINE:
                log.warning("upstream_line_too_long", bytes=len(held))
                return

    async def write(self, line: str) -> None:
        """Write a line to it.

        Raises:
            OSError: If it does not read any more; also anyio's errors for that.
        """
        assert self._process.stdin  # noqa: S101 - it was opened so
        await self._process.stdin.send(line.encode() + b"\n")


@asynccontextmanager
async def running(name: str, stdio: Stdio) -> AsyncIterator[Child]:
    """Run a server until the block ends.

    Raises:
        OSError: If it cannot be started.
    """
    environment = {each: os.environ[each] for each in stdio.env if each in os.environ}
    process = await anyio.open_process(
        [stdio.command, *stdio.args],
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
        cwd=stdio.folder,
        start_new_session=True,
    )
    assert process.stderr  # noqa: S101 - it was opened so
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_log_words, name, process.stderr)
            yield Child(process)
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _log_words(name: str, words: ByteReceiveStream) -> None:
    """Log the first lines of what it says beside the protocol; read on, so that it is never held up."""
    told = 0
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for chunk in words:
            for line in chunk[: _TOLD_CHARACTERS * _TOLD_LINES].splitlines():
                if told < _TOLD_LINES:
                    # ASCII: nothing in it can deceive whoever reads the log.
                    log.debug(
                        "upstream_says", server=name, line=ascii(line[:_TOLD_CHARACTERS].decode(errors="replace"))
                    )
                told += 1


async def _end(process: Process) -> None:
    """Close its input, and end it and what it started if it does not go by itself (MCP 2025-11-25, "Shutdown")."""
    if process.stdin:
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await process.stdin.aclose()
    await _gone(process)
    for number in (signal.SIGTERM, signal.SIGKILL):
        # The group is ended even if the server itself is gone: what it started is not.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
            await _gone(process)
    await process.aclose()


async def _gone(process: Process) -> None:
    """Wait for its end for a while; not by `wait`, which also waits for whoever holds its pipes."""
    with anyio.move_on_after(_GRACE_SECONDS):
        while process.returncode is None:  # noqa: ASYNC110 - nothing else tells it
            await anyio.sleep(_POLL_SECONDS)
