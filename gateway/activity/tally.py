"""Counting what one principal did, entry by entry, over windows of time that move on."""

from bisect import bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from gateway.journal.entry import Kind

MOST = 2_000
"""Up to so many denials and different records are told apart; further ones count as so many."""

CALLS_WITHIN_SECONDS = 60.0

CALLED = frozenset(
    {Kind.UNKNOWN_TOOL, Kind.INVALID, Kind.DENIED, Kind.PENDING, Kind.REPEATED, Kind.TURNED_AWAY, Kind.INTENT}
)
"""Each call is recorded as exactly one of these first."""
COUNTED = CALLED | {Kind.OUTCOME}


_ALL = None
"""In place of a grant: whatever was done, under whichever."""


@dataclass(frozen=True, slots=True)
class Event:
    """What counts of one journal entry.

    Args:
        at: When, in seconds since the epoch.
        kind: What the entry records.
        grant: The grant that the call was made under; "" without one.
        saw: The ids of the records that its result showed.
    """

    at: float
    kind: Kind
    grant: str = ""
    saw: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """What belongs to a call's run.

    Args:
        since: What is older does not count.
        grant: The grant that the call was made under; "" without one. With one, what was done under it counts, and what
            was done without any; without one, all.
    """

    since: datetime
    grant: str = ""


class _Latest:
    """When each of several things last happened: the newest `MOST` of them."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []

    def happened(self, thing: str, at: float) -> None:
        before = self._at.get(thing)
        if before is not None:
            if before >= at:
                return
            del self._order[bisect_right(self._order, (before, thing)) - 1]
        insort(self._order, (at, thing))
        self._at[thing] = at
        if len(self._order) > MOST:
            del self._at[self._order.pop(0)[1]]

    def since(self, moment: float) -> list[str]:
        return [thing for _at, thing in self._order[bisect_right(self._order, (moment, "\U0010ffff")) :]]


class Tally:
    """What one principal did.

    The order in which entries are added does not matter, but that for `calls` none may be added a minute late.
    """

    def __init__(self) -> None:
        self._calls: list[float] = []
        self._denials: defaultdict[str | None, list[float]] = defaultdict(list)
        self._records: defaultdict[str | None, _Latest] = defaultdict(_Latest)

    def add(self, event: Event) -> None:
        """Count an entry."""
        if event.kind in CALLED:
            insort(self._calls, event.at)
            # Nothing that is asked for later reaches back so far.
            del self._calls[: bisect_right(self._calls, self._calls[-1] - 2 * CALLS_WITHIN_SECONDS)]
        for kept in (event.grant, _ALL):
            if event.kind is Kind.DENIED:
                insort(self._denials[kept], event.at)
                del self._denials[kept][:-MOST]
            for record in event.saw:
                self._records[kept].happened(record, event.at)

    def calls(self, now: datetime) -> int:
        """How many calls were made within the minute before."""
        return len(self._calls) - bisect_right(self._calls, now.timestamp() - CALLS_WITHIN_SECONDS)

    def denials(self, scope: Scope) -> int:
        """How many calls of a run were denied."""
        since = scope.since.timestamp()
        found = [self._denials[kept] for kept in _kept_for(scope) if kept in self._denials]
        return min(MOST, sum(len(times) - bisect_right(times, since) for times in found))

    def records(self, scope: Scope) -> int:
        """How many different records a run was shown."""
        since = scope.since.timestamp()
        found = [self._records[kept].since(since) for kept in _kept_for(scope) if kept in self._records]
        return min(MOST, len(found[0]) if len(found) == 1 else len(set().union(*found)))


def _kept_for(scope: Scope) -> tuple[str | None, ...]:
    return (scope.grant, "") if scope.grant else (_ALL,)
