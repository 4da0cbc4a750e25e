"""The policy in force: an immutable snapshot that decides one call in microseconds.

Rules are indexed by role and tool; conditions are compiled when the policy is loaded. Casbin over the same files is the
reference that the tests compare with (`casbin_judge.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from gateway.policy.approvers import Approver
from gateway.policy.compiled import Facts, Test, known
from gateway.policy.decision import Decision, Verdict
from gateway.policy.expression import Earlier, Node, parts
from gateway.policy.history import EMPTY, History
from gateway.policy.lists import Lists
from gateway.policy.patterns import covers
from gateway.policy.roles import EVERYONE, Link
from gateway.principal import Principal

_ANYBODY = frozenset({EVERYONE})
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


@dataclass(frozen=True, slots=True)
class _Finding:
    """What the rules say of one party: the verdict, and the rules that made it (none when no rule allows the call)."""

    verdict: Verdict
    matched: tuple[Rule, ...] = ()
    broken: tuple[Rule, ...] = ()


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
        approvers: Every line of `approvers.csv`.
    """

    version: str
    tools: frozenset[str]
    rules: tuple[Rule, ...]
    links: tuple[Link, ...]
    roles: Mapping[tuple[str, str], frozenset[str]]
    index: Mapping[tuple[str, str], tuple[Rule, ...]]
    lists: Lists
    approvers: tuple[Approver, ...]

    def decide(
        self,
        principal: Principal,
        tool: str,
        args: Mapping[str, object],
        now: datetime,
        history: History | None = EMPTY,
    ) -> Decision:
        """Decide one call. Every party must be allowed on its own; a deny beats an ask, an ask beats an allow.

        Args:
            principal: Who calls.
            tool: The tool's name.
            args: The tool's validated input as Python values, as pydantic's `model_dump` gives them.
            now: The time of the call, with zone.
            history: What the run was allowed before this call; only the tools that `needs_history` names are looked at.
                None when it could not be read: then a rule that needs it denies.

        Never raises: a rule whose condition cannot be evaluated denies.
        """
        facts = Facts(args, principal.person, principal.agent, principal.tenant, now, history)
        findings = {party: self._find(party, tool, facts) for party in principal.parties}
        verdict = max((finding.verdict for finding in findings.values()), key=lambda each: each.strictness)
        made = [finding for finding in findings.values() if finding.verdict is verdict]
        broken = _in_order(rule for finding in made for rule in finding.broken)
        matched = _in_order(rule for finding in made for rule in finding.matched)
        ids = tuple(rule.id for rule in _in_order((*broken, *matched)))
        reason = _reason(verdict, matched, broken) if ids else self._default_reason(tool, principal, findings)
        return Decision(verdict, ids, reason, self.version)

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

    def visible(self, principal: Principal, now: datetime) -> frozenset[str]:
        """The tools that the principal could be allowed, or asked for, with some arguments at some time of a run.

        Args:
            principal: Who wants to know.
            now: The time, with zone.
        """
        return frozenset(tool for tool in self.tools if self.shows(principal, tool, now))

    def shows(self, principal: Principal, tool: str, now: datetime) -> bool:
        """Say whether one tool is among the visible ones."""
        facts = Facts({}, principal.person, principal.agent, principal.tenant, now)
        return tool in self.tools and all(self._possible(party, tool, facts) for party in principal.parties)

    def groups(self, principal: Principal) -> tuple[frozenset[str], ...]:
        """For each party its roles, inherited ones and `everyone` included, without the prefix `role:`."""
        return tuple(
            frozenset(role.removeprefix("role:") for role in self._roles(principal.tenant, party))
            for party in principal.parties
        )

    def _roles(self, tenant: str, party: str) -> frozenset[str]:
        return self.roles.get((tenant, party)) or self.roles.get(("*", party), _ANYBODY)

    def _rules(self, tenant: str, party: str, tool: str) -> list[Rule]:
        return [rule for role in self._roles(tenant, party) for rule in self.index.get((role, tool), ())]

    def _find(self, party: str, tool: str, facts: Facts) -> _Finding:
        matched: dict[Verdict, list[Rule]] = {}
        broken = []
        for rule in self._rules(facts.tenant, party, tool):
            try:
                outcome = rule.matches(facts)
            except Exception:  # noqa: BLE001 - whatever goes wrong in a condition, the answer is deny
                outcome = None
            if outcome is True:
                matched.setdefault(rule.effect, []).append(rule)
            elif outcome is not False:
                broken.append(rule)
        if broken or Verdict.DENY in matched:
            return _Finding(Verdict.DENY, tuple(matched.get(Verdict.DENY, ())), tuple(broken))
        for verdict in (Verdict.ASK, Verdict.ALLOW):
            if verdict in matched:
                return _Finding(verdict, tuple(matched[verdict]))
        return _Finding(Verdict.DENY)

    def _possible(self, party: str, tool: str, facts: Facts) -> bool:
        rules = self._rules(facts.tenant, party, tool)
        outcomes = {rule.id: known(rule.condition, facts) if rule.condition else True for rule in rules}
        denied = any(rule.effect is Verdict.DENY and outcomes[rule.id] is True for rule in rules)
        return not denied and any(rule.effect is not Verdict.DENY and outcomes[rule.id] is not False for rule in rules)

    def _default_reason(self, tool: str, principal: Principal, findings: Mapping[str, _Finding]) -> str:
        silent = [party for party, finding in findings.items() if finding == _Finding(Verdict.DENY)]
        considered = all(self._rules(principal.tenant, party, tool) for party in silent)
        return f"no rule allows {' or '.join(silent)} to call `{tool}`{' with these arguments' if considered else ''}"


def _in_order(rules: Iterable[Rule]) -> list[Rule]:
    """Without doubles (a rule may speak of both parties), in the order of the file."""
    return sorted({rule.position: rule for rule in rules}.values(), key=lambda rule: rule.position)


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
