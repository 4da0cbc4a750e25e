"""What a run was allowed so far, for rules that count or sum it.

A run is what the same person and agent did in the same tenant within a window of time. Calls that rules look back from
take turns within their run, so that two at once cannot both be the last one allowed.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread
from structlog import get_logger

from gateway.database import Database
from gateway.journal.entry import Entry, JournalUnavailable, Kind
from gateway.journal.reading import done_since
from gateway.policy.language.history import EMPTY, History
from gateway.principal import Principal

log = get_logger("remit.history")


class RunHistory:
    """Reads runs from the journal.

    Args:
        database: Where the journal is.
        window: How far back a run reaches.
    """

    def __init__(self, database: Database, window: timedelta) -> None:
        self._database = database
        self._window = window
        self._turns: WeakValueDictionary[Principal, anyio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(
        self, principal: Principal, tools: frozenset[str], now: datetime, own: Collection[str] = ()
    ) -> AsyncIterator[History | None]:
        """Hold the run's turn and give what it was allowed before; None if that cannot be read.

        Args:
            principal: Whose run.
            tools: The tools that rules look back at; none needs no turn.
            now: The time of the call.
            own: Names under which the call itself may stand there already: a repetition does not count itself.
        """
        if not tools:
            yield EMPTY
            return
        lock = self._turns.setdefault(principal, anyio.Lock())
        async with lock:
            yield await anyio.to_thread.run_sync(self._read, principal, tools, now, own)

    def _read(self, principal: Principal, tools: frozenset[str], now: datetime, own: Collection[str]) -> History | None:
        calls: dict[str, list[dict[str, object]]] = defaultdict(list)
        try:
            done = done_since(self._database, principal.tenant, principal.name, now - self._window)
        except JournalUnavailable as error:
            log.error("history_unreadable", error=str(error))
            return None
        # What failed for sure did not happen; what is in doubt counts.
        failed, happened = _ended_as(done, "failed"), _ended_as(done, "ok")
        left_out = (failed - happened).union(own)
        for entry in done:
            if entry.kind is Kind.INTENT and entry.body["tool"] in tools and entry.call_id not in left_out:
                # An erased call still counts; a rule that needs its amount cannot be evaluated, so denies.
                calls[entry.body["tool"]].append(entry.body.get("arguments", {}))
        return History(calls)


def _ended_as(done: Iterable[Entry], status: str) -> set[str]:
    return {entry.call_id for entry in done if entry.kind is not Kind.INTENT and entry.body.get("status") == status}
