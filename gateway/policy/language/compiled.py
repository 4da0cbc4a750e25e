"""Turns a checked condition into a function, once, so that deciding parses nothing and evaluates no text."""

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache, partial, reduce
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from gateway.policy.language.expression import (
    MIRRORED,
    Call,
    ClockPart,
    Compare,
    Constant,
    Earlier,
    Fact,
    Field,
    FlowFact,
    Logic,
    Node,
    Not,
    Now,
    Operator,
    Sum,
    Values,
)
from gateway.policy.language.flow import UNTOUCHED, Flow
from gateway.policy.language.flow_facts import Reader, reader
from gateway.policy.language.functions import FUNCTIONS
from gateway.policy.language.history import EMPTY, History


class Facts(NamedTuple):
    """All that a condition may look at; `history` and `flow` are None when they could not be found out."""

    args: Mapping[str, object]
    person: str | None
    agent: str | None
    tenant: str
    now: datetime
    history: History | None = EMPTY
    flow: Flow | None = UNTOUCHED


Test: TypeAlias = Callable[[Facts], object]
_Relation: TypeAlias = Callable[[object, object], object]


_ORDERINGS: dict[Operator, Callable[..., object]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


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
    **{symbol: _ordered(relation) for symbol, relation in _ORDERINGS.items()},
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


# A compiled condition is made of the functions below, each with its operands filled in by `partial`: of all forms this
# touches the least memory, which is what deciding by one of many thousand rules costs most.


def compiled(node: Node) -> Test:  # noqa: C901 - one case for each kind of node
    """The function that evaluates a checked condition; it raises when a value that it needs is missing."""
    match node:
        case Constant() | Values():
            return partial(_literal, literal(node))
        case Field(path=(name,)):
            return _argument(name)
        case Field(path=path):
            return partial(_nested_argument, path)
        case Fact(name=name):
            return operator.attrgetter(name)
        case Now(part=part):
            return partial(_now, part)
        case Earlier(tools=tools, argument=argument):
            return partial(_earlier, tools, argument)
        case FlowFact(name=name, argument=argument):
            return partial(_flowing, reader(name, argument))
        case Sum(operands=operands):
            return partial(_sum, tuple(map(compiled, operands)))
        case Call(function=function, arguments=arguments):
            return partial(_call, FUNCTIONS[function].run, tuple(map(compiled, arguments)))
        case Compare(operands=operands, operators=operators):
            pairs = zip(pairwise(operands), operators, strict=True)
            tests = tuple(_compare(left, symbol, right) for (left, right), symbol in pairs)
            return tests[0] if len(tests) == 1 else partial(_every, tests)
        case Logic(word=word, operands=operands):
            return partial(_every if word == "and" else _some, tuple(map(compiled, operands)))
        case Not(operand=operand):
            return partial(_not, compiled(operand))


def _compare(left: Node, symbol: Operator, right: Node) -> Test:
    if isinstance(left, Constant) and (symbol in MIRRORED or symbol in ("==", "!=")):
        left, symbol, right = right, MIRRORED.get(symbol, symbol), left
    if isinstance(right, Constant) and symbol in _ORDERINGS:
        return partial(_bound, compiled(left), _ORDERINGS[symbol], right.value)
    if isinstance(right, (Constant, Values)):
        return partial(_beside_literal, compiled(left), RELATIONS[symbol], literal(right))
    return partial(_beside, compiled(left), RELATIONS[symbol], compiled(right))


def _literal(value: object, _: Facts) -> object:
    return value


@cache
def _argument(name: str) -> Test:
    return lambda facts: facts.args[name]


def _nested_argument(path: tuple[str, ...], facts: Facts) -> object:
    value: object = facts.args
    for name in path:
        value = value[name]  # type: ignore[index] # the check saw to it that this is a record
    return value


def _now(part: ClockPart, facts: Facts) -> object:
    return clock(facts.now, part)


def _earlier(tools: str, argument: str | None, facts: Facts) -> object:
    return earlier(facts.history, tools, argument)


def _flowing(read: Reader, facts: Facts) -> object:
    return read(facts.flow, facts.args)


def _sum(operands: tuple[Test, ...], facts: Facts) -> object:
    return reduce(operator.add, [operand(facts) for operand in operands])


def _call(run: Callable[..., object], arguments: tuple[Test, ...], facts: Facts) -> object:
    return run(*[argument(facts) for argument in arguments])


def _bound(read: Test, relation: Callable[..., object], limit: object, facts: Facts) -> object:
    value = read(facts)
    if value != value:
        raise ValueError("not a number")
    return relation(value, limit)


def _beside_literal(read: Test, relation: _Relation, value: object, facts: Facts) -> object:
    return relation(read(facts), value)


def _beside(left: Test, relation: _Relation, right: Test, facts: Facts) -> object:
    return relation(left(facts), right(facts))


def _every(tests: tuple[Test, ...], facts: Facts) -> bool:
    for test in tests:  # noqa: SIM110 - `all` over a generator takes twice as long
        if not test(facts):
            return False
    return True


def _some(tests: tuple[Test, ...], facts: Facts) -> bool:
    for test in tests:  # noqa: SIM110 - as above
        if test(facts):
            return True
    return False


def _not(test: Test, facts: Facts) -> bool:
    return not test(facts)


def literal(node: Constant | Values) -> object:
    """The value that is written out, or the set of values."""
    return node.value if isinstance(node, Constant) else frozenset(item.value for item in node.items)


class _Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN
"""The outcome that depends on the call."""


def known(node: Node, facts: Facts) -> object:
    """Evaluate a condition for a caller whose call is not known yet: no arguments, time, history or flow are looked at.

    Returns:
        True or False when the outcome is the same whatever and whenever the call is, else `UNKNOWN`.
    """
    match node:
        case Field() | Now() | Earlier() | FlowFact() | Sum():
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
