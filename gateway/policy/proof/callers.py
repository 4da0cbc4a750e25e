"""Who can call: the kinds of callers that a policy can tell apart, listed or not.

A kind is all callers of whom every rule says the same: same roles, same answers to whatever conditions ask about the
person, the agent and the tenant. What holds for one caller of a kind holds for all of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias

from gateway.policy.files.roles import ANY_TENANT
from gateway.policy.judge import Policy
from gateway.policy.language.compiled import Facts, compiled
from gateway.policy.language.expression import (
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
    Values,
    parts,
)
from gateway.policy.proof.symbols import STRANGER
from gateway.principal import Principal

Roles: TypeAlias = frozenset[str]
_ANY_TIME = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Party:
    """A person or an agent.

    Args:
        name: The id; None stands for everybody who is not listed.
        roles: The roles under each policy, without the prefix `role:`.
        others: The ids that an unlisted one does not have, if it matters.
        look: What conditions see of it; the same for all that they cannot tell apart.
        alike: The ids of all listed ones of this kind, if some condition compares the id with what is not known before
            the call: then they are alike only as long as nothing depends on that comparison.
    """

    name: str | None
    roles: tuple[Roles, ...]
    others: frozenset[str]
    look: object
    alike: tuple[str, ...] = ()

    @property
    def kind(self) -> object:
        """Equal for parties that no rule tells apart."""
        return self.roles, self.look

    def each(self) -> Iterator["Party"]:
        """Every party that it stands for, by itself."""
        if not self.alike:
            yield self
        for name in self.alike:
            yield Party(name, self.roles, self.others, ("is", name))


@dataclass(frozen=True)
class Caller:
    """One kind of caller, represented by one that is listed where there is one."""

    tenant: Party
    person: Party | None
    agent: Party | None

    @property
    def vague(self) -> frozenset[FactName]:
        """The facts whose value stands for that of others."""
        return frozenset(fact for fact, party in self._named if party and party.alike)

    @property
    def parties(self) -> tuple[Party, ...]:
        """Who must each be allowed."""
        return tuple(party for party in (self.person, self.agent) if party)

    @property
    def look(self) -> object:
        """What conditions see of the caller; roles are no part of it."""
        return tuple(party and party.look for party in (self.tenant, self.person, self.agent))

    @property
    def facts(self) -> dict[FactName, str | None]:
        """The facts with one value; those of strangers are left out."""
        absent: dict[FactName, str | None] = {fact: None for fact, party in self._named if party is None}
        return absent | {fact: party.name for fact, party in self._named if party and party.name is not None}

    @property
    def unlisted(self) -> dict[FactName, frozenset[str]]:
        """For each fact of a stranger the ids that it does not have."""
        return {fact: party.others for fact, party in self._named if party and party.name is None}

    @property
    def _named(self) -> tuple[tuple[FactName, Party | None], ...]:
        return ("tenant", self.tenant), ("person", self.person), ("agent", self.agent)

    def principal(self, ids: Mapping[FactName, str]) -> Principal:
        """Somebody of this kind; `ids` are those of the strangers in it."""
        found = {**ids, **{fact: name for fact, name in self.facts.items() if name is not None}}
        return Principal(found["tenant"], found.get("person"), found.get("agent"))


@dataclass(frozen=True)
class Kind:
    """Callers whom no rule tells apart: one that stands for all, and the same one in each tenant."""

    one: Caller
    everywhere: tuple[Caller, ...]

    def each(self) -> Iterator[Caller]:
        """Everybody of this kind by himself, for when it matters who exactly calls."""
        for caller in self.everywhere:
            people = caller.person.each() if caller.person else (None,)
            for person in people:
                for agent in caller.agent.each() if caller.agent else (None,):
                    yield Caller(caller.tenant, person, agent)


def callers(policies: Sequence[Policy], conditions: Iterable[Node], named: Iterable[str] = ()) -> list[Kind]:
    """Every kind of caller.

    Args:
        policies: The policies that must not tell callers of a kind apart.
        conditions: All conditions that will be asked about them.
        named: Parties (`person:…`, `agent:…`) that count as listed in every tenant.
    """
    everywhere = frozenset(named)
    views = _views(conditions)
    found: dict[object, list[Caller]] = {}
    listed = frozenset(tenant for policy in policies for tenant, _ in policy.roles) - {ANY_TENANT}
    for tenant in (*sorted(listed), None):
        where = Party(tenant, (), views["tenant"].among(listed), views["tenant"].of(tenant, listed))
        people = _parties(policies, tenant, "person", views["person"], everywhere)
        agents = _parties(policies, tenant, "agent", views["agent"], everywhere)
        for person in (None, *people):
            for agent in (None, *agents):
                if person or agent:
                    kind = (where.kind, person and person.kind, agent and agent.kind)
                    found.setdefault(kind, []).append(Caller(where, person, agent))
    return [Kind(alike[0], tuple(alike)) for alike in found.values()]


def facts_beyond_themselves(atom: Node) -> frozenset[FactName]:
    """The facts that a part of a condition compares with anything that is not written out in it."""
    facts = frozenset(part.name for part in parts(atom) if isinstance(part, Fact))
    is_closed = not any(isinstance(part, (Field, Now, Earlier, FlowFact)) for part in parts(atom))
    return frozenset() if is_closed and len(facts) == 1 else facts


def _views(conditions: Iterable[Node]) -> Mapping[FactName, "_View"]:
    views = {fact: _View(fact) for fact in _FACTS}
    for atom in {atom for condition in set(conditions) for atom in _atoms(condition)}:
        beyond = facts_beyond_themselves(atom)
        for fact in {part.name for part in parts(atom) if isinstance(part, Fact)}:
            views[fact].add(atom, fact not in beyond)
    return views


_FACTS: tuple[FactName, ...] = ("tenant", "person", "agent")


class _View:
    """What conditions can see of one fact."""

    def __init__(self, fact: FactName) -> None:
        self._fact = fact
        self._atoms: list[Node] = []
        self._ids: frozenset[str] | None = frozenset()
        self.is_id_seen = False

    def add(self, atom: Node, is_closed: bool) -> None:
        """Note a part of a condition that looks at the fact, and whether it looks at nothing else."""
        if not is_closed:
            self.is_id_seen = True
            return
        self._atoms.append(atom)
        ids = _ids(atom)
        self._ids = None if self._ids is None or ids is None else self._ids | ids

    def of(self, value: str | None, listed: frozenset[str]) -> object:
        """What is seen of a value; None stands for all that are not listed."""
        if not self.is_id_seen and not self._ids and self._ids is not None:
            return ()
        if value is None:
            return ("stranger", self.among(listed))
        if self.is_id_seen and self._fact == "tenant":
            return value
        seen: dict[FactName, str] = {self._fact: value}
        facts = Facts({}, seen.get("person"), seen.get("agent"), seen.get("tenant", ""), _ANY_TIME)
        return tuple(_outcome(atom, facts) for atom in self._atoms)

    def among(self, listed: frozenset[str]) -> frozenset[str]:
        """The listed ids that can matter: where conditions only compare with ids, these."""
        return listed if self._ids is None else listed & self._ids


def _outcome(atom: Node, facts: Facts) -> object:
    try:
        return compiled(atom)(facts)
    except Exception:  # noqa: BLE001 - as in the judge, whatever it is
        return "fails"


def _ids(atom: Node) -> frozenset[str] | None:
    """The ids that a part of a condition compares with, and with None; None if it looks at an id in any other way."""
    if not isinstance(atom, Compare):
        return None
    found: set[str] = set()
    for operand in atom.operands:
        match operand:
            case Fact():
                continue
            case Constant(value=value):
                found |= {value} if isinstance(value, str) else set()
            case Values(items=items):
                found |= {item.value for item in items if isinstance(item.value, str)}
            case _:
                return None
    return frozenset(found)


def _atoms(condition: Node) -> Iterator[Node]:
    match condition:
        case Logic(operands=operands):
            for operand in operands:
                yield from _atoms(operand)
        case Not(operand=operand):
            yield from _atoms(operand)
        case _:
            yield condition


def _parties(
    policies: Sequence[Policy], tenant: str | None, kind: FactName, view: _View, named: frozenset[str]
) -> list[Party]:
    """One party of each kind in a tenant (None: one that is not listed)."""
    prefix = f"{kind}:"
    linked = {subject for policy in policies for where, subject in policy.roles if where in (tenant, ANY_TENANT)}
    names = sorted(subject.removeprefix(prefix) for subject in linked | named if subject.startswith(prefix))
    listed = frozenset(names)
    found: dict[object, tuple[Party, list[str]]] = {}
    for name in (*names, None):
        person, agent = (name or STRANGER if kind == each else None for each in ("person", "agent"))
        principal = Principal(tenant or STRANGER, person, agent)
        roles = tuple(policy.groups(principal)[0] for policy in policies)
        party = Party(name, roles, view.among(listed), view.of(name, listed))
        _, alike = found.setdefault(party.kind, (party, []))
        alike += [name] if name else []
    return [replace(party, alike=tuple(alike)) if view.is_id_seen else party for party, alike in found.values()]
