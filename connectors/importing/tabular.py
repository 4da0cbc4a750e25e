"""Reading a CSV export whose columns may be called many things."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from connectors.importing.source import Place, Rejected, UnreadableSource, reject
from connectors.importing.text import encoding_of

Aliases = Mapping[str, tuple[str, ...]]
"""For each field the names that exports give it, as `plain_name` writes them."""

_DELIMITERS = ",;\t"
_MAX_SHOWN = 8
_MAX_LINE = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it starts, its cells by field (only those that are not empty), and its text."""

    place: Place
    cells: Mapping[str, str]
    raw: str


@dataclass(frozen=True)
class Table:
    """A CSV file whose header was understood."""

    path: Path
    codec: str
    delimiter: str
    fields: tuple[str | None, ...]
    notes: tuple[str, ...]

    def rows(self) -> Iterator[Row | Rejected]:
        """Read the rows from the start, one at a time; empty rows are left out."""
        with self.path.open(encoding=self.codec, errors="replace", newline="") as file:
            read: list[str] = []
            reader = csv.reader(_remember(file, read), delimiter=self.delimiter)
            next(reader)
            while True:
                read.clear()
                place = Place(self.path.name, line=reader.line_num + 1)
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    yield reject(place, f"row: {error}; is a quote left open?", "".join(read))
                    continue
                if cells is None:
                    return
                if any(cell.strip() for cell in cells):
                    yield self._row(place, cells, "".join(read))

    def _row(self, place: Place, cells: list[str], raw: str) -> Row | Rejected:
        if any(cell.strip() for cell in cells[len(self.fields) :]):
            return reject(place, f"row: {len(cells)} cells where the header has {len(self.fields)}", raw)
        named: dict[str, str] = {}
        for field, cell in zip(self.fields, cells, strict=False):
            if field and cell.strip():
                named.setdefault(field, cell.strip())
        return Row(place, named, raw)


def open_table(path: Path, aliases: Aliases, required: tuple[str, ...], example: str) -> Table:
    """Find out how a CSV file is encoded and separated, and which column is which field.

    Args:
        path: The file.
        aliases: The names a column may have, by field.
        required: Fields without which no row can be used.
        example: A header that would do, for the error.

    Raises:
        UnreadableSource: If it is not text, is empty, or a required column is not there.
    """
    encoding = encoding_of(path)
    known = {alias: field for field, names in aliases.items() for alias in (plain_name(field), *names)}
    delimiter, header = _header(path, encoding.codec, known)
    fields = tuple(known.get(plain_name(name)) for name in header)
    if absent := [field for field in required if field not in fields]:
        shown = ", ".join(name.strip()[:30] for name in header[:_MAX_SHOWN])
        raise UnreadableSource(
            f"`{path.name}` has no column for {' and '.join(absent)} (its first line is: {shown});"
            f" expected a header like `{example}`"
        )
    ignored = [name.strip()[:30] for name, field in zip(header, fields, strict=True) if field is None and name.strip()]
    notes = (f"{path.name}: columns left out: {', '.join(ignored)}",) if ignored else ()
    return Table(path, encoding.codec, delimiter, fields, (encoding.note, *notes) if encoding.note else notes)


def plain_name(name: str) -> str:
    """Write a column's name plainly: lower case, one space between words (`E-Mail_Address` is `e mail address`)."""
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()


def _header(path: Path, codec: str, known: Mapping[str, str]) -> tuple[str, list[str]]:
    def columns(delimiter: str) -> list[str]:
        with path.open(encoding=codec, errors="replace", newline="") as file:
            return next(csv.reader(file, delimiter=delimiter), [])

    def recognised(header: list[str]) -> tuple[int, int]:
        return len({known[name] for name in map(plain_name, header) if name in known}), len(header)

    try:
        headers = {delimiter: columns(delimiter) for delimiter in _DELIMITERS}
    except csv.Error as error:
        raise UnreadableSource(f"the first line of `{path.name}` is not a CSV header: {error}") from error
    best = max(headers, key=lambda delimiter: recognised(headers[delimiter]))
    return best, headers[best]


def _remember(file: TextIO, read: list[str]) -> Iterator[str]:
    while line := file.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:  # far above what a cell may hold: the reader will refuse it
            while rest := file.readline(_MAX_LINE):
                if rest.endswith("\n"):
                    break
        read.append(line)
        yield line
