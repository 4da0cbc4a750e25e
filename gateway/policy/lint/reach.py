"""Finds out without a call whether a condition can hold at all, and whether one condition holds wherever another does.

A condition is split into its cases: it holds when every atom of some case does. A case is impossible when the atoms
about one term contradict each other or what the tool's input admits. What this cannot decide counts as possible.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Final, TypeAlias

from gateway.policy.language.check import type_of
from gateway.policy.language.compiled import RELATIONS
from gateway.policy.language.expression import (
    MIRRORED,
    Call,
    Compare,
    Constant,
    Earlier,
    Field,
    Logic,
    Node,
    Not,
    Operator,
    Scalar,
    Values,
    parts,
)
from gateway.policy.language.kinds import Type
from gateway.policy.lint.extent import Extent, extent_of

MAX_CASES = 256

_OPPOSITE: Final[Mapping[Operator, Operator]] = {
    "in": "not in",
    "not in": "in",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
}
_MEMBERSHIP: Final[Mapping[Operator, Operator]] = {"==": "in", "is": "in", "!=": "not in", "is not": "not in"}
_NEGATIVE: Final[Mapping[Operator, Operator]] = {"!=": "==", "is not": "is", "not in": "in", ">=": "<"}


@dataclass(frozen=True, slots=True)
class _Atom:
    """A term compared with literals. A term that is a question itself, such as `starts_with(…)`, is in [True]."""

    term: Node
    relation: Operator
    values: tuple[Scalar, ...]

    def holds(self, value: Scalar) -> bool:
        """Whether it holds of a value; a comparison that makes no sense does not."""
        if self.relation in ("in", "not in"):
            return (value in self.values) == (self.relation == "in")
        try:
            return bool(RELATIONS[self.relation](value, self.values[0]))
        except TypeError:
            return False


_Case: TypeAlias = tuple[_Atom, ...]


class _TooMany(Exception):
    """The condition has more cases than are looked at."""


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases in which a condition holds and those in which it does not; None when there are too many."""

    true: tuple[_Case, ...] | None
    false: tuple[_Case, ...] | None


def cases_of(condition: Node | None) -> Cases:
    """Split a checked condition; None always holds."""
    node = condition or Constant(True, 0)
    return Cases(_counted(node, wanted=True), _counted(node, wanted=False))


def never(condition: Cases, arguments: Type, tools: Mapping[str, Type]) -> bool:
    """Whether a condition can be shown to hold of no call of a tool.

    Args:
        condition: The cases of the condition.
        arguments: The type of the tool's input.
        tools: The type of each tool's input by the tool's name.
    """
    return _impossible(condition.true, arguments, tools)


def always(condition: Cases, node: Node, arguments: Type, tools: Mapping[str, Type]) -> bool:
    """Whether a condition can be shown to hold of every call of a tool; one that might fail to evaluate does not.

    That the data flow into a call could not be found out is left aside: every condition on it might fail for that.
    """
    return not _may_fail(node, arguments) and _impossible(condition.false, arguments, tools)


def implies(first: Cases, second: Cases, arguments: Type, tools: Mapping[str, Type]) -> bool:
    """Whether the second condition can be shown to hold, or to fail to evaluate, wherever the first holds."""
    if first.true is None or second.false is None or len(first.true) * len(second.false) > MAX_CASES:
        return False
    return _impossible(tuple(one + other for one, other in product(first.true, second.false)), arguments, tools)


def _counted(node: Node, *, wanted: bool) -> tuple[_Case, ...] | None:
    try:
        return tuple(_cases(node, wanted=wanted))
    except _TooMany:
        return None


def _cases(node: Node, *, wanted: bool) -> list[_Case]:
    match node:
        case Constant(value=value):
            return [()] if value is wanted else []
        case Not(operand=operand):
            return _cases(operand, wanted=not wanted)
        case Logic(word=word, operands=operands):
            return _joined((_cases(operand, wanted=wanted) for operand in operands), every=(word == "and") is wanted)
        case Compare(operands=operands, operators=operators):
            pairs = zip(pairwise(operands), operators, strict=True)
            atoms = [_atom(left, symbol, right, wanted=wanted) for (left, right), symbol in pairs]
            return [tuple(atoms)] if wanted else [(atom,) for atom in atoms]
        case _:
            return [(_Atom(node, "in", (wanted,)),)]


def _joined(found: Iterable[list[_Case]], *, every: bool) -> list[_Case]:
    """The cases in which every one holds, or at least one."""
    joined: list[_Case] = [()] if every else []
    for more in found:
        if len(joined) * len(more) > MAX_CASES or len(joined) + len(more) > MAX_CASES:
            raise _TooMany
        joined = [one + other for one in joined for other in more] if every else [*joined, *more]
    return joined


def _atom(left: Node, symbol: Operator, right: Node, *, wanted: bool) -> _Atom:
    if isinstance(left, Constant) and not isinstance(right, (Constant, Values)) and symbol not in ("in", "not in"):
        left, symbol, right = right, MIRRORED.get(symbol, symbol), left
    if isinstance(right, (Constant, Values)):
        relation = _MEMBERSHIP.get(symbol, symbol)
        literals = right.items if isinstance(right, Values) else (right,)
        return _Atom(left, relation if wanted else _OPPOSITE[relation], tuple(item.value for item in literals))
    # Two terms: a question that is asked in one form only, so that its opposite is recognised.
    if symbol in (">", "<="):
        left, symbol, right = right, MIRRORED[symbol], left
    question = Compare((left, right), (_NEGATIVE.get(symbol, symbol),), left.at)
    return _Atom(question, "in", (wanted is not (symbol in _NEGATIVE),))


def _impossible(cases: tuple[_Case, ...] | None, arguments: Type, tools: Mapping[str, Type]) -> bool:
    return cases is not None and all(_contradicts_itself(case, arguments, tools) for case in cases)


def _contradicts_itself(case: _Case, arguments: Type, tools: Mapping[str, Type]) -> bool:
    by_term: dict[Node, list[_Atom]] = defaultdict(list)
    for atom in case:
        by_term[atom.term].append(atom)
    return _lists_clash(case) or any(
        _nothing_fits(atoms, extent_of(term, arguments, tools)) for term, atoms in by_term.items()
    )


def _nothing_fits(atoms: Sequence[_Atom], extent: Extent) -> bool:
    """Whether the term has no value of which all atoms hold."""
    listed = next((atom.values for atom in atoms if atom.relation == "in"), extent.candidates())
    if listed is not None:
        return not any(extent.admits(value) and all(atom.holds(value) for atom in atoms) for value in listed)
    for atom in atoms:
        if atom.relation in MIRRORED:
            extent = extent.narrowed(atom.relation, atom.values[0])
    return extent.is_empty()


def _lists_clash(case: _Case) -> bool:
    """Whether items are, and are not, all (or partly) in a list: what is in a list is in every longer one as well."""
    asked = [(atom.term, atom.values == (True,)) for atom in case if isinstance(atom.term, Call)]
    lists = [
        (term.function, term.arguments[0], term.arguments[1], holds)
        for term, holds in asked
        if len(term.arguments) == 2
    ]
    return any(
        function == other and function in ("all_in", "any_in") and items == same and _within(some, more)
        for function, items, some, holds in lists
        if holds
        for other, same, more, also in lists
        if not also
    )


def _within(some: Node, more: Node) -> bool:
    return isinstance(some, Values) and isinstance(more, Values) and set(some.items) <= set(more.items)


def _may_fail(node: Node, arguments: Type) -> bool:
    """Whether some value that the condition needs can be missing, or not be judged."""
    for part in parts(node):
        match part:
            case Earlier() | Call(function="domain"):
                return True
            case Field(path=path):
                steps = (Field(path[: count + 1], part.at) for count in range(len(path)))
                if any(type_of(step, arguments).optional for step in steps):
                    return True
            case Call(arguments=given):
                if any(type_of(each, arguments).optional for each in given):
                    return True
    return False
