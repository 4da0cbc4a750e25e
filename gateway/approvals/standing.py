"""Standing approvals: a yes that also covers the next few calls like the one that was asked about.

It is a grant and no hole: policy says who may give one and for how many calls, every call is still decided by policy,
and it answers only what the same rules of the same policy ask. Everything but the text is fixed as it was in the call
that a person looked at.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from connectors.contract import Idempotency, Sink, Tool
from gateway.approvals.answering import NotAnswerable, lines_of
from gateway.approvals.approval import Approval
from gateway.journal import Entry, Kind
from gateway.policy.judge import Policy
from gateway.principal import Principal

LONGEST = timedelta(days=1)


@dataclass(frozen=True)
class Terms:
    """What an approver grants beyond the one call.

    Args:
        times: For how many more calls.
        until: Until when.
        run: Only for calls that declare this run; None for all of the principal's.
    """

    times: int
    until: datetime
    run: str | None = None


@dataclass(frozen=True)
class Standing:
    """One standing approval, and how much of it is used.

    Args:
        id: `std_` and the digits of the question that it was given with.
        principal: Whose calls it covers.
        tool: Of which tool.
        fixed: The arguments that must be as they were.
        rules: The rules whose questions it answers.
        policy_version: In which policy.
        terms: How often and until when.
        given_by: Who gave it.
        used: How many calls it has let through.
        ended_by: Who took it back; empty while it holds.
    """

    id: str
    principal: Principal
    tool: str
    fixed: dict[str, Any]
    rules: frozenset[str]
    policy_version: str
    terms: Terms
    given_by: str
    used: int = 0
    ended_by: str = ""

    def holds(self, now: datetime) -> bool:
        """Whether it can still let a call through."""
        return not self.ended_by and self.used < self.terms.times and now < self.terms.until

    def covers(
        self, tool: str, arguments: dict[str, Any], rules: Iterable[str], policy: str, run: str | None, now: datetime
    ) -> bool:
        """Whether it answers what these rules of this policy ask about a call."""
        return (
            self.holds(now)
            and (self.tool, self.policy_version) == (tool, policy)
            and self.rules.issuperset(rules)
            and self.terms.run in (None, run)
            and all(arguments.get(name) == value for name, value in self.fixed.items())
        )


def fixed_arguments(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a standing approval fixes: all but the fields that the tool declares to be text.

    A tool that changes a record names the version it read, which each change raises; elsewhere a version says what goes
    out, such as the text and the recipients of a draft.
    """
    free = {name for name, sink in tool.sinks.items() if sink is Sink.CONTENT}
    if tool.idempotency is Idempotency.VERSION:
        free.add("version")
    return {name: value for name, value in arguments.items() if name not in free}


def given(approval: Approval, approver: Principal, policy: Policy, tool: Tool, terms: Terms, now: datetime) -> Entry:
    """The entry that gives a standing approval together with a yes to a question.

    Raises:
        NotAnswerable: If policy lets this person give none, or not so much.
    """
    question = approval.question
    most = max((line.standing for line in lines_of(policy, approver, question, now)), default=0)
    if problem := _problem(approval, approver, terms, most, now):
        raise NotAnswerable(f"{question.id}: {problem}")
    body = {
        "tool": question.tool,
        "person": question.principal.person,
        "agent": question.principal.agent,
        "approver": approver.person,
        "approval": question.id,
        "fixed": fixed_arguments(tool, approval.arguments),
        "rules": list(approval.ruling.rules),
        "policy_version": policy.version,
        "times": terms.times,
        "until": terms.until.isoformat(),
        "run": terms.run,
    }
    return _entry(standing_id(question.id), question.principal, Kind.STANDING, now, body, "given")


def _problem(approval: Approval, approver: Principal, terms: Terms, most: int, now: datetime) -> str:
    if not most:
        return f"approvers.csv lets {approver.person} give no standing approval for `{approval.question.tool}`"
    if approval.quorum > 1:
        return f"{approval.quorum} people must say yes to each such call, so there is no standing approval"
    if not 1 <= terms.times <= most:
        return f"a standing approval covers 1 to {most} calls, not {terms.times}"
    if not now < terms.until <= now + LONGEST:
        return f"a standing approval ends within {LONGEST.days * 24} hours, not at {terms.until:%Y-%m-%d %H:%M} UTC"
    return ""


def used(standing: Standing, call_id: str, now: datetime) -> Entry:
    """The entry that uses it up by one; the journal takes each use once."""
    body = {"tool": standing.tool, "call": call_id, "use": standing.used + 1}
    return _entry(standing.id, standing.principal, Kind.STANDING_USED, now, body, f"use:{standing.used + 1}")


def ended(standing: Standing, approver: Principal, now: datetime) -> Entry:
    """The entry that takes it back."""
    body = {"tool": standing.tool, "approver": approver.person}
    return _entry(standing.id, standing.principal, Kind.STANDING_ENDED, now, body, "ended")


def standing_id(question_id: str) -> str:
    """The name of the standing approval that is given with a question."""
    return f"std_{question_id.partition('_')[2]}"


def read_standing(entries: Iterable[Entry]) -> Standing | None:
    """Read a standing approval off its entries, oldest first; None if it was never given."""
    standing: Standing | None = None
    for entry in entries:
        if entry.kind is Kind.STANDING:
            standing = _given(entry)
        elif standing and entry.kind is Kind.STANDING_USED:
            standing = replace(standing, used=entry.body["use"])
        elif standing and entry.kind is Kind.STANDING_ENDED:
            standing = replace(standing, ended_by=entry.body["approver"])
    return standing


def _given(entry: Entry) -> Standing:
    body = entry.body
    # What it fixed is gone, and without that it would cover every call.
    gone = "erasure" if entry.erased else ""
    return Standing(
        id=entry.call_id,
        principal=Principal(entry.tenant, body["person"], body["agent"]),
        tool=body["tool"],
        fixed=body.get("fixed", {}),
        rules=frozenset(body["rules"]),
        policy_version=body["policy_version"],
        terms=Terms(body["times"], datetime.fromisoformat(body["until"]), body["run"]),
        given_by=body["approver"],
        ended_by=gone,
    )


def _entry(id_: str, principal: Principal, kind: Kind, at: datetime, body: dict[str, Any], what: str) -> Entry:
    return Entry(id_, principal.tenant, principal.name, at, kind, body, once=f"{id_}:{what}")
