"""What a tenant's calls add up to over a stretch of time: how many, how decided, how long they took."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any

from sqlalchemy import Connection, case, select

from gateway.database import Database
from gateway.journal.entry import Kind
from gateway.journal.reading import readable
from gateway.journal.schema import journal
from gateway.journal.searching import newest_position, says

_MOST_ENTRIES = 200_000
# Callers' clocks differ a little from the order in which entries were written.
_DISORDER = 100
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass
class Stretch:
    """What happened within one step of time.

    Args:
        begins: Its first moment.
        counts: Entries by kind.
        statuses: Outcomes by status.
        answers: Questions answered, by yes (True) or no.
        seconds: How long each call took from its recorded intent to its recorded outcome.
    """

    begins: datetime
    counts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    answers: Counter[bool] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def latency(self, percent: int) -> float | None:
        """The seconds that so many percent of its calls took at most; None without calls."""
        if len(self.seconds) < 2:
            return self.seconds[0] if self.seconds else None
        return quantiles(self.seconds, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True)
class Counted:
    """Stretches of equal length, oldest first, without gaps; `since` is where they truly begin."""

    stretches: tuple[Stretch, ...]
    since: datetime


def count_journal(database: Database, tenant: str, until: datetime, step: timedelta, steps: int) -> Counted:
    """Count a tenant's entries.

    Args:
        database: Where the journal is.
        tenant: Whose.
        until: The end; the last stretch holds it.
        step: The length of a stretch.
        steps: How many.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    last = _EPOCH + (until - _EPOCH) // step * step
    stretches = {begins: Stretch(begins) for begins in (last - step * back for back in reversed(range(steps)))}
    since = next(iter(stretches))
    begun: dict[str, datetime] = {}
    with readable(database), database.at_one_moment(tenant) as connection:
        first = _first_position(connection, since)
        truly = max(since, _time_of(connection, first) or since) if first > 1 else since
        for row in connection.execute(_events(tenant, first, since)):
            at = datetime.fromisoformat(row.at)
            if stretch := stretches.get(_EPOCH + (at - _EPOCH) // step * step):
                _count(stretch, begun, row.call_id, at, row.kind, json.loads(row.body) if row.body else {})
    return Counted(tuple(stretches.values()), truly)


def answers_by(database: Database, tenant: str, person: str, since: datetime) -> list[tuple[datetime, timedelta]]:
    """When a person answered questions, and how long after each was asked; oldest first.

    Args:
        database: Where the journal is.
        tenant: Whose questions.
        person: Who answered.
        since: From this moment on.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    asked = journal.alias("asked")
    query = select(journal.c.at, asked.c.at.label("asked_at"), journal.c.body)
    query = query.join(asked, (asked.c.call_id == journal.c.call_id) & (asked.c.kind == Kind.ASKED))
    query = query.where(journal.c.tenant == tenant, journal.c.kind == Kind.ANSWERED, says("approver", person))
    query = query.where(journal.c.at >= since.isoformat()).order_by(journal.c.position)
    with readable(database), database.at_one_moment(tenant) as connection:
        rows = connection.execute(query.where(journal.c.position >= _first_position(connection, since))).all()
    times = [
        (datetime.fromisoformat(row.at), datetime.fromisoformat(row.asked_at))
        for row in rows
        if json.loads(row.body).get("approver") == person
    ]
    return [(answered_at, answered_at - asked_at) for answered_at, asked_at in times]


def _events(tenant: str, first: int, since: datetime) -> Any:  # noqa: ANN401 - a query
    telling = journal.c.kind.in_([Kind.OUTCOME, Kind.ANSWERED])
    body = case((telling, journal.c.body), else_=None).label("body")
    query = select(journal.c.call_id, journal.c.at, journal.c.kind, body).where(journal.c.tenant == tenant)
    return query.where(journal.c.position >= first, journal.c.at >= since.isoformat()).order_by(journal.c.position)


def _count(
    stretch: Stretch, begun: dict[str, datetime], call: str, at: datetime, kind: str, body: dict[str, Any]
) -> None:
    stretch.counts[kind] += 1
    match kind:
        case Kind.INTENT:
            begun[call] = at
        case Kind.OUTCOME:
            stretch.statuses[str(body.get("status"))] += 1
            if start := begun.pop(call, None):
                stretch.seconds.append((at - start).total_seconds())
        case Kind.ANSWERED:
            stretch.answers[bool(body.get("approved"))] += 1


def _first_position(connection: Connection, since: datetime) -> int:
    """The first position of about that time: positions rise with time, so halving finds it in twenty looks."""
    high = newest_position(connection) + 1
    low = bottom = max(high - _MOST_ENTRIES, 1)
    while low < high:
        middle = (low + high) // 2
        at = _time_of(connection, middle)
        if at is not None and at < since:
            low = middle + 1
        else:
            high = middle
    return max(low - _DISORDER, bottom)


def _time_of(connection: Connection, position: int) -> datetime | None:
    found = connection.execute(select(journal.c.at).where(journal.c.position == position)).scalar()
    return datetime.fromisoformat(found) if found else None
