"""Reads `lists.csv`: lists of values that conditions use by name, such as `lists.partners`."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import TypeAlias

from gateway.policy.files.lines import Line, read_lines
from gateway.policy.problem import Problem

FILE = "lists.csv"

Value: TypeAlias = str | int | Decimal
Lists: TypeAlias = Mapping[str, tuple[Value, ...]]
NO_LISTS: Lists = MappingProxyType({})

_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def read_lists(text: str, problems: list[Problem]) -> Lists:
    """Read the file's text; every mistake is added to `problems`.

    Returns:
        The values of each list in the order of the file.
    """
    found: dict[str, dict[Value, None]] = {}
    for line in read_lines(FILE, text, problems):
        problem = _mistake(line)
        if not problem:
            _, name, cell = line.cells
            value, values = _value(cell.text), found.setdefault(name.text, {})
            if message := _misfit(cell.text, value, values):
                problem = line.problem(cell, message)
            values[value] = None
        if problem:
            problems.append(problem)
    return MappingProxyType({name: tuple(values) for name, values in found.items()})


def _mistake(line: Line) -> Problem | None:
    kind, *rest = line.cells
    if kind.text != "list":
        return line.problem(kind, f"unknown line type `{kind.text}`: lines of lists.csv start with `list`")
    if len(rest) != 2:
        return line.problem(kind, f"expected 3 columns (list, name, value), found {len(line.cells)}")
    name, value = rest
    if not _NAME.fullmatch(name.text):
        return line.problem(name, f"list `{name.text}` must be a name in lower case, such as `partners`")
    return None if value.text else line.problem(value, "the value is empty")


def _misfit(written: str, value: Value, values: Iterable[Value]) -> str:
    """What is wrong with a value beside those that the list already has."""
    if value in values:
        return f"`{written}` is already in this list"
    holds_texts = isinstance(next(iter(values), value), str)
    if holds_texts and not isinstance(value, str):
        return f"this list holds texts: write the text `'{written}'`"
    if not holds_texts and isinstance(value, str):
        return f"this list holds numbers: `{written}` is a text"
    return ""


def _value(text: str) -> Value:
    """A value as in a condition: plain digits are a number, all else is a text, in single quotes if one likes."""
    if len(text) > 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    if not _NUMBER.fullmatch(text):
        return text
    return Decimal(text) if "." in text else int(text)
