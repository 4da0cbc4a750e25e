"""Calls that are not over yet: what they are about is still needed, so it is not erased."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from gateway.approvals.approval import State, read_approval
from gateway.approvals.standing import read_standing
from gateway.journal import Entry, Kind
from gateway.journal.reading import ENTRIES, entries_of
from gateway.journal.schema import journal

_AT_ONCE = 500
_KINDS = select(journal.c.call_id, journal.c.kind, journal.c.tenant, journal.c.once)
_ENDS = {Kind.OUTCOME, Kind.SETTLED}


def entries_of_calls(connection: Connection, tenant: str, call_ids: Iterable[str]) -> Iterator[Entry]:
    """Yield a tenant's entries of calls; those of one call in their order."""
    for some in _chunks(call_ids):
        # Not by tenant as well: SQLite would rather go through all that the tenant has.
        found = entries_of(connection, ENTRIES.where(journal.c.call_id.in_(some)).order_by(journal.c.position))
        yield from (entry for entry in found if entry.tenant == tenant)


def open_calls(connection: Connection, tenant: str, call_ids: Iterable[str], now: datetime) -> dict[str, str]:
    """The calls among these that are not over, each with what is missing.

    Args:
        connection: To the journal.
        tenant: Whose calls.
        call_ids: The calls, questions and standing approvals.
        now: The time.
    """
    kinds: dict[str, set[str]] = defaultdict(set)
    for some in _chunks(call_ids):
        for call_id, kind, whose, once in connection.execute(_KINDS.where(journal.c.call_id.in_(some))):
            # An outcome that nobody knows is none yet: a person may still find it out.
            if whose == tenant and not (once or "").startswith("doubt:"):
                kinds[call_id].add(kind)
    begun = {call_id for call_id, found in kinds.items() if Kind.INTENT in found and not found & _ENDS}
    asked = [call_id for call_id, found in kinds.items() if found & {Kind.ASKED, Kind.STANDING}]
    missing = dict.fromkeys(begun, "it was begun and nobody knows its outcome yet")
    by_call: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries_of_calls(connection, tenant, asked):
        by_call[entry.call_id].append(entry)
    awaited = {call_id: _awaited(entries, now) for call_id, entries in by_call.items()}
    return missing | {call_id: told for call_id, told in awaited.items() if told}


def _chunks(call_ids: Iterable[str]) -> Iterator[list[str]]:
    ids = list(call_ids)
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _awaited(entries: Sequence[Entry], now: datetime) -> str:
    approval = read_approval(entries)
    if approval and approval.is_open(now):
        if approval.state(now) is State.APPROVED:
            return f"it is approved and may be carried out until {approval.question.expires_at:%Y-%m-%d %H:%M} UTC"
        return f"it waits for a person's answer until {approval.question.expires_at:%Y-%m-%d %H:%M} UTC"
    standing = read_standing(entries)
    if standing and standing.holds(now):
        return f"it is a standing approval in force until {standing.terms.until:%Y-%m-%d %H:%M} UTC"
    return ""
