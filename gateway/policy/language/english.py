"""Says in plain words when a condition is true, for people and models who never saw the policy files."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise

from gateway.policy.language.expression import (
    Call,
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
from gateway.policy.language.flow import Level
from gateway.policy.language.flow_english import LEVEL_VERBS, comes_from, flow_thing, flow_truth
from gateway.policy.language.flow_facts import is_level

_MOST_NAMED = 6
_OPPOSITE: dict[Operator, Operator] = {
    "==": "!=",
    "!=": "==",
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "in": "not in",
    "not in": "in",
    "is": "is not",
    "is not": "is",
}
_SWAPPED: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_VERBS: dict[Operator, str] = {
    "==": "is",
    "!=": "is not",
    "<": "is below",
    "<=": "is at most",
    ">": "is above",
    ">=": "is at least",
    "in": "is one of",
    "not in": "is none of",
}
_TESTS: dict[str, tuple[str, str]] = {
    "starts_with": ("begins with", "does not begin with"),
    "ends_with": ("ends with", "does not end with"),
    "glob": ("matches", "does not match"),
}
_QUANTIFIERS: dict[str, tuple[str, str]] = {"all_in": ("every", "not every"), "any_in": ("some", "no")}
_CLOCK = {"hour": "the hour (UTC)", "weekday": "the day of the week (0 is Monday)", "date": "the date (UTC)"}
_WHO = {"person": "the person", "agent": "the agent", "tenant": "the tenant"}


def said(node: Node) -> str:
    """A condition as the end of a sentence that begins with `when`, such as "`amount` is at most 50"."""
    match node:
        case Logic(word=word, operands=operands):
            return f" {word} ".join(f"({said(each)})" if _is_joined(each) else said(each) for each in operands)
        case Not(operand=operand):
            return _denied(operand)
        case Compare():
            return _compared(node)
        case Call(arguments=(_, _)):
            return _tested(node, holds=True)
        case Constant(value=value):
            return "this is always so" if value else "this is never so"
        case FlowFact():
            return flow_truth(node, holds=True)
        case _:
            return f"{_thing(node)} is true"


def _denied(node: Node) -> str:
    """The opposite of a condition, without a `not` in front of it where that reads better."""
    match node:
        case Not(operand=operand):
            return said(operand)
        case Logic(word=word, operands=operands):
            return said(Logic("or" if word == "and" else "and", tuple(map(Not, operands, _places(operands))), node.at))
        case Compare(operators=(operator,)):
            return said(replace(node, operators=(_OPPOSITE[operator],)))
        case Compare():
            return f"it is not so that {said(node)}"
        case Call(arguments=(_, _)):
            return _tested(node, holds=False)
        case Constant(value=value):
            return said(Constant(not value, node.at))
        case FlowFact():
            return flow_truth(node, holds=False)
        case _:
            return f"{_thing(node)} is false"


def _places(nodes: Iterable[Node]) -> list[int]:
    return [node.at for node in nodes]


def _is_joined(node: Node) -> bool:
    return isinstance(node, Logic) or (isinstance(node, Not) and _is_joined(node.operand))


def _tested(node: Call, *, holds: bool) -> str:
    first, second = node.arguments
    if node.function in _TESTS:
        return f"{_thing(first)} {_TESTS[node.function][not holds]} {_thing(second)}"
    item = f"domain of {_thing(first.arguments[0])}" if isinstance(first, Call) else f"item of {_thing(first)}"
    verb = "is one of" if not isinstance(second, Values) or len(second.items) > 1 else "is"
    return f"{_QUANTIFIERS[node.function][not holds]} {item} {verb} {_thing(second)}"


def _compared(node: Compare) -> str:
    first, *rest = node.operands
    if len(rest) == 2 and isinstance(first, Constant) and node.operators[0] in _SWAPPED:
        # `50 < args.amount <= 500` speaks of what stands in the middle.
        lower = f"{_VERBS[_SWAPPED[node.operators[0]]]} {_thing(first)}"
        upper = f"{_VERBS[node.operators[1]].removeprefix('is ')} {_thing(rest[1])}"
        return f"{_thing(rest[0])} {lower} and {upper}"
    pairs = zip(pairwise(node.operands), node.operators, strict=True)
    return " and ".join(_pair(left, operator, right) for (left, right), operator in pairs)


def _pair(left: Node, operator: Operator, right: Node) -> str:
    if operator in ("in", "not in") and not isinstance(right, Values):
        return f"{_thing(right)} {'has' if operator == 'in' else 'does not have'} {_thing(left)}"
    if isinstance(left, Constant) and not isinstance(right, Constant):
        return _pair(right, _SWAPPED.get(operator, operator), left)
    if isinstance(right, Constant) and right.value is None:
        return f"{_thing(left)} is {'left out' if operator in ('is', '==') else 'given'}"
    if isinstance(left, FlowFact) and isinstance(right, (Constant, Values)) and left.name == "origin":
        return comes_from(left, right.items if isinstance(right, Values) else (right,), operator)
    if (
        isinstance(left, (Compare, Logic, Not, FlowFact))
        and isinstance(right, Constant)
        and isinstance(right.value, bool)
    ):
        return said(left) if (operator == "==") is (right.value is True) else _denied(left)
    if isinstance(right, Values) and len(right.items) == 1:
        operator = "==" if operator == "in" else "!="
    verbs = LEVEL_VERBS if is_level(left) or is_level(right) else _VERBS
    return f"{_thing(left)} {verbs[operator]} {_thing(right)}"


def _thing(node: Node) -> str:  # noqa: C901 - one case for each kind of node
    match node:
        case Constant(value=value):
            return _value(value)
        case Values(items=items):
            some = ", ".join(_value(item.value) for item in items[:_MOST_NAMED])
            return some if len(items) <= _MOST_NAMED else f"{some} and {len(items) - _MOST_NAMED} more"
        case Field(path=path):
            return f"`{'.'.join(path)}`"
        case Fact(name=name):
            return _WHO[name]
        case Now(part=part):
            return _CLOCK[part]
        case Earlier(tools=tools, argument=None):
            return f"the number of `{tools}` calls so far"
        case Earlier(tools=tools, argument=argument):
            return f"the total `{argument}` of `{tools}` so far"
        case FlowFact():
            return flow_thing(node)
        case Sum(operands=operands):
            return " plus ".join(map(_thing, operands))
        case Call(function="len", arguments=(inside,)):
            return f"the length of {_thing(inside)}"
        case Call(function="domain", arguments=(inside,)):
            return f"the domain of {_thing(inside)}"
        case Call(function="lower", arguments=(inside,)):
            return f"{_thing(inside)} in lower case"
        case _:
            return f"the truth of ({said(node)})"


def _value(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Level):
        return f"`{value.word}`"
    return f"`{value}`" if isinstance(value, str) else value.isoformat() if isinstance(value, date) else str(value)
