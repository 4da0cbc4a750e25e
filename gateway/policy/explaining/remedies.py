"""Finds what would have to change for a call to be allowed: one argument, its data flow, or a role more.

Candidates come from the conditions of the rules that were considered. Nothing is told that was not decided again with
the changed call, and each changed argument fits the tool's input.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import reduce
from itertools import groupby

from pydantic_core import to_jsonable_python

from connectors.contract import Tool
from gateway.catalog import InvalidArguments, validate
from gateway.policy.decision import Decision, Verdict
from gateway.policy.explaining.candidates import Range, cells, made_up, named
from gateway.policy.explaining.explain import PartyView, explain, rules_about
from gateway.policy.explaining.other_flows import other_flows
from gateway.policy.files.roles import ANY_TENANT, EVERYONE
from gateway.policy.judge import Policy
from gateway.policy.language.compiled import Facts, compiled
from gateway.policy.language.expression import Field, FlowFact, Node, parts
from gateway.policy.language.flow import UNTOUCHED, Flow
from gateway.policy.language.history import EMPTY, History
from gateway.policy.language.kinds import type_of_tool
from gateway.policy.language.wording import literal, written
from gateway.principal import Principal

_MAX_FIELDS = 20
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class ArgumentChange:
    """One argument that would change the verdict.

    Args:
        field: The argument, such as `args.amount`.
        words: The values that would do, such as `at most 50`.
        value: One of them, with which the call was decided again.
        decision: What was decided.
    """

    field: str
    words: str
    value: object
    decision: Decision


@dataclass(frozen=True, slots=True)
class FlowChange:
    """Something about the data flow that would change the verdict.

    Args:
        fact: What, such as `origin(args.to)`.
        words: What it would have to be, such as `'request' or 'organisation'`.
        decision: What was decided then.
    """

    fact: str
    words: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class MissingRoles:
    """Roles that would change the verdict: for each party that is refused, one that it could be given."""

    roles: tuple[tuple[str, str], ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Remedies:
    """What would change the verdict for the better; all empty when nothing that was looked for does."""

    arguments: tuple[ArgumentChange, ...] = ()
    flow: tuple[FlowChange, ...] = ()
    roles: tuple[MissingRoles, ...] = ()


@dataclass(frozen=True, slots=True)
class _Question:
    """A call as it is decided, and how it is decided when something in it is changed."""

    policy: Policy
    principal: Principal
    tool: Tool
    args: Mapping[str, object]
    now: datetime
    history: History | None
    flow: Flow | None

    @property
    def facts(self) -> Facts:
        who = self.principal
        return Facts(self.args, who.person, who.agent, who.tenant, self.now, self.history, self.flow)

    def choices(self, field: Field) -> tuple[str, ...]:
        """The only texts that the tool accepts in a field, when it lists them."""
        return reduce(lambda inside, name: inside.fields[name], field.path, type_of_tool(self.tool)).choices

    def decide(self, args: Mapping[str, object]) -> Decision:
        return self.policy.decide(self.principal, self.tool.name, args, self.now, self.history, self.flow)

    def with_value(self, field: Field, value: object) -> ArgumentChange | None:
        """Decide with one argument changed; None when the tool would refuse it."""
        sent = _changed({name: _as_json(each) for name, each in self.args.items()}, field.path, _as_json(value))
        try:
            read = validate(self.tool, sent).model_dump()
        except InvalidArguments:
            return None
        return ArgumentChange(written(field), "left out" if value is None else literal(value), value, self.decide(read))


def remedies(
    policy: Policy,
    principal: Principal,
    tool: Tool,
    args: Mapping[str, object],
    now: datetime,
    history: History | None = EMPTY,
    flow: Flow | None = UNTOUCHED,
) -> Remedies:
    """Look for single changes that make a call that is denied or asked about more permitted.

    Another value of an argument is taken to come from where the present one comes from. Roles are looked for only where
    neither an argument nor another data flow would do. Pure, as `explain`.
    """
    question = _Question(policy, principal, tool, args, now, history, flow)
    verdict = question.decide(args).verdict
    if verdict is Verdict.ALLOW:
        return Remedies()
    conditions = _conditions(question)
    arguments = tuple(_argument_changes(question, conditions, verdict))
    flows = tuple(_flow_changes(question, conditions, verdict))
    found = [change.decision for change in arguments] + [change.decision for change in flows]
    if any(decision.verdict is Verdict.ALLOW for decision in found):
        return Remedies(arguments, flows)
    return Remedies(arguments, flows, tuple(_missing_roles(question, verdict)))


def _conditions(question: _Question) -> list[Node]:
    roles = frozenset[str]().union(*question.policy.groups(question.principal))
    rules = rules_about(question.policy, roles, question.tool.name)
    return [rule.condition for rule in rules if rule.condition]


def _flow_changes(question: _Question, conditions: Sequence[Node], verdict: Verdict) -> Iterator[FlowChange]:
    """What the rules ask about data flow, each with the answers that would do, together by verdict."""
    if question.flow is None:
        return
    asked = dict.fromkeys(part for each in conditions for part in parts(each) if isinstance(part, FlowFact))
    for fact in list(asked)[:_MAX_FIELDS]:
        found: dict[Verdict, dict[str, Decision]] = {}
        for flow in other_flows(question.flow, fact):
            changed = replace(question, flow=flow)
            if (decision := changed.decide(question.args)).verdict.strictness < verdict.strictness:
                found.setdefault(decision.verdict, {}).setdefault(_answer(fact, changed), decision)
        for answers in found.values():
            yield FlowChange(written(fact), " or ".join(answers), next(iter(answers.values())))


def _answer(fact: FlowFact, question: _Question) -> str:
    return literal(compiled(fact)(question.facts))


def _argument_changes(question: _Question, conditions: Sequence[Node], verdict: Verdict) -> Iterator[ArgumentChange]:
    fields = dict.fromkeys(part for each in conditions for part in parts(each) if isinstance(part, Field))
    found: list[ArgumentChange] = []
    for field in list(fields)[:_MAX_FIELDS]:
        best: dict[Verdict, ArgumentChange] = {}
        for change in (*_ranges(question, field, conditions), *_values(question, field, conditions)):
            if change.decision.verdict.strictness < verdict.strictness:
                best.setdefault(change.decision.verdict, change)
        found += best.values()
    yield from sorted(found, key=lambda change: change.decision.verdict.strictness)


def _ranges(question: _Question, field: Field, conditions: Sequence[Node]) -> Iterator[ArgumentChange]:
    """Ranges of a number or date over which the verdict is the same; each is told by a value that the tool accepts."""
    decided = [
        (cell, question.decide(_changed(question.args, field.path, cell.inside)).verdict)
        for cell in cells(field, conditions, question.facts)
        if cell.inside is not None
    ]
    for verdict, run in groupby(decided, key=lambda pair: pair[1]):
        alike = [cell for cell, _ in run]
        whole = reduce(Range.joined, alike)
        samples = (sample for each in (whole, *alike) for sample in each.samples())
        tried = (question.with_value(field, sample) for sample in samples)
        if told := next((change for change in tried if change and change.decision.verdict is verdict), None):
            yield replace(told, words=str(whole))


def _values(question: _Question, field: Field, conditions: Sequence[Node]) -> Iterator[ArgumentChange]:
    """Single values: those that the tool or the rules list, together by verdict; then those made up."""
    listed = _accepted(question, field, named(field, question.choices(field), conditions, question.facts))
    for verdict in Verdict:
        if alike := [change for change in listed if change.decision.verdict is verdict]:
            yield replace(alike[0], words=" or ".join(change.words for change in alike[:_MAX_NAMED]))
    for change in _accepted(question, field, made_up(field, conditions, question.facts)):
        yield replace(change, words=f"such as {change.words}")


def _accepted(question: _Question, field: Field, values: Iterable[object]) -> list[ArgumentChange]:
    return [change for value in values if (change := question.with_value(field, value))]


def _changed(args: Mapping[str, object], path: tuple[str, ...], value: object) -> dict[str, object]:
    name, *rest = path
    inside = args.get(name)
    if not rest:
        return {**args, name: value}
    return {**args, name: _changed(inside if isinstance(inside, Mapping) else {}, tuple(rest), value)}


def _as_json(value: object) -> object:
    """A value as a caller would send it."""
    whole = isinstance(value, Decimal) and value == value.to_integral_value()
    return int(value) if whole and isinstance(value, Decimal) else to_jsonable_python(value)


def _missing_roles(question: _Question, verdict: Verdict) -> Iterator[MissingRoles]:
    """Each role that would do for the one party that is refused; if both are, the first choice for each of them."""
    views = [view for view in _views(question) if view.verdict is not Verdict.ALLOW]
    choices = [[(view.party, role) for role in _useful_roles(question, view)] for view in views]
    given = [(choice,) for choice in choices[0]] if len(views) == 1 else [tuple(each[0] for each in choices if each)]
    for roles in given:
        decision = replace(question, policy=_with_roles(question, roles)).decide(question.args)
        if decision.verdict.strictness < verdict.strictness:
            yield MissingRoles(roles, decision)


def _views(question: _Question) -> tuple[PartyView, ...]:
    who, tool = question.principal, question.tool.name
    return explain(question.policy, who, tool, question.args, question.now, question.history, question.flow).parties


def _useful_roles(question: _Question, view: PartyView) -> list[str]:
    """The roles that make this party's own verdict best, without those that include another of them."""
    tenant = question.principal.tenant
    spoken_of = dict.fromkeys(rule.role for rule in question.policy.rules if question.tool.name in rule.tools)
    reached: dict[str, Verdict] = {}
    for role in (
        role for role in _all_roles(question.policy, tenant, view.party) if role.removeprefix("role:") not in view.roles
    ):
        if _including(question.policy, role, tenant) & spoken_of.keys():
            policy = _with_roles(question, [(view.party, role)])
            after = next(each for each in _views(replace(question, policy=policy)) if each.party == view.party)
            reached[role] = after.verdict
    best = min(reached.values(), key=lambda each: each.strictness, default=Verdict.DENY)
    if best.strictness >= view.verdict.strictness:
        return []
    useful = [role for role, verdict in reached.items() if verdict is best]
    return [role for role in useful if not (_including(question.policy, role, tenant) - {role}) & set(useful)]


def _all_roles(policy: Policy, tenant: str, party: str) -> list[str]:
    """The roles there are in a tenant, without those that only persons have for an agent, and the other way round."""
    kind = party.partition(":")[0]
    here = [link for link in policy.links if link.tenant in (tenant, ANY_TENANT)]
    held: dict[str, set[str]] = {"person": set(), "agent": set(), "role": set()}
    for (where, subject), roles in policy.roles.items():
        if where in (tenant, ANY_TENANT):
            held[subject.partition(":")[0]] |= roles
    others = held["agent" if kind == "person" else "person"] - held[kind]
    named = (name for link in here for name in (link.subject, link.role) if name.startswith("role:"))
    return [role for role in dict.fromkeys(named) if role not in others | {EVERYONE}]


def _including(policy: Policy, role: str, tenant: str) -> frozenset[str]:
    """A role and all that it includes in a tenant."""
    found = {role}
    links = [link for link in policy.links if link.tenant in (tenant, ANY_TENANT)]
    while more := {link.role for link in links if link.subject in found} - found:
        found |= more
    return frozenset(found)


def _with_roles(question: _Question, given: Iterable[tuple[str, str]]) -> Policy:
    """The policy as it would be if these parties had these roles as well in the tenant of the call."""
    policy, tenant = question.policy, question.principal.tenant
    changed = dict(policy.roles)
    for party, role in given:
        before = changed.get((tenant, party)) or changed.get((ANY_TENANT, party)) or frozenset({EVERYONE})
        changed[tenant, party] = before | _including(policy, role, tenant)
    return replace(policy, roles=changed)
