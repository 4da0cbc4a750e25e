"""Decides what the journal recorded once more, under other policies: what would a change have changed?

Each recorded decision is made again from what it was made of: caller, arguments, time, what the run had been allowed
before, as the journal has it, and the data flow, as the entry tells it. An entry that does not tell what a rule asks
about data flow is only decided again where the answer does not depend on it. Deciding under the old and the new policy
tells what the change itself does from what had changed since the entry was written.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from connectors.contract import Tool
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal import Entry, Kind, read_journal
from gateway.policy.decision import GRANT, SCOPE, Decision, Verdict
from gateway.policy.explaining.explain import truth
from gateway.policy.judge import Policy, Rule
from gateway.policy.language.compiled import Facts, compiled
from gateway.policy.language.expression import FlowFact
from gateway.policy.language.flow import Flow
from gateway.policy.language.flow_facts import flow_facts
from gateway.policy.language.flow_written import flow_from
from gateway.policy.language.history import EMPTY, History
from gateway.policy.language.kinds import Kind as FieldKind
from gateway.policy.language.kinds import Type, type_of_model
from gateway.principal import Principal

_ENDED = frozenset({Kind.OUTCOME, Kind.SETTLED})
_DECIDED = frozenset({Kind.DENIED, Kind.PENDING, Kind.REPEATED, Kind.TURNED_AWAY, Kind.INTENT})
"""One of these is recorded of each call that was decided."""
_STEP = 1_000
_MOST_CALLS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Flip:
    """A kind of decision that comes out differently: who, which tool, what it was and is, and by which rules."""

    before: Verdict
    after: Verdict
    rules_before: tuple[str, ...]
    rules_after: tuple[str, ...]
    tool: str
    principal: str

    @property
    def is_looser(self) -> bool:
        """Whether the change permits more than before."""
        return self.after.strictness < self.before.strictness


@dataclass
class Flipped:
    """How often a flip happened, and the first of the calls."""

    count: int = 0
    calls: list[str] = field(default_factory=list)


@dataclass
class Replay:
    """What came out.

    Args:
        decisions: How many recorded decisions were made again.
        flips: Where the two policies differ, the most frequent first.
        aged: How many were decided otherwise when they were recorded than the old policy decides them now.
        undecidable: How many could not be made again, by reason.
    """

    decisions: int = 0
    flips: dict[Flip, Flipped] = field(default_factory=dict)
    aged: int = 0
    undecidable: Counter[str] = field(default_factory=Counter)

    @property
    def flipped(self) -> int:
        """How many decisions come out differently."""
        return sum(each.count for each in self.flips.values())


def replay(
    database: Database,
    old: Policy,
    new: Policy,
    tools: Sequence[Tool],
    window: timedelta,
    progress: Callable[[int, int], None] | None = None,
) -> Replay:
    """Decide every recorded decision under two policies.

    Args:
        database: Where the journal is.
        old: The policy before the change.
        new: The policy after it.
        tools: All tools there are now.
        window: How far back a run reaches, for rules that count or sum it.
        progress: Told now and then how many entries of how many are done.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    total, found = max((entry.position for entry in read_journal(database, EVERY_TENANT, last=1)), default=0), Replay()
    readers = {tool.name: _Arguments(type_of_model(tool.input)) for tool in tools}
    runs = _Runs({name for tool in tools for policy in (old, new) for name in policy.needs_history(tool.name)}, window)
    judges = (_Judge(old), _Judge(new))
    for entry in read_journal(database, EVERY_TENANT):
        if entry.kind in _DECIDED:
            _decide_again(entry, found, judges, readers, runs)
        elif entry.kind is Kind.UNKNOWN_TOOL:
            _count_if_shown_now(entry, found, new)
        runs.note(entry)
        if progress and (entry.position % _STEP == 0 or entry.position == total):
            progress(entry.position, total)
    found.flips = dict(sorted(found.flips.items(), key=lambda each: -each[1].count))
    return found


def _decide_again(
    entry: Entry, found: Replay, judges: tuple["_Judge", "_Judge"], readers: Mapping[str, "_Arguments"], runs: "_Runs"
) -> None:
    body, tool = entry.body, entry.body.get("tool", "")
    if entry.erased:
        found.undecidable["what the call was about is erased"] += 1
        return
    if body.get("rules") in ([GRANT], [SCOPE]):
        found.undecidable[f"its {body['rules'][0]} denied it, whatever policy said"] += 1
        return
    if body.get("limits"):
        found.undecidable["a limit denied it, whatever rules said"] += 1
        return
    if tool not in readers:
        found.undecidable[f"there is no tool `{tool}` any more"] += 1
        return
    args = readers[tool].read(body["arguments"])
    if args is None:
        found.undecidable[f"`{tool}` takes other arguments than when it was recorded"] += 1
        return
    who = Principal(entry.tenant, body["person"], body["agent"], frozenset(body.get("claimed", ())))
    looks_back = any(judge.policy.needs_history(tool) for judge in judges)
    history = runs.before(entry) if looks_back else EMPTY
    facts = Facts(args, who.person, who.agent, who.tenant, entry.at, history, _flow(entry))
    try:
        before, after = (judge.decide(who, tool, facts) for judge in judges)
    except _FlowUnrecorded:
        found.undecidable["a rule asks about data flow that was not recorded then"] += 1
        return
    found.decisions += 1
    found.aged += before.verdict != body["verdict"]
    if before.verdict is not after.verdict:
        flip = _flip(before, after, tool, str(who))
        flipped = found.flips.setdefault(flip, Flipped())
        flipped.count += 1
        if len(flipped.calls) < _MOST_CALLS_NAMED:
            flipped.calls.append(entry.call_id)


class _FlowUnrecorded(Exception):
    """The decision depends on data flow of which the entry says nothing."""


class _Judge:
    """Decides by one policy, and tells a deny for want of knowledge from one that is meant."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._rules = {rule.id: rule for rule in policy.rules}

    def decide(self, who: Principal, tool: str, facts: Facts) -> Decision:
        """What the policy says.

        Raises:
            _FlowUnrecorded: If that depends on data flow that is not known.
        """
        decision = self.policy.decide(who, tool, facts.args, facts.now, facts.history, facts.flow)
        if decision.verdict is Verdict.DENY and self.policy.needs_flow(tool):
            made = [self._rules[id_] for id_ in decision.rules]
            if made and all(_asks_in_vain(rule, facts) for rule in made):
                raise _FlowUnrecorded
        return decision


def _asks_in_vain(rule: Rule, facts: Facts) -> bool:
    return any(
        rule.condition and truth(rule.condition, facts) is None and _is_unknown(fact, facts)
        for fact in flow_facts(rule.condition)
    )


def _is_unknown(fact: FlowFact, facts: Facts) -> bool:
    try:
        compiled(fact)(facts)
    except LookupError:
        return True
    return False


def _flow(entry: Entry) -> Flow | None:
    """What the entry tells of the data flow; None if that is nothing, or nothing that is understood now."""
    told = entry.body.get("flow")
    try:
        return flow_from(told) if isinstance(told, dict) else None
    except ValueError:
        return None


def _count_if_shown_now(entry: Entry, found: Replay, new: Policy) -> None:
    body = entry.body
    who = Principal(entry.tenant, body["person"], body["agent"], frozenset(body.get("claimed", ())))
    if new.shows(who, body.get("tool", ""), entry.at):
        found.undecidable["the caller did not see the tool then, so the arguments were not recorded"] += 1


def _flip(before: Decision, after: Decision, tool: str, who: str) -> Flip:
    return Flip(before.verdict, after.verdict, before.rules, after.rules, tool, who)


_Convert: TypeAlias = Callable[[Any], object]


class _Arguments:
    """Reads a tool's arguments back from the journal's JSON. They were validated when they were written."""

    def __init__(self, declared: Type) -> None:
        self._names = declared.fields.keys()
        converted = ((name, _conversion(inside)) for name, inside in declared.fields.items())
        self._conversions = [(name, convert) for name, convert in converted if convert]

    def read(self, recorded: Mapping[str, Any]) -> Mapping[str, object] | None:
        """The arguments as Python values; None if they are not those that the tool takes now."""
        if recorded.keys() != self._names:
            return None
        if not self._conversions:
            return recorded
        args = dict(recorded)
        for name, convert in self._conversions:
            if args[name] is not None:
                args[name] = convert(args[name])
        return args


def _conversion(declared: Type) -> _Convert | None:
    """What turns JSON into the value that conditions compare; None where they are the same."""
    if declared.kind is FieldKind.NUMBER:
        return lambda value: Decimal(value) if isinstance(value, str) else value
    if declared.kind is FieldKind.DATE:
        return date.fromisoformat
    if declared.kind is FieldKind.RECORD:
        return _Arguments(declared).read
    if declared.kind is FieldKind.LIST and declared.item and (inside := _conversion(declared.item)):
        return lambda values: [inside(value) for value in values]
    return None


@dataclass
class _Allowed:
    """The calls of one tool that a run was allowed, oldest first: their arguments, and beside them when and which."""

    arguments: deque[Mapping[str, object]] = field(default_factory=deque)
    calls: deque[tuple[datetime, str]] = field(default_factory=deque)

    def add(self, entry: Entry) -> None:
        self.arguments.append(entry.body.get("arguments", {}))
        self.calls.append((entry.at, entry.call_id))

    def forget_before(self, time: datetime) -> None:
        while self.calls and self.calls[0][0] < time:
            self.arguments.popleft()
            self.calls.popleft()

    def without(self, call_id: str) -> list[Mapping[str, object]]:
        return [made for made, (_, each) in zip(self.arguments, self.calls, strict=True) if each != call_id]

    def forget(self, call_id: str) -> None:
        for index, (_, each) in enumerate(self.calls):
            if each == call_id:
                del self.arguments[index], self.calls[index]
                return


class _Runs:
    """What each run was allowed so far, as far as rules look back: what `run_history` reads from a live journal."""

    def __init__(self, tools: set[str], window: timedelta) -> None:
        self._tools = tools
        self._window = window
        self._runs: dict[tuple[str, str], dict[str, _Allowed]] = defaultdict(lambda: defaultdict(_Allowed))

    def note(self, entry: Entry) -> None:
        """Remember what an entry says was allowed, and forget what failed for sure."""
        tool = entry.body.get("tool")
        if tool in self._tools and entry.kind is Kind.INTENT:
            self._runs[entry.tenant, entry.principal][tool].add(entry)
        elif tool in self._tools and entry.kind in _ENDED and entry.body.get("status") == "failed":
            self._runs[entry.tenant, entry.principal][tool].forget(entry.call_id)

    def before(self, entry: Entry) -> History:
        """What the entry's run was allowed within the window before it; good until the next entry is noted."""
        run = self._runs.get((entry.tenant, entry.principal), {})
        for allowed in run.values():
            allowed.forget_before(entry.at - self._window)
        # A repetition does not count itself.
        own = entry.body.get("repeats")
        return History({tool: allowed.without(own) if own else allowed.arguments for tool, allowed in run.items()})
