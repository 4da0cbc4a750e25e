"""The metrics of several processes behind one address: whichever is asked tells those of all.

Each process listens on a socket in a folder of theirs and tells there what it counts. What one counted ends with it, as
with any process that is replaced; a series says in `process` whose it is.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import SocketStream
from structlog import get_logger

from gateway.metrics import Metrics

log = get_logger("remit.metrics")

_PATIENCE_SECONDS = 1.0
_MOST_BYTES = 64 * 2**20
_HELP = "# HELP "


class Together:
    """What one process tells for all.

    Args:
        metrics: Its own.
        folder: Where all of them listen; None if it is alone.
    """

    def __init__(self, metrics: Metrics, folder: Path | None) -> None:
        self._metrics = metrics
        self._folder = folder
        self._own = str(os.getpid())

    async def listen(self) -> None:
        """Tell the others whenever they ask. Runs until cancelled."""
        if self._folder is None:
            return
        try:
            listener = await anyio.create_unix_listener(self._folder / self._own, mode=0o600)
        except OSError as error:
            # Calls matter more than who counts them.
            log.error("metrics_not_told_to_other_processes", error=str(error))
            return
        await listener.serve(self._tell)

    async def written(self) -> bytes:
        """Everything in Prometheus' text form."""
        own = await anyio.to_thread.run_sync(self._metrics.written)
        if self._folder is None:
            return own
        told, silent = {self._own: own}, list[str]()

        async def ask(path: Path) -> None:
            try:
                told[path.name] = await _told_at(path)
            except ConnectionRefusedError:
                # Whoever listened there died, or is about to listen.
                if _is_gone(path.name):
                    await anyio.Path(path).unlink(missing_ok=True)
                else:
                    silent.append(path.name)
            except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
                silent.append(path.name)

        others = [path for path in await anyio.to_thread.run_sync(_sockets, self._folder) if path.name != self._own]
        async with anyio.create_task_group() as tasks:
            for path in others:
                tasks.start_soon(ask, path)
        return await anyio.to_thread.run_sync(joined, told, len(silent))

    async def _tell(self, stream: SocketStream) -> None:
        # Whoever asked may have gone.
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with stream:
                with anyio.fail_after(_PATIENCE_SECONDS):
                    await stream.send(await anyio.to_thread.run_sync(self._metrics.written))


def _is_gone(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return True
    except PermissionError:
        return False
    return False


def _sockets(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def _told_at(path: Path) -> bytes:
    parts, size = [], 0
    with anyio.fail_after(_PATIENCE_SECONDS):
        async with await anyio.connect_unix(path) as stream:
            async for part in stream:
                parts.append(part)
                size += len(part)
                if size > _MOST_BYTES:
                    raise OSError("too much")
    return b"".join(parts)


def joined(told: Mapping[str, bytes], silent: int) -> bytes:
    """Join what processes tell.

    Args:
        told: Each one's text form, by its name.
        silent: How many did not answer.
    """
    families: dict[str, list[str]] = {}
    for process, text in sorted(told.items()):
        for head, samples in _families(text.decode()):
            families.setdefault(head, []).extend(_labelled(sample, process) for sample in samples)
    lines = [line for head, samples in families.items() for line in (head, *samples)]
    counts = (("told", len(told)), ("silent", silent))
    lines += ["# HELP remit_workers Processes behind this address.", "# TYPE remit_workers gauge"]
    lines += [f'remit_workers{{state="{state}"}} {number}' for state, number in counts]
    return "".join(f"{line}\n" for line in lines).encode()


def _families(text: str) -> Iterable[tuple[str, list[str]]]:
    """Each family's two lines of heading, and its samples."""
    for family in f"\n{text}".split(f"\n{_HELP}")[1:]:
        help_, type_, *samples = family.rstrip("\n").split("\n")
        yield f"{_HELP}{help_}\n{type_}", samples


def _labelled(sample: str, process: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f'{name}{{process="{process}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{process="{process}"}} {value}'
