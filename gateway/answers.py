"""The answers of `call.py`, each with the sentence that tells the caller what to do next."""

from typing import Any

from connectors.contract import Output
from connectors.errors import Conflict, ConnectorError, InvalidInput, NotFound, Unavailable
from gateway.answer import Answer, ApprovalNeeded, Changed, ErrorKind, Failure
from gateway.approvals import Approval
from gateway.approvals.approval import Edit
from gateway.policy.decision import Decision

_NEXT = {
    ErrorKind.INVALID_INPUT: "Correct the named field and call again.",
    ErrorKind.NOT_FOUND: "Check the id, or search for the record first.",
    ErrorKind.CONFLICT: "Read the record again and decide on its current state.",
    ErrorKind.UNAVAILABLE: "Nothing was done. Try the same call again later.",
    ErrorKind.TIMEOUT: "Nothing was changed. Try again, or ask for less.",
    ErrorKind.IN_DOUBT: "Do not repeat the call. Look the record up to see whether it happened, or ask a person.",
    ErrorKind.BUSY: "Try the same call again in a few seconds.",
    ErrorKind.JOURNAL_UNAVAILABLE: "Nothing was done. Try the same call again later.",
    ErrorKind.INTERNAL: "Do not repeat a write. Report the call id to the operator.",
}
_KINDS: tuple[tuple[type[ConnectorError], ErrorKind], ...] = (
    (NotFound, ErrorKind.NOT_FOUND),
    (InvalidInput, ErrorKind.INVALID_INPUT),
    (Conflict, ErrorKind.CONFLICT),
    (Unavailable, ErrorKind.UNAVAILABLE),
)


def ok(call_id: str, output: Output, untrusted: list[str]) -> Answer[Any]:
    """The call ran; `untrusted` names the text in its result that is data and never an instruction."""
    return Answer(status="ok", call_id=call_id, result=output, untrusted=untrusted)


def denied(call_id: str, decision: Decision) -> Answer[Any]:
    """Policy says no."""
    return Answer(
        status="denied",
        call_id=call_id,
        reason=decision.reason,
        rules=list(decision.rules),
        next="Do not try to reach the same end another way. Go on without it, or tell the person why it was denied.",
    )


def pending(call_id: str, decision: Decision, approval: Approval) -> Answer[Any]:
    """Policy wants a person's yes; nothing was done."""
    return Answer(
        status="pending_approval",
        call_id=call_id,
        reason=decision.reason,
        rules=list(decision.rules),
        approval=ApprovalNeeded(
            id=approval.question.id,
            expires_at=approval.question.expires_at,
            given=len(approval.votes),
            needed=approval.quorum,
            asked_back=approval.unanswered_remark or None,
        ),
        next="Nothing was done yet. Tell the person that this waits for approval, and go on with other work. "
        "Repeat exactly the same call later: once it is approved, the repetition runs it.",
    )


def not_approved(call_id: str, approval: Approval) -> Answer[Any]:
    """A person said no, or nobody answered in time."""
    question = approval.question
    if no := approval.refusal:
        reason = f"{no.person} refused {question.id}" + (f": {no.note}" if no.note else "")
    else:
        reason = f"{question.id} expired on {question.expires_at:%Y-%m-%d %H:%M} UTC"
    return Answer(
        status="denied",
        call_id=call_id,
        reason=reason,
        rules=list(approval.ruling.rules),
        next="Do not repeat it or reach for the same end another way. Tell the person, and go on without it.",
    )


def repeated(call_id: str, kept: str | None) -> Answer[Any]:
    """A call that ran already: its answer, once more."""
    if kept is None:
        return failed(call_id, ErrorKind.CONFLICT, "this call ran already, and its answer is no longer kept")
    return Answer[Any].model_validate_json(kept)


def changed(answer: Answer[Any], edit: Edit) -> Answer[Any]:
    """The same answer, which tells that an approver changed the call."""
    return answer.model_copy(update={"changed": Changed(by=edit.by, arguments=edit.arguments)})


def failed(call_id: str, kind: ErrorKind, message: str, field: str = "") -> Answer[Any]:
    """The call did not run, or ran and failed without effect."""
    return Answer(
        status="failed",
        call_id=call_id,
        error=Failure(kind=kind, message=message, field=field),
        next=_NEXT[kind],
    )


def refused_by_back_end(call_id: str, error: ConnectorError) -> Answer[Any]:
    """The back end said no, in words meant for the caller."""
    kind = next((kind for cls, kind in _KINDS if isinstance(error, cls)), ErrorKind.INTERNAL)
    return failed(call_id, kind, error.message, error.field)


def in_doubt(call_id: str, why: str) -> Answer[Any]:
    """Nobody can say for sure whether the effect happened."""
    return failed(call_id, ErrorKind.IN_DOUBT, f"whether this happened is in doubt: {why}")
