"""Reads `limits.csv`: how much of what may be called, by whom together, within a stretch of time that moves on."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from connectors.contract import Sink, Tool
from gateway.policy.files.lines import Cell, Line, id_mistake, read_lines
from gateway.policy.files.roles import EVERYONE, known_role_mistake
from gateway.policy.language import patterns
from gateway.policy.language.kinds import Kind, Type, type_of_tool
from gateway.policy.problem import Problem, suggest

FILE = "limits.csv"
REQUESTS: Final = "requests"
CALLS: Final = "calls"
RECIPIENTS: Final = "recipients"
ADDRESS: Final = "address"
ARGS: Final = "args."
LONGEST = timedelta(days=31)
MOST = 10**9

_COLUMNS = "limit, id, role, tool, what, at most, per, for each, note"
_COUNT = re.compile(r"[1-9][0-9]{0,9}")
_AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?")
_WINDOW = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_COUNTED = (REQUESTS, CALLS, RECIPIENTS)
_WHOM = ("person", "agent", "tenant", "run", "tool")
_WHOM_OF_REQUESTS = (ADDRESS, "person", "agent", "tenant")


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """One line: so much of something within a window, for each of those that it counts apart.

    Args:
        id: Its name in answers and in the journal, unique among rules and obligations too.
        role: Whose calls it counts, with the prefix `role:`.
        pattern: The tools it counts: a name, or a beginning followed by `*`.
        what: `requests`, `calls`, `recipients`, or `args.` and the argument that is summed.
        most: How much.
        window: Within how long; the window moves on with time.
        whom: What is counted apart, in the order of the line; always within one tenant.
        note: Why, for people.
        paths: For each tool that it counts the paths of the arguments that are looked at.
    """

    id: str
    role: str
    pattern: str
    what: str
    most: Decimal
    window: timedelta
    whom: tuple[str, ...]
    note: str
    paths: Mapping[str, tuple[str, ...]]

    @property
    def per(self) -> str:
        """The window in words, such as `24 hours`."""
        return window_in_words(self.window)

    @property
    def words(self) -> str:
        """What it allows, such as `at most 20 calls within 1 hour for each person and tool`."""
        what = (
            f"{self.most:f} in all of `{self.what[len(ARGS) :]}`"
            if _is_sum(self.what)
            else f"{self.most:f} {self.what}"
        )
        whom = " and ".join(f"`{each[len(ARGS) :]}`" if _is_sum(each) else each for each in self.whom)
        return f"at most {what} within {self.per} for {'the' if whom == 'tenant' else 'each'} {whom}"


def window_in_words(window: timedelta) -> str:
    """A length of time in the largest unit that fits, but hours up to two days."""
    seconds = int(window.total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % length == 0 and not (unit == "day" and seconds < 2 * length):
            return _number(seconds // length, unit)
    return _number(seconds, "second")


def read_limits(
    text: str, tools: Iterable[Tool], roles: frozenset[str] | None, taken: Collection[str], problems: list[Problem]
) -> tuple[Limit, ...]:
    """Read the file's text; every mistake is added to `problems`.

    Args:
        text: The text.
        tools: All tools there are.
        roles: The roles that `roles.csv` knows, or None if it could not be read.
        taken: The ids of rules and obligations: an id means one thing.
        problems: Where mistakes go.
    """
    known = {tool.name: tool for tool in tools}
    found: dict[str, Limit] = {}
    for line in read_lines(FILE, text, problems):
        mistakes = [line.problem(cell, message) for cell, message in _mistakes(line, known, roles) if message]
        identifier = line.cells[min(1, len(line.cells) - 1)]
        if not mistakes and identifier.text in found:
            mistakes = [line.problem(identifier, f"id `{identifier.text}` has a line already")]
        elif not mistakes and identifier.text in taken:
            mistakes = [line.problem(identifier, f"id `{identifier.text}` is a rule's or an obligation's already")]
        problems.extend(mistakes)
        if not mistakes:
            found[identifier.text] = _made(line, known)
    return tuple(found.values())


def limits_on(lines: Iterable[Limit], roles: frozenset[str], tool: str) -> tuple[Limit, ...]:
    """The lines that count a call of a tool by somebody with these roles."""
    return tuple(
        each for each in lines if each.what != REQUESTS and each.role in roles | {EVERYONE} and tool in each.paths
    )


def _made(line: Line, tools: Mapping[str, Tool]) -> Limit:
    _, identifier, role, pattern, what, most, per, whom, note = (cell.text for cell in line.cells)
    covered = [tool for name, tool in tools.items() if patterns.covers(pattern, name)]
    paths = {tool.name: _paths(tool, what) for tool in covered}
    if what == RECIPIENTS:
        paths = {name: found for name, found in paths.items() if found}
    return Limit(identifier, role, pattern, what, Decimal(most), _window(per), _whom(whom), note, paths)


def _paths(tool: Tool, what: str) -> tuple[str, ...]:
    if what == RECIPIENTS:
        return tuple(path for path, sink in tool.sinks.items() if sink is Sink.RECIPIENT)
    return (what[len(ARGS) :],) if _is_sum(what) else ()


def _mistakes(line: Line, tools: Mapping[str, Tool], roles: frozenset[str] | None) -> list[tuple[Cell, str]]:
    kind, *rest = line.cells
    if kind.text != "limit":
        return [(kind, f"unknown line type `{kind.text}`: lines of {FILE} start with `limit`")]
    if len(line.cells) != _COLUMNS.count(",") + 1:
        return [(kind, f"expected {_COLUMNS.count(',') + 1} columns ({_COLUMNS}), found {len(line.cells)}")]
    identifier, role, pattern, what, most, per, whom, _note = rest
    covered = [tool for name, tool in tools.items() if patterns.covers(pattern.text, name)]
    return [
        (identifier, id_mistake(identifier.text)),
        (role, known_role_mistake(role.text, roles)),
        (pattern, patterns.mistake(pattern.text, tools)),
        (what, _what_mistake(what.text, covered, pattern.text)),
        (most, _most_mistake(most.text, what.text)),
        (per, _window_mistake(per.text)),
        *((whom, message) for message in _whom_mistakes(whom.text, what.text, covered, pattern.text)),
        *_request_mistakes(role, pattern, what, whom),
    ]


def _request_mistakes(role: Cell, pattern: Cell, what: Cell, whom: Cell) -> Iterable[tuple[Cell, str]]:
    if what.text != REQUESTS:
        return
    if pattern.text != "*":
        yield pattern, "requests are counted before it is known what they call: write `*`"
    if ADDRESS in _whom(whom.text) and role.text != EVERYONE:
        yield role, f"who sends from an address is not known yet: write `{EVERYONE}`"


def _what_mistake(text: str, covered: Collection[Tool], pattern: str) -> str:
    if _is_sum(text):
        return _argument_mistake(text, covered, pattern, {Kind.NUMBER}, "a number")
    if text not in _COUNTED:
        near = suggest(text, _COUNTED) or ": write `requests`, `calls`, `recipients`, or `args.` and a number's name"
        return f"unknown thing to count `{text}`{near}"
    if text == RECIPIENTS and covered and not any(_paths(tool, text) for tool in covered):
        return f"no input of `{pattern}` names recipients: count `calls` instead"
    return ""


def _argument_mistake(text: str, covered: Collection[Tool], pattern: str, kinds: set[Kind], needed: str) -> str:
    name = text[len(ARGS) :]
    for tool in covered:
        fields: Mapping[str, Type] = type_of_tool(tool).fields
        more = "" if pattern == tool.name else f", which `{pattern}` covers,"
        if name not in fields:
            return f"`{tool.name}`{more} has no argument `{name}`{suggest(name, fields)}"
        if fields[name].kind not in kinds:
            return f"`{name}` of `{tool.name}`{more} is not {needed}"
    return ""


def _most_mistake(text: str, what: str) -> str:
    if _is_sum(what):
        is_amount = _AMOUNT.fullmatch(text) and 0 < Decimal(text) <= MOST
        return "" if is_amount else f"`{text}` must be an amount above 0 and up to {MOST}; a rule forbids all of it"
    is_count = _COUNT.fullmatch(text) and int(text) <= MOST
    return "" if is_count else f"`{text}` must be a whole number from 1 to {MOST}; a rule forbids all of it"


def _window_mistake(text: str) -> str:
    if _WINDOW.fullmatch(text) and timedelta() < _window(text) <= LONGEST:
        return ""
    return (
        f"`{text}` must be a number of seconds, minutes, hours or days, up to {LONGEST.days}d: `10s`, `1m`, `24h`, `7d`"
    )


def _whom_mistakes(text: str, what: str, covered: Collection[Tool], pattern: str) -> Iterable[str]:
    words = _whom(text)
    allowed = _WHOM_OF_REQUESTS if what == REQUESTS else _WHOM
    if len(set(words)) < len(words):
        yield f"`{text}` names something twice"
    for word in words:
        if _is_sum(word) and what != REQUESTS:
            if message := _argument_mistake(word, covered, pattern, {Kind.TEXT}, "a text, so is not counted apart"):
                yield message
        elif word not in allowed:
            known = ", ".join(f"`{each}`" for each in allowed)
            only = (
                f": {known}" + ("" if what == REQUESTS else " and `args.…`") + " can be counted apart, joined by `and`"
            )
            yield f"`{word}` is nothing that {what} are counted for{suggest(word, allowed) or only}"


def _is_sum(what: str) -> bool:
    return what.startswith(ARGS)


def _whom(text: str) -> tuple[str, ...]:
    return tuple(re.split(r"\s+and\s+", text.strip()))


def _window(text: str) -> timedelta:
    number, unit = text[:-1], text[-1]
    return timedelta(**{f"{_UNITS[unit]}s": int(number)})


def _number(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
