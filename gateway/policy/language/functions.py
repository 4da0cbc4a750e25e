"""The functions that a condition may call. Each takes time linear in its input and refuses what it cannot judge."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from gateway.policy.language.kinds import Kind


def domain(value: str | list[str]) -> str | list[str]:
    """The part after the last `@` in lower case; of a list of addresses, the list of their domains."""
    return _domain(value) if isinstance(value, str) else [_domain(address) for address in value]


def _domain(address: str) -> str:
    local, at, found = address.rpartition("@")
    if not (local and at and found):
        raise ValueError("not an email address")
    return found.lower()


def lower(text: str) -> str:
    """The text in lower case."""
    return text.lower()


def starts_with(text: str, prefix: str) -> bool:
    """Whether the text begins with the prefix, upper and lower case being different."""
    return text.startswith(prefix)


def ends_with(text: str, suffix: str) -> bool:
    """Whether the text ends with the suffix, upper and lower case being different."""
    return text.endswith(suffix)


def glob(text: str, pattern: str) -> bool:
    """Whether the whole text matches a pattern in which `*` stands for any characters and nothing else is special."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def length(value: str | Collection[object]) -> int:
    """The number of characters of a text or of items in a list."""
    return len(value)


def all_in(items: Collection[object], allowed: Collection[object]) -> bool:
    """Whether every item is among the allowed ones; true of an empty list."""
    return set(items) <= frozenset(allowed)  # costs nothing for a list of a condition: it is frozen already


def any_in(items: Collection[object], wanted: Collection[object]) -> bool:
    """Whether at least one item is among the wanted ones."""
    return not set(items).isdisjoint(wanted)


@dataclass(frozen=True, slots=True)
class Function:
    """A function, the kinds that each parameter accepts, and the kind of its answer (None: the first argument's)."""

    run: Callable[..., object]
    takes: tuple[frozenset[Kind], ...]
    gives: Kind | None


_TEXT, _LIST, _EITHER = frozenset({Kind.TEXT}), frozenset({Kind.LIST}), frozenset({Kind.TEXT, Kind.LIST})

FUNCTIONS: dict[str, Function] = {
    "domain": Function(domain, (_EITHER,), None),
    "lower": Function(lower, (_TEXT,), Kind.TEXT),
    "starts_with": Function(starts_with, (_TEXT, _TEXT), Kind.BOOL),
    "ends_with": Function(ends_with, (_TEXT, _TEXT), Kind.BOOL),
    "glob": Function(glob, (_TEXT, _TEXT), Kind.BOOL),
    "len": Function(length, (_EITHER,), Kind.NUMBER),
    "all_in": Function(all_in, (_LIST, _LIST), Kind.BOOL),
    "any_in": Function(any_in, (_LIST, _LIST), Kind.BOOL),
}
