"""Erasing what policy no longer lets the journal keep."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.erasing.erasure import Erasure, ranges
from gateway.erasing.open_calls import open_calls
from gateway.journal.reading import readable
from gateway.journal.schema import journal, keys
from gateway.policy.files.retention import Keep, kept_for
from gateway.policy.judge import Policy

REASON = "retention"
_READABLE = select(journal.c.position, journal.c.tenant, journal.c.call_id, journal.c.at, journal.c.body).join(
    keys, keys.c.position == journal.c.position
)
_STEP = 1_000


def due(
    database: Database,
    policy: Policy,
    now: datetime,
    at_least: timedelta,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Erasure]:
    """What is to be erased because its time is up: of calls that are over, one erasure for each tenant.

    Args:
        database: Where the journal is.
        policy: The policy; without a line about a tool what it was called for is kept.
        now: The time.
        at_least: What is younger is still needed, whatever policy says: runs and answers look back so far.
        progress: Told now and then how many positions of how many are done.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    if not policy.keeping:
        return []
    shortest = min(line.time for line in policy.keeping)
    before = now - max(shortest, at_least)
    old = _READABLE.where(journal.c.at < before.isoformat()).order_by(journal.c.position)
    found: dict[str, dict[int, str]] = defaultdict(dict)
    with readable(database), database.at_one_moment(EVERY_TENANT) as connection:
        last = connection.execute(select(func.max(journal.c.position))).scalar() or 0
        with connection.execute(old) as rows:
            for position, tenant, call_id, at, body in rows:
                if _is_due(tenant, datetime.fromisoformat(at), json.loads(body), policy.keeping, now):
                    found[tenant][position] = call_id
                if position % _STEP == 0:
                    progress(position, last)
        progress(last, last)
        over = {tenant: _of_calls_that_are_over(connection, tenant, calls, now) for tenant, calls in found.items()}
    return [
        Erasure(tenant, ranges(positions), "", REASON, policy.version)
        for tenant, positions in over.items()
        if positions
    ]


def _is_due(tenant: str, at: datetime, body: Mapping[str, Any], lines: Iterable[Keep], now: datetime) -> bool:
    kept = kept_for(lines, body.get("tool", ""), tenant)
    return kept is not None and at < now - kept


def _of_calls_that_are_over(connection: Connection, tenant: str, calls: Mapping[int, str], now: datetime) -> list[int]:
    still_open = open_calls(connection, tenant, dict.fromkeys(calls.values()), now)
    return [position for position, call_id in calls.items() if call_id not in still_open]
