"""Tightens tools' input schemas to what the rules let one principal do, and says in words what a schema cannot.

What a rule's condition says about single arguments becomes regions of calls (`outcomes.py`, `regions.py`); the smallest
box around the calls that are not denied becomes keywords of the schema (`express.py`). Everything errs towards showing:
a call that the narrowed schema refuses is denied, as long as it is written as the tool's input model writes it (an
address in lower case, an argument that is None left out). Time and history are never looked at, so that a narrowing
stays right for as long as the policy does.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import TypeAlias

from connectors.contract import Tool
from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy
from gateway.policy.language.compiled import Facts
from gateway.policy.narrowing.express import Form, Impossible, Schema, form_of, narrowed
from gateway.policy.narrowing.readings import IsSo, Part, Reading, finished, looked_at, read_again, read_for_anyone
from gateway.policy.narrowing.regions import EVERYTHING, NOTHING, Region, Seen, hull, join, may_hold, meet, surely_holds
from gateway.principal import Principal

_MAX_SENTENCES = 12
_MOST_KEPT = 50_000
_NO_TIME = datetime.min.replace(tzinfo=UTC)

_Parties: TypeAlias = tuple[tuple[Part, ...], ...]
"""For each party the parts of all its roles."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Narrowing:
    """What a principal may do with a tool.

    Args:
        schema: The tool's input schema (JSON Schema 2020-12), tightened; the plain one itself if nothing is.
        words: Sentences for what the schema does not say: what is asked for, and what is denied all the same.
        exact: Whether every call that the schema accepts is allowed or asked for.
        possible: Whether there is any call that is not denied; if not, the schema is the plain one.
    """

    schema: Schema
    words: tuple[str, ...] = ()
    exact: bool = False
    possible: bool = True


def narrow(policy: Policy, principal: Principal, tool: Tool) -> Narrowing:
    """Tighten one tool's schema for one principal. For many, keep a `Narrower`."""
    return Narrower(policy, (tool,)).narrow(principal)[tool.name]


class Narrower:
    """Narrows tools under one policy; what does not depend on who asks is worked out once.

    Args:
        policy: The policy.
        tools: The tools to narrow, in the order in which they are listed.
    """

    def __init__(self, policy: Policy, tools: Iterable[Tool]) -> None:
        self._policy = policy
        self._forms = {tool.name: form_of(tool.input) for tool in tools}
        self._parts: dict[str, dict[str, Part]] = defaultdict(dict)
        for (role, name), rules in policy.index.items():
            if name in self._forms:
                self._parts[role][name] = read_for_anyone(rules, self._forms[name].type)
        self._finished: dict[tuple[Part, tuple[bool | None, ...]], Part] = {}
        self._kept: dict[tuple[str, _Parties], Narrowing] = {}

    def prepare(self, most: int) -> None:
        """Work out what the people and agents of `roles.csv` see, alone and together.

        Args:
            most: For how many kinds of principals at most; those with the same roles are of one kind.
        """
        kinds = {(tenant, roles, party[:6]): (tenant, party) for (tenant, party), roles in self._policy.roles.items()}
        people = [(tenant, party[7:]) for tenant, party in kinds.values() if party.startswith("person:")]
        agents = [(tenant, party[6:]) for tenant, party in kinds.values() if party.startswith("agent:")]
        alone = [Principal(tenant, person=name) for tenant, name in people]
        alone += [Principal(tenant, agent=name) for tenant, name in agents]
        both = [Principal(at, person, agent) for at, person in people for where, agent in agents if at == where]
        for principal in [*alone, *both][:most]:
            self._narrow(principal, late=False)

    def narrow(self, principal: Principal) -> dict[str, Narrowing]:
        """The narrowing of each tool for a principal."""
        return self._narrow(principal, late=True)

    def kept(self) -> Iterator[tuple[str, Narrowing]]:
        """Each narrowing that several principals share, with its tool's name."""
        return ((name, narrowing) for (name, _), narrowing in self._kept.items())

    def _narrow(self, principal: Principal, *, late: bool) -> dict[str, Narrowing]:
        """Narrow for a principal; unless `late`, leave out what must be read again for each caller."""
        caller = Facts({}, principal.person, principal.agent, principal.tenant, _NO_TIME)
        own: set[str] = set()
        spoken = [self._spoken(group, caller, own, late=late) for group in self._policy.groups(principal)]
        found = {}
        for name, form in self._forms.items():
            if name in own and not late:
                continue
            key = name, tuple([by_tool.get(name, ()) for by_tool in spoken])
            if (narrowing := self._kept.get(key)) is None:
                narrowing = _narrowing(form, key[1])
                if name not in own and len(self._kept) < _MOST_KEPT:
                    self._kept[key] = narrowing
            found[name] = narrowing
        return found

    def _spoken(self, roles: Iterable[str], caller: Facts, own: set[str], *, late: bool) -> dict[str, tuple[Part, ...]]:
        """What roles say to a caller about each tool; `own` gets the tools about which they say it to nobody else."""
        is_so = looked_at(caller)
        by_tool: dict[str, tuple[Part, ...]] = {}
        for role in sorted(roles):
            for name, for_all in self._parts.get(f"role:{role}", {}).items():
                part = for_all
                if part.late:
                    own.add(name)
                    part = read_again(part, caller) if late else part
                elif part.asks:
                    part = self._finish(part, is_so)
                by_tool[name] = (*by_tool[name], part) if name in by_tool else (part,)
        return by_tool

    def _finish(self, part: Part, is_so: IsSo) -> Part:
        key = part, tuple([is_so(look, values) for look, values in part.asks])
        if key not in self._finished:
            self._finished[key] = finished(part, is_so)
        return self._finished[key]


def _narrowing(form: Form, parties: _Parties) -> Narrowing:
    region = EVERYTHING
    for spoken in parties:
        granted = reduce(join, [part.granted for part in spoken], NOTHING)
        region = reduce(meet, [part.left for part in spoken], meet(region, granted))
    try:
        if not region:
            raise Impossible
        seen = hull(region)
        schema, shown = narrowed(form, seen) if seen else (form.schema, seen)
    except Impossible:
        return Narrowing(form.schema, ("No call of this tool is permitted to you.",), exact=False, possible=False)
    exact = surely_holds(region, shown)
    return Narrowing(schema, _sentences(parties, region, shown, exact=exact), exact)


def _sentences(parties: _Parties, region: Region, shown: Seen, *, exact: bool) -> tuple[str, ...]:
    """What will be asked for, and what is denied although the schema shows it."""
    told: dict[int, str] = {}
    for reading in (reading for spoken in parties for part in spoken for reading in part.readings):
        rule, applies = reading.rule, reading.outcome.true
        if rule.effect is Verdict.ASK and any(may_hold(applies, each.seen) for each in region):
            told[rule.position] = _told(reading, shown, "a person is asked for approval")
        elif rule.effect is Verdict.DENY and not exact and may_hold(applies, shown):
            told[rule.position] = _told(reading, shown, "it is denied")
    only = [] if exact else [_only(spoken, shown) for spoken in parties]
    sentences = [*dict.fromkeys(filter(None, only)), *(told[position] for position in sorted(told))]
    more = len(sentences) - _MAX_SENTENCES
    return (*sentences[:_MAX_SENTENCES], *([f"{more} more rules apply."] if more > 0 else []))


def _told(reading: Reading, shown: Seen, what: str) -> str:
    when, rule = reading.when(shown), reading.rule
    begins = f"When {when}, {what}" if when else f"{what[0].upper()}{what[1:]}"
    return f"{begins}: {rule.note} (rule {rule.id})." if rule.note else f"{begins} (rule {rule.id})."


def _only(spoken: Sequence[Part], shown: Seen) -> str:
    """In which cases one party is permitted anything; empty if that is always so."""
    if surely_holds(reduce(join, [part.granted for part in spoken]), shown):
        return ""
    granting = [reading for part in spoken for reading in part.readings if reading.rule.effect is not Verdict.DENY]
    cases = {reading.rule.position: reading for reading in granting if reading.outcome.true}
    told = (f"{cases[place].when(shown)} (rule {cases[place].rule.id})" for place in sorted(cases))
    return f"Permitted only when {'; or when '.join(told)}."
