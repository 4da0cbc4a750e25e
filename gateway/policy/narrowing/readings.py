"""Rules as regions of calls: what they grant, what they leave possible, and each condition in words."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import NamedTuple, TypeAlias

from gateway.policy.decision import Verdict
from gateway.policy.judge import Rule
from gateway.policy.language.compiled import Facts
from gateway.policy.language.english import said
from gateway.policy.language.expression import Fact, Logic, Node, parts
from gateway.policy.language.kinds import Type
from gateway.policy.narrowing.looks import Look, fits
from gateway.policy.narrowing.outcomes import (
    ALWAYS,
    CALLER,
    Outcome,
    alike,
    all_of,
    for_anyone,
    for_caller,
    needs_caller,
    outcome,
)
from gateway.policy.narrowing.regions import EVERYTHING, NOTHING, Region, Seen, join, known, meet, surely_holds
from gateway.policy.narrowing.sets import Set

IsSo: TypeAlias = Callable[[Look, Set], bool | None]
"""Whether what is seen of the caller lies within a set; None for a look at something else."""

Asks: TypeAlias = tuple[tuple[Look, Set], ...]
"""What must be known of the caller: whether what is seen of it lies within these sets."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One rule about one tool.

    Args:
        rule: The rule.
        arguments: The type of the tool's input.
        words: The words of each part of its condition that must hold.
        outcomes: The calls for which each of these parts holds.
        outcome: The calls that the rule speaks of: those for which all parts hold.
        is_so: What is known of the caller, if the rule was read for one.
        again: The parts that must be read again for each caller, None for the others; empty when there are none.
    """

    rule: Rule
    arguments: Type
    words: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    outcome: Outcome = ALWAYS
    is_so: IsSo | None = None
    again: tuple["Again | None", ...] = ()

    def when(self, shown: Seen) -> str:
        """The condition in words, without what all calls show anyway."""
        return " and ".join(words for region, words in self._parts if not surely_holds(region, shown))

    @cached_property
    def _parts(self) -> tuple[tuple[Region, str], ...]:
        """The parts of the condition that must all hold: the calls for which each does, and its words."""
        needed = _needed([each.true for each in self.outcomes], self.words)
        return tuple((known(region, self.is_so), words) for region, words in needed) if self.is_so else tuple(needed)


class Again(NamedTuple):
    """A part of a condition that must be read again for each caller.

    Args:
        node: The part, with facts about who calls.
        alike: Equal for parts that have the same outcome for the same caller.
    """

    node: Node
    alike: Hashable


@dataclass(frozen=True, eq=False)
class Part:
    """What one role's rules say about one tool.

    Args:
        readings: The rules.
        granted: The calls that they allow or ask for.
        left: The calls that they do not deny.
        asks: What must be known of the caller to go on: a part that asks is not finished.
        late: Whether some rule must be read again for each caller.
    """

    readings: tuple[Reading, ...]
    granted: Region
    left: Region
    asks: Asks = ()
    late: bool = False


def read_for_anyone(rules: Sequence[Rule], arguments: Type) -> Part:
    """What rules say about a tool, as far as it does not depend on who calls.

    Args:
        rules: Rules about the tool.
        arguments: The type of the tool's input.
    """
    late = any(rule.condition is not None and needs_caller(rule.condition) for rule in rules)
    return _asked(_part([_read_for_anyone(rule, arguments, late=late) for rule in rules], late=late))


class Rereader:
    """Reads what is late again for one caller, conditions that say the same only once.

    Args:
        caller: Who calls.
    """

    def __init__(self, caller: Facts) -> None:
        self._caller = caller
        self._found: dict[Hashable, Outcome] = {}

    def part(self, late: Part) -> Part:
        """What the rules of a part say to the caller."""
        return _part([self._reading(each) if each.again else each for each in late.readings])

    def _reading(self, for_all: Reading) -> Reading:
        both = zip(for_all.again, for_all.outcomes, strict=True)
        outcomes = tuple([self._outcome(again, for_all.arguments) if again else found for again, found in both])
        return Reading(for_all.rule, for_all.arguments, for_all.words, outcomes, all_of(outcomes))

    def _outcome(self, again: Again, arguments: Type) -> Outcome:
        if (found := self._found.get(again.alike)) is None:
            found = self._found[again.alike] = outcome(for_caller(again.node, self._caller), arguments)
        return found


def finished(part: Part, is_so: IsSo) -> Part:
    """A part for callers of whom this is known."""
    readings = tuple(
        replace(each, outcome=each.outcome._replace(true=known(each.outcome.true, is_so)), is_so=is_so)
        for each in part.readings
    )
    return Part(readings, known(part.granted, is_so), known(part.left, is_so))


def looked_at(caller: Facts) -> IsSo:
    """What is seen of a caller."""

    def is_so(look: Look, values: Set) -> bool | None:
        if look.path[0] != CALLER:
            return None
        value = getattr(caller, look.path[1])
        return fits(look, values, value) or (value is None and look.name != "absent")

    return is_so


def _read_for_anyone(rule: Rule, arguments: Type, *, late: bool) -> Reading:
    must_hold = _must_hold(rule.condition) if rule.condition else ()
    outcomes = tuple(outcome(for_anyone(each), arguments) for each in must_hold)
    again = tuple(Again(each, alike(each, arguments)) if late and _has_facts(each) else None for each in must_hold)
    words = tuple(_words(each, among=len(must_hold)) for each in must_hold)
    return Reading(rule, arguments, words, outcomes, all_of(outcomes), again=again if any(again) else ())


def _has_facts(node: Node) -> bool:
    return any(isinstance(part, Fact) for part in parts(node))


def _part(readings: Sequence[Reading], *, late: bool = False) -> Part:
    granting = [each.outcome for each in readings if each.rule.effect is not Verdict.DENY]
    denying = [each.outcome for each in readings if each.rule.effect is Verdict.DENY]
    granted = reduce(join, [each.true for each in granting], NOTHING)
    left = reduce(meet, [*(each.false for each in denying), *(each.sound for each in granting)], EVERYTHING)
    return Part(tuple(readings), granted, left, late=late)


def _asked(part: Part) -> Part:
    """The part with what must be known of the caller."""
    regions = (part.granted, part.left, *(each.outcome.true for each in part.readings))
    looks = (each for region in regions for box in region for each in box.seen.items())
    return replace(part, asks=tuple(dict.fromkeys(each for each in looks if each[0].path[0] == CALLER)))


def _must_hold(condition: Node) -> tuple[Node, ...]:
    """The parts of a condition that must all hold."""
    return condition.operands if isinstance(condition, Logic) and condition.word == "and" else (condition,)


def _words(part: Node, *, among: int) -> str:
    return f"({said(part)})" if among > 1 and isinstance(part, Logic) else said(part)


def _needed(regions: Sequence[Region], words: Sequence[str]) -> Iterator[tuple[Region, str]]:
    """The parts of a condition that no other part says as well: the calls for which each holds, and its words."""
    needed = dict(enumerate(regions))
    for place, region in enumerate(regions):
        others = (other for each, other in needed.items() if each != place)
        if any(all(surely_holds(region, each.seen) for each in other) for other in others):
            del needed[place]
    yield from ((region, words[place]) for place, region in needed.items())
