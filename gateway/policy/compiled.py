"""Turns a checked condition into a function, once, so that deciding parses nothing and evaluates no text."""

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import reduce
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias

from gateway.policy.expression import (
    Call,
    ClockPart,
    Compare,
    Constant,
    Earlier,
    Fact,
    Field,
    Logic,
    Node,
    Not,
    Now,
    Operator,
    Sum,
    Values,
)
from gateway.policy.functions import FUNCTIONS
from gateway.policy.history import EMPTY, History


class Facts(NamedTuple):
    """All that a condition may look at; `history` is None when it could not be read."""

    args: Mapping[str, object]
    person: str | None
    agent: str | None
    tenant: str
    now: datetime
    history: History | None = EMPTY


Test: TypeAlias = Callable[[Facts], object]
_Relation: TypeAlias = Callable[[object, object], object]


def _ordered(relation: Callable[..., object]) -> _Relation:
    """An ordering that refuses NaN: `not (x > 50)` must not hold because x is no number. None raises by itself."""

    def compare(left: object, right: object) -> object:
        if left != left or right != right:
            raise ValueError("not a number")
        return relation(left, right)

    return compare


def _within(left: object, right: object) -> bool:
    return left in right  # type: ignore[operator] # the check saw to it that this is a list


RELATIONS: dict[Operator, _Relation] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": _within,
    "not in": lambda left, right: not _within(left, right),
    "is": operator.is_,
    "is not": operator.is_not,
}


def clock(now: datetime, part: ClockPart) -> object:
    """A part of the time of the call, in UTC."""
    if now.tzinfo is None:
        raise ValueError("a time without zone")
    utc = now.astimezone(UTC)
    match part:
        case "hour":
            return utc.hour
        case "weekday":
            return utc.weekday()
        case "date":
            return utc.date()


def earlier(history: History | None, tools: str, argument: str | None) -> object:
    """How many calls of these tools the run was allowed so far, or the sum of an argument over them."""
    if history is None:
        raise LookupError("what this run was allowed so far could not be read")
    return history.count(tools) if argument is None else history.total(tools, argument)


def compiled(node: Node) -> Test:  # noqa: C901 - one case for each kind of node
    """The function that evaluates a checked condition; it raises when a value that it needs is missing."""
    match node:
        case Constant(value=value):
            return lambda _: value
        case Values(items=items):
            values = frozenset(item.value for item in items)
            return lambda _: values
        case Field(path=path):
            return _field(path)
        case Fact(name=name):
            return operator.attrgetter(name)
        case Now(part=part):
            return lambda facts: clock(facts.now, part)
        case Earlier(tools=tools, argument=argument):
            return lambda facts: earlier(facts.history, tools, argument)
        case Sum(operands=operands):
            return _sum([compiled(operand) for operand in operands])
        case Call(function=function, arguments=arguments):
            return _call(FUNCTIONS[function].run, [compiled(argument) for argument in arguments])
        case Compare(operands=operands, operators=operators):
            return _compare([compiled(operand) for operand in operands], [RELATIONS[symbol] for symbol in operators])
        case Logic(word=word, operands=operands):
            return _logic(word, [compiled(operand) for operand in operands])
        case Not(operand=operand):
            inner = compiled(operand)
            return lambda facts: not inner(facts)


def _field(path: tuple[str, ...]) -> Test:
    if len(path) == 1:
        name = path[0]
        return lambda facts: facts.args[name]

    def read(facts: Facts) -> object:
        value: object = facts.args
        for name in path:
            value = value[name]  # type: ignore[index] # the check saw to it that this is a record
        return value

    return read


def _call(run: Callable[..., object], arguments: list[Test]) -> Test:
    if len(arguments) == 1:
        only = arguments[0]
        return lambda facts: run(only(facts))
    first, second = arguments
    return lambda facts: run(first(facts), second(facts))


def _sum(operands: list[Test]) -> Test:
    first, *rest = operands
    return lambda facts: reduce(operator.add, (operand(facts) for operand in rest), first(facts))


def _compare(operands: list[Test], relations: list[_Relation]) -> Test:
    if len(relations) == 1:
        (left, right), relation = operands, relations[0]
        return lambda facts: relation(left(facts), right(facts))

    def chain(facts: Facts) -> object:
        value = operands[0](facts)
        for relation, operand in zip(relations, operands[1:], strict=True):
            following = operand(facts)
            if not relation(value, following):
                return False
            value = following
        return True

    return chain


def _logic(word: Literal["and", "or"], operands: list[Test]) -> Test:
    if word == "and":
        return lambda facts: all(operand(facts) for operand in operands)
    return lambda facts: any(operand(facts) for operand in operands)


class _Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN
"""The outcome that depends on the call."""


def known(node: Node, facts: Facts) -> object:
    """Evaluate a condition for a caller whose call is not known yet: no arguments, time or history are looked at.

    Returns:
        True or False when the outcome is the same whatever and whenever the call is, else `UNKNOWN`.
    """
    match node:
        case Field() | Now() | Earlier() | Sum():
            return UNKNOWN
        case Constant() | Values() | Fact():
            return compiled(node)(facts)
        case Call(function=function, arguments=arguments):
            values = [known(argument, facts) for argument in arguments]
            return UNKNOWN if UNKNOWN in values else _attempt(FUNCTIONS[function].run, *values)
        case Compare(operands=operands, operators=operators):
            values = [known(operand, facts) for operand in operands]
            pairs = zip(pairwise(values), operators, strict=True)
            return _all(UNKNOWN if UNKNOWN in pair else _attempt(RELATIONS[symbol], *pair) for pair, symbol in pairs)
        case Logic(word=word, operands=operands):
            outcomes = (known(operand, facts) for operand in operands)
            return _all(outcomes) if word == "and" else _negated(_all(_negated(outcome) for outcome in outcomes))
        case Not(operand=operand):
            return _negated(known(operand, facts))


def _attempt(run: Callable[..., object], *values: object) -> object:
    try:
        return run(*values)
    except Exception:  # noqa: BLE001 - what fails here denies the call; listing stays on the side of showing
        return UNKNOWN


def _all(outcomes: Iterable[object]) -> object:
    answer: object = True
    for outcome in outcomes:
        if outcome is False:
            return False
        if outcome is UNKNOWN:
            answer = UNKNOWN
    return answer


def _negated(outcome: object) -> object:
    return UNKNOWN if outcome is UNKNOWN else not outcome
