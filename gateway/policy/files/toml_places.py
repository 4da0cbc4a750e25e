"""Where in a TOML file a value stands: the standard library reads values, but not their places."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

_HEADER = re.compile(r"\s*\[{1,2}(?P<key>[^\[\]]*(\"[^\"]*\"|'[^']*'|[^\[\]])*)\]{1,2}\s*(#.*)?")
_KEY = re.compile(r"(?P<indent>\s*)(?P<key>((\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)\s*\.?\s*)+?)\s*=")


def place_of(text: str, path: Sequence[object]) -> tuple[int, int]:
    """The line and column, both from 1, of a value: its own, or else that of the nearest table around it.

    Args:
        text: The file's text.
        path: The keys that lead to the value.
    """
    wanted = tuple(part for part in path if isinstance(part, str))
    best, found = 0, (1, 1)
    for keys, line, column in _keys(text):
        if len(keys) > best and wanted[: len(keys)] == keys:
            best, found = len(keys), (line, column)
    return found


def _keys(text: str) -> Iterator[tuple[tuple[str, ...], int, int]]:
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            table = _path(f"[{header['key']}]")
            yield table, number, len(line) - len(line.lstrip()) + 1
        elif key := _KEY.match(line):
            yield (*table, *_path(f"{key['key']} = 0")), number, len(key["indent"]) + 1


def _path(text: str) -> tuple[str, ...]:
    try:
        data: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str] = []
    while isinstance(data, dict) and data:
        name, data = next(iter(data.items()))
        path.append(name)
    return tuple(path)
