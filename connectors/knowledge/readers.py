"""`readers.toml`: which groups may read which documents of a folder or a repository.

    [[rules]]
    paths = ["board/", "minutes/*.md"]
    readers = ["board"]

    [[rules]]
    paths = ["*"]
    readers = ["everyone"]
    origin = "official"

The first rule that matches a document counts, so that a file of which only the beginning is there opens nothing. What
no rule matches is read by nobody. Patterns are those of `.gitignore`, without `!`.
"""

import tomllib
import unicodedata
from functools import cached_property
from hashlib import sha256
from typing import Annotated

from pathspec import PathSpec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from connectors.errors import Unavailable
from connectors.fields import Line
from connectors.importing.source import sentence
from connectors.knowledge.tools import Trust

READERS_FILE = "readers.toml"
MAX_READERS_FILE = 1_000_000
_MOST_REMEMBERED = 200_000


def _pattern(value: str) -> str:
    if value.startswith(("!", "#")):
        raise ValueError(f"a pattern must not begin with `{value[0]}`; the first rule that matches counts")
    return unicodedata.normalize("NFC", value)


class Rule(BaseModel):
    """Who may read the documents that one of some patterns matches, and what these count as.

    Args:
        paths: Patterns as in `.gitignore`.
        readers: Names of groups; `everyone` for all, none for nobody.
        origin: How far their words count as the organisation's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    paths: Annotated[list[Annotated[Line, AfterValidator(_pattern)]], Field(min_length=1, max_length=1_000)]
    readers: Annotated[list[Line], Field(max_length=50)]
    origin: Trust = "internal"

    @cached_property
    def mark(self) -> str:
        """Changes whenever the rule says something else."""
        return sha256(self.model_dump_json(exclude={"paths"}).encode()).hexdigest()[:16]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rules: Annotated[list[Rule], Field(min_length=1, max_length=1_000)]


class Rules:
    """The rules of a file, in their order."""

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = [(PathSpec.from_lines("gitignore", rule.paths), rule) for rule in rules]
        self._found: dict[str, Rule | None] = {}

    def of(self, path: str) -> Rule | None:
        """The rule that counts for a document, None if nobody may read it."""
        if path not in self._found:
            if len(self._found) > _MOST_REMEMBERED:
                self._found.clear()
            self._found[path] = self._find(unicodedata.normalize("NFC", path))
        return self._found[path]

    def _find(self, path: str) -> Rule | None:
        found = next((rule for patterns, rule in self._rules if patterns.match_file(path)), None)
        return found if found and found.readers else None


def read_rules(raw: bytes, where: str) -> Rules:
    """Read a `readers.toml`.

    Args:
        raw: Its bytes.
        where: What it belongs to, for messages.

    Raises:
        Unavailable: If it cannot be understood: then nobody reads anything there.
    """
    try:
        if len(raw) > MAX_READERS_FILE:
            raise ValueError(f"larger than {MAX_READERS_FILE // 1_000_000} MB")
        return Rules(_File.model_validate(tomllib.loads(raw.decode())).rules)
    except ValidationError as error:
        reason = sentence(error)
    except ValueError as error:  # of TOML or UTF-8
        reason = str(error)
    raise Unavailable(f"`{READERS_FILE}` of {where} cannot be used: {reason}; nobody reads anything there until then")
