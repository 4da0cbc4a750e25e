"""Reading tickets from JSON Lines: one ticket a line, with its comments inside."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from connectors.importing.source import Accepted, Item, Place, Refused, Source, UnreadableSource, attempt, reject
from connectors.importing.tabular import Aliases, plain_name
from connectors.importing.tickets import COMMENT, TICKET, Thread, ticket

_MAX_LINE = 5_000_000
_MAX_COMMENTS = 500


def looks_like_json(path: Path) -> bool:
    """Tell whether a file starts as JSON does."""
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def read_tickets_jsonl(path: Path) -> Source:
    """Open a file with one JSON object a line.

    Raises:
        UnreadableSource: If it is one big JSON array instead.
    """
    with path.open("rb") as file:
        if file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
            raise UnreadableSource(f"`{path.name}` is one JSON array; expected one ticket a line (JSON Lines)")
        file.seek(0)
        total = sum(1 for _ in _lines(file, path.name))
    return Source(_tickets(path), total=total)


def _tickets(path: Path) -> Iterator[Item]:
    with path.open("rb") as file:
        for place, line in _lines(file, path.name):
            if len(line) > _MAX_LINE:
                yield reject(place, f"line: longer than {_MAX_LINE // 1_000_000} MB", line)
            else:
                yield attempt(place, line, partial(_ticket, line, place))


def _lines(file: BinaryIO, name: str) -> Iterator[tuple[Place, bytes]]:
    """Lines that are not empty; of one that is too long only the start, so that it can be shown."""
    number = 0
    while line := file.readline(_MAX_LINE + 1):
        number += 1
        rest = line
        while len(rest) > _MAX_LINE and not rest.endswith(b"\n"):
            rest = file.readline(_MAX_LINE + 1)
        if line.strip():
            yield Place(name, line=number), line


def _ticket(line: bytes, place: Place) -> Accepted:
    fields = _named(_object(line), TICKET)
    comments = fields.pop("comments", None) or []
    if not isinstance(comments, list) or not all(isinstance(each, Mapping) for each in comments):
        raise Refused("comments: expected a list of objects")
    if len(comments) > _MAX_COMMENTS:
        raise Refused(f"comments: {len(comments)} of them, at most {_MAX_COMMENTS} can be kept")
    return ticket(Thread(fields, [_named(each, COMMENT) for each in comments], place))


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line.removeprefix(b"\xef\xbb\xbf"), parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise Refused(f"line: not JSON: {error.msg.lower()} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise Refused("line: not JSON: not UTF-8, nested too deeply, or with a number that is none") from error
    if not isinstance(found, Mapping):
        raise Refused('line: expected a JSON object, such as {"id": 1, "subject": "…"}')
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"`{name}` is not JSON")


def _named(found: Mapping[str, Any], aliases: Aliases) -> dict[str, Any]:
    known = {alias: field for field, names in aliases.items() for alias in (plain_name(field), *names)}
    named: dict[str, Any] = {}
    for key, value in found.items():
        field = known.get(plain_name(key))
        if field and value not in (None, "", []):
            named.setdefault(field, value)
    return named
