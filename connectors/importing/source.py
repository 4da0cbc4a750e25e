"""What every reader hands on: one record at a time with what was noticed about it, or a reject with its reason."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import ValidationError

from connectors.errors import InvalidInput
from connectors.records import Record

R = TypeVar("R", bound=Record)

MAX_RAW = 2_000
_MAX_REASONS = 3


class UnreadableSource(InvalidInput):
    """The path does not hold what was expected of it, or cannot be read."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message), field="path")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the source something stands: a file, and a line (from 1) or a byte (from 0) where that makes sense."""

    file: str
    line: int | None = None
    byte: int | None = None

    def __str__(self) -> str:
        return self.file + (f", line {self.line}" if self.line is not None else "")


@dataclass(frozen=True, slots=True)
class Likeness:
    """What makes a record look like an earlier one although the source names them differently.

    Args:
        finding: What to call it, such as `same title`.
        key: Two records with the same key look alike...
        unless: ...except when this is the same too (`same email, another name`)...
        at: ...or when both have a moment and these lie more than a minute apart.
    """

    finding: str
    key: str
    unless: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was noticed about one record, for the readiness report; it holds no record's text for longer than a batch.

    Args:
        missing: Fields that the source left empty.
        signs: Anything else worth counting, such as `timestamp without zone, read as UTC`.
        stale_after: How long after `changed_at` the record counts as stale; None if it never does.
    """

    missing: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    likenesses: tuple[Likeness, ...] = ()
    changed_at: datetime | None = None
    stale_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A valid record, where it stood, and what was noticed; `needs` are records that must be loaded before it."""

    record: Record
    place: Place
    facts: Facts
    needs: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something that could not be read: `reason` names the field, `raw` is what stood there, cut to 2 kB."""

    place: Place
    reason: str
    raw: str


Item = Accepted | Rejected


@dataclass(frozen=True)
class Source:
    """An opened source.

    Args:
        items: Everything in it, read as it is asked for.
        total: How many items that will be, if that is known beforehand.
        notes: What the reader decided about the source as a whole, in words for people.
    """

    items: Iterator[Item]
    total: int | None = None
    notes: tuple[str, ...] = ()


class Refused(Exception):
    """One row cannot become a record; the message is the reason."""


def printable(text: str) -> str:
    """One line that is safe to show on a terminal: what does not print becomes U+FFFD."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def reject(place: Place, reason: str, raw: str | bytes = "") -> Rejected:
    """Make a reject; bytes that are not UTF-8 are shown as U+FFFD."""
    shown = raw[:MAX_RAW].decode("utf-8", "replace") if isinstance(raw, bytes) else raw[:MAX_RAW]
    return Rejected(place, reason, shown)


def attempt(place: Place, raw: str | bytes, make: Callable[[], Accepted]) -> Item:
    """Make a record, or a reject that says which field was wrong and how."""
    try:
        return make()
    except ValidationError as error:
        return reject(place, sentence(error), raw)
    except Refused as error:
        return reject(place, str(error), raw)


def sentence(error: ValidationError) -> str:
    """Put a validation error in one line: `email: not an email address: …; name: …`."""
    found = error.errors(include_url=False, include_input=False)
    said = [
        f"{_path(each['loc'])}: {_lower(each['msg'].removeprefix('Value error, '))}" for each in found[:_MAX_REASONS]
    ]
    more = [f"and {len(found) - _MAX_REASONS} more"] if len(found) > _MAX_REASONS else []
    return "; ".join([*said, *more])


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
