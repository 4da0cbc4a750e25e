"""Knowledge that lies elsewhere: answered from an index of this process, which follows its source before each answer.

The source is listed before each answer, so what was removed, renamed or forbidden has no part in it, and only what
changed is read. If the source cannot be listed, nothing is answered. The index is one connection's temporary database:
nobody else can open it, and it is gone with the process.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection, StaticPool, create_engine, event, func, select

from connectors.contract import CallContext
from connectors.errors import Unavailable
from connectors.importing.documents import STALE_AFTER
from connectors.importing.source import printable
from connectors.knowledge import store
from connectors.knowledge.source import Source
from connectors.knowledge.tables import documents, metadata
from connectors.knowledge.tools import Document, GetDocument, PassagePage, SearchKnowledge
from connectors.records import DocumentRecord

T = TypeVar("T")

_BATCH = 50
_PATIENCE_SECONDS = 10.0
_EXAMPLES = 3
_ROUNDS = 4


class StillReading(Unavailable):
    """There was more to read than one call waits for; the next ones go on with it."""


class IndexedKnowledge:
    """`Knowledge` over a source.

    Args:
        tenant: Whose documents the source has.
        source: Where they lie.
        patience: Seconds that one call works on the index; what is left then is done by the next ones.
        clock: Seconds that only rise.
    """

    def __init__(
        self,
        tenant: str,
        source: Source,
        patience: float = _PATIENCE_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._tenant = tenant
        self._source = source
        self._patience = patience
        self._clock = clock
        self._index = _Index()
        self._lock = anyio.Lock()
        self._revisions: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        self._calls = self._listed_for = 0

    async def knowledge_search_documents(self, call: CallContext, args: SearchKnowledge) -> PassagePage:
        return await self._answer(lambda connection: store.search(connection, call, args))

    async def knowledge_get_document(self, call: CallContext, args: GetDocument) -> Document:
        return await self._answer(lambda connection: store.get(connection, call, args))

    async def look(self, call: CallContext) -> str:
        """Say what is there, and what a keeper of documents should look at.

        Raises:
            Unavailable: If the source cannot be read.
        """
        try:
            found = await self._answer(lambda connection: _readiness(connection, call))
        except StillReading as error:
            return error.message
        left_out = [f"`{printable(name)}`: {printable(why)}" for name, why in sorted(self._left_out.items())]
        more = ["…"] if len(left_out) > _EXAMPLES else []
        told = [f"{len(left_out)} left out ({'; '.join(left_out[:_EXAMPLES] + more)})"] if left_out else []
        return f"{self._source.name}: {', '.join([*found, *told])}"

    async def close(self) -> None:
        await self._source.close()
        await self._index.close()

    async def _answer(self, ask: Callable[[Connection], T]) -> T:
        """Answer from what the source has after this call came."""
        self._calls += 1
        call = self._calls
        async with self._lock:
            if self._listed_for < call:
                came = self._calls
                await self._follow()
                self._listed_for = came
            return await self._index.run(ask)

    async def _follow(self) -> None:
        """Read what changed, and look once more: somebody may have closed a document first and written into it then."""
        ends = self._clock() + self._patience
        for _ in range(_ROUNDS):
            listing = await self._source.listing()
            if not await self._take(listing, ends):
                return
        raise StillReading(f"{self._source.name} changes while it is read; repeat the call in some seconds")

    async def _take(self, listing: Mapping[str, str], ends: float) -> bool:
        """Have in the index what is listed. Returns whether anything had to be read."""
        if gone := self._revisions.keys() - listing.keys():
            await self._keep({}, gone)
        changed = [name for name, revision in listing.items() if self._revisions.get(name) != revision]
        for start in range(0, len(changed), _BATCH):
            if self._clock() > ends:
                raise StillReading(
                    f"{self._source.name} is still being read, {start:,} of {len(changed):,} documents so far; "
                    "repeat the call in some seconds"
                )
            names = changed[start : start + _BATCH]
            read = await self._source.read(names)
            await self._keep(read, names)
            # What was not told of is asked for again next time.
            self._revisions |= {name: listing[name] for name in read}
        return bool(changed)

    async def _keep(self, read: Mapping[str, DocumentRecord | str], names: Iterable[str]) -> None:
        """Have of these documents in the index what was read, and nothing else."""
        records = {name: found for name, found in read.items() if isinstance(found, DocumentRecord)}
        without = [name for name in names if name not in records]

        def keep(connection: Connection) -> None:
            store.forget(connection, self._tenant, without)
            store.load(connection, self._tenant, list(records.values()))

        await self._index.run(keep)
        for name in names:
            self._revisions.pop(name, None)
            self._left_out.pop(name, None)
        self._left_out |= {name: why for name, why in read.items() if isinstance(why, str)}


def _readiness(connection: Connection, call: CallContext) -> list[str]:
    """How many documents there are, how many are the same as another, and how many did not change for long."""
    mine = select(documents).where(documents.c.tenant == call.tenant).subquery()
    count, different = connection.execute(select(func.count(), func.count(mine.c.text.distinct()))).one()
    old = select(func.count()).select_from(mine).where(mine.c.updated_at < call.now - STALE_AFTER)
    years = STALE_AFTER // timedelta(days=365)
    found = {"the same as another": count - different, f"unchanged for {years} years": connection.scalar(old)}
    return [f"{count:,} documents", *(f"{number:,} {what}" for what, number in found.items() if number)]


class _Index:
    """The tables of the embedded knowledge in a temporary database of one connection."""

    def __init__(self) -> None:
        self._engine = create_engine("sqlite://", creator=_connect, poolclass=StaticPool, hide_parameters=True)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        self._is_made = False

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction, off the event loop. One at a time."""

        def run() -> T:
            with self._engine.begin() as connection:
                if not self._is_made:
                    metadata.create_all(connection)
                    self._is_made = True
                return work(connection)

        return await anyio.to_thread.run_sync(run)

    async def close(self) -> None:
        await anyio.to_thread.run_sync(self._engine.dispose)


def _connect() -> Any:  # noqa: ANN401 - of the driver
    # Without a name the file is removed as soon as it is made; what fits stays in memory.
    return sqlite3.connect("", check_same_thread=False, isolation_level=None)
