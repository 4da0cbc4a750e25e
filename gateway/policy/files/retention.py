"""Reads `retention.csv`: how long the personal parts of journal entries are kept at most."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

from gateway.policy.files.lines import Cell, Line, read_lines
from gateway.policy.files.roles import ANY_TENANT, tenant_mistake
from gateway.policy.language import patterns
from gateway.policy.problem import Problem

FILE = "retention.csv"
MAX_DAYS = 36_500
_COLUMNS = "keep, tool, tenant, days"
_DAYS = re.compile(r"([1-9][0-9]{0,4})d")


@dataclass(frozen=True, slots=True)
class Keep:
    """One line: what calls of some tools in a tenant were about is kept so long.

    Args:
        pattern: A tool's name, or a beginning followed by `*`.
        tenant: In which tenant; `*` is every tenant.
        time: How long, from the time of the entry on.
    """

    pattern: str
    tenant: str
    time: timedelta


def kept_for(lines: Iterable[Keep], tool: str, tenant: str) -> timedelta | None:
    """How long entries about a tool are kept in a tenant: as the strictest line says; None without one, for ever."""
    times = [line.time for line in lines if line.tenant in (ANY_TENANT, tenant) and patterns.covers(line.pattern, tool)]
    return min(times, default=None)


def read_retention(text: str, tools: Collection[str], problems: list[Problem]) -> tuple[Keep, ...]:
    """Read the file's text; every mistake is added to `problems`.

    Args:
        text: The text.
        tools: The names of all tools.
        problems: Where mistakes go.

    Returns:
        What the lines say, in the order of the file.
    """
    found: dict[tuple[str, str], Keep] = {}
    for line in read_lines(FILE, text, problems):
        mistakes = [line.problem(cell, message) for cell, message in _mistakes(line, tools) if message]
        problems.extend(mistakes)
        if mistakes:
            continue
        _, pattern, tenant, days = line.cells
        if (pattern.text, tenant.text) in found:
            problems.append(line.problem(pattern, f"`{pattern.text}` in `{tenant.text}` has a line already"))
        else:
            keep = Keep(pattern.text, tenant.text, timedelta(days=int(days.text.removesuffix("d"))))
            found[pattern.text, tenant.text] = keep
    return tuple(found.values())


def _mistakes(line: Line, tools: Collection[str]) -> list[tuple[Cell, str]]:
    kind, *rest = line.cells
    if kind.text != "keep":
        return [(kind, f"unknown line type `{kind.text}`: lines of retention.csv start with `keep`")]
    if len(rest) != 3:
        return [(kind, f"expected 4 columns ({_COLUMNS}), found {len(line.cells)}")]
    pattern, tenant, days = rest
    return [
        (pattern, patterns.mistake(pattern.text, tools)),
        (tenant, tenant_mistake(tenant.text)),
        (days, _days_mistake(days.text)),
    ]


def _days_mistake(text: str) -> str:
    found = _DAYS.fullmatch(text)
    if found and int(found[1]) <= MAX_DAYS:
        return ""
    return f"`{text}` must be a number of days from 1 to {MAX_DAYS}, such as `400d`"
