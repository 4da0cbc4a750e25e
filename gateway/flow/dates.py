"""Dates and times as people write them in a text: `2024-05-15`, `15.05.2024`, `May 15th, 2024`, `10:30 pm`."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import NamedTuple

from gateway.flow.plain import folded
from gateway.flow.values import moment_forms

_AROUND = ".,;:!?'\"“”‘’()[]{}*_~"
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:t\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:z|[+-]\d{2}:?\d{2})?)?")
_NUMERIC = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{4}|\d{2})")
_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?")
_YEAR = re.compile(r"[12]\d{3}")
_CLOCK = re.compile(r"(\d{1,2})(?:[:h](\d{2})(?::\d{2})?)?(am|pm|a\.m|p\.m)?")
_HALVES = frozenset(("am", "pm", "a.m", "p.m", "uhr", "h"))
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jänner",
            "february feb februar",
            "march mar märz",
            "april apr",
            "may mai",
            "june jun juni",
            "july jul juli",
            "august aug",
            "september sep sept",
            "october oct oktober okt",
            "november nov",
            "december dec dezember dez",
        ),
        start=1,
    )
    for name in names.split()
}


class Moment(NamedTuple):
    """A date or a time that stands in a text: its normal forms, several if it can be read so, and its last chunk."""

    forms: tuple[str, ...]
    last: int


def read_moment(chunks: Sequence[str], at: int) -> Moment | None:
    """The date or time that begins, or has its day, at a chunk.

    Args:
        chunks: The text, divided at its blanks.
        at: The position of a chunk with a digit.
    """
    core = folded(_bare(chunks, at))
    if not core[:1].isdecimal() or len(core) > 40:
        return None
    return _in_one(core, at) or _with_month(chunks, at, core) or _time(chunks, at, core)


def _bare(chunks: Sequence[str], at: int) -> str:
    return chunks[at].strip(_AROUND) if 0 <= at < len(chunks) else ""


def _in_one(core: str, at: int) -> Moment | None:
    if _ISO.fullmatch(core):
        return Moment(tuple(moment_forms(core)), at)
    if not (found := _NUMERIC.fullmatch(core)):
        return None
    first, sign, second, third = found.groups()
    if len(first) == 4:
        orders = [(first, second, third)]
    elif len(first) > 2:
        return None
    else:
        orders = [(third, second, first)] if sign == "." else [(third, second, first), (third, first, second)]
    forms = tuple(dict.fromkeys(form for order in orders for form in _day(*order)))
    return Moment(forms, at) if forms else None


def _day(year: str, month: str | int, day: str) -> tuple[str, ...]:
    with suppress(ValueError):
        return (date(int(year) + (2000 if len(year) == 2 else 0), int(month), int(day)).isoformat(),)
    return ()


def _with_month(chunks: Sequence[str], at: int, core: str) -> Moment | None:
    """`May 15th, 2024`, `15 May 2024`, `15th of May`; without a year the day of any year."""
    if not (found := _DAY.fullmatch(core)):
        return None
    if before := _MONTHS.get(folded(_bare(chunks, at - 1))):
        return _with_year(chunks, at, found[1], before)
    after = at + 2 if folded(_bare(chunks, at + 1)) == "of" else at + 1
    if month := _MONTHS.get(folded(_bare(chunks, after))):
        return _with_year(chunks, after, found[1], month)
    return None


def _with_year(chunks: Sequence[str], last: int, day: str, month: int) -> Moment | None:
    year = _bare(chunks, last + 1)
    if _YEAR.fullmatch(year) and (forms := _day(year, month, day)):
        return Moment(forms, last + 1)
    return Moment((f"--{month:02}-{int(day):02}",), last) if _day("2000", month, day) else None


def _time(chunks: Sequence[str], at: int, core: str) -> Moment | None:
    found = _CLOCK.fullmatch(core)
    if not found:
        return None
    hour, minute, half = int(found[1]), int(found[2] or 0), found[3]
    last = at
    if half is None and folded(_bare(chunks, at + 1)) in _HALVES:
        half, last = folded(_bare(chunks, at + 1)), at + 1
    if half is None and found[2] is None:
        return None
    if half in ("am", "pm", "a.m", "p.m") and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    return Moment((f"T{hour:02}:{minute:02}",), last) if hour < 24 and minute < 60 else None
