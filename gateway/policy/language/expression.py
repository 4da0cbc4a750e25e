"""The tree that a condition becomes. Checking, compiling and printing for Casbin start from it, never from the text.

Every node has `at`, its offset in the condition's text; nodes are equal when they say the same, wherever they stand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, Literal, TypeAlias

Scalar: TypeAlias = str | int | Decimal | bool | date | None
Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"]
MIRRORED: Final[Mapping[Operator, Operator]] = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
"""What an ordering becomes when its sides change places."""
Word: TypeAlias = Literal["and", "or"]
FactName: TypeAlias = Literal["person", "agent", "tenant"]
ClockPart: TypeAlias = Literal["hour", "weekday", "date"]


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal. A text that is compared with a date is a date, one that is compared with a level a level."""

    value: Scalar
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Values:
    """A list or set of literals, written out or named: `lists.partners` holds what `lists.csv` says."""

    items: tuple[Constant, ...]
    at: int = field(compare=False)
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Field:
    """An argument of the call: `args.amount`, or `args.address.city` inside a nested record."""

    path: tuple[str, ...]
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Fact:
    """Who calls: `person.id`, `agent.id` (None when there is none) or `tenant`."""

    name: FactName
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Now:
    """The time of the call in UTC: `now.hour` (0 to 23), `now.weekday` (0 is Monday) or `now.date`."""

    part: ClockPart
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What this run was allowed before this call: `calls('email_*')`, `total('crm_issue_refund', 'amount')`.

    Args:
        tools: A tool's name, or for `calls` also its beginning followed by `*`.
        argument: The number argument that is summed; None when the calls are counted.
        at: As in every node.
    """

    tools: str
    argument: str | None
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class FlowFact:
    """What is known of the data flow into this call: `origin(args.to)`, `run.saw_untrusted`. See `flow_facts.py`.

    Args:
        name: What is asked: a function's name, or the name behind `run.`.
        argument: The argument that it is asked about; None when it is about the run.
        at: As in every node.
    """

    name: str
    argument: str | None
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Sum:
    """Numbers added up: `args.amount + total('crm_issue_refund', 'amount')`."""

    operands: tuple["Node", ...]
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One of the documented functions applied to its arguments."""

    function: str
    arguments: tuple["Node", ...]
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison, possibly chained: `50 < args.amount <= 500` has three operands and two operators."""

    operands: tuple["Node", ...]
    operators: tuple[Operator, ...]
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Logic:
    """Operands joined by `and` or `or`."""

    word: Word
    operands: tuple["Node", ...]
    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of its operand."""

    operand: "Node"
    at: int = field(compare=False)


Node: TypeAlias = Constant | Values | Field | Fact | Now | Earlier | FlowFact | Sum | Call | Compare | Logic | Not


def parts(node: Node) -> Iterator[Node]:
    """The node and every node inside it, from the outside in."""
    yield node
    match node:
        case Constant() | Values() | Field() | Fact() | Now() | Earlier() | FlowFact():
            return
        case Not(operand=operand):
            yield from parts(operand)
        case Call(arguments=inside) | Sum(operands=inside) | Compare(operands=inside) | Logic(operands=inside):
            for each in inside:
                yield from parts(each)
