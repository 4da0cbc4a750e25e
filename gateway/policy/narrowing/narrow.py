"""Tightens tools' input schemas to what the rules let one principal do, and says in words what a schema cannot.

What a rule's condition says about single arguments becomes regions of calls (`outcomes.py`, `regions.py`); the smallest
box around the calls that are not denied becomes keywords of the schema (`express.py`). Everything errs towards showing:
a call that the narrowed schema refuses is denied, as long as it is written as the tool's input model writes it (an
address in lower case, an argument that is None left out). Time, history and data flow are never looked at, so that a
narrowing stays right for as long as the policy does.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from typing import TypeAlias

from connectors.contract import Tool
from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy
from gateway.policy.language.compiled import Facts
from gateway.policy.narrowing.express import Form, Impossible, Schema, form_of, narrowed
from gateway.policy.narrowing.readings import Asks, IsSo, Part, Reading, Rereader, finished, looked_at, read_for_anyone
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
        shared: Whether it is kept, for all to whom the rules say the same.
    """

    schema: Schema
    words: tuple[str, ...] = ()
    exact: bool = False
    possible: bool = True
    shared: bool = False


@dataclass(frozen=True, slots=True)
class _Role:
    """What one role's rules say about each tool, by when that is known.

    Args:
        by_asks: The parts for all callers of whom the same is known; nothing must be known for the parts under `()`.
        late: The parts that are read again for each caller.
    """

    by_asks: dict[Asks, dict[str, Part]] = field(default_factory=dict)
    late: dict[str, Part] = field(default_factory=dict)

    def add(self, name: str, part: Part) -> None:
        """Put a part about a tool where it belongs."""
        (self.late if part.late else self.by_asks.setdefault(part.asks, {}))[name] = part


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
        self._roles: dict[str, _Role] = defaultdict(_Role)
        for (role, name), rules in policy.index.items():
            if name in self._forms:
                self._roles[role.removeprefix("role:")].add(name, read_for_anyone(rules, self._forms[name].type))
        self._finished: dict[tuple[str, Asks, tuple[bool | None, ...]], dict[str, Part]] = {}
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
        groups = self._policy.groups(principal)
        own = {name for roles in groups for role in roles if role in self._roles for name in self._roles[role].late}
        reader = Rereader(caller) if late else None
        spoken = [self._spoken(roles, looked_at(caller), reader) for roles in groups]
        found = {}
        for name, form in self._forms.items():
            parties = tuple([by_tool.get(name, ()) for by_tool in spoken])
            if name not in own:
                found[name] = self._kept.get((name, parties)) or self._shared(form, (name, parties))
            elif late:
                found[name] = _narrowing(form, parties)
        return found

    def _shared(self, form: Form, key: tuple[str, _Parties]) -> Narrowing:
        narrowing = _narrowing(form, key[1])
        if len(self._kept) < _MOST_KEPT:
            narrowing = self._kept[key] = replace(narrowing, shared=True)
        return narrowing

    def _spoken(self, roles: Iterable[str], is_so: IsSo, reader: Rereader | None) -> dict[str, tuple[Part, ...]]:
        """What roles say to a caller about each tool; without a reader, only what they say to others as well."""
        by_tool: dict[str, tuple[Part, ...]] = {}
        for name in sorted(roles):
            if (role := self._roles.get(name)) is None:
                continue
            said = [self._finish(name, asks, parts, is_so) if asks else parts for asks, parts in role.by_asks.items()]
            if reader:
                said.append({tool: reader.part(part) for tool, part in role.late.items()})
            for parts in said:
                for tool, part in parts.items():
                    by_tool[tool] = (*by_tool[tool], part) if tool in by_tool else (part,)
        return by_tool

    def _finish(self, role: str, asks: Asks, parts: Mapping[str, Part], is_so: IsSo) -> Mapping[str, Part]:
        key = role, asks, tuple([is_so(look, values) for look, values in asks])
        if key not in self._finished:
            self._finished[key] = {tool: finished(part, is_so) for tool, part in parts.items()}
        return self._finished[key]


def _narrowing(form: Form, parties: _Parties) -> Narrowing:
    granted = [reduce(join, [part.granted for part in spoken], NOTHING) for spoken in parties]
    region = EVERYTHING
    for spoken, to_party in zip(parties, granted, strict=True):
        region = reduce(meet, [part.left for part in spoken], meet(region, to_party))
    try:
        if not region:
            raise Impossible
        seen = hull(region)
        schema, shown = narrowed(form, seen) if seen else (form.schema, seen)
    except Impossible:
        return Narrowing(form.schema, ("No call of this tool is permitted to you.",), exact=False, possible=False)
    exact = surely_holds(region, shown)
    words = _sentences(parties, region, shown, exact=exact)
    only = [] if exact else [_only(*each, shown) for each in zip(parties, granted, strict=True)]
    return Narrowing(schema, _at_most([*dict.fromkeys(filter(None, only)), *words]), exact)


def _sentences(parties: _Parties, region: Region, shown: Seen, *, exact: bool) -> list[str]:
    """What will be asked for, and what is denied although the schema shows it."""
    told: dict[int, str] = {}
    for reading in (reading for spoken in parties for part in spoken for reading in part.readings):
        rule, applies = reading.rule, reading.outcome.true
        if rule.effect is Verdict.ASK and any(may_hold(applies, each.seen) for each in region):
            told[rule.position] = _told(reading, shown, "a person is asked for approval")
        elif rule.effect is Verdict.DENY and not exact and may_hold(applies, shown):
            told[rule.position] = _told(reading, shown, "it is denied")
    return [told[position] for position in sorted(told)]


def _at_most(sentences: Sequence[str]) -> tuple[str, ...]:
    more = len(sentences) - _MAX_SENTENCES
    return (*sentences[:_MAX_SENTENCES], *([f"{more} more rules apply."] if more > 0 else []))


def _told(reading: Reading, shown: Seen, what: str) -> str:
    when, rule = reading.when(shown), reading.rule
    begins = f"When {when}, {what}" if when else f"{what[0].upper()}{what[1:]}"
    return f"{begins}: {rule.note} (rule {rule.id})." if rule.note else f"{begins} (rule {rule.id})."


def _only(spoken: Sequence[Part], granted: Region, shown: Seen) -> str:
    """In which cases one party is permitted anything; empty if that is always so."""
    if surely_holds(granted, shown):
        return ""
    granting = [reading for part in spoken for reading in part.readings if reading.rule.effect is not Verdict.DENY]
    cases = {reading.rule.position: reading for reading in granting if reading.outcome.true}
    told = (f"{cases[place].when(shown)} (rule {cases[place].rule.id})" for place in sorted(cases))
    return f"Permitted only when {'; or when '.join(told)}."
