"""Reading a moment as exports write it."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from connectors.importing.source import Refused

NO_ZONE = "timestamp without zone, read as UTC"

_EPOCH = re.compile(r"\d{9,10}(\.\d+)?")
_EPOCH_MS = re.compile(r"\d{12,13}")
_SPACE_BEFORE_ZONE = re.compile(r"(?<=\d)\s+(?=[+-]\d\d:?\d\d$|Z$)")


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment, and whether the source said in which zone."""

    at: datetime
    had_zone: bool


def parse_moment(field: str, value: object) -> Moment:
    """Read ISO 8601, RFC 2822 (section 3.3), or seconds or milliseconds since 1970.

    Args:
        field: The field's name, for the reason.
        value: A text or a number. A text without a zone is read as UTC.

    Raises:
        Refused: If it is none of these. Day and month in figures (`03/04/2024`) are refused, not guessed.
    """
    text = str(value).strip()
    found = _epoch(text) or _iso(text) or _rfc2822(text)
    if found is None:
        raise Refused(f"{field}: not a timestamp: `{text[:40]}`; expected one like 2024-05-14T09:30:00Z")
    return found


def _epoch(text: str) -> Moment | None:
    if _EPOCH.fullmatch(text):
        return Moment(datetime.fromtimestamp(float(text), UTC), had_zone=True)
    if _EPOCH_MS.fullmatch(text):
        return Moment(datetime.fromtimestamp(int(text) / 1000, UTC), had_zone=True)
    return None


def _iso(text: str) -> Moment | None:
    try:
        found = datetime.fromisoformat(_SPACE_BEFORE_ZONE.sub("", re.sub(r"\s+(UTC|GMT)$", "Z", text)))
    except ValueError:
        return None
    return _zoned(found)


def _rfc2822(text: str) -> Moment | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return _zoned(found)


def _zoned(found: datetime) -> Moment | None:
    if found.utcoffset() is None:
        return Moment(found.replace(tzinfo=UTC), had_zone=False)
    try:
        return Moment(found.astimezone(UTC), had_zone=True)
    except OverflowError:
        return None
