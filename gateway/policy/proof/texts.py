"""How conditions look at a text, each look as a language: the set of texts of which it is true.

A condition compares a text, looks at its beginning, its ending, a pattern or its length, and may do so with its lower
case or its domain. All of these are regular languages of a simple form: sets of characters in a row.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Literal, TypeAlias

from gateway.policy.language.functions import domain

View: TypeAlias = Literal["itself", "lower", "domain"]


class Outside(Exception):
    """Something cannot be translated; the message says what, as the end of `… cannot be translated: `."""


@dataclass(frozen=True, slots=True)
class Look:
    """Whether a text, seen as it is, in lower case or as its domain, is these pieces with anything between them."""

    view: View
    pieces: tuple[str, ...]

    def __call__(self, text: str) -> bool:
        try:
            seen = VIEWS[self.view](text)
        except ValueError:
            return False
        return re.fullmatch(".*".join(map(re.escape, self.pieces)), str(seen), re.DOTALL) is not None


VIEWS: Mapping[View, Callable[[str], object]] = {"itself": str, "lower": str.lower, "domain": domain}
"""Each way of seeing a text."""


@dataclass(frozen=True, slots=True)
class Length:
    """Whether the number of characters stands in this relation to a number."""

    relation: Literal["==", "!=", "<", "<=", ">", ">="]
    number: int | Decimal

    def __call__(self, text: str) -> bool:
        return _RELATIONS[self.relation](len(text), self.number)


@dataclass(frozen=True, slots=True)
class Neither:
    """Whether none of these looks is true."""

    looks: frozenset[Look]

    def __call__(self, text: str) -> bool:
        return not any(look(text) for look in self.looks)


MOST_COUNTED = 500
"""The greatest number that a length is compared with: each makes the search for classes longer."""

AnyLook: TypeAlias = Look | Length | Neither
_RELATIONS: Mapping[str, Callable[[float | Decimal, float | Decimal], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
HAS_DOMAIN = Look("domain", ("", ""))


@dataclass(frozen=True, slots=True)
class Chars:
    """A set of characters, or with `without` all others."""

    some: frozenset[str]
    without: bool = False

    def __contains__(self, char: str) -> bool:
        return (char in self.some) is not self.without


_Repeat: TypeAlias = Literal["once", "optional", "any"]
Form: TypeAlias = tuple[tuple[Chars, _Repeat], ...]
"""A language: sets of characters in a row, each once, at most once, or any number of times."""

_EVERY, _NOT_AT, _AT = Chars(frozenset(), True), Chars(frozenset("@"), True), Chars(frozenset("@"))
_ALNUM = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_LOCAL = Chars(_ALNUM | frozenset("!#$%&'*+-/=?^_`{|}~."))

ANY: Form = ((_EVERY, "any"),)
_VISIBLE = Chars(frozenset(" \t\n\r\f\v"), True)
NAME: Form = ((_VISIBLE, "once"), (_VISIBLE, "any"))
"""What every id of a caller looks like (`Principal`); not everything that looks so is one."""
NOT_EMPTY: Form = ((_EVERY, "once"), (_EVERY, "any"))
ADDRESS: Form = (
    (_LOCAL, "once"),
    (_LOCAL, "any"),
    (_AT, "once"),
    (Chars(_ALNUM), "once"),
    (Chars(_ALNUM | frozenset("-.")), "any"),
    (Chars(frozenset(".")), "once"),
    (Chars(_ALNUM), "once"),
    (Chars(_ALNUM | frozenset("-")), "any"),
    (Chars(_ALNUM), "once"),
)
"""What every validated address looks like (`connectors.fields.Address`); not everything that looks so is one."""

_STEP = re.compile(r"(\[[^\]\[\\&~^][^\]\[\\&~]*\]|[A-Za-z0-9_@ -])(\{\d+(?:,\d*)?\}|[*+?])?")
_MOST_REPEATS = 100


def form_of_pattern(pattern: str) -> Form:
    """The language of a plain anchored pattern such as `^ord_[a-z0-9]{4,40}$`; of any other, all texts."""
    inside, tokens, position = pattern[1:-1], [], 0
    if not (pattern.startswith("^") and pattern.endswith("$") and pattern.isascii()) or "--" in pattern:
        return ANY
    while position < len(inside):
        step = _STEP.match(inside, position)
        if not step:
            return ANY
        tokens += _repeated(step[1], step[2] or "{1}")
        position = step.end()
    return tuple(tokens) if len(tokens) <= _MOST_REPEATS else ANY


def _repeated(written: str, repeat: str) -> list[tuple[Chars, _Repeat]]:
    chars = Chars(frozenset(char for char in map(chr, range(128)) if re.fullmatch(written, char)))
    least, comma, most = {"*": "0,", "+": "1,", "?": "0,1"}.get(repeat, repeat[1:-1]).partition(",")
    required: list[tuple[Chars, _Repeat]] = [(chars, "once")] * int(least)
    if comma and not most:
        return [*required, (chars, "any")]
    return [*required, *[(chars, "optional")] * (int(most or least) - int(least))]  # type: ignore[list-item]


def form_of_look(look: Look) -> Form:
    """The texts for which a look is true. With the domain, texts without one may be among them: see `HAS_DOMAIN`."""
    between = _NOT_AT if look.view == "domain" else _EVERY
    tokens: list[tuple[Chars, _Repeat]] = []
    if look.view == "domain":
        tokens += [(_EVERY, "once"), (_EVERY, "any"), (_AT, "once")]
    for number, piece in enumerate(look.pieces):
        if number:
            tokens.append((between, "any"))
        is_open = number + 1 < len(look.pieces)
        tokens += [
            (_written_as(char, look.view, is_open and at == len(piece)), "once") for at, char in enumerate(piece, 1)
        ]
    if look == HAS_DOMAIN:
        tokens.append((_NOT_AT, "once"))
    return tuple(tokens)


_UNSURE = frozenset("σς\u0307")
"""Lower case depends on the neighbours (σ, ς), or is two characters of which this is the second (İ)."""
_LAST_CASED = 0x1E943


@cache
def _capitals() -> Mapping[str, frozenset[str]]:
    """The other characters that become a character in lower case."""
    found: dict[str, set[str]] = {}
    for char in map(chr, range(_LAST_CASED + 1)):
        if (lowered := char.lower()) != char:
            found.setdefault(lowered, set()).add(char)
    return {lowered: frozenset(chars) for lowered, chars in found.items()}


def _written_as(char: str, view: View, is_open: bool) -> Chars:
    """The characters that a character of the text as seen may stand for."""
    if view == "itself":
        return Chars(frozenset(char))
    if char in _UNSURE:
        raise Outside(f"the lower case of U+{ord(char):04X} depends on its neighbours")
    same = frozenset(char) if char.lower() == char and not (view == "domain" and char == "@") else frozenset()
    # The capital İ becomes two characters, `i` first: where anything may follow, `i` may be the first half of it.
    half = frozenset("İ") if is_open and char == "i" else frozenset()
    return Chars(same | _capitals().get(char, frozenset()) | half)
