"""For which calls a condition is true, for which it is false, and for which it can be evaluated at all."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from gateway.policy.language.compiled import Facts, compiled
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
    parts,
)
from gateway.policy.language.kinds import Kind, Type
from gateway.policy.narrowing.looks import GIVEN, HOLDS, LEFT_OUT, LookName, Path, View, absent, look_at
from gateway.policy.narrowing.regions import EVERYTHING, NOTHING, UNSURE, Region, box, join, meet
from gateway.policy.narrowing.sets import Set, Spans, Words, span

CALLER: Final = ""
"""Begins the paths of looks at who calls: no argument has this name."""
_CALLER: Final = Type(
    Kind.RECORD,
    fields={
        "person": Type(Kind.TEXT, optional=True),
        "agent": Type(Kind.TEXT, optional=True),
        "tenant": Type(Kind.TEXT),
    },
)


class Outcome(NamedTuple):
    """Three regions, each a superset that says which of its boxes are sure.

    Args:
        true: The calls for which the condition is true.
        false: The calls for which it is false.
        sound: The calls for which it can be evaluated.
    """

    true: Region
    false: Region
    sound: Region


ALWAYS: Final = Outcome(EVERYTHING, NOTHING, EVERYTHING)
NEVER: Final = Outcome(NOTHING, EVERYTHING, EVERYTHING)
BROKEN: Final = Outcome(NOTHING, NOTHING, NOTHING)
_KNOWN: Final = {True: ALWAYS, False: NEVER, None: BROKEN}
_NOTHING_KNOWN: Final = Facts({}, None, None, "", datetime.min.replace(tzinfo=UTC), None)
_SWAPPED: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NEGATED: dict[Operator, Operator] = {"!=": "==", "not in": "in", "is not": "is"}


def needs_caller(node: Node) -> bool:
    """Whether who calls is compared with an argument or the like, which no single look can tell."""
    for part in parts(node):
        if isinstance(part, (Compare, Call, Sum)):
            inside = [each for each in parts(part) if isinstance(each, (Fact, Field, Now, Earlier, FlowFact))]
            if len(inside) > 1 and any(isinstance(each, Fact) for each in inside):
                return True
    return False


def for_anyone(node: Node) -> Node:
    """The condition with who calls made into something to look at."""
    return _replaced(node, lambda fact: Field((CALLER, fact.name), fact.at))


def for_caller(node: Node, caller: Facts) -> Node:
    """The condition with who calls put in."""
    return _replaced(node, lambda fact: Constant(getattr(caller, fact.name), fact.at))


def _replaced(node: Node, made: Callable[[Fact], Node]) -> Node:
    match node:
        case Fact():
            return made(node)
        case Not(operand=operand):
            return replace(node, operand=_replaced(operand, made))
        case Call(arguments=inside):
            return replace(node, arguments=tuple(_replaced(each, made) for each in inside))
        case Sum(operands=inside) | Compare(operands=inside) | Logic(operands=inside):
            return replace(node, operands=tuple(_replaced(each, made) for each in inside))
        case _:
            return node


def _is_open(node: Node) -> bool:
    """Whether the outcome depends on the call."""
    if isinstance(node, (Field, Constant, Values)):
        return isinstance(node, Field)
    return any(isinstance(part, (Field, Now, Earlier, FlowFact)) for part in parts(node))


def _settled(node: Node) -> bool | None:
    """The outcome of a condition that is not open; None when it cannot be evaluated."""
    try:
        return bool(compiled(node)(_NOTHING_KNOWN))
    except Exception:  # noqa: BLE001 - whatever goes wrong in a condition, it has no outcome
        return None


def outcome(node: Node, arguments: Type) -> Outcome:
    """Find for which calls a checked condition is true and false.

    Args:
        node: The condition, without facts about who calls: see `for_anyone` and `for_caller`.
        arguments: The type of the tool's input.
    """
    return _Reader(arguments).read(node)


def all_of(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of conditions joined by `and`, in this order; without any, it is always true."""
    return reduce(_and, outcomes) if outcomes else ALWAYS


def alike(node: Node, arguments: Type) -> Hashable:
    """What the outcome of a condition for a caller depends on besides the caller: where this is equal, so is that.

    Args:
        node: The condition, with facts about who calls.
        arguments: The type of the tool's input.
    """
    paths = {part.path[:end] for part in parts(node) if isinstance(part, Field) for end in range(1, len(part.path) + 1)}
    reader = _Reader(arguments)
    return repr(node), tuple((path, *_traits(reader.type_at(path))) for path in sorted(paths))


def _traits(found: Type) -> tuple[object, ...]:
    """All of a type that reading looks at."""
    return found.kind, found.optional, found.folds_case, found.item and _traits(found.item)


class _Reader:
    def __init__(self, arguments: Type) -> None:
        self.arguments = arguments

    def read(self, node: Node) -> Outcome:
        if not _is_open(node):
            return _KNOWN[_settled(node)]
        match node:
            case Logic(word=word, operands=operands):
                return reduce(_and if word == "and" else _or, [self.read(operand) for operand in operands])
            case Not(operand=operand):
                return _not(self.read(operand))
            case Compare(operands=operands, operators=operators):
                pairs = zip(pairwise(operands), operators, strict=True)
                return reduce(_and, (self.pair(left, operator, right) for (left, right), operator in pairs))
            case Field():
                return self.look(node, "value", HOLDS)
            case Call():
                return self.call(node)
            case FlowFact():
                return self.unknown(node)
            case _:
                return BROKEN

    def pair(self, left: Node, operator: Operator, right: Node) -> Outcome:
        if operator in _NEGATED:
            return _not(self.pair(left, _NEGATED[operator], right))
        if not (_is_open(left) or _is_open(right)):
            return _KNOWN[_settled(Compare((left, right), (operator,), left.at))]
        if isinstance(left, Constant) and operator == "in" and isinstance(right, (Field, Call)):
            return _not(self.items(right, Words(frozenset({left.value}), others=True)))
        if isinstance(left, (Constant, Values)):
            return self.pair(right, _SWAPPED.get(operator, operator), left)
        if isinstance(right, Values):
            return self.equal(left, [item.value for item in right.items])
        if not isinstance(right, Constant):
            return self.unknown(left, right, operator=operator)
        if right.value is None:
            return self.missing(left)
        if operator in _SWAPPED:
            return self.ordered(left, operator, right)
        return self.equal(left, [right.value])

    def unknown(self, *nodes: Node, operator: str = "") -> Outcome:
        """Something that no look can tell. An order needs every argument in it; equality works without."""
        inside = [part for node in nodes for part in parts(node)]
        fields = [part for part in inside if isinstance(part, Field) and len(part.path) == 1]
        if operator in _SWAPPED:
            given = {absent(field.path): GIVEN for field in fields if self.type_at(field.path).optional}
            works = all(isinstance(part, (Now, Constant, Sum)) or part in fields for part in inside)
            maybe = box(given, sure=False)
            return Outcome(maybe, maybe, box(given, sure=works))
        works = all(isinstance(part, (Now, Constant, Values)) or part in fields for part in inside)
        return Outcome(UNSURE, UNSURE, EVERYTHING if works and operator == "==" else UNSURE)

    def missing(self, node: Node) -> Outcome:
        if not isinstance(node, Field):
            return self.unknown(node)
        path = node.path
        true, false = box({absent(path): LEFT_OUT}), box({absent(path): GIVEN})
        return self.inside_given(path, Outcome(true, false, EVERYTHING) if self.type_at(path).optional else NEVER)

    def ordered(self, node: Node, operator: Operator, limit: Constant) -> Outcome:
        match node:
            case Field():
                return self.look(node, "value", span(operator, limit.value))
            case Call(function="len", arguments=(Field() as field,)):
                return self.look(field, "length", span(operator, limit.value))
        return self.unknown(node, limit, operator=operator)

    def equal(self, node: Node, values: Sequence[object]) -> Outcome:
        """Whether something is one of these values."""
        if isinstance(node, (Compare, Logic, Not)) or (isinstance(node, Call) and node.function in _TRUTHS):
            wanted = [value for value in (True, False) if value in values]
            found = self.read(node)
            return found if wanted == [True] else _not(found) if wanted == [False] else self.unknown(node)
        points = reduce(Spans.join, (span("==", value) for value in values))
        words = Words(frozenset(values))
        match node:
            case Field(path=path):
                kind = self.type_at(path).kind
                if kind in (Kind.NUMBER, Kind.DATE):
                    return self.look(node, "value", points, "false")
                if kind is Kind.BOOL and False in values:
                    words = Words(frozenset({True}) - words.items, others=True)
                return self.look(node, "value", words, "false")
            case Call(function="len", arguments=(Field() as field,)):
                return self.look(field, "length", points)
            case Call(function="domain", arguments=(Field() as field,)):
                return self.look(field, "domain", words)
            case Call(function="lower", arguments=(Field() as field,)):
                return self.look(field, "value" if self.type_at(field.path).folds_case else "lower", words)
        return self.unknown(node, operator="==")

    def call(self, node: Call) -> Outcome:
        first, *rest = node.arguments
        second = rest[0] if rest else None
        if node.function in _LIKE and isinstance(second, Constant) and isinstance(second.value, str):
            return self.like(first, _LIKE[node.function](second.value))
        if node.function in ("all_in", "any_in") and isinstance(second, Values):
            words = Words(frozenset(item.value for item in second.items))
            return self.items(first, words) if node.function == "all_in" else _not(self.items(first, words.opposite()))
        if node.function == "any_in" and isinstance(first, Values) and second is not None:
            return self.call(replace(node, arguments=(second, first)))
        return self.unknown(node)

    def like(self, node: Node, pieces: tuple[str, ...]) -> Outcome:
        match node:
            case Field():
                return self.look(node, "like", HOLDS, pieces=pieces)
            case Call(function="lower", arguments=(Field() as field,)):
                view: View = "itself" if self.type_at(field.path).folds_case else "lower"
                return self.look(field, "like", HOLDS, view=view, pieces=pieces)
            case Call(function="domain", arguments=(Field() as field,)):
                return self.look(field, "like", HOLDS, view="domain", pieces=pieces)
        return self.unknown(node)

    def items(self, node: Node, words: Words) -> Outcome:
        """Whether every item of a list is among the words."""
        match node:
            case Field():
                return self.look(node, "all", HOLDS, among=words)
            case Call(function="domain", arguments=(Field() as field,)):
                return self.look(field, "all", HOLDS, view="domain", among=words)
        return self.unknown(node)

    def look(
        self,
        field: Field,
        name: LookName,
        values: Set,
        missing: Literal["breaks", "false"] = "breaks",
        *,
        view: View = "itself",
        pieces: tuple[str, ...] = (),
        among: Words | None = None,
    ) -> Outcome:
        """Whether a look shows one of the values; `missing` is the outcome when the argument was left out."""
        path, found = field.path, self.type_at(field.path)
        look = look_at(path, name, view=view, pieces=pieces, among=among, optional=found.optional)
        given = {absent(path): GIVEN} if found.optional else {}
        opposite = {look: values.opposite()}
        holder = found if among is None else found.item
        # A text without a domain shows none of the named domains, and breaks the condition.
        may_break = "domain" in (name, view) and not (holder and holder.folds_case)
        made = Outcome(
            box({**given, look: values}, sure=not (may_break and among is not None and among.others)),
            box({**given, **opposite} if missing == "breaks" else opposite, sure=not may_break),
            box(given, sure=not may_break) if missing == "breaks" and (given or may_break) else EVERYTHING,
        )
        return self.inside_given(path, made)

    def inside_given(self, path: Path, made: Outcome) -> Outcome:
        """Reading inside a record that was left out breaks."""
        if len(path) == 1 or path[0] == CALLER:
            return made
        prefixes = [path[:end] for end in range(1, len(path))]
        given = box({absent(prefix): GIVEN for prefix in prefixes if self.type_at(prefix).optional})
        return Outcome(meet(made.true, given), meet(made.false, given), meet(made.sound, given))

    def type_at(self, path: Path) -> Type:
        if path[0] == CALLER:
            return _CALLER.fields[path[1]]
        return reduce(lambda inside, name: inside.fields[name], path, self.arguments)


_TRUTHS: Final = frozenset({"starts_with", "ends_with", "glob", "all_in", "any_in"})
_LIKE: Final[dict[str, Callable[[str], tuple[str, ...]]]] = {
    "starts_with": lambda text: (text, ""),
    "ends_with": lambda text: ("", text),
    "glob": lambda text: tuple(text.split("*")),
}


def _not(found: Outcome) -> Outcome:
    return Outcome(found.false, found.true, found.sound)


def _and(left: Outcome, right: Outcome) -> Outcome:
    """The right side is looked at only where the left one is true."""
    return Outcome(
        meet(left.true, right.true),
        join(left.false, meet(left.true, right.false)),
        meet(left.sound, join(left.false, right.sound)),
    )


def _or(left: Outcome, right: Outcome) -> Outcome:
    return _not(_and(_not(left), _not(right)))
