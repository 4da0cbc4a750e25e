"""The policy in force: an immutable snapshot that decides one call in microseconds.

Rules are indexed by role and tool; conditions are compiled when the policy is loaded. Casbin over the same files is the
reference that the tests compare with (`casbin_judge.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from connectors.contract import Tool
from gateway.policy.decision import Decision, Verdict
from gateway.policy.files.approvers import Approving
from gateway.policy.files.identity import Identity
from gateway.policy.files.intents import NO_INTENTS, Intents
from gateway.policy.files.labels import Relabel, relabelled
from gateway.policy.files.limits import ADDRESS, REQUESTS, Limit, limits_on
from gateway.policy.files.lists import Lists
from gateway.policy.files.obligations import NONE, Obligation, Obligations, obliging
from gateway.policy.files.retention import Keep
from gateway.policy.files.roles import ANY_TENANT, EVERYONE, Link
from gateway.policy.language.compiled import Facts, Test, known
from gateway.policy.language.expression import Earlier, Node, parts
from gateway.policy.language.flow import NO_FLOW_NEEDED, UNTOUCHED, Flow, FlowNeeds
from gateway.policy.language.flow_facts import flow_facts, needs_of
from gateway.policy.language.history import EMPTY, History
from gateway.policy.language.patterns import covers
from gateway.principal import Principal

_POSITION = attrgetter("position")
_ANYBODY = frozenset({EVERYONE})
_MOST_SHOWN = 100_000
_SAYS = {Verdict.ALLOW: ("allows it", "allow it"), Verdict.DENY: ("denies it", "deny it")}
_SAYS[Verdict.ASK] = ("asks for approval", "ask for approval")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of `rules.csv`, checked and compiled.

    Args:
        id: Its name in decisions, unique.
        position: Its place among the rules of the file, from 0.
        role: Whom it is about, with the prefix `role:`.
        pattern: The tools it covers: a name, or a beginning followed by `*`.
        tools: The names that the pattern covers.
        condition: The checked condition, or None when the rule always applies.
        matches: The compiled condition.
        effect: The verdict when it applies.
        note: Why the rule is there, for people.
    """

    id: str
    position: int
    role: str
    pattern: str
    tools: frozenset[str]
    condition: Node | None
    matches: Test
    effect: Verdict
    note: str


class _Finding(NamedTuple):
    """What the rules say of one party: the verdict, and the rules that made it (none when no rule allows the call)."""

    party: str
    verdict: Verdict
    matched: Sequence[Rule] = ()
    broken: Sequence[Rule] = ()


@dataclass(frozen=True)
class Policy:
    """A snapshot of the policy: replaced whole, never changed.

    Args:
        version: Hash of the files' content, 16 hex digits.
        tools: The names of all tools.
        rules: Every rule, in the order of the file.
        links: Every line of `roles.csv`.
        roles: The roles of a subject by (tenant, subject), inherited ones included; what holds in a tenant that no line
            names is under the tenant `*`.
        index: The rules that speak of a tool by (role, tool).
        lists: The values of each named list.
        approving: What `approvers.csv` says.
        keeping: What `retention.csv` says.
        intents: With which words `intents.csv` says that a person asks for each tool.
        obliging: What `obligations.csv` says.
        labelling: What `labels.csv` says.
        limits: What `limits.csv` says; it is counted where calls are begun and never allows anything.
        identity: What `identity.toml` says; None if there is no such file.
    """

    version: str
    tools: frozenset[str]
    rules: tuple[Rule, ...]
    links: tuple[Link, ...]
    roles: Mapping[tuple[str, str], frozenset[str]]
    index: Mapping[tuple[str, str], tuple[Rule, ...]]
    lists: Lists
    approving: Approving
    keeping: tuple[Keep, ...] = ()
    intents: Intents = field(default_factory=lambda: NO_INTENTS)
    obliging: tuple[Obligation, ...] = ()
    labelling: tuple[Relabel, ...] = ()
    limits: tuple[Limit, ...] = ()
    identity: Identity | None = None

    def decide(
        self,
        principal: Principal,
        tool: str,
        args: Mapping[str, object],
        now: datetime,
        history: History | None = EMPTY,
        flow: Flow | None = UNTOUCHED,
    ) -> Decision:
        """Decide one call. Every party must be allowed on its own; a deny beats an ask, an ask beats an allow.

        Args:
            principal: Who calls.
            tool: The tool's name.
            args: The tool's validated input as Python values, as pydantic's `model_dump` gives them.
            now: The time of the call, with zone.
            history: What the run was allowed before this call; only the tools that `needs_history` names are looked at.
                None when it could not be read: then a rule that needs it denies.
            flow: What is known of the data that flow into the call; only what `needs_flow` names is looked at.
                None when it could not be found out: then a rule that needs it denies.

        Never raises: a rule whose condition cannot be evaluated denies.
        """
        facts = Facts(args, principal.person, principal.agent, principal.tenant, now, history, flow)
        findings = [self._find(party, self._roles(principal, party), tool, facts) for party in principal.parties]
        verdict = _strictest(findings)
        matched = _in_order([finding.matched for finding in findings if finding.verdict is verdict])
        broken = _in_order([finding.broken for finding in findings if finding.verdict is verdict])
        if not matched and not broken:
            return Decision(verdict, (), self._default_reason(tool, principal, findings), self.version)
        made = _in_order([matched, broken]) if broken else matched
        ids = tuple([rule.id for rule in made])
        obliged = () if verdict is Verdict.DENY else self.obligations(principal, tool).ids
        return Decision(verdict, ids, _reason(verdict, matched, broken), self.version, obliged)

    def obligations(self, principal: Principal, tool: str) -> Obligations:
        """What a tool's result must go through before this caller gets it: all that is said of any party."""
        if not self.obliging:
            return NONE
        roles = frozenset[str]().union(*(self._roles(principal, party) for party in principal.parties))
        if (found := self._obligations.get((roles, tool))) is None:
            found = obliging(self.obliging, roles, tool)
            if tool in self.tools:  # or the names that callers invent would add up
                self._obligations[roles, tool] = found
        return found

    @cached_property
    def _obligations(self) -> dict[tuple[frozenset[str], str], Obligations]:
        return {}

    def limits_on(self, principal: Principal, tool: str) -> tuple[Limit, ...]:
        """The limits that count a call of a tool: those of every role that any party has, in the order of the file."""
        if not self.limits:
            return ()
        roles = frozenset[str]().union(*(self._roles(principal, party) for party in principal.parties))
        if (found := self._limits.get((roles, tool))) is None:
            found = limits_on(self.limits, roles, tool)
            if tool in self.tools:  # or the names that callers invent would add up
                self._limits[roles, tool] = found
        return found

    def limits_on_requests(self, principal: Principal | None = None) -> tuple[Limit, ...]:
        """The limits that count a request of a principal, or by its address alone as long as nobody knows of whom."""
        if principal is None:
            return tuple(each for each in self._request_limits if each.whom == (ADDRESS,))
        roles = {EVERYONE}.union(*(self._roles(principal, party) for party in principal.parties))
        return tuple(each for each in self._request_limits if each.role in roles and each.whom != (ADDRESS,))

    @cached_property
    def _request_limits(self) -> tuple[Limit, ...]:
        return tuple(each for each in self.limits if each.what == REQUESTS)

    @cached_property
    def _limits(self) -> dict[tuple[frozenset[str], str], tuple[Limit, ...]]:
        return {}

    def needs_history(self, tool: str) -> frozenset[str]:
        """The tools whose earlier calls some rule about this tool counts or sums: most often none."""
        return self._needed.get(tool, frozenset())

    @cached_property
    def _needed(self) -> Mapping[str, frozenset[str]]:
        needed: dict[str, frozenset[str]] = {}
        for rule in self.rules:
            asked = (
                [part.tools for part in parts(rule.condition) if isinstance(part, Earlier)] if rule.condition else []
            )
            looked_at = frozenset(name for name in self.tools for pattern in asked if covers(pattern, name))
            needed.update({tool: needed.get(tool, frozenset()) | looked_at for tool in rule.tools if looked_at})
        return needed

    def needs_flow(self, tool: str) -> FlowNeeds:
        """What some rule about this tool asks about data flow: most often nothing."""
        return self._flow_needed.get(tool, NO_FLOW_NEEDED)

    @cached_property
    def _flow_needed(self) -> Mapping[str, FlowNeeds]:
        needed: dict[str, FlowNeeds] = {}
        for rule in self.rules:
            if asked := needs_of(flow_facts(rule.condition)):
                needed.update({tool: needed.get(tool, NO_FLOW_NEEDED) | asked for tool in rule.tools})
        return needed

    def labelled(self, tool: Tool) -> Tool:
        """A tool with what policy says of who writes and who may see its results."""
        return relabelled(tool, self.labelling) if self.labelling else tool

    def intends(self, tool: str, request: str) -> bool:
        """Whether a person's own words ask for what a tool does, as `intents.csv` has it; a negation is not understood.

        Args:
            tool: The tool's name.
            request: The person's words.
        """
        asked = self.intents.get(tool)
        return asked is not None and asked.asks(request)

    def visible(self, principal: Principal, now: datetime) -> frozenset[str]:
        """The tools that the principal could be allowed, or asked for, with some arguments at some time of a run.

        Args:
            principal: Who wants to know.
            now: The time, with zone.
        """
        return frozenset(tool for tool in self.tools if self.shows(principal, tool, now))

    def shows(self, principal: Principal, tool: str, now: datetime) -> bool:
        """Say whether one tool is among the visible ones."""
        if tool not in self.tools:
            return False
        # Whatever depends on the time counts as possible, so what was found once stays so. Equal principals may come
        # with other roles from their identity provider.
        which = principal, principal.roles, tool
        if (shown := self._shown.get(which)) is None:
            facts = Facts({}, principal.person, principal.agent, principal.tenant, now)
            roles = (self._roles(principal, party) for party in principal.parties)
            shown = all(self._possible(held, tool, facts) for held in roles)
            if len(self._shown) >= _MOST_SHOWN:
                self._shown.clear()
            self._shown[which] = shown
        return shown

    @cached_property
    def _shown(self) -> dict[tuple[Principal, frozenset[str], str], bool]:
        return {}

    def groups(self, principal: Principal) -> tuple[frozenset[str], ...]:
        """For each party its roles, inherited ones and `everyone` included, without the prefix `role:`."""
        return tuple(
            frozenset(role.removeprefix("role:") for role in self._roles(principal, party))
            for party in principal.parties
        )

    def claimed_roles(self) -> Iterator[frozenset[str]]:
        """For each role that claims give, in each of the issuer's tenants, the role with those that it includes."""
        for issuer in self.identity.issuers.values() if self.identity else ():
            for role in issuer.roles.give.values() if issuer.roles else ():
                yield from (self._included(tenant, role) for tenant in issuer.tenants)

    def _roles(self, principal: Principal, party: str) -> frozenset[str]:
        tenant = principal.tenant
        named = self.roles.get((tenant, party)) or self.roles.get((ANY_TENANT, party), _ANYBODY)
        claimed = principal.roles_of(party)
        return named.union(claimed, *(self._included(tenant, role) for role in claimed)) if claimed else named

    def _included(self, tenant: str, role: str) -> frozenset[str]:
        """The roles that a role includes in a tenant, as `roles.csv` has it."""
        if (found := self._including.get((tenant, role))) is None:
            queue = [role]
            for name in queue:
                queue.extend(
                    link.role
                    for link in self._links_of_roles.get(name, ())
                    if link.tenant in (tenant, ANY_TENANT) and link.role not in queue
                )
            found = self._including[tenant, role] = frozenset(queue)
        return found

    @cached_property
    def _including(self) -> dict[tuple[str, str], frozenset[str]]:
        return {}

    @cached_property
    def _links_of_roles(self) -> Mapping[str, Sequence[Link]]:
        found: dict[str, list[Link]] = {}
        for link in self.links:
            if link.subject.startswith("role:"):
                found.setdefault(link.subject, []).append(link)
        return found

    def _rules(self, roles: frozenset[str], tool: str) -> tuple[Rule, ...]:
        """The rules that speak of a tool to whoever has the roles, in the order of the file; found once for a set."""
        key = roles, tool
        if (found := self._by_roles.get(key)) is None:
            speaking = (rule for role in roles for rule in self.index.get((role, tool), ()))
            found = tuple(sorted(speaking, key=_POSITION))
            if tool in self.tools:  # or the names that callers invent would add up
                self._by_roles[key] = found
        return found

    @cached_property
    def _by_roles(self) -> dict[tuple[frozenset[str], str], tuple[Rule, ...]]:
        return {}

    def _find(self, party: str, roles: frozenset[str], tool: str, facts: Facts) -> _Finding:
        allowing: list[Rule] = []
        asking: list[Rule] = []
        denying: list[Rule] = []
        broken: list[Rule] = []
        for rule in self._rules(roles, tool):
            try:
                outcome = rule.matches(facts)
            except Exception:  # noqa: BLE001 - whatever goes wrong in a condition, the answer is deny
                outcome = None
            if outcome is False:
                continue
            if outcome is not True:
                broken.append(rule)
            elif rule.effect is Verdict.ALLOW:
                allowing.append(rule)
            elif rule.effect is Verdict.ASK:
                asking.append(rule)
            else:
                denying.append(rule)
        if denying or broken:
            return _Finding(party, Verdict.DENY, denying, broken)
        if asking:
            return _Finding(party, Verdict.ASK, asking)
        return _Finding(party, Verdict.ALLOW, allowing) if allowing else _Finding(party, Verdict.DENY)

    def _possible(self, roles: frozenset[str], tool: str, facts: Facts) -> bool:
        rules = self._rules(roles, tool)
        outcomes = {rule.id: known(rule.condition, facts) if rule.condition else True for rule in rules}
        denied = any(rule.effect is Verdict.DENY and outcomes[rule.id] is True for rule in rules)
        return not denied and any(rule.effect is not Verdict.DENY and outcomes[rule.id] is not False for rule in rules)

    def _default_reason(self, tool: str, principal: Principal, findings: Iterable[_Finding]) -> str:
        silent = [finding.party for finding in findings if finding.verdict is Verdict.DENY]
        considered = all(self._rules(self._roles(principal, party), tool) for party in silent)
        return f"no rule allows {' or '.join(silent)} to call `{tool}`{' with these arguments' if considered else ''}"


def _strictest(findings: Iterable[_Finding]) -> Verdict:
    verdicts = [finding.verdict for finding in findings]
    return Verdict.DENY if Verdict.DENY in verdicts else Verdict.ASK if Verdict.ASK in verdicts else Verdict.ALLOW


def _in_order(groups: Sequence[Sequence[Rule]]) -> Sequence[Rule]:
    """Rules of several groups, each in the order of the file, without doubles: one may speak of both parties."""
    if len(groups) == 1:
        return groups[0]
    return sorted({rule.position: rule for group in groups for rule in group}.values(), key=_POSITION)


def _reason(verdict: Verdict, matched: Sequence[Rule], broken: Sequence[Rule]) -> str:
    failed = [f"rule {rule.id} could not be evaluated" for rule in broken]
    if not matched:
        return "; ".join(failed)
    one, many = _SAYS[verdict]
    who = f"rule {matched[0].id} {one}" if len(matched) == 1 else f"rules {_ids(matched)} {many}"
    notes = "; ".join(dict.fromkeys(rule.note for rule in matched if rule.note))
    return "; ".join([*failed, f"{who}: {notes}" if notes else who])


def _ids(rules: Sequence[Rule]) -> str:
    return ", ".join(rule.id for rule in rules[:-1]) + f" and {rules[-1].id}"
