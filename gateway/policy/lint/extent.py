"""What values a part of a condition can have at all: the choices or bounds that the tool's input declares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from math import ceil, floor
from typing import Any, TypeAlias

from gateway.policy.language.check import type_of
from gateway.policy.language.expression import Call, Constant, Earlier, Node, Operator, Scalar, Sum
from gateway.policy.language.flow import Level
from gateway.policy.language.kinds import Kind, Type

_MAX_CANDIDATES = 400

_Point: TypeAlias = int | Decimal | date
_Edge: TypeAlias = tuple[_Point, bool]
"""A bound, and whether the bound itself is left out."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The values that a part can have.

    Args:
        choices: The only values, None among them if it may be missing; None when they are not listed.
        low: The lower bound of a number or date.
        high: The upper bound.
        whole: Whether it is a whole number.
        optional: Whether it may be missing.
    """

    choices: tuple[Scalar, ...] | None = None
    low: _Edge | None = None
    high: _Edge | None = None
    whole: bool = False
    optional: bool = False

    def candidates(self) -> tuple[Scalar, ...] | None:
        """Every value, if they are few."""
        if self.choices is not None or not self.whole:
            return self.choices
        tight = self._closed()
        if tight.low is None or tight.high is None:
            return None
        first, last = tight.low[0], tight.high[0]
        if not isinstance(first, int) or not isinstance(last, int) or last - first > _MAX_CANDIDATES:
            return None
        return (*range(first, last + 1), *((None,) if self.optional else ()))

    def admits(self, value: Scalar) -> bool:
        """Whether a literal of the right kind is among the values."""
        if self.choices is not None:
            return value in self.choices
        if isinstance(value, (int, Decimal, date)) and (self.low or self.high):
            return not self.narrowed(">=", value).narrowed("<=", value).is_empty()
        return value is not None or self.optional

    def narrowed(self, relation: Operator, value: Scalar) -> "Extent":
        """The values among these that are `<`, `<=`, `>` or `>=` a number or date."""
        if not isinstance(value, (int, Decimal, date)):
            return self
        edge = (value, relation in ("<", ">"))
        if relation in (">", ">="):
            return replace(self, low=edge if self.low is None else max(self.low, edge))
        # Of two equal upper bounds the one that is left out itself is the narrower one.
        is_narrower = self.high is None or (edge[0], not edge[1]) < (self.high[0], not self.high[1])
        return replace(self, high=edge) if is_narrower else self

    def is_empty(self) -> bool:
        """Whether the bounds leave no value."""
        tight = self._closed() if self.whole else self
        if tight.low is None or tight.high is None:
            return False
        (low, low_is_out), (high, high_is_out) = tight.low, tight.high
        return low > high or (low == high and (low_is_out or high_is_out))  # type: ignore[operator] # of one kind

    def _closed(self) -> "Extent":
        """The same whole numbers, with bounds that are whole numbers and belong to them."""
        low, high = self.low, self.high
        if low and not isinstance(low[0], date):
            low = (floor(low[0]) + 1 if low[1] else ceil(low[0]), False)
        if high and not isinstance(high[0], date):
            high = (ceil(high[0]) - 1 if high[1] else floor(high[0]), False)
        return replace(self, low=low, high=high)


def extent_of(node: Node, arguments: Type, tools: Mapping[str, Type]) -> Extent:
    """What values a part of a checked condition can have.

    Args:
        node: The part.
        arguments: The type of the tool's input.
        tools: The type of each tool's input by the tool's name.
    """
    match node:
        case Constant(value=value):
            edge = (value, False) if isinstance(value, (int, Decimal, date)) else None
            return Extent(choices=(value,), low=edge, high=edge)
        case Earlier(argument=None):
            return Extent(low=(0, False), whole=True)
        case Earlier(tools=tool, argument=str(argument)):
            smallest = _of_type(tools[tool].fields[argument]).low
            return Extent(low=(0, False) if smallest and smallest >= (0, False) else None)
        case Sum(operands=operands):
            return _sum([extent_of(operand, arguments, tools) for operand in operands])
        case Call(function="len", arguments=(counted,)):
            return _length(type_of(counted, arguments).schema)
    return _of_type(type_of(node, arguments))


def _of_type(found: Type) -> Extent:
    missing = (None,) if found.optional else ()
    if found.kind is Kind.BOOL:
        return Extent(choices=(True, False, *missing))
    if found.kind is Kind.LEVEL:
        return Extent(choices=tuple(Level))
    if found.choices:
        return Extent(choices=(*found.choices, *missing))
    if found.kind is not Kind.NUMBER:
        return Extent(optional=found.optional)
    schema = found.schema
    return Extent(
        low=_edge(schema, "minimum", "exclusiveMinimum"),
        high=_edge(schema, "maximum", "exclusiveMaximum"),
        whole=schema.get("type") == "integer",
        optional=found.optional,
    )


def _edge(schema: Mapping[str, Any], closed: str, open_: str) -> _Edge | None:
    for name in (open_, closed):
        if name in schema:
            return Decimal(str(schema[name])), name == open_
    return None


def _length(schema: Mapping[str, Any]) -> Extent:
    least = schema.get("minLength", schema.get("minItems", 0))
    most = schema.get("maxLength", schema.get("maxItems"))
    return Extent(low=(least, False), high=None if most is None else (most, False), whole=True)


def _sum(extents: Sequence[Extent]) -> Extent:
    lows, highs = [each.low for each in extents], [each.high for each in extents]
    return Extent(low=_added(lows), high=_added(highs))


def _added(edges: Sequence[_Edge | None]) -> _Edge | None:
    known = [(Decimal(edge[0]), edge[1]) for edge in edges if edge and not isinstance(edge[0], date)]
    if len(known) < len(edges):
        return None
    return sum((point for point, _ in known), Decimal(0)), any(is_out for _, is_out in known)
