"""A person's yes or no to one exact call: asked once, answered once, used once.

The journal is the only store. A question is named by what it binds: who asks, the tool and its input schema, the
exact arguments, the rules that ask and the policy they stand in. The same call repeated is the same question; any
change makes another one. Everything about a question, the call that it releases included, is recorded under its name,
and its state is read off those entries. What must not happen twice is an entry that the journal takes once.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from connectors.contract import Tool
from gateway.journal import Entry, Kind
from gateway.policy.decision import Decision
from gateway.policy.judge import Policy
from gateway.principal import Principal


class State(StrEnum):
    """Where a question stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    STARTED = "started"
    SETTLED = "settled"


class NotAnswerable(Exception):
    """This person cannot answer this question now; the message says why."""


@dataclass(frozen=True)
class Question:
    """One exact call that a person is asked about.

    Args:
        id: `apr_` and 24 hexadecimal digits over everything it binds.
        principal: Who asks.
        tool: The tool's name.
        arguments: The validated arguments as JSON data, as a person is shown them.
        rules: The rules that ask.
        reason: Why, in a sentence.
        policy_version: The policy in which they ask.
        asked_at: When it was asked first.
        expires_at: From then on it counts as refused.
    """

    id: str
    principal: Principal
    tool: str
    arguments: dict[str, Any]
    rules: tuple[str, ...]
    reason: str
    policy_version: str
    asked_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Approval:
    """A question with what has become of it."""

    question: Question
    approved: bool | None = None
    answered_by: str = ""
    answered_at: datetime | None = None
    note: str = ""
    started: bool = False
    settled_at: datetime | None = None

    def state(self, now: datetime) -> State:
        """Where it stands at a moment."""
        if self.settled_at:
            return State.SETTLED
        if self.started:
            return State.STARTED
        if self.approved is False:
            return State.REFUSED
        if now >= self.question.expires_at:
            return State.EXPIRED
        return State.APPROVED if self.approved else State.PENDING


def question_of(
    principal: Principal,
    tool: Tool,
    arguments: dict[str, Any],
    decision: Decision,
    turn: int,
    asked_at: datetime,
    ttl: timedelta,
) -> Question:
    """Make the question that a call raises.

    Args:
        principal: Who calls.
        tool: The tool.
        arguments: The validated arguments as JSON data.
        decision: The decision that asks.
        turn: How often the same question was asked and came to an end before.
        asked_at: Now.
        ttl: How long a person has to answer.
    """
    shown = (arguments, tool.input.model_json_schema(), decision.rules, decision.policy_version, turn)
    bound = json.dumps([principal.tenant, principal.parties, tool.name, *shown], sort_keys=True)
    return Question(
        id="apr_" + hashlib.sha256(bound.encode()).hexdigest()[:24],
        principal=principal,
        tool=tool.name,
        arguments=arguments,
        rules=decision.rules,
        reason=decision.reason,
        policy_version=decision.policy_version,
        asked_at=asked_at,
        expires_at=asked_at + ttl,
    )


def asked(question: Question, said: dict[str, Any]) -> Entry:
    """The entry that asks a question; the journal takes it once.

    Args:
        question: What is asked.
        said: What the caller declared of itself, for the person who answers.
    """
    body = {
        **said,
        "tool": question.tool,
        "person": question.principal.person,
        "agent": question.principal.agent,
        "arguments": question.arguments,
        "rules": list(question.rules),
        "reason": question.reason,
        "policy_version": question.policy_version,
        "expires_at": question.expires_at.isoformat(),
    }
    return _entry(question, question.asked_at, Kind.ASKED, body)


def answered(approval: Approval, approver: Principal, policy: Policy, approve: bool, note: str, now: datetime) -> Entry:
    """The entry that answers a question; the journal takes one answer only.

    Raises:
        NotAnswerable: Says why this person cannot answer this question now.
    """
    question = approval.question
    if problem := _obstacle(approval, approver, policy, now):
        raise NotAnswerable(f"{question.id}: {problem}")
    body = {"tool": question.tool, "approved": approve, "approver": approver.person, "note": note}
    return _entry(question, now, Kind.ANSWERED, {**body, "policy_version": policy.version})


def _obstacle(approval: Approval, approver: Principal, policy: Policy, now: datetime) -> str:
    question, state = approval.question, approval.state(now)
    if state is not State.PENDING:
        return f"it is {state} already" + (f", by {approval.answered_by}" if approval.answered_by else "")
    if policy.version != question.policy_version:
        return "the policy has changed since it was asked; the caller has to ask again"
    if approver.agent is not None or approver.person is None:
        return "only a person answers, not through an agent"
    if approver.person == question.principal.person:
        return "nobody answers a question of their own"
    if not may_answer(policy, approver, question):
        return f"{approver.person} may not answer for `{question.tool}`; approvers.csv says who may"
    return ""


def may_answer(policy: Policy, approver: Principal, question: Question) -> bool:
    """Say whether policy lets a person answer for a question's tool in its tenant."""
    tenant = question.principal.tenant
    [roles] = policy.groups(Principal(tenant, person=approver.person))
    return approver.tenant == tenant and any(
        line.role.removeprefix("role:") in roles and line.answers_for(question.tool, tenant)
        for line in policy.approvers
    )


def read_approval(entries: Iterable[Entry]) -> Approval | None:
    """Read what became of a question off its entries, oldest first; None if it was never asked."""
    approval: Approval | None = None
    for entry in entries:
        approval = _after(approval, entry)
    return approval


def _after(approval: Approval | None, entry: Entry) -> Approval | None:
    body = entry.body
    if entry.kind is Kind.ASKED:
        return Approval(
            Question(
                id=entry.call_id,
                principal=Principal(entry.tenant, body["person"], body["agent"]),
                tool=body["tool"],
                arguments=body["arguments"],
                rules=tuple(body["rules"]),
                reason=body["reason"],
                policy_version=body["policy_version"],
                asked_at=entry.at,
                expires_at=datetime.fromisoformat(body["expires_at"]),
            )
        )
    if approval is None:
        return None
    if entry.kind is Kind.ANSWERED:
        return replace(
            approval, approved=body["approved"], answered_by=body["approver"], answered_at=entry.at, note=body["note"]
        )
    if entry.kind is Kind.INTENT:
        return replace(approval, started=True)
    if entry.kind is Kind.OUTCOME and body["status"] != "in_doubt":
        return replace(approval, settled_at=entry.at)
    return approval


def _entry(question: Question, at: datetime, kind: Kind, body: dict[str, Any]) -> Entry:
    once = f"{kind}:{question.id}"
    return Entry(question.id, question.principal.tenant, question.principal.name, at, kind, body, once=once)
