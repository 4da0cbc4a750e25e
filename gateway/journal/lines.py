"""The journal as a text file that can be checked anywhere: JSON Lines, each line in exactly one spelling.

The first line says whose journal it is and how much of it the file has; then come the entries, and after the entries
that it covers each checkpoint; the last line is a checkpoint of them all. A line's `body` is the stored text itself.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from gateway.journal.chain import Stored
from gateway.journal.entry import Row
from gateway.journal.note import PublicKey

_Item = TypeVar("_Item")
_BODY = ',"body":'


class Unreadable(Exception):
    """What stands here is no entry as the journal writes it."""


@dataclass(frozen=True)
class Heading:
    """What a file says of itself.

    Args:
        remit_journal: The form's version.
        key: The journal's public key.
        entries: How many entries follow.
        checkpoints: How many checkpoints follow.
    """

    remit_journal: int
    key: str
    entries: int
    checkpoints: int


def heading_of(key: PublicKey, entries: int, checkpoints: int) -> Heading:
    """Make the heading of a file."""
    return Heading(1, str(key), entries, checkpoints)


def to_lines(heading: Heading, items: Iterable[Stored | str]) -> Iterator[str]:
    """Write a heading, entries and signed notes, one a line, without the newline."""
    yield _compact(asdict(heading))
    for item in items:
        yield _note_line(item) if isinstance(item, str) else _entry_line(item)


def from_lines(lines: Iterable[bytes]) -> Iterator[Heading | Stored | str]:
    """Read the heading, entries and notes back; the first of them is the heading.

    Raises:
        Unreadable: At the first line that is not spelt as the journal spells it; says which.
    """
    number = 0
    for number, line in enumerate(lines, start=1):
        try:
            yield _item(line, number)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unreadable(f"line {number} is not as the journal writes it") from None
    if not number:
        raise Unreadable("the file is empty")


def _item(line: bytes, number: int) -> Heading | Stored | str:
    text = line.decode("ascii")
    head, found, rest = text.partition(_BODY)
    if found:
        entry = _stored(json.loads(head + "}"), rest[:-2])
        return _as_spelt(entry, _entry_line(entry), text)
    data = json.loads(text)
    if number == 1:
        heading = Heading(**data)
        if [type(value) for value in asdict(heading).values()] != [int, str, int, int]:
            raise ValueError
        return _as_spelt(heading, _compact(asdict(heading)), text)
    note: str = data["checkpoint"]
    if type(note) is not str:
        raise ValueError
    return _as_spelt(note, _note_line(note), text)


def _as_spelt(item: _Item, spelt: str, text: str) -> _Item:
    if f"{spelt}\n" != text:
        raise ValueError
    return item


def _stored(head: dict[str, Any], body: str) -> Stored:
    position, once = head["position"], head["once"]
    call_id, tenant, principal, at, kind = (head[name] for name in ("call_id", "tenant", "principal", "at", "kind"))
    row = Row(call_id, tenant, principal, at, kind, once, body)
    # Only texts: `true` would count as a number and as the position 1.
    if type(position) is not int or any(type(text) is not str for text in row if text is not None):
        raise ValueError
    "".join(text for text in row if text).encode()
    return Stored(position, bytes.fromhex(head["previous"]), row, bytes.fromhex(head["hash"]))


def _entry_line(stored: Stored) -> str:
    position, previous, row, digest = stored
    head = {
        "position": position,
        "at": row.at,
        "tenant": row.tenant,
        "call_id": row.call_id,
        "principal": row.principal,
        "kind": row.kind,
        "once": row.once,
        "previous": previous.hex(),
        "hash": digest.hex(),
    }
    return f"{_compact(head)[:-1]}{_BODY}{row.body}}}"


def _note_line(note: str) -> str:
    return _compact({"checkpoint": note})


def _compact(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))
