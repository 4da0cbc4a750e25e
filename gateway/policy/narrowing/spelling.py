"""Patterns for texts that begin, end or look like something, in the dialect that ECMA-262 and Python share."""

from collections.abc import Iterable
from typing import NamedTuple

from gateway.policy.narrowing.looks import Look
from gateway.policy.narrowing.sets import Words

_SYNTAX = frozenset("\\^$.*+?()[]{}|")
_KELVIN = "\u212a"  # in lower case it is a plain k
_TWO_WHEN_LOWERED = "i"  # `İ` in lower case is an i and a dot


class Pattern(NamedTuple):
    """A pattern as JSON Schema has it (not anchored by itself), and the words for the same thing."""

    pattern: str
    words: str


def pattern_for(look: Look, values: Words, *, is_address: bool) -> Pattern | None:
    """The pattern of the texts that show at a look what is in the set; None when there is none.

    Args:
        look: At a text's domain, its lower case, or what it is like.
        values: What may be seen.
        is_address: Whether the tool's input lower-cases the text: then capitals pass too.
    """
    if values.others:
        return None
    if look.name == "like":
        return _like(look, is_address=is_address)
    texts = sorted(map(str, values.items))
    if not all(map(_folds_well, texts)):
        return None
    either = _either(_literal(text, folded=True, is_address=is_address) for text in texts)
    if look.name in ("domain", "item domains"):
        return Pattern(f"{_before_at(is_address)}@{either}$", f"must be at {_named(texts)}")
    return Pattern(f"^{either}$", f"must be {_named(texts)} (in any case)")


def _like(look: Look, *, is_address: bool) -> Pattern | None:
    folded = is_address or look.view != "itself"
    lengthens = look.view != "itself" and not is_address and _TWO_WHEN_LOWERED in "".join(look.pieces)
    if folded and (lengthens or not all(map(_folds_well, look.pieces))):
        return None
    first, *rest = look.pieces
    of_domain = look.view == "domain"
    middle = ("[^@]*" if of_domain else r"[\s\S]*").join(
        _literal(piece, folded=folded, is_address=is_address) for piece in look.pieces
    )
    if of_domain:
        return Pattern(f"{_before_at(is_address)}@{middle}$", f"must have a domain like `{'*'.join(look.pieces)}`")
    if rest and not rest[-1]:
        middle = middle.removesuffix(r"[\s\S]*")
    start, end = ("^" if first else "", "$" if not rest or rest[-1] else "")
    if rest and not first:
        middle = middle.removeprefix(r"[\s\S]*")
    return Pattern(f"{start or ('' if rest else '^')}{middle}{end}", _like_words(look.pieces))


def _like_words(pieces: tuple[str, ...]) -> str:
    if len(pieces) == 2 and not pieces[1]:
        return f"must begin with `{pieces[0]}`"
    if len(pieces) == 2 and not pieces[0]:
        return f"must end with `{pieces[1]}`"
    return f"must be like `{'*'.join(pieces)}`"


def _literal(text: str, *, folded: bool, is_address: bool) -> str:
    return "".join(_char(char, folded=folded, is_address=is_address) for char in text)


def _char(char: str, *, folded: bool, is_address: bool) -> str:
    if folded and char.isalpha():
        return f"[{char}{char.upper()}{_KELVIN if char == 'k' and not is_address else ''}]"
    return f"\\{char}" if char in _SYNTAX else char


def _folds_well(text: str) -> bool:
    """Whether it is known how its capitals are spelt."""
    return text.isascii() and text == text.lower()


def _before_at(is_address: bool) -> str:
    return "" if is_address else r"[\s\S]"


def _either(choices: Iterable[str]) -> str:
    found = list(choices)
    return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})"


def _named(texts: list[str]) -> str:
    return " or ".join(f"`{text}`" for text in texts)
