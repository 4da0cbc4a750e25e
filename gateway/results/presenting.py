"""The way of a result to its caller: text by text, in this order, and nothing else of it changes.

    bound roughly → the gateway's brackets out → redact → show the hidden → make inert → remark → cut → mark

Redaction comes before the hidden is written out, or a zero-width character within a card number would part it. What
was cut away first is never looked at, so the cost is bounded too. Pure: the mark is passed in.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from connectors.contract import Author, Output, Tool
from gateway.answer import Altered, Answer, Redacted
from gateway.policy.files.obligations import Obligations, What
from gateway.results.bounding import VALUE, Limits, advice_for, cut, roughly
from gateway.results.defusing import inert
from gateway.results.hidden import mixed_words, revealed
from gateway.results.marking import is_free, marked, without_brackets
from gateway.results.redacting import redacted

_PASSED_AS_IT_IS = frozenset({"content[].passed.resource.uri"})
"""The address of a resource whose passing an operator has chosen: the protocol wants a URI there."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a caller gets results.

    Args:
        obligations: What policy obliges to.
        limits: How much text there may be.
        mark: The secret part of this answer's marks.
    """

    obligations: Obligations
    limits: Limits
    mark: str


def presented(tool: Tool, answer: Answer[Any], terms: Terms) -> Answer[Any]:
    """An answer as its caller may have it. One without a result, or presented already, stays as it is.

    Args:
        tool: The tool that gave the result.
        answer: The answer as the back end gave it; `untrusted` names the paths of outsiders' texts.
        terms: How it has to be presented.
    """
    if answer.is_presented:
        return answer
    way = _Way(tool, frozenset(answer.untrusted or ()), terms, terms.limits.lowered(terms.obligations.cap))
    result: Output = way.value(answer.result, "")
    mark = terms.mark if way.marks else None
    return answer.presented(result, mark, way.told_redacted(), way.told_altered())


@dataclass
class _Way:
    """One walk through a result, and what was done on it."""

    tool: Tool
    untrusted: Collection[str]
    terms: Terms
    limits: Limits
    marks: int = 0
    used: int = 0
    redactions: Counter[tuple[str, str, What]] = field(default_factory=Counter)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def value(self, value: Any, path: str) -> Any:  # noqa: ANN401 - a result's parts
        if isinstance(value, BaseModel):
            parts = {name: getattr(value, name) for name in type(value).model_fields}
            made = self.parts(parts, path)
            changed = {name: part for name, part in made.items() if part is not parts[name]}
            return value.model_copy(update=changed) if changed else value
        if isinstance(value, Mapping):
            return {self.name(name, path): part for name, part in self.parts(value, path).items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item, f"{path}[]") for item in value]
        return self.text(value, path) if type(value) is str else value

    def parts(self, parts: Mapping[str, Any], path: str) -> dict[str, Any]:
        before = f"{path}." if path else ""
        return {name: self.value(part, before + _as_in_paths(name)) for name, part in parts.items()}

    def name(self, name: str, path: str) -> str:
        """A name within open JSON, which whoever wrote the data may have chosen."""
        return inert(revealed(without_brackets(name))[0])[0] if path else name

    def text(self, text: str, path: str) -> str:
        if not text or path in _PASSED_AS_IT_IS:
            return text
        looked_at = roughly(text, self.limits.field)
        unseen = len(text) - len(looked_at)
        # What nobody declared is anyone's, as in open JSON.
        is_named = path in self.untrusted or path.partition(".")[0] in self.untrusted
        is_outsiders = is_named or path not in self.tool.authors
        is_prose = is_free(looked_at)
        made = self.redact(without_brackets(looked_at) if is_outsiders else looked_at, path)
        if is_outsiders:
            made = self.disarm(made, path, is_prose=is_prose)
        made = self.bound(made, unseen, path)
        self.used += len(made)
        if is_outsiders and is_prose:
            self.marks += 1
            return marked(made, self.terms.mark)
        return made

    def redact(self, text: str, path: str) -> str:
        made, counts = redacted(self.tool, path, text, self.terms.obligations.redactions)
        for (rule, what), count in counts.items():
            self.redactions[path, rule, what] += count
        return made

    def disarm(self, text: str, path: str, *, is_prose: bool) -> str:
        text, hidden = revealed(text)
        text, links = inert(text)
        # A remark within a value would make it another one.
        text, mixed = mixed_words(text) if is_prose else (text, 0)
        for what, count in (("hidden", hidden), ("links", links), ("mixed", mixed)):
            if count:
                self.changes[path, what] += count
        return text

    def bound(self, text: str, unseen: int, path: str) -> str:
        is_value = len(text) <= VALUE or self.tool.authors.get(path) is Author.SYSTEM
        if is_value and not unseen:
            return text
        most = min(self.limits.field, self.limits.result - self.used)
        text, missing = cut(text, most, unseen, advice_for(self.tool))
        if missing:
            self.changes[path, "cut"] += missing
        return text

    def told_redacted(self) -> list[Redacted]:
        return [
            Redacted(path=path, rule=rule, what=what, count=count)
            for (path, rule, what), count in self.redactions.items()
        ]

    def told_altered(self) -> list[Altered]:
        return [Altered(path=path, what=what, count=count) for (path, what), count in self.changes.items()]


def _as_in_paths(name: str) -> str:
    """A name of open JSON, in quotes if it could be taken for a path that somebody declared."""
    return json.dumps(name[:64]) if set(name) & set('.[]"') else name
