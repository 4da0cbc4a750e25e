"""Tallies of what principals did, each caught up with what any process recorded before it is asked."""

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import anyio

from gateway.activity.recipients import Recipients
from gateway.activity.tally import COUNTED, Event, Scope, Tally
from gateway.database import Database
from gateway.journal.entry import Kind
from gateway.journal.reading import readable
from gateway.principal import Principal

_MOST_PRINCIPALS = 200
_LATE = timedelta(minutes=1)
"""How far the clocks of gateways may lie apart."""
_KINDS = ", ".join(f"'{kind}'" for kind in sorted(COUNTED))
_NEW = f"""
SELECT position, at, kind, body FROM journal
WHERE tenant = :tenant AND principal = :principal AND kind IN ({_KINDS}) AND at >= :since AND position > :position
"""  # noqa: S608


@dataclass
class _Kept:
    """A principal's tally, and up to where in the journal it is.

    Args:
        oldest: From when on entries were counted.
    """

    oldest: datetime
    tally: Tally = field(default_factory=Tally)
    position: int = 0
    newest: datetime | None = None
    turn: anyio.Lock = field(default_factory=anyio.Lock)


class Activity:
    """What principals did lately, in all processes.

    Args:
        database: Where the journal is.
        recipients: To whom was written.
        window: How far a run without a grant reaches back.
    """

    def __init__(self, database: Database, recipients: Recipients, window: timedelta) -> None:
        self.recipients = recipients
        self._database = database
        self._window = window
        self._kept: OrderedDict[Principal, _Kept] = OrderedDict()

    def scope(self, now: datetime, grant: str = "", since: datetime | None = None) -> Scope:
        """The run of a call.

        Args:
            now: The time.
            grant: The id of the grant that it presents; "" without one.
            since: When that was issued.
        """
        window = now - self._window
        return Scope(window if since is None else max(window, since), grant)

    async def recent_calls(self, principal: Principal, now: datetime) -> int:
        """How many calls a principal made within the last minute, as far as they are recorded.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        return (await self.of(principal, now)).calls(now)

    async def denials(self, principal: Principal, scope: Scope, now: datetime) -> int:
        """How many calls of a principal's run were denied.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        return (await self.of(principal, now)).denials(scope)

    async def records(self, principal: Principal, scope: Scope, now: datetime) -> int:
        """How many different records a principal's run was shown.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        return (await self.of(principal, now)).records(scope)

    async def of(self, principal: Principal, now: datetime) -> Tally:
        """A principal's tally with everything that is recorded, for whoever asks several things at once.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        kept = self._find(principal, now)
        async with kept.turn:
            found = await self._read(principal, kept, now)
            for position, event in found:
                kept.tally.add(event)
                kept.position = max(kept.position, position)
            if found:
                newest = datetime.fromtimestamp(max(event.at for _, event in found), now.tzinfo)
                kept.newest = max(newest, kept.newest or newest)
        return kept.tally

    def _find(self, principal: Principal, now: datetime) -> _Kept:
        kept = self._kept.get(principal)
        # Made anew now and then, so that what is too old does not pile up.
        if kept is None or now - self._window - kept.oldest > self._window:
            kept = self._kept[principal] = _Kept(now - self._window)
        self._kept.move_to_end(principal)
        if len(self._kept) > _MOST_PRINCIPALS:
            self._kept.popitem(last=False)
        return kept

    async def _read(self, principal: Principal, kept: _Kept, now: datetime) -> list[tuple[int, Event]]:
        # By the index over times; a position says for sure what is new. Entries may be a little older than the newest.
        since = max(kept.oldest, min(kept.newest, now) - _LATE) if kept.newest else kept.oldest
        who = {"tenant": principal.tenant, "principal": principal.name}
        what = {**who, "since": since.isoformat(), "position": kept.position}
        with readable(self._database):
            (found,) = await self._database.looks.look(principal.tenant, (_NEW, what))
        return [(position, _event(at, kind, body)) for position, at, kind, body in found]


def _event(at: str, kind: str, body: str) -> Event:
    told: dict[str, Any] = json.loads(body) if kind in (Kind.DENIED, Kind.OUTCOME) else {}
    return Event(
        datetime.fromisoformat(at).timestamp(), Kind(kind), told.get("grant") or "", tuple(told.get("saw") or ())
    )
