"""Proves statements about a policy for every caller, every valid argument, every time and every earlier run.

The rules become formulas and the solver z3 looks for a call that breaks the statement. That there is none is a proof;
one that it finds is only reported once the policy itself, asked in the ordinary way, decides it as predicted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import z3

from connectors.contract import Tool
from gateway.policy.compiled import Facts, Test, compiled
from gateway.policy.decision import Decision, Verdict
from gateway.policy.expression import Node
from gateway.policy.judge import Policy, Rule
from gateway.policy.proof.callers import Caller, Roles, callers
from gateway.policy.proof.examples import Example
from gateway.policy.proof.invariants import Invariant, Who
from gateway.policy.proof.symbols import Formula
from gateway.policy.proof.world import Outcome, Says, Status, World

SECONDS = 10.0
"""How long the solver may think about one question."""


@dataclass(frozen=True)
class CounterExample:
    """A call that breaks a statement, and how it is decided: by two policies if there is an old one."""

    call: Example
    decision: Decision
    before: Decision | None = None


@dataclass(frozen=True)
class Answer:
    """What came out for one statement.

    Args:
        status: Proved, broken or neither.
        questions: How many different questions the solver was asked, over all kinds of callers and tools.
        reason: Why it could not be decided; empty otherwise.
        example: A call that breaks it.
    """

    status: Status
    questions: int
    reason: str = ""
    example: CounterExample | None = None


def prove_invariants(
    policy: Policy, tools: Sequence[Tool], invariants: Iterable[Invariant], seconds: float = SECONDS
) -> Iterator[tuple[Invariant, Answer]]:
    """Prove or break each statement, or say why neither can be done.

    Args:
        policy: The policy that the statements are about.
        tools: All tools there are.
        invariants: The statements.
        seconds: How long the solver may think about one question.
    """
    wanted = tuple(invariants)
    prover = _Prover([policy], tools, wanted, seconds)
    for invariant in wanted:
        yield invariant, prover.invariant(invariant)


def prove_stricter(
    old: Policy, new: Policy, tools: Sequence[Tool], seconds: float = SECONDS
) -> Iterator[tuple[str, Answer]]:
    """Prove for each tool that the new policy is nowhere more permissive than the old one, or break it.

    More permissive is: allowed where it was asked for or denied, asked for where it was denied.

    Args:
        old: The policy before.
        new: The policy after.
        tools: All tools there are.
        seconds: How long the solver may think about one question.
    """
    prover = _Prover([old, new], tools, (), seconds)
    for tool in tools:
        yield tool.name, prover.stricter(tool.name)


@dataclass
class _AboutTool:
    """The rules about one tool, and those of them that speak of a set of roles."""

    rules: list[Rule] = field(default_factory=list)
    memo: dict[Roles, tuple[Rule, ...]] = field(default_factory=dict)

    def of(self, roles: Roles) -> tuple[Rule, ...]:
        if roles not in self.memo:
            self.memo[roles] = tuple(rule for rule in self.rules if rule.role.removeprefix("role:") in roles)
        return self.memo[roles]


class _Prover:
    """Keeps what was translated, so that many statements about a policy cost little more than one."""

    def __init__(
        self, policies: Sequence[Policy], tools: Sequence[Tool], invariants: Sequence[Invariant], seconds: float
    ) -> None:
        self._policies = policies
        self._tools = {tool.name: tool for tool in tools}
        self._milliseconds = int(seconds * 1000)
        self._about = [_by_tool(policy, self._tools) for policy in policies]
        self._own = {
            name: [each.condition for each in invariants if name in each.tools and each.condition]
            for name in self._tools
        }
        named = [node for each in invariants if (node := each.who.condition)]
        asked = [node for conditions in self._own.values() for node in conditions]
        ruled = [rule.condition for policy in policies for rule in policy.rules if rule.condition]
        self._callers = callers(policies, [*ruled, *asked, *named])
        self._worlds: dict[object, World] = {}

    def invariant(self, invariant: Invariant) -> Answer:
        """Answer one statement: broken if it is for any tool and caller."""
        fitting = [caller for caller in self._callers if fits(invariant.who, caller)]
        if not fitting:
            return Answer(Status.PROVED, 0, "at present nobody fits it")
        meant = compiled(invariant.condition) if invariant.condition else None
        policy = self._policies[0]

        def confirm(call: Example) -> CounterExample | None:
            decision = policy.decide(call.principal, call.tool, call.values, call.now, call.history)
            is_meant = meant is None or _is_true(meant, call)
            return CounterExample(call, decision) if is_meant and decision.verdict in invariant.forbidden else None

        def ask(world: World, says: Sequence[Says]) -> Formula:
            return z3.And(world.holds(invariant.condition), says[0].is_one_of(invariant.forbidden))

        own = {"its own condition": invariant.condition} if invariant.condition else {}
        return self._search(invariant.tools, fitting, ask, confirm, own)

    def stricter(self, tool: str) -> Answer:
        """Answer for one tool whether the second policy is nowhere more permissive than the first."""
        old, new = self._policies

        def confirm(call: Example) -> CounterExample | None:
            before = old.decide(call.principal, call.tool, call.values, call.now, call.history)
            after = new.decide(call.principal, call.tool, call.values, call.now, call.history)
            return CounterExample(call, after, before) if after.verdict.strictness < before.verdict.strictness else None

        def ask(_: World, says: Sequence[Says]) -> Formula:
            before, after = says
            is_allowed = z3.And(after.allows, z3.Not(before.allows))
            return z3.Or(is_allowed, z3.And(after.permits, z3.Not(before.permits)))

        changed = [caller for caller in self._callers if self._said(0, tool, caller) != self._said(1, tool, caller)]
        return self._search([tool], changed, ask, confirm, {})

    def _search(
        self,
        tools: Iterable[str],
        fitting: Sequence[Caller],
        ask: Callable[[World, Sequence[Says]], Formula],
        confirm: Callable[[Example], CounterExample | None],
        own: Mapping[str, Node],
    ) -> Answer:
        """Ask for every tool and kind of caller, each different question once, until there is a counter-example."""
        asked: dict[object, Outcome[CounterExample]] = {}
        for tool in tools:
            for caller in fitting:
                parties = [self._parties(which, tool, caller) for which in range(len(self._policies))]
                key = (tool, caller.look, *parties)
                if key in asked:
                    continue
                world = self._world(tool, caller)
                question = ask(world, [world.says(each) for each in parties])
                spoken = {rule for party in parties for rules in party for rule in rules}
                involved = {**own, **{f"rule {rule.id}": rule.condition for rule in spoken if rule.condition}}
                asked[key] = world.search(question, caller, confirm, involved)
                if asked[key].status is Status.BROKEN:
                    return Answer(Status.BROKEN, len(asked), example=asked[key].found)
        undecided = [outcome.reason for outcome in asked.values() if outcome.status is Status.UNDECIDED]
        status = Status.UNDECIDED if undecided else Status.PROVED
        return Answer(status, len(asked), "; ".join(dict.fromkeys(undecided)))

    def _parties(self, which: int, tool: str, caller: Caller) -> tuple[tuple[Rule, ...], ...]:
        """For each party the rules of one policy that speak of it and of the tool."""
        return tuple(self._about[which][tool].of(party.roles[which]) for party in caller.parties)

    def _said(self, which: int, tool: str, caller: Caller) -> list[frozenset[tuple[Node | None, Verdict]]]:
        """The same where the rules say the same, whatever they are called and in whatever order."""
        parties = self._parties(which, tool, caller)
        return [frozenset((rule.condition, rule.effect) for rule in rules) for rules in parties]

    def _world(self, tool: str, caller: Caller) -> World:
        key = (tool, caller.look)
        if key not in self._worlds:
            ruled = [rule.condition for about in self._about for rule in about[tool].rules if rule.condition]
            conditions = [*ruled, *self._own[tool]]
            every = tuple(self._tools.values())
            self._worlds[key] = World(self._tools[tool], every, caller, conditions, self._milliseconds)
        return self._worlds[key]


def fits(who: Who, caller: Caller) -> bool:
    """Whether a statement is about this kind of caller."""
    party = {"anyone": None, "person": caller.person, "agent": caller.agent}[who.subject]
    if who.subject != "anyone" and party is None:
        return False
    other = caller.agent if who.subject == "person" else caller.person
    if (who.company == "alone" and other) or (who.company == "for a person" and not other):
        return False
    roles = party.roles[0] if party else frozenset().union(*(each.roles[0] for each in caller.parties))
    is_named = not who.name or (party is not None and party.name == who.name)
    return is_named and who.having <= roles and roles.isdisjoint(who.lacking)


def _by_tool(policy: Policy, tools: Iterable[str]) -> Mapping[str, _AboutTool]:
    found = {tool: _AboutTool() for tool in tools}
    for rule in policy.rules:
        for tool in rule.tools:
            found[tool].rules.append(rule)
    return found


def _is_true(condition: Test, call: Example) -> bool:
    who = call.principal
    try:
        return condition(Facts(call.values, who.person, who.agent, who.tenant, call.now, call.history)) is True
    except Exception:  # noqa: BLE001 - a call for which it cannot be evaluated is not meant
        return False
