"""What a run was allowed so far, for rules that count or sum it.

A run is what the same person and agent did in the same tenant within a window of time. Calls that rules look back from
take turns within their run, so that two at once cannot both be the last one allowed.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta
from pathlib import Path
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread
from structlog import get_logger

from gateway.journal.database import connect_to_read
from gateway.policy.language.history import EMPTY, History
from gateway.principal import Principal

log = get_logger("remit.history")

# What failed for sure did not happen; what is in doubt counts.
_ALLOWED = """
SELECT body FROM journal AS intent
WHERE tenant = ? AND principal = ? AND kind = 'intent' AND at >= ? AND NOT EXISTS (
    SELECT 1 FROM journal AS outcome
    WHERE outcome.call_id = intent.call_id AND outcome.kind = 'outcome'
    AND json_extract(outcome.body, '$.status') = 'failed'
) ORDER BY position
"""


class RunHistory:
    """Reads runs from the journal.

    Args:
        path: The journal's database file.
        window: How far back a run reaches.
    """

    def __init__(self, path: Path, window: timedelta) -> None:
        self._path = path
        self._window = window
        self._turns: WeakValueDictionary[Principal, anyio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, principal: Principal, tools: frozenset[str], now: datetime) -> AsyncIterator[History | None]:
        """Hold the run's turn and give what it was allowed before; None if that cannot be read.

        Args:
            principal: Whose run.
            tools: The tools that rules look back at; none needs no turn.
            now: The time of the call.
        """
        if not tools:
            yield EMPTY
            return
        lock = self._turns.setdefault(principal, anyio.Lock())
        async with lock:
            yield await anyio.to_thread.run_sync(self._read, principal, tools, now)

    def _read(self, principal: Principal, tools: frozenset[str], now: datetime) -> History | None:
        calls: dict[str, list[dict[str, object]]] = defaultdict(list)
        since = (now - self._window).isoformat()
        try:
            with closing(connect_to_read(self._path)) as connection:
                for (body,) in connection.execute(_ALLOWED, (principal.tenant, principal.name, since)):
                    made = json.loads(body)
                    if made["tool"] in tools:
                        calls[made["tool"]].append(made["arguments"])
        except sqlite3.Error as error:
            log.error("history_unreadable", error=str(error))
            return None
        return History(calls)
