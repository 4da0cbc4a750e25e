"""Rules as regions of calls: what they grant, what they leave possible, and each condition in words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import TypeAlias

from gateway.policy.decision import Verdict
from gateway.policy.judge import Rule
from gateway.policy.language.compiled import Facts
from gateway.policy.language.english import said
from gateway.policy.language.expression import Fact, Logic, Node, parts
from gateway.policy.language.kinds import Type
from gateway.policy.narrowing.looks import Look, fits
from gateway.policy.narrowing.outcomes import ALWAYS, CALLER, Outcome, for_anyone, for_caller, needs_caller, outcome
from gateway.policy.narrowing.regions import EVERYTHING, NOTHING, Region, Seen, join, known, meet, surely_holds
from gateway.policy.narrowing.sets import Set

IsSo: TypeAlias = Callable[[Look, Set], bool | None]
"""Whether what is seen of the caller lies within a set; None for a look at something else."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One rule about one tool.

    Args:
        rule: The rule.
        arguments: The type of the tool's input.
        node: Its condition with who calls replaced (`for_anyone`, `for_caller`); None when it always applies.
        words: The words of each part of its condition that must hold.
        outcome: The calls that it speaks of.
        is_so: What is known of the caller, if the rule was read for one.
    """

    rule: Rule
    arguments: Type
    node: Node | None = None
    words: tuple[str, ...] = ()
    outcome: Outcome = ALWAYS
    is_so: IsSo | None = None

    def when(self, shown: Seen) -> str:
        """The condition in words, without what all calls show anyway."""
        return " and ".join(words for region, words in self._parts if not surely_holds(region, shown))

    @cached_property
    def _parts(self) -> tuple[tuple[Region, str], ...]:
        """The parts of the condition that must all hold: the calls for which each does, and its words."""
        if not (isinstance(self.node, Logic) and self.node.word == "and"):
            return tuple((self.outcome.true, words) for words in self.words)
        read = _needed(self.node, self.words, self.arguments)
        return tuple((known(region, self.is_so), words) for region, words in read) if self.is_so else tuple(read)


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
    asks: tuple[tuple[Look, Set], ...] = ()
    late: bool = False


def read_for_anyone(rules: Sequence[Rule], arguments: Type) -> Part:
    """What rules say about a tool, as far as it does not depend on who calls.

    Args:
        rules: Rules about the tool.
        arguments: The type of the tool's input.
    """
    late = any(rule.condition is not None and needs_caller(rule.condition) for rule in rules)
    readings = [
        Reading(rule, arguments, rule.condition, _words(rule.condition)) if rule.condition else Reading(rule, arguments)
        for rule in rules
    ]
    return _asked(_part([_read(each, for_anyone) for each in readings], late=late))


def read_again(part: Part, caller: Facts) -> Part:
    """What the rules of a part that is late say to one caller."""

    def replaced(node: Node) -> Node:
        return for_caller(node, caller)

    return _part([each if each.node is each.rule.condition else _read(each, replaced) for each in part.readings])


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


def _read(reading: Reading, replaced: Callable[[Node], Node]) -> Reading:
    condition = reading.rule.condition
    if condition is None:
        return reading
    node = replaced(condition) if any(isinstance(part, Fact) for part in parts(condition)) else condition
    return replace(reading, node=node, outcome=outcome(node, reading.arguments))


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


def _words(condition: Node) -> tuple[str, ...]:
    """The words of each part of a condition that must hold."""
    if isinstance(condition, Logic) and condition.word == "and":
        return tuple(f"({said(part)})" if isinstance(part, Logic) else said(part) for part in condition.operands)
    return (said(condition),)


def _needed(node: Logic, words: Sequence[str], arguments: Type) -> Iterator[tuple[Region, str]]:
    """The parts of a condition that no other part says as well: the calls for which each holds, and its words."""
    needed = {place: outcome(part, arguments).true for place, part in enumerate(node.operands)}
    for place, region in list(needed.items()):
        others = (other for each, other in needed.items() if each != place)
        if any(all(surely_holds(region, each.seen) for each in other) for other in others):
            del needed[place]
    yield from ((region, words[place]) for place, region in needed.items())
