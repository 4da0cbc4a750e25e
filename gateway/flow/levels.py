"""What a tool declares of its results, laid out for reading many: by the place where a record stands."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, TypeAlias

from pydantic import BaseModel

from connectors.contract import Author, Confidentiality, Tool, walk
from gateway.policy.language.flow import Integrity

ID_FIELDS = ("id", "id_")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_MOST_TOOLS, _MOST_LEVELS, _MOST_KEYS, _MOST_SHAPES, _MOST_KEY_SETS = 1_000, 100, 500, 1_000, 20

Said: TypeAlias = tuple[Author, bool, Confidentiality, bool]
"""Who wrote a value, whether it is on record, who may see it, and whether an agent may have written it."""


USUAL = {
    Author.OUTSIDER: Confidentiality.CUSTOMER,
    Author.CUSTOMER: Confidentiality.CUSTOMER,
    Author.ORGANISATION: Confidentiality.INTERNAL,
    Author.SYSTEM: Confidentiality.PUBLIC,
}
"""Who may see what somebody wrote, where nothing else is declared."""


class Level:
    """All records of a tool's result that stand at one path.

    Args:
        tool: The tool.
        path: Where they stand; "" for the result itself.
    """

    def __init__(self, tool: Tool, path: str) -> None:
        self._before = before = f"{path}." if path else ""
        self._paths: dict[str, str] = {}
        self._plain_keys: set[tuple[str, ...]] = set()
        self.written_by = _below(before, tool.written_by)
        self.owning = tuple(_below(before, dict.fromkeys(path.rstrip("[]") for path in tool.owners)))
        self._names = {key: f"{tool.area}:{tool.namespaces.get(before + key, '')}:" for key in ID_FIELDS}

    def path(self, key: str) -> str:
        """The path of a field, whose name is plain or stands in quotes."""
        known = self._paths.get(key)
        if known is None:
            known = self._before + key
            if len(self._paths) < _MOST_KEYS:
                self._paths[key] = known
        return known

    def odd_keys(self, fields: Mapping[str, Any]) -> Sequence[str]:
        """The fields that do not have plain names."""
        keys = tuple(fields)
        if keys in self._plain_keys:
            return ()
        odd = [key for key in keys if plain_name(key) != key]
        if not odd and len(keys) <= _MOST_KEYS and len(self._plain_keys) < _MOST_KEY_SETS:
            self._plain_keys.add(keys)
        return odd

    def record_name(self, fields: Mapping[str, Any]) -> str:
        """The name of a record that stands here; "" if it has no id."""
        if "id" not in fields and "id_" not in fields:
            return ""
        for key, value in fields.items():
            if key in ID_FIELDS and isinstance(value, (str, int)):
                return f"{self._names[key]}{value}"
        return ""


class Declared:
    """What a tool declares of its results.

    Args:
        tool: The tool.
    """

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self._fields = _fields_of(tool.output)
        self._to_owners = frozenset(part for path in tool.owners for part in _beginnings(path))
        self._levels: dict[str, Level] = {}
        self.shapes: dict[tuple[str, Author | None, Integrity, bool, bool], Said] = {}

    def keep(self, shape: tuple[str, Author | None, Integrity, bool, bool], said: Said) -> None:
        """Keep what was found out about values of one shape, as long as there are not very many."""
        if len(self.shapes) < _MOST_SHAPES:
            self.shapes[shape] = said

    def level(self, path: str) -> Level:
        """The records that stand at a path."""
        known = self._levels.get(path)
        if known is None:
            known = Level(self.tool, path)
            if len(self._levels) < _MOST_LEVELS:
                self._levels[path] = known
        return known

    def author(self, path: str) -> Author:
        """As declared; a declared value that is no text is the system's, what nobody declared is anyone's."""
        declared = self.tool.authors.get(path)
        return declared or (Author.SYSTEM if path in self._fields else Author.OUTSIDER)

    def leads_to_owners(self, path: str) -> bool:
        """Whether what stands at a path may name owners, or hold what does."""
        return path in self._to_owners


_known: dict[int, Declared] = {}


def declared_by(tool: Tool) -> Declared:
    """What a tool declares, laid out once."""
    found = _known.get(id(tool))
    if found is None or found.tool is not tool:
        if len(_known) >= _MOST_TOOLS:
            _known.clear()
        found = _known[id(tool)] = Declared(tool)  # which keeps the tool, so that no other one gets its id
    return found


def most_confidential(tool: Tool) -> Confidentiality:
    """The level of the most confidential field of a tool's results, as far as its declarations say."""
    usual = [USUAL[author] for path, author in tool.authors.items() if path not in tool.confidentiality]
    if tool.owners or not tool.authors:
        usual.append(Confidentiality.CUSTOMER)
    return max((*usual, *tool.confidentiality.values()), key=lambda level: level.rank)


@lru_cache(maxsize=10_000)
def plain_name(key: str) -> str:
    """A key as paths have it: what could be taken for a path stands in quotes, and no declaration names it."""
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key[:64])


@cache
def _fields_of(output: type[BaseModel]) -> frozenset[str]:
    return frozenset(leaf.path for leaf in walk(output))


def _below(before: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    return {path[len(before) :]: said for path, said in declared.items() if path.startswith(before)}


def _beginnings(path: str) -> Iterable[str]:
    return (path[:end] for end in range(1, len(path) + 1) if path[end:] == "" or path[end:].startswith((".", "[]")))
