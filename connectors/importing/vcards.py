"""Reading contacts from vCard files: version 3 (RFC 2426), 4 (RFC 6350) and what older address books write."""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import vobject
from vobject.base import VObjectError

from connectors.importing.contacts import contact, date_of
from connectors.importing.source import Accepted, Item, Place, Refused, Source, UnreadableSource, attempt, reject
from connectors.importing.text import NOT_UTF8

_MAX_CARD = 5_000_000
_BEGIN = re.compile(rb"\s*BEGIN:VCARD\s*", re.IGNORECASE)
_END = re.compile(rb"\s*END:VCARD\s*", re.IGNORECASE)
_MAX_LINE = 100_000
_BOM = b"\xef\xbb\xbf"
_PREFERRED = 1
# What the parser and its decoders raise on broken cards.
_UNREADABLE = (VObjectError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)


def looks_like_vcard(path: Path) -> bool:
    """Tell whether a file is named or starts as vCards are."""
    with path.open("rb") as file:
        return (
            path.suffix.lower() == ".vcf" or file.read(4096).removeprefix(_BOM).lstrip()[:11].upper() == b"BEGIN:VCARD"
        )


def read_vcards(path: Path) -> Source:
    """Open a file of one or several vCards.

    Raises:
        UnreadableSource: If it holds none.
    """
    with path.open("rb") as file:
        cards = sum(1 for _ in _cards(file, path.name))
    if not cards:
        raise UnreadableSource(f"`{path.name}` holds no vCard; expected a file that starts with `BEGIN:VCARD`")
    return Source(_contacts(path), total=cards)


def _contacts(path: Path) -> Iterator[Item]:
    fallback = date_of(path)
    with path.open("rb") as file:
        for place, raw in _cards(file, path.name):
            if len(raw) > _MAX_CARD:
                yield reject(place, f"card: larger than {_MAX_CARD // 1_000_000} MB", raw)
            else:
                yield attempt(place, raw, partial(_contact, raw, place, fallback))


def _cards(file: BinaryIO, name: str) -> Iterator[tuple[Place, bytes]]:
    """Split the file into cards; a card that never ends ends where the next begins."""
    card, start, number = bytearray(), 0, 0
    while line := file.readline(_MAX_LINE):
        number += 1
        line = line.removeprefix(_BOM) if number == 1 else line
        begins, ends = _BEGIN.fullmatch(line), _END.fullmatch(line)
        if begins and card:
            yield Place(name, line=start), bytes(card)
            card.clear()
        if begins:
            start = number
        if (card or begins) and len(card) <= _MAX_CARD:
            card += line
        if ends and card:
            yield Place(name, line=start), bytes(card)
            card.clear()
    if card:
        yield Place(name, line=start), bytes(card)


def _contact(raw: bytes, place: Place, fallback: datetime) -> Accepted:
    noticed: tuple[str, ...] = ()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text, noticed = raw.decode("cp1252", "replace"), (NOT_UTF8,)
    try:
        card = vobject.readOne(text, allowQP=True)
    except _UNREADABLE as error:
        raise Refused(f"card: not a vCard: {_first_line(error)}") from error
    if card is None or card.name != "VCARD":
        raise Refused("card: not a vCard: it has no beginning or no end")
    return contact({field: value for field, value in _fields(card).items() if value}, place, fallback, noticed)


def _fields(card: Any) -> dict[str, str]:  # noqa: ANN401 - vobject has no types
    return {
        "email": _text(_preferred(card, "email")).removeprefix("mailto:"),
        "name": _text(_preferred(card, "fn")) or _text(_preferred(card, "n")),
        "phone": _text(_preferred(card, "tel")).removeprefix("tel:"),
        "account": _text(_preferred(card, "org")),
        "title": _text(_preferred(card, "title")) or _text(_preferred(card, "role")),
        "language": _text(_preferred(card, "lang")),
        "notes": _text(_preferred(card, "note")),
        "created": _text(_preferred(card, "created")),
        "updated": _text(_preferred(card, "rev")),
    }


def _preferred(card: Any, name: str) -> Any:  # noqa: ANN401
    """The property's first value, or the one marked `PREF=1` (version 4) or `TYPE=pref` (version 3)."""
    found = card.contents.get(name, [])

    def rank(line: Any) -> int:  # noqa: ANN401
        types = [each.lower() for each in line.params.get("TYPE", [])]
        pref = "".join(line.params.get("PREF", []))
        return int(pref) if pref.isdecimal() else _PREFERRED if "pref" in types else 101

    return min(found, key=rank, default=None)


def _text(line: Any) -> str:  # noqa: ANN401
    if line is None:
        return ""
    value = line.value
    if isinstance(value, list):
        value = ", ".join(str(part) for part in value if part)
    return " ".join(str(value).split()) if line.name != "NOTE" else str(value).strip()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
