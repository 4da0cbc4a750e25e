"""Checks a condition against the input of one tool: every field exists, every comparison makes sense."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Annotated

from pydantic import Field as Bounds

from connectors.contract import Sink
from gateway.policy.language import patterns
from gateway.policy.language.expression import (
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
    parts,
)
from gateway.policy.language.flow import LEVELS, Level
from gateway.policy.language.flow_facts import ARGUMENT_FACTS, type_of_flow
from gateway.policy.language.functions import FUNCTIONS
from gateway.policy.language.kinds import Kind, Type
from gateway.policy.language.syntax import Mistake
from gateway.policy.problem import suggest

_BOOL, _ANY = Type(Kind.BOOL), Type(Kind.ANY)
_ORDERINGS = frozenset({"<", "<=", ">", ">="})
_AFFIXES = frozenset({"starts_with", "ends_with", "glob"})
_ORDERED = frozenset({Kind.NUMBER, Kind.DATE, Kind.ANY})
_LETS_OUT: Mapping[Sink, str] = {
    Sink.RECIPIENT: "recipients",
    Sink.URL: "URLs",
    Sink.AMOUNT: "amounts",
    Sink.IDENTIFIER: "identifiers",
    Sink.CONTENT: "content",
}
_CLOCK: Mapping[ClockPart, Type] = {
    "hour": Type(Kind.NUMBER, annotation=Annotated[int, Bounds(ge=0, le=23)]),
    "weekday": Type(Kind.NUMBER, annotation=Annotated[int, Bounds(ge=0, le=6)]),
    "date": Type(Kind.DATE),
}


def check(condition: Node, arguments: Type) -> list[Mistake]:
    """Find what is wrong with a condition for one tool.

    Args:
        condition: The condition as parsed.
        arguments: The type of the tool's input, from `type_of_tool`.
    """
    checker = _Checker(arguments)
    checker.truth(condition)
    return checker.mistakes


def type_of(node: Node, arguments: Type) -> Type:
    """The type of a part of a checked condition, given the type of the tool's input."""
    return _Checker(arguments).type_of(node)


def check_history(condition: Node, tools: Mapping[str, Type]) -> list[Mistake]:
    """Find what is wrong with `calls` and `total` in a condition.

    Args:
        condition: The condition as parsed.
        tools: The type of each tool's input by the tool's name.
    """
    found = (_history_mistake(part, tools) for part in parts(condition) if isinstance(part, Earlier))
    return [mistake for mistake in found if mistake]


def _history_mistake(node: Earlier, tools: Mapping[str, Type]) -> Mistake | None:
    if message := patterns.mistake(node.tools, tools):
        return Mistake(node.at, message)
    if node.argument is None:
        return None
    if node.tools not in tools:
        return Mistake(node.at, f"`total` sums an argument of one tool: `{node.tools}` is a pattern")
    fields = tools[node.tools].fields
    if node.argument not in fields:
        return Mistake(node.at, f"`{node.tools}` has no argument `{node.argument}`{suggest(node.argument, fields)}")
    if (kind := fields[node.argument].kind) is not Kind.NUMBER:
        return Mistake(node.at, f"`total` sums numbers: `{node.argument}` of `{node.tools}` is {kind}")
    return None


class _Checker:
    def __init__(self, arguments: Type) -> None:
        self.arguments = arguments
        self.mistakes: list[Mistake] = []

    def refuse(self, at: int, message: str) -> Type:
        self.mistakes.append(Mistake(at, message))
        return _ANY

    def truth(self, node: Node) -> None:
        """The node must be plainly true or false, never a missing value."""
        found = self.type_of(node)
        if found.kind not in (Kind.BOOL, Kind.ANY):
            self.refuse(node.at, f"this is {found.kind}, but a condition must be true or false")
        elif found.optional:
            self.refuse(node.at, "this may be None: compare it with `== True` or `== False`")

    def type_of(self, node: Node) -> Type:  # noqa: C901 - one case for each kind of node
        match node:
            case Constant(value=value):
                return _type_of_constant(value)
            case Values(items=items):
                return Type(Kind.LIST, item=_type_of_constant(items[0].value))
            case Now(part=part):
                return _CLOCK[part]
            case Earlier():
                return Type(Kind.NUMBER)
            case FlowFact(argument=argument):
                return type_of_flow(node) if argument is None else self.flowing(node, argument)
            case Sum(operands=operands):
                return self.sum(operands)
            case Field():
                return self.field(node)
            case Fact(name=name):
                return Type(Kind.TEXT, optional=name != "tenant")
            case Call():
                return self.call(node)
            case Compare():
                return self.compare(node)
            case Logic(operands=operands):
                for operand in operands:
                    self.truth(operand)
                return _BOOL
            case Not(operand=operand):
                self.truth(operand)
                return _BOOL

    def field(self, node: Field) -> Type:
        inside, seen = self.arguments, "args"
        for name in node.path:
            if inside.kind is not Kind.RECORD:
                return self.refuse(node.at, f"`{seen}` has no fields")
            if name not in inside.fields:
                return self.refuse(
                    node.at, f"unknown field `{seen}.{name}`{suggest(name, inside.fields, prefix=f'{seen}.')}"
                )
            inside, seen = inside.fields[name], f"{seen}.{name}"
        if inside.kind is Kind.OTHER:
            return self.refuse(node.at, f"`{seen}` is {inside.kind}")
        return inside

    def flowing(self, node: FlowFact, argument: str) -> Type:
        """What is known of an argument's data flow, if it is the kind of sink of which that is known."""
        fields, fact = self.arguments.fields, ARGUMENT_FACTS[node.name]
        if argument not in fields:
            return self.refuse(node.at, f"unknown field `args.{argument}`{suggest(argument, fields, prefix='args.')}")
        sinks = fields[argument].sinks
        if sinks & fact.sinks:
            return type_of_flow(node)
        known = [f"`args.{name}`" for name, found in fields.items() if found.sinks & fact.sinks]
        of = " and ".join(filter(None, (", ".join(known[:-1]), *known[-1:]))) or "no argument here"
        holds = " and ".join(sorted(_LETS_OUT[sink] for sink in sinks)) or "nothing that reaches the world"
        why = f"`args.{argument}` holds {holds}{_meant(node, sinks)}"
        return self.refuse(node.at, f"`{node.name}` is known of {of} only: {why}")

    def sum(self, operands: Sequence[Node]) -> Type:
        for operand in operands:
            if (found := self.type_of(operand)).kind not in (Kind.NUMBER, Kind.ANY):
                return self.refuse(operand.at, f"`+` adds numbers: this is {found.kind}")
        return Type(Kind.NUMBER)

    def call(self, node: Call) -> Type:
        function = FUNCTIONS[node.function]
        types = [self.type_of(argument) for argument in node.arguments]
        if len(types) != len(function.takes):
            return self.refuse(
                node.at, f"`{node.function}` takes {_count(len(function.takes), 'argument')}, not {len(types)}"
            )
        for argument, found, accepted in zip(node.arguments, types, function.takes, strict=True):
            if found.kind not in accepted and found.kind is not Kind.ANY:
                wanted = " or ".join(sorted(accepted))
                return self.refuse(argument.at, f"`{node.function}` needs {wanted} here, this is {found.kind}")
        if any(found.kind is Kind.ANY for found in types):
            return Type(function.gives) if function.gives else _ANY
        return self.answer(node, types, function.gives)

    def answer(self, node: Call, types: Sequence[Type], gives: Kind | None) -> Type:
        if node.function == "glob" and not isinstance(node.arguments[1], Constant):
            return self.refuse(node.arguments[1].at, "the pattern of `glob` must be written out as a text")
        if node.function in _AFFIXES:
            self.compare_case(types[0], node.arguments[1])
        if node.function in ("all_in", "any_in"):
            self.compare_items(node, types)
        if node.function == "lower":
            return Type(Kind.TEXT, lowered=True)
        if gives is not None:
            return Type(gives)
        if types[0].kind is Kind.LIST and (types[0].item is None or types[0].item.kind is not Kind.TEXT):
            return self.refuse(node.arguments[0].at, "`domain` needs a list of addresses here")
        domain = Type(Kind.TEXT, lowered=True, is_domain=True)
        return domain if types[0].kind is Kind.TEXT else Type(Kind.LIST, item=domain)

    def compare_items(self, node: Call, types: Sequence[Type]) -> None:
        left, right = types[0].item or _ANY, types[1].item or _ANY
        if left.kind is not right.kind:
            self.refuse(node.at, f"`{node.function}` compares {_plural(left.kind)} with {_plural(right.kind)}")
            return
        self.possible(left, node.arguments[1])
        self.possible(right, node.arguments[0])

    def compare_case(self, holder: Type, part: Node) -> None:
        if isinstance(part, Constant) and holder.folds_case and str(part.value) != str(part.value).lower():
            self.refuse(part.at, f"the other side never holds `{part.value}`: it is always in lower case")

    def compare(self, node: Compare) -> Type:
        types = [self.type_of(operand) for operand in node.operands]
        sides = zip(pairwise(node.operands), pairwise(types), node.operators, strict=True)
        for (left, right), (left_type, right_type), operator in sides:
            self.pair(left, left_type, operator, right, right_type)
        return _BOOL

    def pair(self, left: Node, left_type: Type, operator: Operator, right: Node, right_type: Type) -> None:
        kinds = (left_type.kind, right_type.kind)
        if Kind.ANY in kinds:
            return
        if Kind.LEVEL in kinds or (right_type.item and right_type.item.kind is Kind.LEVEL):
            self.level(left, left_type, operator, right, right_type)
        elif operator in ("in", "not in"):
            self.membership(left, left_type, right, right_type)
        elif operator in ("is", "is not") and right_type.kind is not Kind.NONE:
            self.refuse(right.at, f"`{operator}` only goes with `None`: use `==` or `!=`")
        elif operator in _ORDERINGS:
            self.ordering(left, left_type, operator, right, right_type)
        elif Kind.NONE in (left_type.kind, right_type.kind):
            node, found = (left, left_type) if right_type.kind is Kind.NONE else (right, right_type)
            if not found.optional:
                self.refuse(node.at, "this is never None")
        elif left_type.kind is Kind.LIST or right_type.kind is Kind.LIST:
            self.refuse(left.at, "lists are compared with `all_in` or `any_in`")
        elif left_type.kind is not right_type.kind:
            self.unlike(left, left_type, right, right_type)
        else:
            self.possible(left_type, right)
            self.possible(right_type, left)

    def level(self, left: Node, left_type: Type, operator: Operator, right: Node, right_type: Type) -> None:
        """Levels go with levels. A text that is none is misspelt, or it would be one."""
        for node, found in ((left, left_type), (right, right_type)):
            items = node.items if isinstance(node, Values) else (node,)
            strange = [item for item in items if isinstance(item, Constant) and not isinstance(item.value, Level)]
            if strange:
                near = suggest(str(strange[0].value), LEVELS) or f": it is one of {', '.join(LEVELS)}"
                self.refuse(strange[0].at, f"`{strange[0].value}` is no level of confidentiality{near}")
                return
            if found.kind not in (Kind.LEVEL, Kind.LIST) or (found.item and found.item.kind is not Kind.LEVEL):
                self.refuse(node.at, f"a level of confidentiality cannot be compared with {found.kind}")
                return
        if (operator in ("in", "not in")) is not isinstance(right, Values) or isinstance(left, Values):
            self.refuse(right.at, "one level is compared with one, or by `in` with a list")
        elif operator in ("is", "is not"):
            self.refuse(right.at, f"`{operator}` only goes with `None`: use `==` or `!=`")

    def membership(self, left: Node, left_type: Type, right: Node, right_type: Type) -> None:
        if right_type.kind is not Kind.LIST or right_type.item is None:
            self.refuse(right.at, f"`in` needs a list here, such as `['a', 'b']`: this is {right_type.kind}")
        elif left_type.kind is not right_type.item.kind:
            first = right.items[0] if isinstance(right, Values) else right
            hint = _date_hint(first) if left_type.kind is Kind.DATE else ""
            self.refuse(right.at, f"{left_type.kind} is never in a list of {_plural(right_type.item.kind)}{hint}")
        else:
            self.possible(left_type, right)
            self.possible(right_type.item, left)

    def ordering(self, left: Node, left_type: Type, operator: Operator, right: Node, right_type: Type) -> None:
        for node, found in ((left, left_type), (right, right_type)):
            if found.kind not in _ORDERED:
                self.refuse(node.at, f"`{operator}` compares numbers or dates: this is {found.kind}{_unordered(node)}")
                return
        if left_type.kind is not right_type.kind:
            self.unlike(left, left_type, right, right_type)

    def unlike(self, left: Node, left_type: Type, right: Node, right_type: Type) -> None:
        literal = left if isinstance(left, Constant) else right
        hint = _date_hint(literal) if Kind.DATE in (left_type.kind, right_type.kind) else ""
        self.refuse(right.at, f"{left_type.kind} cannot be compared with {right_type.kind}{hint}")

    def possible(self, holder: Type, literals: Node) -> None:
        """A literal that the other side can never equal is a misspelling that would switch the rule off."""
        items = literals.items if isinstance(literals, Values) else (literals,)
        of = f" of `lists.{literals.name}`" if isinstance(literals, Values) and literals.name else ""
        for item in items:
            if isinstance(item, Constant) and not holder.could_be(item.value):
                self.refuse(item.at, f"the other side is never `{item.value}`{of}{_why(holder, item.value)}")


def _why(holder: Type, value: object) -> str:
    if holder.is_domain and "@" in str(value):
        return ": a domain has no `@`"
    if holder.folds_case and str(value) != str(value).lower():
        return ": it is always in lower case"
    return suggest(str(value), holder.choices) or (
        f": it is one of {', '.join(holder.choices)}" if holder.choices else ""
    )


def _date_hint(literal: Node) -> str:
    if not isinstance(literal, Constant) or not isinstance(literal.value, str):
        return ""
    is_dated = re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", literal.value)
    return (
        ": an argument is compared with a date by `<=` and `>=`" if is_dated else ": a date is written `'2026-12-24'`"
    )


def _meant(node: FlowFact, sinks: frozenset[Sink]) -> str:
    """What is known of such an argument instead."""
    level = ("confidentiality", "audience")
    others = [name for name in level if node.name in level and sinks & ARGUMENT_FACTS[name].sinks]
    return f" — did you mean `{others[0]}(args.{node.argument})`?" if others else ""


def _unordered(node: Node) -> str:
    if isinstance(node, FlowFact) and type_of_flow(node).choices:
        return f": name what it may be, such as `in {list(type_of_flow(node).choices[:2])}`"
    is_near = isinstance(node, Constant) and re.match("[0-9]{4}", str(node.value))
    return ": a date is written `'2026-12-24'`" if is_near else ""


def _type_of_constant(value: object) -> Type:
    if value is None:
        return Type(Kind.NONE, optional=True)
    if isinstance(value, bool):
        return _BOOL
    if isinstance(value, date):
        return Type(Kind.DATE)
    if isinstance(value, Level):
        return Type(Kind.LEVEL)
    return Type(Kind.TEXT if isinstance(value, str) else Kind.NUMBER)


def _plural(kind: Kind) -> str:
    return {Kind.TEXT: "texts", Kind.NUMBER: "numbers", Kind.DATE: "dates"}.get(kind, str(kind))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
