"""Reads a result piece by piece: each value with its author, its label and the record that it belongs to."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from connectors.contract import Author, Confidentiality, Effect, Tool
from gateway.flow.audience import is_own
from gateway.flow.labels import CLEAN, Label
from gateway.flow.levels import USUAL, Declared, Level, Said, declared_by, plain_name
from gateway.flow.size import VALUE_SIZE
from gateway.policy.language.flow import Integrity

_OUTSIDE = frozenset({Author.OUTSIDER, Author.CUSTOMER})
_MOST_PATHS = 100
_NUMBERS = (int, float, Decimal)
_PLAIN_TYPES = frozenset((str, int, float, bool, date, datetime))
"""All but amounts, which may be by somebody else than what else stands at their path."""
_INTEGRITY = {
    Author.OUTSIDER: Integrity.ANYONE,
    Author.CUSTOMER: Integrity.CUSTOMER,
    Author.ORGANISATION: Integrity.ORGANISATION,
    Author.SYSTEM: Integrity.ORGANISATION,
}
NOBODY = "nobody"
"""The owner of what outsiders wrote and of whom nothing tells whose it is: a customer apart from all others."""


@dataclass(slots=True)
class Alike:
    """The values of a result that stand at one path in records that are alike: the same holds for all of them.

    Args:
        path: Where they stand, `[]` standing for every item of a list.
        author: Who could have written them, as far as the record itself and what is known of it say.
        is_kept: Whether the organisation has them on record, whoever worded them.
        label: What is known about them.
        namespace: The kind of thing that they identify; "" where they are no identifiers or carry their kind.
        values: Texts, numbers and other plain values; never None or empty.
    """

    path: str
    author: Author
    is_kept: bool
    label: Label
    namespace: str
    values: list[object] = field(default_factory=list)

    def parts(self) -> tuple[Collection[str], Sequence[int | float | Decimal]]:
        """Those that are texts, each once, and those that are numbers."""
        texts: dict[str, None] = {}
        numbers: list[int | float | Decimal] = []
        for value in self.values:
            if isinstance(value, str):
                texts[value] = None
            elif isinstance(value, _NUMBERS) and not isinstance(value, bool):
                numbers.append(value)
        return texts, numbers


@dataclass(frozen=True, slots=True)
class Reading:
    """What a result shows.

    Args:
        values: Its values.
        links: Sets of owners that the organisation has on record as one customer: its address, its account, its domain.
    """

    values: Sequence[Alike]
    links: Sequence[frozenset[str]]

    @property
    def label(self) -> Label:
        """The label of the whole result."""
        joined = CLEAN
        for label in {id(alike.label): alike.label for alike in self.values}.values():
            joined |= label
        return joined

    @property
    def untrusted(self) -> list[str]:
        """The paths of the texts that outsiders may have written: data, never instructions."""
        outside = (alike for alike in self.values if alike.author in _OUTSIDE)
        paths = dict.fromkeys(alike.path for alike in outside if any(isinstance(each, str) for each in alike.values))
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
    reader.record(output, "", _Within(over=anywhere))
    return Reading(reader.values, reader.links)


class Survey(NamedTuple):
    """What a look over a whole result tells: the names of its records, each once, and about how large it is.

    Args:
        names: The names.
        size: As `is_larger` counts it.
    """

    names: tuple[str, ...]
    size: int


def survey(tool: Tool, output: Mapping[str, Any]) -> Survey:
    """Look a result over."""
    found: dict[str, None] = {}
    size = _survey(declared_by(tool), output, "", found)
    return Survey(tuple(found), size)


def record_names(tool: Tool, output: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the records that a result shows, each once."""
    return survey(tool, output).names


def _survey(declared: Declared, value: Any, path: str, found: dict[str, None]) -> int:  # noqa: ANN401 - JSON data
    size = VALUE_SIZE
    if isinstance(value, Mapping):
        level = declared.level(path)
        if name := level.record_name(value):
            found[name] = None
        for key, part in value.items():
            size += len(key)
            if type(part) is str:
                size += VALUE_SIZE + len(part)
            elif type(part) in _PLAIN_TYPES or part is None:
                size += VALUE_SIZE
            else:
                size += _survey(declared, part, level.path(plain_name(key)), found)
    elif isinstance(value, (list, tuple)):
        size += len(value)
        for item in value:
            size += _survey(declared, item, f"{path}[]", found)
    elif isinstance(value, str):
        size += len(value)
    return size


def record_name_of(tool: Tool, fields: Mapping[str, Any], path: str) -> str:
    """The name under which labels of a record are kept; "" if it has no id.

    Args:
        tool: What showed it.
        fields: The record.
        path: Where it stands in the result.
    """
    return declared_by(tool).level(path).record_name(fields)


def record_name(tool: Tool, namespace: str, identifier: object) -> str:
    """The name under which labels of a record with an id are kept."""
    return f"{tool.area}:{namespace}:{identifier}"


def nameless(tool: Tool) -> str:
    """The name under which the label of all that has no id is kept, of one area together."""
    return f"{tool.area}:"


class _Within(NamedTuple):
    """What holds for the values of one record.

    Args:
        record: Its name; "" if it has none.
        owners: Whose it and all that stands in it is.
        over: The part of what is known of it beyond the tool's declaration that holds for the records in it as well.
        facts: What holds for its own values.
    """

    record: str = ""
    owners: frozenset[str] = frozenset()
    over: Label = CLEAN
    facts: "_Facts | None" = None


class _Facts:
    """What holds for the values of records at one path that are alike.

    Args:
        writer: Who wrote their texts, if the records say so.
        whose: Whose they are.
        known: What is known of them beyond the tool's declaration.
        sort: A number for these two.
    """

    def __init__(self, writer: Author | None, whose: frozenset[str], known: Label, sort: int) -> None:
        self.writer, self.whose, self.known, self.sort = writer, whose, known, sort
        self.by_key: dict[str, Alike] = {}
        self.amounts: dict[str, Alike] = {}
        self.others: dict[str, Alike] = {}


class _Reader:
    def __init__(
        self,
        tool: Tool,
        labels: Mapping[str, Label],
        writing: Mapping[str, Label],
        own_domains: Collection[object],
    ) -> None:
        self.tool, self.labels, self.writing, self.own_domains = tool, labels, writing, own_domains
        self.declared = declared_by(tool)
        self.nameless = nameless(tool)
        self.values: list[Alike] = []
        self.links: list[frozenset[str]] = []
        self._labels: dict[tuple[Author, Confidentiality, bool, int], Label] = {}
        self._facts: dict[tuple[str, Author | None, int], _Facts] = {}
        self._sorts: dict[tuple[frozenset[str], Label], int] = {}

    def record(self, fields: Mapping[str, Any], path: str, outer: _Within) -> None:
        level, before = self.declared.level(path), f"{path}." if path else ""
        record = level.record_name(fields) or outer.record
        over = outer.over | self.writing[record] if record in self.writing else outer.over
        known = self.labels.get(record or self.nameless, CLEAN) | over
        odd_keys = level.odd_keys(fields)
        fields = {plain_name(key): value for key, value in fields.items()} if odd_keys else fields
        own = {key: self._keys(fields[key], level.path(key)) for key in level.owning if key in fields}
        if len(own) > 1:
            self._link(own, before, known)
        owners = outer.owners.union(*own.values()) if own else outer.owners
        # A conversation that says nothing of itself is that of whoever takes part in it.
        whose = owners or (self._within(fields, before) if self.tool.owners else owners)
        facts = self._facts_of(path, _writer(level, fields), whose, known)
        within = _Within(record, owners, over, facts)
        for key in odd_keys:
            self._alike(level.path(plain_name(key)), facts).values.append(key)
        for key, value in fields.items():
            if value is None or value == "":
                continue
            if type(value) in _PLAIN_TYPES:
                if (alike := facts.by_key.get(key)) is None:
                    alike = facts.by_key[key] = self._alike(level.path(key), facts)
                alike.values.append(value)
            else:
                self._value(value, level.path(key), within, facts)

    def _value(self, value: object, path: str, within: _Within, facts: _Facts) -> None:
        if isinstance(value, Mapping):
            self.record(value, path, within)
        elif isinstance(value, (list, tuple)):
            for item in value:
                if item is not None and item != "":
                    self._value(item, f"{path}[]", within, facts)
        else:
            self._alike(path, facts, is_amount=isinstance(value, Decimal)).values.append(value)

    def _facts_of(self, path: str, writer: Author | None, whose: frozenset[str], known: Label) -> _Facts:
        sort = self._sorts.setdefault((whose, known), len(self._sorts))
        if (found := self._facts.get((path, writer, sort))) is None:
            found = self._facts[path, writer, sort] = _Facts(writer, whose, known, sort)
        return found

    def _alike(self, path: str, facts: _Facts, *, is_amount: bool = False) -> Alike:
        """The values at a path, of which the same is known."""
        by_path = facts.amounts if is_amount else facts.others
        if (found := by_path.get(path)) is None:
            found = by_path[path] = self._first_of(path, facts, is_amount=is_amount)
            self.values.append(found)
        return found

    def _first_of(self, path: str, facts: _Facts, *, is_amount: bool) -> Alike:
        shape = (path, facts.writer, facts.known.integrity, bool(facts.whose), is_amount)
        if (said := self.declared.shapes.get(shape)) is None:
            said = self._said(*shape)
            self.declared.keep(shape, said)
        author, is_kept, level, may_be_written = said
        of_label = (author, level, may_be_written, facts.sort)
        if (label := self._labels.get(of_label)) is None:
            label = self._labels[of_label] = self._label(facts, author, level, may_be_written=may_be_written)
        return Alike(path, author, is_kept, label, self.tool.namespaces.get(path, ""))

    def _said(self, path: str, writer: Author | None, integrity: Integrity, is_owned: bool, is_amount: bool) -> Said:
        """What the tool says of a value, whoever owns it."""
        tool, author, is_kept = self.tool, self.declared.author(path), path in self.tool.kept
        if author is Author.OUTSIDER and writer is not None:
            author = writer
        # An amount is the system's as long as no agent has written it.
        may_be_written = author is not Author.SYSTEM or (is_amount and path not in tool.authors)
        if integrity is not Integrity.ORGANISATION and may_be_written:
            # An agent wrote into this record what outsiders may have written.
            author, is_kept = _worse(author, integrity), False
        # What stands in a customer's record tells of that customer, whoever wrote it: an order no less than a letter.
        usual = Confidentiality.CUSTOMER if is_owned else USUAL[author]
        return author, is_kept, tool.confidentiality.get(path, usual), may_be_written

    def _label(self, facts: _Facts, author: Author, level: Confidentiality, *, may_be_written: bool) -> Label:
        whose = facts.whose if level is Confidentiality.CUSTOMER else frozenset[str]()
        if author is Author.OUTSIDER and self._is_nobodys(whose):
            whose |= {NOBODY}
        label = Label(_INTEGRITY[author], level, whose)
        if not may_be_written:
            return label
        return label | Label(Integrity.ORGANISATION, facts.known.confidentiality, facts.known.owners)

    def _is_nobodys(self, owners: frozenset[str]) -> bool:
        # What a write gives back is the caller's own.
        return self.tool.effect is Effect.READ and all(is_own(owner, self.own_domains) for owner in owners)

    def _within(self, fields: Mapping[str, Any], before: str) -> frozenset[str]:
        """The owners that the records within a record name."""
        found: set[str] = set()
        for key, value in fields.items():
            if self.declared.leads_to_owners(before + key):
                self._owners(value, before + key, found)
        return frozenset(found)

    def _owners(self, value: object, path: str, found: set[str], *, within: bool = True) -> None:
        if isinstance(value, (str, int)):
            if value != "" and path in self.tool.owners:
                found.add(str(value).lower())
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._owners(item, f"{path}[]", found, within=within)
        elif within and isinstance(value, Mapping):
            found |= self._within(value, f"{path}.")

    def _keys(self, value: object, path: str) -> frozenset[str]:
        """The owners that a field of a record's own names."""
        if isinstance(value, str):
            return frozenset((value.lower(),)) if value != "" and path in self.tool.owners else frozenset()
        found: set[str] = set()
        self._owners(value, path, found, within=False)
        return frozenset(found)

    def _link(self, own: Mapping[str, frozenset[str]], before: str, known: Label) -> None:
        # What a write gives back stands beside each other because its caller said so.
        if known.integrity is not Integrity.ORGANISATION or self.tool.effect is not Effect.READ:
            return
        vouched = [keys for name, keys in own.items() if keys and self._is_vouched(before + name)]
        if len(vouched) > 1:
            self.links.append(frozenset().union(*vouched))

    def _is_vouched(self, path: str) -> bool:
        return path in self.tool.kept or self.declared.author(path) in {Author.SYSTEM, Author.ORGANISATION}


def _writer(level: Level, fields: Mapping[str, Any]) -> Author | None:
    """Who wrote a record's own texts, if one of its fields says so."""
    for key in fields if level.written_by else ():
        if by := level.written_by.get(key):
            return dict(by.authors).get(fields[key])
    return None


def _worse(author: Author, integrity: Integrity) -> Author:
    other = Author.OUTSIDER if integrity is Integrity.ANYONE else Author.CUSTOMER
    return other if _INTEGRITY[other].rank > _INTEGRITY[author].rank else author
