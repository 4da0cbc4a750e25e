"""Who may say what to a question: each function gives the event to record, or says why not."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gateway.approvals.approval import Approval, Question, Ruling, State, Vote
from gateway.journal import Entry, Kind
from gateway.policy.decision import Decision, Verdict
from gateway.policy.files.approvers import Approver
from gateway.policy.files.roles import ANY_TENANT
from gateway.policy.judge import Policy
from gateway.principal import Principal, is_same_name

MAX_TEXT = 2_000


class NotAnswerable(Exception):
    """This person cannot say this to this question now; the message says why."""


def quorum(policy: Policy, tool: str, tenant: str) -> int:
    """How many people must say yes to calls of a tool: the most that a line about it asks for."""
    lines = (line.quorum for line in policy.approving.approvers if line.answers_for(tool, tenant))
    return max(lines, default=1)


def ruling_of(decision: Decision, policy: Policy, question: Question) -> Ruling:
    """Why a person is asked about a call, and how many must say yes."""
    needed = quorum(policy, question.tool, question.principal.tenant)
    return Ruling(decision.rules, decision.reason, decision.policy_version, needed)


def may_answer(policy: Policy, approver: Principal, question: Question, now: datetime | None = None) -> bool:
    """Whether a line of policy lets a person answer for a question's tool in its tenant.

    Args:
        policy: The policy in force.
        approver: Who wants to.
        question: The question.
        now: A line that counts only after a delay counts if it has passed by then; None lets every line count.
    """
    return bool(lines_of(policy, approver, question, now))


def lines_of(policy: Policy, approver: Principal, question: Question, now: datetime | None) -> list[Approver]:
    """The lines by which a person may answer a question."""
    tenant = question.principal.tenant
    if approver.person is None or approver.tenant != tenant:
        return []
    [roles] = policy.groups(Principal(tenant, approver.person, roles=approver.roles))
    return [
        line
        for line in policy.approving.approvers
        if line.role.removeprefix("role:") in roles
        and line.answers_for(question.tool, tenant)
        and (now is None or now >= question.asked_at + line.after)
    ]


def answered(
    approval: Approval,
    approver: Principal,
    policy: Policy,
    approve: bool,
    note: str,
    now: datetime,
    together: Sequence[str] = (),
) -> Entry:
    """A yes to exactly what stands there, or a no, which ends the question.

    Args:
        approval: The question.
        approver: Who answers.
        policy: The policy in force.
        approve: Yes or no.
        note: A line for the record.
        now: The time.
        together: The other questions that the person answers with it.

    Raises:
        NotAnswerable: Says why this person cannot answer it now.
    """
    authority = _authority(approval, approver, policy, now)
    _check(approval, note)
    body: dict[str, Any] = {"approved": approve, "authority": authority, "note": note, "binding": approval.binding}
    others = {"together": list(together)} if together else {}
    return _event(approval, approver, Kind.ANSWERED, now, {**body, **others, "policy_version": policy.version})


def edited(
    approval: Approval,
    approver: Principal,
    policy: Policy,
    arguments: dict[str, Any],
    decision: Decision,
    note: str,
    now: datetime,
) -> Entry:
    """A yes to the same call with other arguments: what was said to the former ones counts no more.

    Args:
        approval: The question.
        approver: Who edits.
        policy: The policy in force.
        arguments: The new arguments, validated, as JSON data.
        decision: What policy says to the caller's call with these.
        note: A line for the record.
        now: The time.

    Raises:
        NotAnswerable: If this person cannot answer it now, or policy denies the new call.
    """
    authority = _authority(approval, approver, policy, now, may_repeat=True)
    _check(approval, note)
    if decision.verdict is Verdict.DENY:
        raise NotAnswerable(f"{approval.question.id}: policy denies the edited call: {decision.reason}")
    question = approval.question
    needed = quorum(policy, question.tool, question.principal.tenant) if decision.verdict is Verdict.ASK else 1
    body = {"approved": True, "authority": authority, "note": note, "edited": arguments, "quorum": needed}
    why = {"rules": list(decision.rules), "reason": decision.reason, "policy_version": policy.version}
    return _event(approval, approver, Kind.ANSWERED, now, {**body, **why})


def asked_back(approval: Approval, approver: Principal, policy: Policy, text: str, now: datetime) -> Entry:
    """A question to the caller, who is told it and may reply.

    Raises:
        NotAnswerable: Says why this person cannot ask now.
    """
    _authority(approval, approver, policy, now, may_repeat=True)
    _check(approval, text)
    if not text.strip():
        raise NotAnswerable(f"{approval.question.id}: say what you want to know")
    return _event(approval, approver, Kind.ASKED_BACK, now, {"text": text})


def delegated(approval: Approval, approver: Principal, policy: Policy, to: str, now: datetime) -> Entry:
    """Pass one's right to answer this question on to a colleague; whoever of the two answers first uses it up.

    Args:
        approval: The question.
        approver: Who passes it on.
        policy: The policy in force.
        to: The colleague, a person whom policy knows in the tenant, without prefix.
        now: The time.

    Raises:
        NotAnswerable: If this person cannot answer it now, or the colleague never could.
    """
    question = approval.question
    authority = _authority(approval, approver, policy, now)
    if authority != approver.person:
        raise NotAnswerable(f"{question.id}: {authority} passed it on to you; it cannot be passed on again")
    if not may_answer(policy, Principal(approver.tenant, approver.person), question, now):
        # Roles of a sign-in are known while it lasts, and the colleague answers later.
        raise NotAnswerable(f"{question.id}: a right that your sign-in gives cannot be passed on")
    if not _is_known(policy, question.principal.tenant, to):
        raise NotAnswerable(f"{question.id}: roles.csv knows no person `{to}` in {question.principal.tenant}")
    if problem := concerned(question.principal, to, policy):
        raise NotAnswerable(f"{question.id}: it cannot be passed on to {to}: {problem}")
    return _event(approval, approver, Kind.DELEGATED, now, {"to": to, "authority": authority})


def replied(approval: Approval, caller: Principal, text: str, now: datetime) -> Entry | None:
    """The caller's reply to what was asked back; None if nothing is open or it is not the caller's question."""
    if caller != approval.question.principal or not approval.unanswered_remark:
        return None
    body = {"tool": approval.question.tool, "person": caller.person, "agent": caller.agent, "text": text[:MAX_TEXT]}
    return _entry(approval, caller.name, Kind.REPLIED, now, body)


def rebound(approval: Approval, ruling: Ruling, now: datetime) -> Entry:
    """Policy has changed and still asks: the question is open again, and nothing said before counts."""
    body = {
        "tool": approval.question.tool,
        "rules": list(ruling.rules),
        "reason": ruling.reason,
        "policy_version": ruling.policy_version,
        "quorum": ruling.quorum,
    }
    return _entry(approval, approval.question.principal.name, Kind.REBOUND, now, body)


def withdrawn(approval: Approval, decision: Decision, now: datetime) -> Entry:
    """Policy has changed and asks nobody any more: it denies the call, or allows it."""
    body = {
        "tool": approval.question.tool,
        "verdict": decision.verdict,
        "rules": list(decision.rules),
        "reason": decision.reason,
        "policy_version": decision.policy_version,
    }
    return _entry(approval, approval.question.principal.name, Kind.WITHDRAWN, now, body)


def _check(approval: Approval, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise NotAnswerable(f"{approval.question.id}: write at most {MAX_TEXT:,} characters, not {len(text):,}")


def _authority(
    approval: Approval, approver: Principal, policy: Policy, now: datetime, *, may_repeat: bool = False
) -> str:
    """Whose right a person answers by."""
    if problem := _obstacle(approval, approver, policy, now, may_repeat):
        raise NotAnswerable(f"{approval.question.id}: {problem}")
    authority = authority_of(approval, approver, policy, now)
    assert authority is not None  # noqa: S101 - else it was an obstacle
    return authority


def authority_of(approval: Approval, approver: Principal, policy: Policy, now: datetime) -> str | None:
    """Whose right a person would answer by: their own, or that of whoever passed the question on to them."""
    if may_answer(policy, approver, approval.question, now):
        return approver.person
    for to, by in approval.delegates:
        giver, question = Principal(approver.tenant, person=by), approval.question
        may_give = may_answer(policy, giver, question, now) and not concerned(question.principal, by, policy)
        if to == approver.person and may_give:
            return by
    return None


def obstacle(approval: Approval, approver: Principal, policy: Policy, now: datetime) -> str:
    """Why a person cannot answer a question now; empty when they can."""
    return _obstacle(approval, approver, policy, now, may_repeat=False)


def _obstacle(approval: Approval, approver: Principal, policy: Policy, now: datetime, may_repeat: bool) -> str:
    question, state = approval.question, approval.state(now)
    if state is not State.PENDING:
        return _over(approval, state)
    if policy.version != approval.ruling.policy_version:
        return "the policy has changed since it was asked: look at it again"
    if approver.agent is not None or approver.person is None:
        return "only a person answers, not through an agent"
    if problem := concerned(question.principal, approver.person, policy):
        return problem
    authority = authority_of(approval, approver, policy, now)
    if authority is None:
        if lines := lines_of(policy, approver, question, None):
            first = question.asked_at + min(line.after for line in lines)
            return f"{approver.person} may answer from {first:%Y-%m-%d %H:%M} UTC on, if nobody has by then"
        return f"{approver.person} may not answer for `{question.tool}`; approvers.csv says who may"
    if not may_repeat and any(_is_of(vote, authority, approver.person) for vote in approval.votes):
        return f"{authority} said yes already; {approval.quorum} different people must"
    return ""


def _is_of(vote: Vote, authority: str, person: str) -> bool:
    return is_same_name(vote.authority, authority) or is_same_name(vote.person, person)


def _over(approval: Approval, state: State) -> str:
    if state is State.WITHDRAWN:
        return f"it was withdrawn: {approval.withdrawn}"
    votes = approval.votes if approval.refusal is None else (approval.refusal,)
    return f"it is {state} already" + (f", by {' and '.join(vote.person for vote in votes)}" if votes else "")


def concerned(principal: Principal, person: str, policy: Policy) -> str:
    """Why a person has no say in what a principal asks, since it is their own; empty when they may."""
    if principal.person is not None and is_same_name(person, principal.person):
        return "nobody answers a question of their own"
    runs = any(
        line.agent == f"agent:{principal.agent}"
        and is_same_name(line.person, f"person:{person}")
        and line.tenant in (ANY_TENANT, principal.tenant)
        for line in policy.approving.operators
    )
    return f"{person} runs the agent {principal.agent}, so does not answer what it asks" if runs else ""


def _is_known(policy: Policy, tenant: str, person: str) -> bool:
    return any(link.subject == f"person:{person}" and link.tenant in (ANY_TENANT, tenant) for link in policy.links)


def _event(approval: Approval, approver: Principal, kind: Kind, at: datetime, body: dict[str, Any]) -> Entry:
    said = {"tool": approval.question.tool, "approver": approver.person, **body}
    return _entry(approval, approval.question.principal.name, kind, at, said)


def _entry(approval: Approval, principal: str, kind: Kind, at: datetime, body: dict[str, Any]) -> Entry:
    question = approval.question
    once = f"{question.id}:{approval.events}"
    return Entry(question.id, question.principal.tenant, principal, at, kind, body, once=once)
