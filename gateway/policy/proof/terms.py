"""The values that the parts of a condition can have, and how they compare as formulas."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeAlias

import z3

from gateway.policy.language.compiled import RELATIONS
from gateway.policy.language.expression import Operator
from gateway.policy.proof.formulas import FALSE, TRUE, Formula, all_of, any_of, negated, truth_value
from gateway.policy.proof.symbols import Path, Symbols
from gateway.policy.proof.texts import MOST_COUNTED, Length, Look, Outside, View


@dataclass(frozen=True, slots=True)
class Truth:
    """When a condition is true and when it cannot be evaluated; where it cannot, `holds` says nothing."""

    holds: Formula
    breaks: Formula


@dataclass(frozen=True, slots=True)
class Known:
    """A value that does not depend on the call."""

    value: object


@dataclass(frozen=True, slots=True)
class Text:
    """A text argument, or a stranger's id, as it is seen."""

    path: Path
    view: View


@dataclass(frozen=True, slots=True)
class Items:
    """A list argument, its items as they are seen."""

    path: Path
    view: View


@dataclass(frozen=True, slots=True)
class Characters:
    """The number of characters of a text argument."""

    path: Path


@dataclass(frozen=True, slots=True)
class Number:
    """A number, or the ordinal of a date."""

    value: Formula
    absent: Formula = FALSE


@dataclass(frozen=True, slots=True)
class Flag:
    """A true-or-false argument."""

    holds: Formula
    absent: Formula


@dataclass(frozen=True, slots=True)
class Picked:
    """One of a few texts, by its place among them."""

    place: Formula
    choices: tuple[str, ...]


Term: TypeAlias = Known | Text | Items | Characters | Number | Flag | Picked
_ORDERINGS: Mapping[str, Callable[[Formula, Formula], Formula]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
_MIRRORED: Mapping[str, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def equal(view: View, value: object) -> Look:
    """Whether a text, as it is seen, is this value."""
    if not isinstance(value, str):
        raise Outside("a list that does not hold texts")
    return Look(view, (value,))


def evaluated(run: Callable[..., object], *values: object) -> Truth:
    """What the judge gets for values that are known, exceptions included."""
    try:
        outcome = run(*values)
    except Exception:  # noqa: BLE001 - as in the judge, whatever it is
        return Truth(FALSE, TRUE)
    return Truth(truth_value(outcome is True), truth_value(not isinstance(outcome, bool)))


def as_number(term: Term) -> Number:
    """A number, or a date by its ordinal.

    Raises:
        Outside: If it is the length of a text or no number at all.
    """
    match term:
        case Number():
            return term
        case Known(value=date() as day):
            return Number(z3.RealVal(day.toordinal()))
        case Known(value=int() | Decimal() as number) if not isinstance(number, bool):
            return Number(z3.RealVal(str(number)))
    raise Outside("a number that depends on a text")


def _absent(symbols: Symbols, term: Term) -> Formula:
    match term:
        case Known(value=value):
            return truth_value(value is None)
        case Text(path=path, view="itself") | Items(path=path, view="itself"):
            return symbols.absent(path)
        case Number(absent=absent) | Flag(absent=absent):
            return absent
    return FALSE


def related(symbols: Symbols, operator: Operator, left: Term, right: Term) -> Truth:
    """Whether two values stand in a relation.

    Raises:
        Outside: If that cannot be translated.
    """
    match left, right:
        case Known(), Known():
            return evaluated(RELATIONS[operator], left.value, right.value)
    match operator:
        case "is" | "is not" | "==" | "!=" if Known(None) in (left, right):
            absent = _absent(symbols, right if left == Known(None) else left)
            return Truth(absent if operator in ("is", "==") else negated(absent), FALSE)
        case "==":
            return Truth(_same(symbols, left, right), FALSE)
        case "!=":
            return Truth(negated(_same(symbols, left, right)), FALSE)
        case "in" | "not in":
            found = _member(symbols, left, right)
            return found if operator == "in" else Truth(negated(found.holds), found.breaks)
        case "<" | "<=" | ">" | ">=":
            return _ordered(symbols, operator, left, right)
    raise Outside(f"`{operator}`")


def _ordered(symbols: Symbols, operator: Operator, left: Term, right: Term) -> Truth:
    if isinstance(left, Characters) or isinstance(right, Characters):
        return Truth(_count(symbols, operator, left, right), FALSE)
    if Known(None) in (left, right):
        return Truth(FALSE, TRUE)
    first, second = as_number(left), as_number(right)
    return Truth(_ORDERINGS[operator](first.value, second.value), any_of(first.absent, second.absent))


def _count(symbols: Symbols, operator: Operator, left: Term, right: Term) -> Formula:
    match left, right:
        case Characters(path=path), Known(value=int() | Decimal() as number):
            return symbols.text(path, _length(operator, number))
        case Known(value=int() | Decimal() as number), Characters(path=path):
            return symbols.text(path, _length(_MIRRORED[operator], number))
    raise Outside("the length of a text, compared with something that depends on the call")


def _length(operator: Operator, number: int | Decimal) -> Length:
    match operator:
        case "==" | "!=" | "<" | "<=" | ">" | ">=" if number <= MOST_COUNTED:
            return Length(operator, number)
    raise Outside(f"a length compared with `{operator} {number}`: up to {MOST_COUNTED} characters are counted")


def _same(symbols: Symbols, left: Term, right: Term) -> Formula:
    match left, right:
        case (Text(path=path, view=view) as text, Known(value=str(value))) | (
            Known(value=str(value)),
            Text(path=path, view=view) as text,
        ):
            return all_of(negated(_absent(symbols, text)), symbols.text(path, equal(view, value)))
        case (Flag() as flag, Known(value=bool(value))) | (Known(value=bool(value)), Flag() as flag):
            return all_of(negated(flag.absent), flag.holds == value)
        case (Flag(), Flag()):
            return any_of(
                all_of(left.absent, right.absent),
                all_of(negated(any_of(left.absent, right.absent)), left.holds == right.holds),
            )
        case (Picked() as picked, Known(value=str(value))) | (Known(value=str(value)), Picked() as picked):
            return picked.place == picked.choices.index(value) if value in picked.choices else FALSE
        case (Picked(), Picked()):
            return any_of(
                *[
                    all_of(left.place == place, right.place == right.choices.index(choice))
                    for place, choice in enumerate(left.choices)
                    if choice in right.choices
                ]
            )
        case (Picked(), _) | (_, Picked()):
            raise Outside("a text that depends on the call is compared with where a value comes from")
        case (Characters(), _) | (_, Characters()):
            return _count(symbols, "==", left, right)
        case (Text(), Text()) if left == right:
            return TRUE
        case (Text() | Known(value=str()), Text() | Known(value=str())):
            raise Outside("two texts that both depend on the call are compared")
    first, second = as_number(left), as_number(right)
    both = all_of(negated(first.absent), negated(second.absent))
    return any_of(all_of(first.absent, second.absent), all_of(both, first.value == second.value))


def _member(symbols: Symbols, left: Term, right: Term) -> Truth:
    match left, right:
        case _, Known(value=frozenset(values)):
            options: list[Formula] = [_same(symbols, left, Known(value)) for value in values]
            return Truth(any_of(*options), FALSE)
        case Known(value=str(value)), Items(path=path, view=view):
            return Truth(symbols.text(path, equal(view, value)), _absent(symbols, right))
        case Known(value=None), Items():
            return Truth(FALSE, _absent(symbols, right))
    raise Outside("a text and a list that both depend on the call are compared")
