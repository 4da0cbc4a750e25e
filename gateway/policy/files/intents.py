"""Reads `intents.csv`: with which words a person asks for what a tool does.

Words are whole words, in any case, in as many languages as are written down; `delet*` stands for all that begin so, and
`money+back` for two words side by side. Words are all that is looked at: `do not delete it` asks for deleting.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

from gateway.policy.files.lines import Cell, Line, read_lines
from gateway.policy.language import patterns
from gateway.policy.problem import Problem

FILE = "intents.csv"
_COLUMNS = "intent, tool, words"
_SHORTEST_STEM = 3
_PARTS = re.compile(r"[^\W_]+")
"""A word of a request, or of one that is written with a hyphen or an apostrophe: letters and digits."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The words that ask for one tool.

    Args:
        words: Each as the file has it.
        pattern: Finds any of them in a text that `_spaced` gave.
    """

    words: tuple[str, ...]
    pattern: "re.Pattern[str]"

    def asks(self, request: str) -> bool:
        """Whether a request has one of the words."""
        return self.pattern.search(_spaced(request)) is not None


Intents: TypeAlias = Mapping[str, Asking]
"""What asks for each tool, by its name; a tool that is not there is asked for by no words."""
NO_INTENTS: Intents = MappingProxyType({})


def read_intents(text: str, tools: Collection[str], problems: list[Problem]) -> Intents:
    """Read the file's text; every mistake is added to `problems`.

    Args:
        text: The text.
        tools: The names of all tools.
        problems: Where mistakes go.
    """
    by_pattern: dict[str, dict[str, None]] = defaultdict(dict)
    for line in read_lines(FILE, text, problems):
        if (problem := _misshapen(line, tools)) is not None:
            problems.append(problem)
            continue
        _, pattern, words = line.cells
        known = by_pattern[pattern.text]
        for offset, word in _words(words):
            message = _mistake(word) or (f"`{word}` is already said of `{pattern.text}`" if word in known else "")
            if message:
                problems.append(line.problem(words, message, offset))
            else:
                known[word] = None
    return _by_tool(by_pattern, tools)


def _by_tool(by_pattern: Mapping[str, Mapping[str, None]], tools: Collection[str]) -> Intents:
    found: dict[str, Asking] = {}
    for tool in tools:
        said = [word for pattern, words in by_pattern.items() if patterns.covers(pattern, tool) for word in words]
        if words := tuple(dict.fromkeys(said)):
            found[tool] = Asking(words, _pattern(words))
    return MappingProxyType(found)


def _misshapen(line: Line, tools: Collection[str]) -> Problem | None:
    kind, *rest = line.cells
    if kind.text != "intent":
        return line.problem(kind, f"unknown line type `{kind.text}`: lines of intents.csv start with `intent`")
    if len(rest) != 2:
        hint = ": put all words into one pair of double quotes" if len(rest) > 2 else ""
        return line.problem(kind, f"expected 3 columns ({_COLUMNS}), found {len(line.cells)}{hint}")
    pattern, words = rest
    if message := patterns.mistake(pattern.text, tools):
        return line.problem(pattern, message)
    return None if words.text else line.problem(words, "the words are missing")


def _words(cell: Cell) -> Iterator[tuple[int, str]]:
    """Each word of a cell, with where it begins."""
    return ((found.start(), found.group()) for found in re.finditer(r"\S+", cell.text))


def _mistake(word: str) -> str:
    for part in word.split("+"):
        stem = part.removesuffix("*")
        if "*" in stem:
            return f"`{word}`: a `*` may only end a word"
        letters = "".join(_spaced(stem).split())
        if not letters:
            return f"`{word}` is no word: write letters or digits, and `+` between the words of a phrase"
        if part.endswith("*") and len(letters) < _SHORTEST_STEM:
            return f"`{word}` stands for too much: write {_SHORTEST_STEM} letters or more before `*`"
    if odd := re.search(r"[^\w'’+*-]", word):
        return f"`{word}`: `{odd.group()}` is not part of a word; words stand between blanks"
    return ""


def _pattern(words: tuple[str, ...]) -> "re.Pattern[str]":
    return re.compile(" (?:" + "|".join(sorted({_phrase(word) for word in words})) + ") ")


def _phrase(word: str) -> str:
    parts: list[str] = []
    for part in word.split("+"):
        *before, last = map(re.escape, _spaced(part).split())
        parts += [*before, f"{last}[^ ]*" if part.endswith("*") else last]
    return " ".join(parts)


@lru_cache(maxsize=16)
def _spaced(text: str) -> str:
    """A text's words in one spelling, with a blank before and after each: by Unicode's caseless match (D146)."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return f" {' '.join(_PARTS.findall(folded))} "
