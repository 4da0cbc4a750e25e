"""Makes checkpoints beside the calls: whatever fails here is shown and logged, and no call waits for it."""

import threading
import time

from structlog import get_logger

from gateway.journal.sealing import CannotSeal, Sealer

log = get_logger("remit.checkpoints")

_LAST_SECONDS = 5


class Checkpoints:
    """A thread that seals the journal every so many entries and every so many seconds.

    Args:
        sealer: Makes the checkpoints.
        entries: How many new entries are sealed at once.
        seconds: How long an entry waits at most until it is tried.
    """

    def __init__(self, sealer: Sealer, entries: int, seconds: float) -> None:
        self._sealer = sealer
        self._entries = entries
        self._seconds = seconds
        self._new = 0
        self._wake = threading.Event()
        self._closing = False
        self.failing = ""
        """Why the last checkpoint could not be made; empty while all is well."""
        self.signed_at = 0.0
        """When all entries were signed last, in seconds of Unix time."""
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Begin, with what is not sealed yet."""
        self._thread.start()

    def written(self, count: int) -> None:
        """Take note of new entries."""
        self._new += count
        if self._new >= self._entries:
            self._new = 0
            self._wake.set()

    def close(self) -> None:
        """Make a last checkpoint and stop; a folder that hangs is not waited for."""
        self._closing = True
        self._wake.set()
        self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        last = False
        while not last:
            last = self._closing
            self._seal()
            if not last:
                self._wake.wait(self._seconds)
                self._wake.clear()

    def _seal(self) -> None:
        try:
            self._sealer.seal()
        except CannotSeal as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - whatever happens, the thread lives and says that it failed
            self._failed(f"{type(error).__name__}: {error}")
        else:
            self.failing, self.signed_at = "", time.time()

    def _failed(self, why: str) -> None:
        if why != self.failing:
            log.error("checkpoint_failed", error=why)
        self.failing = why
