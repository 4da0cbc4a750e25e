"""Reading mbox files of any size in little memory (RFC 4155, and the mboxo and mboxrd ways of quoting).

A first pass only notes where messages start; the second reads one message at a time. The first line decides how
separators look: if it is `From <sender> <date>` every one must be, since a body may hold lines that begin with `From `;
if it has no date, any `From ` after an empty line separates.
"""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from connectors.importing.mail import check_size, marks_in, message
from connectors.importing.source import Accepted, Item, Place, Source, UnreadableSource, attempt
from connectors.importing.text import storable

_SEPARATOR = b"From "
_DATED = re.compile(rb"From .*\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2} +\d{1,2}:\d\d")
_QUOTED = re.compile(rb"^>(?=>*From )", re.MULTILINE)
_MAX_LINE = 65_536
_SHOWN = 4_000


@dataclass(frozen=True)
class Index:
    """Where each message's separator stands, as bytes from 0 and as lines from 1, and where the file ends."""

    starts: "array[int]" = field(default_factory=lambda: array("Q"))
    lines: "array[int]" = field(default_factory=lambda: array("Q"))
    end: int = 0


def read_mbox(path: Path, mailbox: str) -> Source:
    """Open an mbox file.

    Raises:
        UnreadableSource: If it does not start with a `From ` line.
    """
    with path.open("rb") as file:
        index = index_of(file)
    if not index.starts:
        what = "is empty" if index.end == 0 else "does not start with a `From ` line"
        raise UnreadableSource(f"`{path.name}` {what}; expected an mbox file (for single messages use `eml`)")
    return Source(_messages(path, mailbox, index), total=len(index.starts))


def index_of(file: BinaryIO) -> Index:
    """Find every separator line. Without one as the first line that is not empty, the index is empty."""
    starts, lines = array("Q"), array("Q")
    position, number, line_starts, after_empty, dated = 0, 0, True, True, False
    while line := file.readline(_MAX_LINE):
        number += line_starts
        if line_starts and line.startswith(_SEPARATOR):
            shaped = _DATED.match(line) is not None
            dated = dated or (not starts and shaped)
            if shaped or (after_empty and not dated):
                starts.append(position)
                lines.append(number)
        elif not starts and line.strip(b"\r\n"):
            return Index(end=position + len(line))
        after_empty = line_starts and not line.strip(b"\r\n")
        line_starts = line.endswith(b"\n")
        position += len(line)
    return Index(starts, lines, position)


def _messages(path: Path, mailbox: str, index: Index) -> Iterator[Item]:
    ends = (*index.starts[1:], index.end)
    with path.open("rb") as file:
        for start, end, line in zip(index.starts, ends, index.lines, strict=True):
            place = Place(storable(path.name), line=line, byte=start)
            file.seek(start)
            shown = file.read(min(_SHOWN, end - start))
            yield attempt(place, shown, partial(_message, file, start, end, place, mailbox))


def _message(file: BinaryIO, start: int, end: int, place: Place, mailbox: str) -> Accepted:
    check_size(end - start)
    raw = raw_message(file, start, end)
    return message(raw, place, mailbox, marks_in(raw))


def raw_message(file: BinaryIO, start: int, end: int) -> bytes:
    """A message as it was before it was put into the file.

    Args:
        file: The mbox file.
        start: Where its separator stands.
        end: Where the next one does.
    """
    file.seek(start)
    file.readline()
    return _QUOTED.sub(b"", _without_last_empty_line(file.read(end - file.tell())))


def _without_last_empty_line(raw: bytes) -> bytes:
    """Take away the empty line that the format puts before the next separator."""
    for ending in (b"\r\n", b"\n"):
        if raw.endswith(ending + ending) or raw == ending:
            return raw.removesuffix(ending)
    return raw
