"""The tree that a condition becomes. Checking, compiling and printing for Casbin start from it, never from the text."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

Scalar: TypeAlias = str | int | Decimal | bool | None
Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"]
Word: TypeAlias = Literal["and", "or"]
FactName: TypeAlias = Literal["person", "agent", "tenant"]


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal. `at` is the offset in the condition's text, here and in every node."""

    value: Scalar
    at: int


@dataclass(frozen=True, slots=True)
class Values:
    """A list or set of literals."""

    items: tuple[Constant, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Field:
    """An argument of the call: `args.amount`, or `args.address.city` inside a nested record."""

    path: tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Fact:
    """Who calls: `person.id`, `agent.id` (None when there is none) or `tenant`."""

    name: FactName
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """One of the documented functions applied to its arguments."""

    function: str
    arguments: tuple["Node", ...]
    at: int


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison, possibly chained: `50 < args.amount <= 500` has three operands and two operators."""

    operands: tuple["Node", ...]
    operators: tuple[Operator, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Logic:
    """Operands joined by `and` or `or`."""

    word: Word
    operands: tuple["Node", ...]
    at: int


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of its operand."""

    operand: "Node"
    at: int


Node: TypeAlias = Constant | Values | Field | Fact | Call | Compare | Logic | Not
