"""Reads a result piece by piece: each value with its author, its label and the record that it belongs to."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel

from connectors.contract import Author, Confidentiality, Effect, Tool, walk
from gateway.flow.audience import is_own
from gateway.flow.labels import CLEAN, Label
from gateway.policy.language.flow import Integrity

_OUTSIDE = frozenset({Author.OUTSIDER, Author.CUSTOMER})
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_MOST_PATHS = 100
_ID_FIELDS = ("id", "id_")
_INTEGRITY = {
    Author.OUTSIDER: Integrity.ANYONE,
    Author.CUSTOMER: Integrity.CUSTOMER,
    Author.ORGANISATION: Integrity.ORGANISATION,
    Author.SYSTEM: Integrity.ORGANISATION,
}
_CONFIDENTIALITY = {
    Author.OUTSIDER: Confidentiality.CUSTOMER,
    Author.CUSTOMER: Confidentiality.CUSTOMER,
    Author.ORGANISATION: Confidentiality.INTERNAL,
    Author.SYSTEM: Confidentiality.PUBLIC,
}
NOBODY = "nobody"
"""The owner of what outsiders wrote and of whom nothing tells whose it is: a customer apart from all others."""


class Piece(NamedTuple):
    """One value that a result shows.

    Args:
        path: Where it stands, `[]` standing for every item of a list.
        value: A text, a number or another plain value; never None or empty.
        author: Who could have written it, as far as the record itself and what is known of it say.
        is_kept: Whether the organisation has it on record, whoever worded it.
        label: What is known about it.
        namespace: The kind of thing that it identifies; "" where it is no identifier or carries its kind.
        record: The name of the record that it belongs to; "" if it belongs to none.
    """

    path: str
    value: object
    author: Author
    is_kept: bool
    label: Label
    namespace: str
    record: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a result shows.

    Args:
        pieces: Its values.
        links: Sets of owners that the organisation has on record as one customer: its address, its account, its domain.
    """

    pieces: Sequence[Piece]
    links: Sequence[frozenset[str]]

    @property
    def label(self) -> Label:
        """The label of the whole result."""
        joined = CLEAN
        for label in dict.fromkeys(piece.label for piece in self.pieces):
            joined |= label
        return joined

    @property
    def untrusted(self) -> list[str]:
        """The paths of the texts that outsiders may have written: data, never instructions."""
        texts = (piece for piece in self.pieces if isinstance(piece.value, str))
        paths = dict.fromkeys(piece.path for piece in texts if piece.author in _OUTSIDE)
        # Of very many keys that a server made up, what they lie in.
        return list(paths if len(paths) <= _MOST_PATHS else dict.fromkeys(path.partition(".")[0] for path in paths))


def read(
    tool: Tool,
    output: Mapping[str, Any],
    labels: Mapping[str, Label] | None = None,
    writing: Mapping[str, Label] | None = None,
    anywhere: Label = CLEAN,
    own_domains: Collection[object] = (),
) -> Reading:
    """Read a result.

    Args:
        tool: The tool that gave it; its declaration says who writes what.
        output: The result, as Python values or as JSON data.
        labels: What is known of single records beyond that, by the name that `record_names` gives them.
        writing: What is being written into records, and into whatever stands in them, at this moment.
        anywhere: What is being written into records that have no name yet.
        own_domains: The organisation's own domains: whoever writes from there may be anybody who says so.
    """
    reader = _Reader(tool, labels or {}, writing or {}, own_domains)
    pieces = list(reader.record(output, "", _Within(over=anywhere)))
    return Reading(pieces, reader.links)


def record_names(tool: Tool, output: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the records that a result shows, each once."""
    return tuple(dict.fromkeys(_names(tool, output, "")))


def _names(tool: Tool, value: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - JSON data
    if isinstance(value, Mapping):
        if name := record_name_of(tool, value, path):
            yield name
        for key, part in value.items():
            if isinstance(part, (Mapping, list, tuple)):
                yield from _names(tool, part, f"{path}.{_name(key)}" if path else _name(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _names(tool, item, f"{path}[]")


def record_name_of(tool: Tool, fields: Mapping[str, Any], path: str) -> str:
    """The name under which labels of a record are kept; "" if it has no id.

    Args:
        tool: What showed it.
        fields: The record.
        path: Where it stands in the result.
    """
    if "id" not in fields and "id_" not in fields:
        return ""
    for key, value in fields.items():
        if key in _ID_FIELDS and isinstance(value, (str, int)):
            namespace = tool.namespaces.get(f"{path}.{key}" if path else key, "")
            return record_name(tool, namespace, value)
    return ""


def record_name(tool: Tool, namespace: str, identifier: object) -> str:
    """The name under which labels of a record with an id are kept."""
    return f"{tool.area}:{namespace}:{identifier}"


def nameless(tool: Tool) -> str:
    """The name under which the label of all that has no id is kept, of one area together."""
    return f"{tool.area}:"


@lru_cache(maxsize=10_000)
def _name(key: str) -> str:
    """A key as paths have it: what could be taken for a path stands in quotes, and no declaration names it."""
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key[:64])


@cache
def _declared(output: type[BaseModel]) -> frozenset[str]:
    return frozenset(leaf.path for leaf in walk(output))


@dataclass(frozen=True, slots=True)
class _Within:
    """What holds for the values of one record.

    Args:
        record: Its name; "" if it has none.
        owners: Whose it and all that stands in it is.
        whose: Whose its own values are.
        known: What is known of it beyond the tool's declaration.
        over: The part of that which holds for the records in it as well.
        writer: Who wrote its texts, if the record says so.
    """

    record: str = ""
    owners: frozenset[str] = frozenset()
    whose: frozenset[str] = frozenset()
    known: Label = CLEAN
    over: Label = CLEAN
    writer: Author | None = None


class _Reader:
    def __init__(
        self,
        tool: Tool,
        labels: Mapping[str, Label],
        writing: Mapping[str, Label],
        own_domains: Collection[object],
    ) -> None:
        self.tool, self.labels, self.writing, self.own_domains = tool, labels, writing, own_domains
        self.declared = _declared(tool.output)
        self.links: list[frozenset[str]] = []
        self._owning = {path.rstrip("[]") for path in tool.owners}
        self._facts: dict[tuple[str, Author | None, frozenset[str], Label, bool], tuple[Author, bool, Label]] = {}

    def record(self, fields: Mapping[str, Any], path: str, outer: _Within) -> Iterator[Piece]:
        tool, before = self.tool, f"{path}." if path else ""
        record = record_name_of(tool, fields, path) or outer.record
        over = outer.over | self.writing[record] if record in self.writing else outer.over
        known = self.labels.get(record or nameless(tool), CLEAN) | over
        odd_keys = [key for key in fields if _name(key) != key]
        fields = {_name(key): value for key, value in fields.items()} if odd_keys else fields
        own = {key: self._keys(fields[key], before + key) for key in fields if before + key in self._owning}
        self._link(own, before, known)
        owners = outer.owners.union(*own.values())
        # A conversation that says nothing of itself is that of whoever takes part in it.
        whose = owners or self._within(fields, before)
        within = _Within(record, owners, whose, known, over, self._writer(fields, before))
        for key in odd_keys:
            yield self._piece(key, before + _name(key), within)
        for key, value in fields.items():
            yield from self._value(value, before + key, within)

    def _value(self, value: object, path: str, within: _Within) -> Iterator[Piece]:
        if isinstance(value, Mapping):
            yield from self.record(value, path, within)
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from self._value(item, f"{path}[]", within)
        elif value is not None and value != "":
            yield self._piece(value, path, within)

    def _piece(self, value: object, path: str, within: _Within) -> Piece:
        is_amount = isinstance(value, Decimal)
        shape = (path, within.writer, within.whose, within.known, is_amount)
        if (found := self._facts.get(shape)) is None:
            found = self._facts[shape] = self._facts_of(path, within, is_amount=is_amount)
        author, is_kept, label = found
        return Piece(path, value, author, is_kept, label, self.tool.namespaces.get(path, ""), within.record)

    def _facts_of(self, path: str, within: _Within, *, is_amount: bool) -> tuple[Author, bool, Label]:
        """The author of a value, whether it is on record, and its label."""
        tool, known, author = self.tool, within.known, self._author(path)
        if author is Author.OUTSIDER and within.writer is not None:
            author = within.writer
        is_kept = path in tool.kept
        # An amount is the system's as long as no agent has written it.
        may_be_written = author is not Author.SYSTEM or (is_amount and path not in tool.authors)
        if known.integrity is not Integrity.ORGANISATION and may_be_written:
            # An agent wrote into this record what outsiders may have written.
            author, is_kept = _worse(author, known.integrity), False
        # What stands in a customer's record tells of that customer, whoever wrote it: an order no less than a letter.
        usual = Confidentiality.CUSTOMER if within.whose else _CONFIDENTIALITY[author]
        level = tool.confidentiality.get(path, usual)
        whose = within.whose if level is Confidentiality.CUSTOMER else frozenset[str]()
        if author is Author.OUTSIDER and self._is_nobodys(whose):
            whose |= {NOBODY}
        label = Label(_INTEGRITY[author], level, whose)
        if may_be_written:
            label |= Label(Integrity.ORGANISATION, known.confidentiality, known.owners)
        return author, is_kept, label

    def _is_nobodys(self, owners: frozenset[str]) -> bool:
        # What a write gives back is the caller's own.
        return self.tool.effect is Effect.READ and all(is_own(owner, self.own_domains) for owner in owners)

    def _author(self, path: str) -> Author:
        """As declared; a declared value that is no text is the system's, what nobody declared is anyone's."""
        declared = self.tool.authors.get(path)
        return declared or (Author.SYSTEM if path in self.declared else Author.OUTSIDER)

    def _writer(self, fields: Mapping[str, Any], before: str) -> Author | None:
        """Who wrote the record's own texts, if one of its fields says so."""
        if self.tool.written_by:
            for key, value in fields.items():
                if by := self.tool.written_by.get(before + key):
                    return dict(by.authors).get(value)
        return None

    def _within(self, fields: Mapping[str, Any], before: str) -> frozenset[str]:
        """The owners that the records within a record name."""
        found: set[str] = set()
        for key, value in fields.items() if self.tool.owners else ():
            for item, path in _items(value, before + key):
                if isinstance(item, Mapping):
                    found |= self._within(item, f"{path}.")
                else:
                    found |= self._keys(item, path)
        return frozenset(found)

    def _keys(self, value: Any, path: str) -> frozenset[str]:  # noqa: ANN401 - JSON data
        if isinstance(value, (list, tuple)):
            return frozenset().union(*(self._keys(item, f"{path}[]") for item in value))
        is_key = path in self.tool.owners and isinstance(value, (str, int)) and value != ""
        return frozenset({str(value).lower()}) if is_key else frozenset()

    def _link(self, own: Mapping[str, frozenset[str]], before: str, known: Label) -> None:
        # What a write gives back stands beside each other because its caller said so.
        if known.integrity is not Integrity.ORGANISATION or self.tool.effect is not Effect.READ:
            return
        vouched = [keys for name, keys in own.items() if keys and self._is_vouched(before + name)]
        if len(vouched) > 1:
            self.links.append(frozenset().union(*vouched))

    def _is_vouched(self, path: str) -> bool:
        return path in self.tool.kept or self._author(path) in {Author.SYSTEM, Author.ORGANISATION}


def _items(value: object, path: str) -> Iterator[tuple[object, str]]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _items(item, f"{path}[]")
    else:
        yield value, path


def _worse(author: Author, integrity: Integrity) -> Author:
    other = Author.OUTSIDER if integrity is Integrity.ANYONE else Author.CUSTOMER
    return other if _INTEGRITY[other].rank > _INTEGRITY[author].rank else author
