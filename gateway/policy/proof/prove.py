"""Proves statements about a policy for every caller, every valid argument, every time and every earlier run.

The rules become formulas and the solver z3 looks for a call that breaks the statement. That there is none is a proof;
one that it finds is only reported once the policy itself, asked in the ordinary way, decides it as predicted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.contract import Tool
from gateway.policy.decision import Decision, Verdict
from gateway.policy.judge import Policy, Rule
from gateway.policy.language.compiled import Facts, Test, compiled
from gateway.policy.language.expression import Node
from gateway.policy.proof.callers import Caller, Kind, Roles, callers
from gateway.policy.proof.examples import Example
from gateway.policy.proof.formulas import Formula, all_of, any_of, negated
from gateway.policy.proof.invariants import Invariant, Who
from gateway.policy.proof.world import Outcome, Says, Spoken, Status, World

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
    by_roles: dict[Roles, Spoken] = field(default_factory=dict)
    by_positions: dict[tuple[int, ...], Spoken] = field(default_factory=dict)

    def of(self, roles: Roles) -> Spoken:
        if roles not in self.by_roles:
            found = tuple(rule for rule in self.rules if rule.role.removeprefix("role:") in roles)
            positions = tuple(rule.position for rule in found)
            self.by_roles[roles] = self.by_positions.setdefault(positions, Spoken(found))
        return self.by_roles[roles]


@dataclass(frozen=True)
class _Question:
    """What is asked: a formula of what the policies say, how an example is confirmed, and the statement's condition."""

    formula: Callable[[World, Sequence[Says]], Formula]
    confirm: Callable[[Example], CounterExample | None]
    own: Mapping[str, Node]


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
        self._named = [each.who for each in invariants if each.who.name]
        self._kinds: dict[str, list[Kind]] = {}
        self._worlds: dict[object, World] = {}

    def invariant(self, invariant: Invariant) -> Answer:
        """Answer one statement: broken if it is for any tool and caller."""
        meant = compiled(invariant.condition) if invariant.condition else None
        policy = self._policies[0]

        def confirm(call: Example) -> CounterExample | None:
            decision = policy.decide(call.principal, call.tool, call.values, call.now, call.history, call.flow)
            is_meant = meant is None or _is_true(meant, call)
            return CounterExample(call, decision) if is_meant and decision.verdict in invariant.forbidden else None

        def ask(world: World, says: Sequence[Says]) -> Formula:
            return all_of(world.holds(invariant.condition), says[0].is_one_of(invariant.forbidden))

        own = {"its own condition": invariant.condition} if invariant.condition else {}
        fitting = {
            tool: [kind for kind in self._kinds_for(tool) if fits(invariant.who, kind.one)] for tool in invariant.tools
        }
        if not any(fitting.values()):
            return Answer(Status.PROVED, 0, "at present nobody fits it")
        return self._search(fitting, _Question(ask, confirm, own))

    def stricter(self, tool: str) -> Answer:
        """Answer for one tool whether the second policy is nowhere more permissive than the first."""
        old, new = self._policies

        def confirm(call: Example) -> CounterExample | None:
            before = old.decide(call.principal, call.tool, call.values, call.now, call.history, call.flow)
            after = new.decide(call.principal, call.tool, call.values, call.now, call.history, call.flow)
            return CounterExample(call, after, before) if after.verdict.strictness < before.verdict.strictness else None

        def ask(_: World, says: Sequence[Says]) -> Formula:
            before, after = says
            is_allowed = all_of(after.allows, negated(before.allows))
            return any_of(is_allowed, all_of(after.permits, negated(before.permits)))

        kinds = self._kinds_for(tool)
        changed = [kind for kind in kinds if self._said(0, tool, kind.one) != self._said(1, tool, kind.one)]
        return self._search({tool: changed}, _Question(ask, confirm, {}))

    def _search(self, kinds: Mapping[str, Sequence[Kind]], question: "_Question") -> Answer:
        """Ask for each tool and kind of caller, until there is a counter-example."""
        asked: dict[object, Outcome[CounterExample]] = {}
        undecided: list[str] = []
        for tool, callers_of_tool in kinds.items():
            for kind in callers_of_tool:
                outcome = self._ask(tool, kind.one, question, asked)
                if outcome.status is Status.UNDECIDED and kind.one.vague:
                    outcome = self._ask_each(tool, kind, question, asked)
                if outcome.status is Status.BROKEN:
                    return Answer(Status.BROKEN, len(asked), example=outcome.found)
                if outcome.status is Status.UNDECIDED:
                    undecided.append(outcome.reason)
        status = Status.UNDECIDED if undecided else Status.PROVED
        return Answer(status, len(asked), "; ".join(dict.fromkeys(undecided)))

    def _ask_each(
        self, tool: str, kind: Kind, question: "_Question", asked: dict[object, Outcome[CounterExample]]
    ) -> Outcome[CounterExample]:
        """Ask for everybody of a kind: the first that is not proved, or proved for all."""
        outcomes = (self._ask(tool, caller, question, asked) for caller in kind.each())
        return next((each for each in outcomes if each.status is not Status.PROVED), Outcome(Status.PROVED))

    def _ask(
        self, tool: str, caller: Caller, question: "_Question", asked: dict[object, Outcome[CounterExample]]
    ) -> Outcome[CounterExample]:
        """Ask for one caller; what was asked before for one whom the rules do not tell apart needs no solver."""
        parties = [self._parties(which, tool, caller) for which in range(len(self._policies))]
        key = (tool, caller.look, *parties)
        if key not in asked:
            world = self._world(tool, caller)
            rules = [rule for policy in parties for spoken in policy for rule in spoken.rules]
            involved = {f"rule {rule.id}": rule.condition for rule in rules if rule.condition}
            formula = question.formula(world, [world.says(each) for each in parties])
            asked[key] = world.search(formula, caller, question.confirm, {**question.own, **involved})
        return asked[key]

    def _kinds_for(self, tool: str) -> list[Kind]:
        """The kinds of callers that the conditions about a tool tell apart."""
        if tool not in self._kinds:
            ruled = [rule.condition for about in self._about for rule in about[tool].rules if rule.condition]
            named = [node for who in self._named if (node := who.condition)]
            parties = [f"{who.subject}:{who.name}" for who in self._named]
            self._kinds[tool] = callers(self._policies, [*ruled, *self._own[tool], *named], parties)
        return self._kinds[tool]

    def _parties(self, which: int, tool: str, caller: Caller) -> tuple[Spoken, ...]:
        """For each party the rules of one policy that speak of it and of the tool."""
        return tuple(self._about[which][tool].of(party.roles[which]) for party in caller.parties)

    def _said(self, which: int, tool: str, caller: Caller) -> list[frozenset[tuple[Node | None, Verdict]]]:
        """The same where the rules say the same, whatever they are called and in whatever order."""
        parties = self._parties(which, tool, caller)
        return [frozenset((rule.condition, rule.effect) for rule in spoken.rules) for spoken in parties]

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
        return (
            condition(Facts(call.values, who.person, who.agent, who.tenant, call.now, call.history, call.flow)) is True
        )
    except Exception:  # noqa: BLE001 - a call for which it cannot be evaluated is not meant
        return False
