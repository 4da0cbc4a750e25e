"""The journal as a text file that can be checked anywhere: JSON Lines, each line in exactly one spelling.

The first line says whose journal it is and how much of it the file has; then come the entries, and after the entries
that it covers each checkpoint; the last line is a checkpoint of them all. A line's `body` is the stored text itself.
If wanted, what opens an entry's personal parts is a line of its own after it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from gateway.journal.chain import Key, Stored
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
        keys: How many keys follow; None if the file is one without keys.
    """

    remit_journal: int
    key: str
    entries: int
    checkpoints: int
    keys: int | None = None


def heading_of(key: PublicKey, entries: int, checkpoints: int, keys: int | None = None) -> Heading:
    """Make the heading of a file."""
    return Heading(1, str(key), entries, checkpoints, keys)


def to_lines(heading: Heading, items: Iterable[Stored | Key | str]) -> Iterator[str]:
    """Write a heading, entries, keys and signed notes, one a line, without the newline."""
    yield _heading_line(heading)
    for item in items:
        match item:
            case str():
                yield _note_line(item)
            case Key():
                yield _key_line(item)
            case Stored():
                yield _entry_line(item)


def from_lines(lines: Iterable[bytes]) -> Iterator[Heading | Stored | Key | str]:
    """Read the heading, entries, keys and notes back; the first of them is the heading.

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


def _item(line: bytes, number: int) -> Heading | Stored | Key | str:
    text = line.decode("ascii")
    head, found, rest = text.partition(_BODY)
    if found:
        entry = _stored(json.loads(head + "}"), rest[:-2])
        return _as_spelt(entry, _entry_line(entry), text)
    data = json.loads(text)
    if number == 1:
        heading = Heading(**data)
        if [type(value) for value in asdict(heading).values()][:4] != [int, str, int, int]:
            raise ValueError
        if heading.keys is not None and type(heading.keys) is not int:
            raise ValueError
        return _as_spelt(heading, _heading_line(heading), text)
    if "opens" in data:
        key = Key(data["opens"], bytes.fromhex(data["with"]))
        if type(key.position) is not int:
            raise ValueError
        return _as_spelt(key, _key_line(key), text)
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


def _heading_line(heading: Heading) -> str:
    return _compact({name: value for name, value in asdict(heading).items() if value is not None})


def _key_line(key: Key) -> str:
    return _compact({"opens": key.position, "with": key.key.hex()})


def _note_line(note: str) -> str:
    return _compact({"checkpoint": note})


def _compact(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))
