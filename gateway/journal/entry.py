"""One event of the journal, and the exact values that are stored of it."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.journal.envelope import lock, unlock
from gateway.journal.personal import split
from gateway.journal.uses import Use


class Kind(StrEnum):
    """What an entry records."""

    UNKNOWN_TOOL = "unknown_tool"
    INVALID = "invalid"
    DENIED = "denied"
    PENDING = "pending"
    ASKED = "asked"
    ANSWERED = "answered"
    ASKED_BACK = "asked_back"
    REPLIED = "replied"
    DELEGATED = "delegated"
    REBOUND = "rebound"
    WITHDRAWN = "withdrawn"
    NOTIFIED = "notified"
    SHOWN = "shown"
    STANDING = "standing"
    STANDING_USED = "standing_used"
    STANDING_ENDED = "standing_ended"
    REPEATED = "repeated"
    TURNED_AWAY = "turned_away"
    INTENT = "intent"
    INQUIRED = "inquired"
    INFORMED = "informed"
    LOGGED = "logged"
    OUTCOME = "outcome"
    SETTLED = "settled"
    ERASED = "erased"
    REVIEWED = "reviewed"
    GRANTED = "granted"
    REVOKED = "revoked"
    STOPPED = "stopped"
    RESUMED = "resumed"
    EXCHANGED = "exchanged"
    CREDENTIAL_SET = "credential_set"
    CREDENTIAL_REMOVED = "credential_removed"
    CREDENTIALS_REKEYED = "credentials_rekeyed"


class JournalUnavailable(Exception):
    """The entry is not durable: whoever asked must not act."""


class AlreadyRecorded(Exception):
    """The tenant's journal has an entry with the same `once`; this one was not written.

    After `JournalUnavailable` it may be one's own earlier attempt: compare the call's id.

    Args:
        once: What may stand in the journal only once.
        call_id: The call whose entry it is.
    """

    def __init__(self, once: str, call_id: str) -> None:
        super().__init__(f"`{once}` is in the journal already, by call `{call_id}`")
        self.once = once
        self.call_id = call_id


class Beside(NamedTuple):
    """A row of another table that is committed with an entry; its column `position` is the entry's.

    Args:
        table: The table's name.
        columns: The names of its other columns.
        values: Their values.
    """

    table: str
    columns: tuple[str, ...]
    values: tuple[object, ...]


@dataclass(frozen=True)
class Entry:
    """One event.

    Args:
        call_id: The call it belongs to.
        tenant: Whose data it is.
        principal: Who called.
        at: When, with zone.
        kind: What it records.
        body: JSON data.
        once: What the tenant's journal may hold only once; a second entry is refused with `AlreadyRecorded`.
        position: Given by the journal when the entry is read back, from 1 without gaps.
        erased: Whether the personal parts of the body are gone for ever.
        beside: What is kept elsewhere exactly if the entry is.
        uses: What it uses up of limits; where a limit is reached, it is refused with `OverLimit`.
    """

    call_id: str
    tenant: str
    principal: str
    at: datetime
    kind: Kind
    body: dict[str, Any]
    once: str | None = None
    position: int = 0
    erased: bool = False
    beside: tuple[Beside, ...] = ()
    uses: tuple[Use, ...] = ()


SEALED = "sealed"
"""The part of a stored body that holds what is personal, locked."""

# ASCII: no text that a caller can think of is then unwritable, half of a surrogate pair included.
_in_one_spelling = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class Row(NamedTuple):
    """The values of an entry as they are stored."""

    call_id: str
    tenant: str
    principal: str
    at: str
    kind: str
    once: str | None
    body: str


class SealedRow(NamedTuple):
    """A row, the key that opens what is personal in it (None where nothing is), and what is committed with it."""

    row: Row
    key: bytes | None
    beside: tuple[Beside, ...] = ()
    uses: tuple[Use, ...] = ()


def to_row(entry: Entry, key: bytes) -> SealedRow:
    """Put an entry into its stored form.

    Args:
        entry: The entry.
        key: A new random key, for what is personal in it.

    Raises:
        TypeError: If the body is not JSON data.
        UnicodeEncodeError: If a name is not Unicode text.
        ValueError: If a name has a zero character.
    """
    clear, personal = split(entry.kind, entry.body)
    names = (entry.call_id, entry.tenant, entry.principal, entry.once)
    # What a database could not take is refused here, where it harms no other entry of its batch.
    if b"\0" in "".join(name for name in names if name).encode():
        raise ValueError("an entry's names cannot have zero characters")
    if personal:
        clear[SEALED] = lock(_in_one_spelling(personal), key, (entry.call_id, entry.kind, entry.tenant))
    row = Row(
        entry.call_id,
        entry.tenant,
        entry.principal,
        entry.at.isoformat(),
        entry.kind.value,
        entry.once,
        _in_one_spelling(clear),
    )
    return SealedRow(row, key if personal else None, entry.beside, entry.uses)


def from_row(position: int, row: Row, key: bytes | None) -> Entry:
    """Make an entry of its stored form.

    Args:
        position: Where it stands.
        row: The stored values.
        key: What opens its personal parts; None if it was erased or there are none.
    """
    at, kind, body = datetime.fromisoformat(row.at), Kind(row.kind), json.loads(row.body)
    locked = body.pop(SEALED, None)
    opened = _unlocked(row, locked, key) if locked and key else None
    erased = locked is not None and opened is None
    return Entry(
        row.call_id, row.tenant, row.principal, at, kind, body | json.loads(opened or "{}"), row.once, position, erased
    )


def opens(row: Row, key: bytes) -> bool:
    """Whether a key is that of a row's personal parts."""
    locked = json.loads(row.body).get(SEALED)
    return locked is not None and _unlocked(row, locked, key) is not None


def is_lost(row: Row, key: bytes | None) -> bool:
    """Whether a row has personal parts that a key does not open."""
    locked = json.loads(row.body).get(SEALED)
    return locked is not None and (key is None or _unlocked(row, locked, key) is None)


def _unlocked(row: Row, locked: str, key: bytes) -> str | None:
    return unlock(locked, key, (row.call_id, row.kind, row.tenant))
