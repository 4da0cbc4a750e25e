"""Reads policy files strictly, and remembers where everything stood."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.policy.problem import Problem, Severity

# Controls, line separators and the marks that make a line read differently from what it says.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_BOM = "\ufeff"
MAX_LINE = 2_000
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a line, with the column of each of its characters and of its end."""

    text: str
    columns: tuple[int, ...]

    def column(self, offset: int = 0) -> int:
        """The column, from 1, of the character at an offset of the text."""
        return self.columns[min(offset, len(self.columns) - 1)]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of values."""

    file: str
    number: int
    cells: tuple[Cell, ...]

    def problem(self, cell: Cell, message: str, offset: int = 0) -> Problem:
        """A problem at a character of a cell."""
        return Problem(self.file, self.number, cell.column(offset), message)

    def warning(self, cell: Cell, code: str, message: str, offset: int = 0) -> Problem:
        """A warning at a character of a cell."""
        return Problem(self.file, self.number, cell.column(offset), message, Severity.WARNING, code)


def id_mistake(text: str, what: str = "id") -> str:
    """What is wrong with the id of a line; empty when nothing is."""
    return "" if _ID.fullmatch(text) else f"{what} `{text}` must be a letter, then letters, digits, `_` or `-`"


def read_text(path: Path, problems: list[Problem]) -> str:
    """Read a policy file as UTF-8. What cannot be read is noted in `problems` and comes back empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        problems.append(Problem(path.name, 1, 1, f"the file cannot be read: {(error.strerror or 'unknown').lower()}"))
        return ""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        before = data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8")
        message = f"byte 0x{data[error.start]:02X} is not UTF-8: save the file as UTF-8"
        problems.append(Problem(path.name, line, len(before) + 1, message))
        return ""
    if text.startswith(_BOM):
        problems.append(
            Problem(path.name, 1, 1, "the file starts with a byte order mark: save it as UTF-8 without one")
        )
    return text.removeprefix(_BOM)


def meaningful_lines(file: str, text: str, problems: list[Problem]) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers: without blank lines and comments (`#`)."""
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r")
        if len(line) > MAX_LINE:
            message = f"the line has {len(line)} characters, at most {MAX_LINE} are allowed"
            problems.append(Problem(file, number, MAX_LINE + 1, message))
        elif found := _FORBIDDEN.search(line):
            message = f"the character U+{ord(found.group()):04X} is not allowed"
            problems.append(Problem(file, number, found.start() + 1, message))
        elif line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def read_lines(file: str, text: str, problems: list[Problem]) -> Iterator[Line]:
    """The lines of a CSV file: values between commas, in double quotes if they hold a comma; `""` is one quote."""
    for number, text_of_line in meaningful_lines(file, text, problems):
        try:
            yield Line(file, number, tuple(_cells(text_of_line)))
        except _Unreadable as error:
            problems.append(Problem(file, number, error.column, str(error)))


class _Unreadable(Exception):
    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column = column


def _cells(line: str) -> Iterator[Cell]:
    start = 0
    while True:
        start += len(line[start:]) - len(line[start:].lstrip(" \t"))
        cell, end = _quoted(line, start) if line[start : start + 1] == '"' else _bare(line, start)
        yield cell
        if end >= len(line):
            return
        start = end + 1


def _bare(line: str, start: int) -> tuple[Cell, int]:
    end = line.find(",", start)
    end = len(line) if end < 0 else end
    text = line[start:end].rstrip(" \t")
    if '"' in text:
        raise _Unreadable(start + text.index('"') + 1, 'a double quote inside a value: put the whole value in `"…"`')
    return Cell(text, tuple(range(start + 1, start + len(text) + 2))), end


def _quoted(line: str, start: int) -> tuple[Cell, int]:
    text, columns, position = "", [], start + 1
    while True:
        if position >= len(line):
            raise _Unreadable(start + 1, "the double quote that starts here is not closed on this line")
        if line[position] == '"':
            if line[position + 1 : position + 2] != '"':
                break
            columns.append(position + 1)
            text, position = text + '"', position + 2
        else:
            columns.append(position + 1)
            text, position = text + line[position], position + 1
    columns.append(position + 1)
    rest = line[position + 1 :]
    end = len(line) - len(rest.lstrip(" \t"))
    if end < len(line) and line[end] != ",":
        raise _Unreadable(end + 1, "only a comma may follow a closing double quote")
    return _stripped(text, columns), end


def _stripped(text: str, columns: list[int]) -> Cell:
    lead = len(text) - len(text.lstrip())
    kept = text.strip()
    return Cell(kept, tuple(columns[lead : lead + len(kept) + 1]))
