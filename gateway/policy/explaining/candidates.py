"""Values of one argument that conditions tell apart: numbers around a limit, texts and lists that rules name."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeAlias

from gateway.policy.language.compiled import Facts, compiled
from gateway.policy.language.expression import Call, Compare, Constant, Field, Logic, Node, Not, Sum, Values, parts
from gateway.policy.language.wording import literal

Scalable: TypeAlias = int | Decimal | date

_MOST = 100
_CENT = Decimal("0.01")
_NUMBER_WORDS = ("above", "at least", "below", "at most")
_DATE_WORDS = ("after", "from", "before", "until")


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers or dates between two limits; None is no limit, `low_in` and `high_in` say whether a limit belongs."""

    low: Any
    low_in: bool
    high: Any
    high_in: bool

    def joined(self, following: "Range") -> "Range":
        """This range and the one that begins where it ends."""
        return Range(self.low, self.low_in, following.high, following.high_in)

    def __str__(self) -> str:
        if self.low is not None and self.low == self.high:
            return literal(self.low)
        words = _DATE_WORDS if isinstance(self.low or self.high, date) else _NUMBER_WORDS
        low = "" if self.low is None else f"{words[self.low_in]} {literal(self.low)}"
        high = "" if self.high is None else f"{words[self.high_in + 2]} {literal(self.high)}"
        return " and ".join(filter(None, (low, high))) or "any value"

    @property
    def inside(self) -> Scalable | None:
        """Any one of its values; None when it has no limit, or two dates as limits with no day between them."""
        if self.low_in or self.high_in:
            return self.low if self.low_in else self.high  # type: ignore[no-any-return]
        if self.low is None:
            return _moved(self.high, -1)
        if self.high is None:
            return _moved(self.low, 1)
        if isinstance(self.low, date):
            middle = self.low + (self.high - self.low) // 2
            return middle if middle in self else None
        return (Decimal(self.low) + Decimal(self.high)) / 2

    def samples(self) -> list[Scalable]:
        """Some of its values, those first that a person would name."""
        near = [_moved(limit, by) for step in (0, 1, _CENT) for limit, by in ((self.high, -step), (self.low, step))]
        return [value for value in (*near, self.inside) if value is not None and value in self]

    def __contains__(self, value: Any) -> bool:  # noqa: ANN401 - compared with the limits
        above = self.low is None or value > self.low or (self.low_in and value == self.low)
        below = self.high is None or value < self.high or (self.high_in and value == self.high)
        return above and below


def _moved(limit: Any, by: int | Decimal) -> Scalable | None:  # noqa: ANN401 - a number or a date
    if limit is None:
        return None
    try:
        moved: Scalable = limit + (timedelta(int(by)) if isinstance(limit, date) else by)
    except OverflowError:
        return None
    return moved


def cells(field: Field, conditions: Iterable[Node], facts: Facts) -> tuple[Range, ...]:
    """Cut all numbers or dates into ranges, upwards, within which no condition changes when only this field changes.

    Returns:
        The ranges; none when a condition uses the field in a way that has no fixed limits.
    """
    try:
        limits = sorted({limit for each in conditions for limit in _limits(field, each, facts)})
    except _NoFixedLimit:
        return ()
    if not limits or len(limits) > _MOST:
        return ()
    found = [Range(None, False, limits[0], False)]
    for limit, following in zip(limits, (*limits[1:], None), strict=True):
        found += [Range(limit, True, limit, True), Range(limit, False, following, False)]
    return tuple(found)


class _NoFixedLimit(Exception):
    """The field is used in another way than in a comparison with something that does not depend on it."""


def _limits(field: Field, node: Node, facts: Facts) -> Iterator[Scalable]:
    match node:
        case Logic(operands=operands):
            for operand in operands:
                yield from _limits(field, operand, facts)
        case Not(operand=operand):
            yield from _limits(field, operand, facts)
        case Compare(operands=operands) if field in parts(node):
            for left, right in pairwise(operands):
                if field in parts(left) or field in parts(right):
                    yield from _crossed(field, left, right, facts)
        case _ if field in parts(node):
            raise _NoFixedLimit


def _crossed(field: Field, left: Node, right: Node, facts: Facts) -> Iterator[Scalable]:
    own, other = (left, right) if field in parts(left) else (right, left)
    if field in parts(other):
        raise _NoFixedLimit
    added = _added(field, own, facts)
    for limit in _values(other, facts):
        if isinstance(limit, bool) or not isinstance(limit, (int, Decimal, date, type(None))):
            raise _NoFixedLimit
        if limit is not None:
            yield limit - added if added else limit


def _added(field: Field, node: Node, facts: Facts) -> Any:  # noqa: ANN401 - a number
    """What is added to the field before it is compared."""
    if node == field:
        return 0
    if not isinstance(node, Sum) or node.operands.count(field) != 1:
        raise _NoFixedLimit
    others = [operand for operand in node.operands if operand != field]
    if any(field in parts(other) for other in others):
        raise _NoFixedLimit
    return sum(value for other in others for value in _values(other, facts))


def _values(node: Node, facts: Facts) -> Sequence[Any]:
    """The value of a part, or the values of a list; none when it cannot be evaluated."""
    if isinstance(node, Values):
        return [item.value for item in node.items]
    try:
        value = compiled(node)(facts)
    except Exception:  # noqa: BLE001 - a value that is missing names nothing
        return []
    return value if isinstance(value, list) else [value]


def named(field: Field, choices: Iterable[str], conditions: Iterable[Node], facts: Facts) -> list[object]:
    """The tool's own choices for this field, what conditions compare it with, and None for leaving it out."""
    found: list[object] = [*choices]
    for compare in _found(conditions, field, Compare):
        for other in compare.operands:
            found += () if field in parts(other) else _values(other, facts)
    return _distinct([*found, True, False, None])


def made_up(field: Field, conditions: Iterable[Node], facts: Facts) -> list[object]:
    """Texts and lists that are made so that a condition on this field turns out otherwise."""
    current = compiled(field)(facts) if field.path[0] in facts.args else None
    found: list[object] = []
    for call in _found(conditions, field, Call):
        if call.function in ("starts_with", "ends_with", "glob") and isinstance(part := call.arguments[1], Constant):
            found += _texts(call.function, str(part.value), str(current or ""))
        elif call.function in ("all_in", "any_in") and field in parts(call.arguments[0]):
            by_domain = call.arguments[0] != field
            found += _lists(current if isinstance(current, list) else [], _values(call.arguments[1], facts), by_domain)
    for compare in _found(conditions, field, Compare):
        for own, other in (pair for both in pairwise(compare.operands) for pair in (both, both[::-1])):
            for value in _values(other, facts):
                found += _compared(field, own, value, current)
    return _distinct(found)


def _found(conditions: Iterable[Node], field: Field, kind: type[Any]) -> Iterator[Any]:
    for condition in conditions:
        yield from (part for part in parts(condition) if isinstance(part, kind) and field in parts(part))


def _texts(function: str, part: str, current: str) -> list[object]:
    if function == "starts_with":
        return [part + current]
    if function == "ends_with":
        return [f"someone{part}" if part.startswith("@") else current + part]
    return [part.replace("*", "")]


def _lists(current: Sequence[object], values: Sequence[object], by_domain: bool) -> list[object]:
    """Only the items that are among the values, only the others, and with one more that is among them."""
    inside = [item for item in current if (_domain(item) if by_domain else item) in values]
    new = [f"someone@{value}" if by_domain else value for value in values[:1]]
    return [inside, [item for item in current if item not in inside], [*current, *new], new]


def _domain(address: object) -> str:
    return str(address).rpartition("@")[2].lower()


def _compared(field: Field, own: Node, value: object, current: object) -> list[object]:
    match own:
        case Call(function="domain", arguments=(inner,)) if inner == field:
            return [f"someone@{value}"]
        case Call(function="lower", arguments=(inner,)) if inner == field:
            return [value]
        case Call(function="len", arguments=(inner,)) if inner == field and isinstance(current, (list, str)):
            return [current[:count] for count in (value, value - 1) if count >= 0] if isinstance(value, int) else []
        case Field() if own == field and isinstance(current, list):
            return [[item for item in current if item != value], [*current, value]]
    return []


def _distinct(values: Iterable[object]) -> list[object]:
    kept: list[object] = []
    for value in values:
        if not any(value == other and type(value) is type(other) for other in kept):
            kept.append(value)
    return kept[:_MOST]
