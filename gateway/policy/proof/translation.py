"""Conditions as formulas: when a condition is true, and when it cannot be evaluated.

The meaning is that of `compiled.py`, exceptions included: a rule that cannot be evaluated denies, so a formula that
lost the exceptions would prove too much. What cannot be translated becomes an unknown that may come out in any way; a
proof that succeeds in spite of it holds, and an example that relies on it is only believed once the judge confirms it.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import z3

from gateway.policy.language.expression import (
    Call,
    Compare,
    Constant,
    Earlier,
    Fact,
    FactName,
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
from gateway.policy.language.flow_facts import type_of_flow
from gateway.policy.language.functions import FUNCTIONS
from gateway.policy.language.kinds import Kind
from gateway.policy.proof.callers import facts_beyond_themselves
from gateway.policy.proof.formulas import FALSE, TRUE, Formula, all_of, any_of, negated, truth_value
from gateway.policy.proof.symbols import Path, Symbols, stranger
from gateway.policy.proof.terms import (
    Characters,
    Flag,
    Items,
    Known,
    Number,
    Picked,
    Term,
    Text,
    Truth,
    as_number,
    equal,
    evaluated,
    related,
)
from gateway.policy.proof.texts import HAS_DOMAIN, Look, Neither, Outside, View


class Translation:
    """Translates conditions about one tool, for one caller.

    Args:
        symbols: The unknowns of the call.
        facts: Who calls; a fact that is left out is that of a stranger, about whom `symbols` knows more.
        vague: The facts whose value stands for others too: only what is asked about it alone is the same for all.
    """

    def __init__(
        self, symbols: Symbols, facts: Mapping[FactName, str | None], vague: frozenset[FactName] = frozenset()
    ) -> None:
        self._vague = vague
        self._symbols = symbols
        self._facts = facts
        self._memo: dict[Node, Truth] = {}
        self.outside: dict[Node, str] = {}
        """The parts of conditions that were not translated, with the reason."""
        self.unknowns: list[Formula] = []
        """The variables that stand for them."""

    def truth(self, node: Node) -> Truth:
        """The formulas of a condition, or of a part of one that is true or false."""
        if node not in self._memo:
            self._memo[node] = self._logic(node)
        return self._memo[node]

    def _logic(self, node: Node) -> Truth:
        match node:
            case Logic(word=word, operands=operands):
                return _joined(word, [self.truth(operand) for operand in operands])
            case Not(operand=operand):
                inner = self.truth(operand)
                return Truth(negated(inner.holds), inner.breaks)
        try:
            return self._atom(node)
        except Outside as error:
            self.outside[node] = str(error)
            unknown = Truth(z3.Bool(f"unknown {len(self.outside)}"), z3.Bool(f"unknown {len(self.outside)} breaks"))
            self.unknowns += [unknown.holds, unknown.breaks]
            return unknown

    def _atom(self, node: Node) -> Truth:
        if not self._vague.isdisjoint(facts_beyond_themselves(node)):
            raise Outside("it matters who exactly calls")
        match node:
            case Compare(operands=operands, operators=operators):
                return self._compare(operands, operators)
            case Call(function="starts_with" | "ends_with" | "glob" | "all_in" | "any_in"):
                return self._asked(node)
        term, breaks = self._term(node)
        match term:
            case Known(value=bool(value)):
                return Truth(truth_value(value), breaks)
            case Flag(holds=holds, absent=absent):
                return Truth(holds, any_of(breaks, absent))
        return Truth(FALSE, TRUE)  # neither true nor false: the judge refuses it

    def _compare(self, operands: Sequence[Node], operators: Sequence[Operator]) -> Truth:
        """A chain stops at the first comparison that is false: what comes after it is not evaluated."""
        terms = [self._term(operand) for operand in operands]
        holds, breaks, reached = TRUE, terms[0][1], TRUE
        for (left, right), operator in zip(pairwise(terms), operators, strict=True):
            found = related(self._symbols, operator, left[0], right[0])
            breaks = any_of(breaks, all_of(reached, any_of(right[1], found.breaks)))
            reached = holds = all_of(holds, found.holds)
        return Truth(holds, breaks)

    def _term(self, node: Node) -> tuple[Term, Formula]:  # noqa: C901 - one case for each kind of node
        """The value of a part, and when it has none."""
        match node:
            case Constant(value=value):
                return Known(value), FALSE
            case Values(items=items):
                return Known(frozenset(item.value for item in items)), FALSE
            case Fact(name=name):
                return (Known(self._facts[name]) if name in self._facts else Text(stranger(name), "itself")), FALSE
            case Field(path=path):
                return self._field(path)
            case Now(part=part):
                return Number(self._symbols.clock(part)), FALSE
            case Earlier(tools=tools, argument=None):
                return Number(self._symbols.calls(tools)), FALSE
            case Earlier(tools=tool, argument=str(argument)):
                return Number(self._symbols.total(tool, argument)), FALSE
            case FlowFact():
                return self._flow(node), FALSE
            case Sum(operands=operands):
                return self._sum(operands)
            case Call(function="lower" | "domain" | "len"):
                return self._seen(node)
        raise Outside("a comparison of conditions")

    def _field(self, path: Path) -> tuple[Term, Formula]:
        found, absent = self._symbols.type_at(path), self._symbols.absent(path)
        inside = self._symbols.absent(path[:-1]) if len(path) > 1 else FALSE
        match found.kind:
            case Kind.TEXT:
                return Text(path, "itself"), inside
            case Kind.LIST:
                return Items(path, "itself"), inside
            case Kind.NUMBER:
                return Number(self._symbols.number(path), absent), inside
            case Kind.DATE:
                return Number(self._symbols.day(path), absent), inside
            case Kind.BOOL:
                return Flag(self._symbols.flag(path), absent), inside
        raise Outside(f"`args.{'.'.join(path)}` is {found.kind}")

    def _flow(self, node: FlowFact) -> Term:
        value, found = self._symbols.flow(node), type_of_flow(node)
        if found.kind is Kind.BOOL:
            return Flag(value, FALSE)
        return Picked(value, found.choices) if found.choices else Number(value)

    def _sum(self, operands: Sequence[Node]) -> tuple[Term, Formula]:
        values, breaks = [], []
        for operand in operands:
            term, broken = self._term(operand)
            number = as_number(term)
            values.append(number.value)
            breaks += [broken, number.absent]
        return Number(z3.Sum(values)), any_of(*breaks)

    def _seen(self, node: Call) -> tuple[Term, Formula]:
        """`lower`, `domain` or `len` of something."""
        term, breaks = self._term(node.arguments[0])
        match node.function, term:
            case function, Known(value=value):
                return _computed(function, value, breaks)
            case "len", Text(path=path, view="itself"):
                return Characters(path), any_of(breaks, self._symbols.absent(path))
            case "len", Items(path=path):
                return Number(self._symbols.length(path)), any_of(breaks, self._symbols.absent(path))
            case "lower", Text(path=path, view=view):
                lowered: View = "lower" if view == "itself" else view
                return Text(path, lowered), any_of(breaks, self._symbols.absent(path))
            case "domain", Text(path=path, view="itself" | "lower"):
                has_domain = self._symbols.text(path, HAS_DOMAIN)
                return Text(path, "domain"), any_of(breaks, self._symbols.absent(path), negated(has_domain))
            case "domain", Items(path=path, view="itself"):
                lacks_domain = self._symbols.text(path, Neither(frozenset({HAS_DOMAIN})))
                return Items(path, "domain"), any_of(breaks, self._symbols.absent(path), lacks_domain)
        raise Outside(f"`{node.function}` of what another function gives")

    def _asked(self, node: Call) -> Truth:
        """A function that is true or false of its two arguments."""
        (left, left_breaks), (right, right_breaks) = map(self._term, node.arguments)
        breaks = any_of(left_breaks, right_breaks)
        match left, right:
            case Known(), Known():
                found = evaluated(FUNCTIONS[node.function].run, left.value, right.value)
                return Truth(found.holds, any_of(breaks, found.breaks))
            case Text(path=path, view=view), Known(value=str(part)):
                holds = self._symbols.text(path, Look(view, _pieces(node.function, part)))
                return Truth(holds, any_of(breaks, self._symbols.absent(path)))
            case Items(path=path, view=view), Known(value=frozenset(values)):
                holds = self._among(node.function, path, [equal(view, value) for value in values])
                return Truth(holds, any_of(breaks, self._symbols.absent(path)))
        raise Outside(f"`{node.function}` of two things that both depend on the call")

    def _among(self, function: str, path: Path, looks: Sequence[Look]) -> Formula:
        if function == "any_in":
            return any_of(*[self._symbols.text(path, look) for look in looks])
        return negated(self._symbols.text(path, Neither(frozenset(looks))))


def _joined(word: str, truths: Iterable[Truth]) -> Truth:
    """`and` and `or` evaluate from left to right and stop when the answer is known."""
    holds, breaks, reached = [], [], TRUE
    for truth in truths:
        breaks.append(all_of(reached, truth.breaks))
        holds.append(truth.holds)
        reached = all_of(reached, truth.holds if word == "and" else negated(truth.holds))
    return Truth(all_of(*holds) if word == "and" else any_of(*holds), any_of(*breaks))


def _pieces(function: str, part: str) -> tuple[str, ...]:
    if function == "glob":
        return tuple(part.split("*"))
    return (part, "") if function == "starts_with" else ("", part)


def _computed(function: str, value: object, breaks: Formula) -> tuple[Term, Formula]:
    try:
        outcome = FUNCTIONS[function].run(value)
    except Exception:  # noqa: BLE001 - as in the judge, whatever it is
        return Known(None), TRUE
    return Known(frozenset(outcome) if isinstance(outcome, list) else outcome), breaks
