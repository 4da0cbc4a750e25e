"""Reads `obligations.csv`: what is kept back of results, from whom, and how long a result may be."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from connectors.contract import Author, Tool
from gateway.policy.files.lines import Cell, Line, id_mistake, read_lines
from gateway.policy.files.roles import known_role_mistake
from gateway.policy.language import patterns
from gateway.policy.problem import Problem, suggest

FILE = "obligations.csv"
ANY_FIELD = "*"
SMALLEST_CAP, LARGEST_CAP = 1_000, 10_000_000
_COLUMNS = {
    "redact": "redact, id, role, tool, field, what, note",
    "cap": "cap, id, role, tool, characters, note",
}


class What(StrEnum):
    """What is kept back of a text."""

    SECRETS = "secrets"
    """Keys, tokens and passwords, by their known forms."""
    PAYMENT_CARDS = "payment_cards"
    IBANS = "ibans"
    ADDRESSES = "addresses"
    """Email addresses."""
    PHONES = "phones"
    """Phone numbers in international form."""
    PERSONAL = "personal"
    """The whole of each field that the tool declares as personal."""
    FIELD = "field"
    """The whole field."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """One line: of these tools' results, this is kept back from whoever has the role.

    Args:
        id: Its name in answers and in the journal.
        role: Whom it is about, with the prefix `role:`.
        pattern: A tool's name, or a beginning followed by `*`.
        field: A path in the result, or `*` for every text in it.
        whats: What is kept back.
        note: Why, for people.
    """

    id: str
    role: str
    pattern: str
    field: str
    whats: tuple[What, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Cap:
    """One line: these tools' results hold at most so many characters of text for whoever has the role."""

    id: str
    role: str
    pattern: str
    characters: int
    note: str


Obligation: TypeAlias = Redaction | Cap


@dataclass(frozen=True, slots=True)
class Obligations:
    """What policy obliges to for one caller and one tool."""

    redactions: tuple[Redaction, ...] = ()
    caps: tuple[Cap, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of the lines that oblige to it."""
        return (*(each.id for each in self.redactions), *(each.id for each in self.caps))

    @property
    def cap(self) -> int | None:
        """The lowest of the caps."""
        return min((cap.characters for cap in self.caps), default=None)


NONE = Obligations()
"""Nothing is obliged to."""


def obliging(lines: Iterable[Obligation], roles: frozenset[str], tool: str) -> Obligations:
    """What the lines say to anybody with one of these roles: all of it, as of several parties each must comply."""
    found = [line for line in lines if line.role in roles and patterns.covers(line.pattern, tool)]
    return Obligations(
        tuple(line for line in found if isinstance(line, Redaction)),
        tuple(line for line in found if isinstance(line, Cap)),
    )


def read_obligations(
    text: str, tools: Iterable[Tool], roles: frozenset[str] | None, rules: Mapping[str, int], problems: list[Problem]
) -> tuple[Obligation, ...]:
    """Read the file's text; every mistake is added to `problems`.

    Args:
        text: The text.
        tools: All tools there are.
        roles: The roles that `roles.csv` knows, or None if it could not be read.
        rules: The ids of `rules.csv` and the lines they stand on: an id means one thing.
        problems: Where mistakes go.
    """
    known = {tool.name: tool for tool in tools}
    found: dict[str, Obligation] = {}
    for line in read_lines(FILE, text, problems):
        mistakes = [line.problem(cell, message) for cell, message in _mistakes(line, known, roles) if message]
        identifier = line.cells[1] if len(line.cells) > 1 else line.cells[0]
        if not mistakes and identifier.text in found:
            mistakes = [line.problem(identifier, f"id `{identifier.text}` has a line already")]
        elif not mistakes and identifier.text in rules:
            told = f"id `{identifier.text}` is a rule's already, on line {rules[identifier.text]} of rules.csv"
            mistakes = [line.problem(identifier, told)]
        problems.extend(mistakes)
        if not mistakes:
            found[identifier.text] = _made(line)
    return tuple(found.values())


def _made(line: Line) -> Obligation:
    kind, identifier, role, pattern, *rest = (cell.text for cell in line.cells)
    if kind == "cap":
        return Cap(identifier, role, pattern, int(rest[0]), rest[1])
    return Redaction(identifier, role, pattern, rest[0], tuple(What(word) for word in rest[1].split()), rest[2])


def _mistakes(line: Line, tools: Mapping[str, Tool], roles: frozenset[str] | None) -> list[tuple[Cell, str]]:
    kind, *rest = line.cells
    columns = _COLUMNS.get(kind.text, "")
    if not columns:
        return [(kind, f"unknown line type `{kind.text}`: lines of {FILE} start with `redact` or `cap`")]
    if len(line.cells) != columns.count(",") + 1:
        return [(kind, f"expected {columns.count(',') + 1} columns ({columns}), found {len(line.cells)}")]
    identifier, role, pattern = rest[:3]
    found = [
        (identifier, id_mistake(identifier.text)),
        (role, known_role_mistake(role.text, roles)),
        (pattern, patterns.mistake(pattern.text, tools)),
    ]
    if kind.text == "cap":
        return [*found, (rest[3], _cap_mistake(rest[3].text))]
    covered = [tool for name, tool in tools.items() if patterns.covers(pattern.text, name)]
    return [
        *found,
        (rest[3], _field_mistake(rest[3].text, covered)),
        (rest[4], _what_mistake(rest[4].text, rest[3].text)),
    ]


def _cap_mistake(text: str) -> str:
    if re.fullmatch(r"[1-9][0-9]{0,8}", text) and SMALLEST_CAP <= int(text) <= LARGEST_CAP:
        return ""
    return f"`{text}` must be a number of characters from {SMALLEST_CAP} to {LARGEST_CAP}, such as `20000`"


def _field_mistake(text: str, tools: Iterable[Tool]) -> str:
    authors = {path: author for tool in tools for path, author in tool.authors.items()}
    if text == ANY_FIELD or not authors or authors.get(text, Author.SYSTEM) is not Author.SYSTEM:
        return ""
    if text in authors:
        return f"`{text}` is made by the system and holds nothing to keep back"
    return f"no result of these tools has a text at `{text}`{suggest(text, authors)}"


def _what_mistake(text: str, field: str) -> str:
    words, known = text.split(), ", ".join(What)
    for word in words:
        if word not in set(What):
            return f"unknown kind `{word}`{suggest(word, What) or f': there are {known}'}"
    if not words:
        return f"nothing is kept back: name some of {known}"
    if len(set(words)) < len(words):
        return "a kind is named twice"
    if What.FIELD in words and (field == ANY_FIELD or len(words) > 1):
        return "`field` keeps back the whole field: name the field, and nothing beside it"
    return ""
