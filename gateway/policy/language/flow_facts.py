"""What conditions ask about data flow: `origin(args.to)`, `run.saw_untrusted` and the like, each said once."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field as Bounds

from connectors.contract import Confidentiality, Sink
from gateway.policy.language.expression import FlowFact, Node, parts
from gateway.policy.language.flow import Flow, FlowNeeds, Integrity, Level, Origin, carries
from gateway.policy.language.kinds import Kind, Type


@dataclass(frozen=True, slots=True)
class ArgumentFact:
    """Something that can be asked about one argument.

    Args:
        part: Which part of a `Flow` says it.
        type: What the answer is.
        sinks: The kinds of sinks of which it is known.
        read: Turns what the `Flow` says into what conditions compare.
        without: The answer for an argument that carries nothing: the one that troubles nobody.
    """

    part: str
    type: Type
    sinks: frozenset[Sink]
    read: Callable[[Any], object]
    without: object


@dataclass(frozen=True, slots=True)
class RunFact:
    """Something that can be asked about the run, or about the call as a whole."""

    type: Type
    read: Callable[[Flow], object]


def _among(words: Iterable[StrEnum]) -> Type:
    return Type(Kind.TEXT, annotation=Literal[tuple(word.value for word in words)])


_WORD: Final = attrgetter("_value_")
_FLAG, _LEVEL = Type(Kind.BOOL), Type(Kind.LEVEL)
_COUNT = Type(Kind.NUMBER, annotation=Annotated[int, Bounds(ge=0)])

ARGUMENT_FACTS: Final[Mapping[str, ArgumentFact]] = {
    "origin": ArgumentFact("origins", _among(Origin), frozenset(Sink), _WORD, Origin.ORGANISATION.value),
    "confidentiality": ArgumentFact("confidentiality", _LEVEL, frozenset({Sink.CONTENT}), Level.of, Level.PUBLIC),
    "audience": ArgumentFact("audience", _LEVEL, frozenset({Sink.RECIPIENT, Sink.URL}), Level.of, Level.SECRET),
    "first_time": ArgumentFact("first_time", _FLAG, frozenset({Sink.RECIPIENT}), bool, without=False),
}
"""By the name of the function that asks."""

RUN_FACTS: Final[Mapping[str, RunFact]] = {
    "saw_untrusted": RunFact(_FLAG, lambda flow: flow.integrity is not Integrity.ORGANISATION),
    "saw_private": RunFact(_FLAG, lambda flow: flow.seen.rank >= Confidentiality.CUSTOMER.rank),
    "integrity": RunFact(_among(Integrity), lambda flow: flow.integrity.value),
    "confidentiality": RunFact(_LEVEL, lambda flow: Level.of(flow.seen)),
    "customers": RunFact(_COUNT, attrgetter("customers")),
    "has_grant": RunFact(_FLAG, attrgetter("has_grant")),
    "is_intended": RunFact(_FLAG, attrgetter("is_intended")),
    "denials": RunFact(_COUNT, attrgetter("denials")),
    "records": RunFact(_COUNT, attrgetter("records")),
    "recent_calls": RunFact(_COUNT, attrgetter("recent_calls")),
}
"""By the name behind `run.`."""


def type_of_flow(fact: FlowFact) -> Type:
    """The type of the answer."""
    return RUN_FACTS[fact.name].type if fact.argument is None else ARGUMENT_FACTS[fact.name].type


def is_level(node: Node) -> bool:
    """Whether a part of a condition is a level of confidentiality."""
    return isinstance(node, FlowFact) and type_of_flow(node).kind is Kind.LEVEL


Reader: TypeAlias = Callable[[Flow | None, Mapping[str, object]], object]


def reader(name: str, argument: str | None) -> Reader:
    """What finds the answer in a flow, given the call's arguments.

    It raises LookupError if the answer was not computed, as a whole or for an argument that carries a value.
    """
    if argument is None:
        return partial(_of_run, RUN_FACTS[name].read)
    fact = ARGUMENT_FACTS[name]
    return partial(_of_argument, attrgetter(fact.part), fact.read, fact.without, argument)


def _of_run(read: Callable[[Flow], object], flow: Flow | None, _: object) -> object:
    return read(_known(flow))


def _of_argument(
    part: Callable[[Flow], Mapping[str, object]],
    read: Callable[[Any], object],
    without: object,
    argument: str,
    flow: Flow | None,
    args: Mapping[str, object],
) -> object:
    stated = part(_known(flow))
    return read(stated[argument]) if carries(args.get(argument)) else without


def _known(flow: Flow | None) -> Flow:
    if flow is None:
        raise LookupError("where the values of this call come from could not be found out")
    return flow


def flow_facts(condition: Node | None) -> frozenset[FlowFact]:
    """All that a condition asks about data flow."""
    return frozenset(part for part in parts(condition) if isinstance(part, FlowFact)) if condition else frozenset()


def needs_of(facts: Iterable[FlowFact]) -> FlowNeeds:
    """What must be computed to answer."""
    needed = FlowNeeds()
    for fact in facts:
        part, name = ("run", fact.name) if fact.argument is None else (ARGUMENT_FACTS[fact.name].part, fact.argument)
        needed |= FlowNeeds(**{part: frozenset({name})})
    return needed
