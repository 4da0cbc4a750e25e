"""What changed between the definition that was accepted and the one that there is now, for people."""

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import Any

from connectors.mcp_upstream.definition import Definition

_NARROWING = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "format"}
) | frozenset({"minItems", "maxItems", "multipleOf", "const", "enum", "type", "uniqueItems", "additionalProperties"})


def difference(old: Definition | None, new: Definition) -> list[str]:
    """The lines of a definition that are new and those that are gone, in ASCII: nothing in them can hide."""
    before = old.text(indent=2).splitlines() if old else []
    return list(unified_diff(before, new.text(indent=2).splitlines(), "accepted", "now", lineterm="", n=2))


def widenings(old: Definition, new: Definition) -> tuple[str, ...]:
    """In what way the new definition takes more than the old one, in words, as far as its keywords show."""
    return tuple(_wider("", old.input_schema, new.input_schema))


def _wider(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    where = f"`{path.removeprefix('.')}`" if path else "the input"
    for word in sorted(_NARROWING & old.keys()):
        if word not in new:
            yield f"{where} is no longer bounded by `{word}`"
        elif old[word] != new[word]:
            yield from _loosened(where, word, old[word], new[word])
    for name in sorted(set(old.get("required", ())) - set(new.get("required", ()))):
        yield f"`{name}` of {where} may be left out"
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in sorted(after.keys() - before.keys()):
        yield f"{where} takes a new field `{name}`"
    for name in sorted(before.keys() & after.keys()):
        if isinstance(before[name], Mapping) and isinstance(after[name], Mapping):
            yield from _wider(f"{path}.{name}", before[name], after[name])
    if isinstance(old.get("items"), Mapping) and isinstance(new.get("items"), Mapping):
        yield from _wider(f"{path}[]", old["items"], new["items"])


def _loosened(where: str, word: str, old: object, new: object) -> Iterator[str]:
    if isinstance(old, int | float) and isinstance(new, int | float) and not isinstance(old, bool):
        is_looser = new > old if word.startswith("max") or word == "exclusiveMaximum" else new < old
        if is_looser:
            yield f"`{word}` of {where} was {old} and is {new}"
    elif isinstance(old, list) and isinstance(new, list):
        if more := [each for each in new if each not in old]:
            yield f"`{word}` of {where} has more: {', '.join(map(repr, more[:5]))}"
    else:
        yield f"`{word}` of {where} was {old!r} and is {new!r}"
