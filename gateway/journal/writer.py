"""Writing the journal: durable before anything happens.

One thread writes; entries that arrive together are committed together (group commit), each with a full sync, so the
cost of durability is shared. A caller goes on only when its entry is on the disk. The journal never waits for ever:
an entry that is not durable in time is an error, and whoever asked must not act.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from connectors.embedded.engine import reason
from gateway.database import Database
from gateway.deadlines import Deadlines, Waited, settle
from gateway.journal.entry import Entry, JournalUnavailable, SealedRow, to_row
from gateway.journal.envelope import new_key
from gateway.journal.store import open_store

if TYPE_CHECKING:
    from gateway.journal.checkpoints import Checkpoints

log = get_logger("remit.journal")

_BATCH = 256
_QUEUE = 10_000


@dataclass(slots=True)
class _Pending:
    row: SealedRow | None
    """None is written nowhere, and asks whether something could be."""
    done: Waited
    loop: asyncio.AbstractEventLoop
    abandoned: bool = False


class Journal:
    """The append-only record in one database.

    Args:
        database: Where it is; its tables are made if absent.
        timeout: Seconds an entry may take to become durable.
        checkpoints: Made of what is written; started and closed with the journal.
        took: Is told how many seconds each entry took to become durable, or to be refused.

    Raises:
        JournalUnavailable: If the database cannot be opened and written.
    """

    def __init__(
        self,
        database: Database,
        timeout: float,
        checkpoints: "Checkpoints | None" = None,
        took: Callable[[float], None] | None = None,
    ) -> None:
        self._timeout = timeout
        self._checkpoints = checkpoints
        self._took = took
        self._deadlines: Deadlines | None = None
        self._queue: SimpleQueue[_Pending | None] = SimpleQueue()
        self._store = open_store(database, timeout / 2)
        self.failing: str = ""
        """Why the last write failed; empty while the journal works."""
        try:
            database.prepare()
        except SQLAlchemyError as error:
            raise JournalUnavailable(f"the journal `{database.label}` cannot be written: {reason(error)}") from error
        self._thread = threading.Thread(target=self._write_until_closed, name="journal", daemon=True)
        self._thread.start()
        if checkpoints:
            checkpoints.start()

    @property
    def unsigned(self) -> str:
        """Why no checkpoint could be made of what was written last; empty while all is well."""
        return self._checkpoints.failing if self._checkpoints else ""

    @property
    def waiting(self) -> int:
        """How many entries wait to be written."""
        return self._queue.qsize()

    @property
    def signed_at(self) -> float:
        """When all entries were signed last, in seconds of Unix time; 0 if never."""
        return self._checkpoints.signed_at if self._checkpoints else 0

    def doubt(self, why: str) -> None:
        """Say that it cannot be used, as whoever could not read it knows; the next entry that is written ends it."""
        self.failing = self.failing or why

    async def append(self, entry: Entry) -> None:
        """Make an entry durable.

        Raises:
            AlreadyRecorded: If its `once` is in the tenant's journal; the entry is not written.
            JournalUnavailable: If it is not on the disk within the timeout. It may still turn up in the journal: an
                intent without an outcome, which is the safe side.
        """
        started = asyncio.get_running_loop().time()
        try:
            await self._written(to_row(entry, new_key()))
        finally:
            if self._took:
                self._took(asyncio.get_running_loop().time() - started)

    async def prove_writable(self) -> None:
        """Find out whether entries could be written, by writing as they are without leaving one.

        Raises:
            JournalUnavailable: If they could not.
        """
        await self._written(None)

    async def _written(self, row: SealedRow | None) -> None:
        loop = asyncio.get_running_loop()
        pending = _Pending(row, loop.create_future(), loop)
        if self._queue.qsize() >= _QUEUE:
            raise JournalUnavailable("the journal cannot keep up")
        self._queue.put(pending)
        self._deadlines_of(loop).watch(pending.done)
        try:
            await pending.done
        finally:
            pending.abandoned = True

    def _deadlines_of(self, loop: asyncio.AbstractEventLoop) -> Deadlines:
        deadlines = self._deadlines
        if deadlines is None or deadlines.loop is not loop:
            deadlines = self._deadlines = Deadlines(loop, self._timeout, self._give_up)
        return deadlines

    def _give_up(self, done: Waited) -> None:
        self.failing = f"no answer within {self._timeout:g} s"
        done.set_exception(JournalUnavailable("the journal does not answer in time"))

    def close(self) -> None:
        """Write what is queued, make a last checkpoint and stop."""
        self._queue.put(None)
        self._thread.join(self._timeout + 1)
        if self._checkpoints:
            self._checkpoints.close()

    def _write_until_closed(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._next_batch()
            wanted = [pending for pending in batch if not pending.abandoned]
            if wanted:
                self._write(wanted)
        self._store.close()

    def _next_batch(self) -> tuple[list[_Pending], bool]:
        batch: list[_Pending] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) == _BATCH or self._queue.empty():
                return batch, True
            item = self._queue.get()
        return batch, False

    def _write(self, batch: list[_Pending]) -> None:
        rows = [pending.row for pending in batch if pending.row]
        try:
            if len(rows) < len(batch):
                self._store.prove_writable()
            refused = iter(self._store.append(rows) if rows else ())
            refusals = [next(refused) if pending.row else None for pending in batch]
        except Exception as error:  # noqa: BLE001 - whatever happens, the one writer lives and says that it failed
            log.error("journal_write_failed", error=str(error), entries=len(batch))
            self.failing = str(error)
            _settle(batch, [JournalUnavailable("the journal cannot be written") for _ in batch])
        else:
            self.failing = ""
            _settle(batch, refusals)
            if self._checkpoints:
                self._checkpoints.written(len(rows))


def _settle(batch: Sequence[_Pending], errors: Sequence[Exception | None]) -> None:
    # One wake-up for each event loop, not for each entry.
    settled: dict[asyncio.AbstractEventLoop, list[tuple[_Pending, Exception | None]]] = defaultdict(list)
    for pending, error in zip(batch, errors, strict=True):
        settled[pending.loop].append((pending, error))
    for loop, answers in settled.items():
        # A loop that has ended meanwhile has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell, answers)


def _tell(answers: Sequence[tuple[_Pending, Exception | None]]) -> None:
    for pending, error in answers:
        settle(pending.done, error)
