"""The answers of `call.py`, each with the sentence that tells the caller what to do next."""

from datetime import datetime, timedelta
from math import ceil
from typing import Any

from connectors.contract import Output
from connectors.errors import Conflict, ConnectorError, InDoubt, InvalidInput, NotFound, Unavailable
from gateway.answer import ERROR, Answer, ApprovalNeeded, Changed, ErrorKind, Failure
from gateway.approvals import Approval
from gateway.approvals.approval import Edit
from gateway.policy.decision import Decision
from gateway.resilience import OutOfService

_NEXT = {
    ErrorKind.INVALID_INPUT: "Correct the named field and call again.",
    ErrorKind.NOT_FOUND: "Check the id, or search for the record first.",
    ErrorKind.CONFLICT: "Read the record again and decide on its current state.",
    ErrorKind.UNAVAILABLE: "Nothing was done. Try the same call again later.",
    ErrorKind.TIMEOUT: "Nothing was changed. Try again, or ask for less.",
    ErrorKind.IN_DOUBT: "Do not repeat the call. Look the record up to see whether it happened, or ask a person.",
    ErrorKind.NOT_DONE: "Nothing was done. If it is still wanted, call again under another key.",
    ErrorKind.BUSY: "Try the same call again in a few seconds.",
    ErrorKind.JOURNAL_UNAVAILABLE: "Nothing was done. Try the same call again later.",
    ErrorKind.INTERNAL: "Do not repeat a write. Report the call id to the operator.",
}
_ASK_AGAIN = "Do not make a new call of it. Repeat it with the same key later to hear what became of it."
_KINDS: tuple[tuple[type[ConnectorError], ErrorKind], ...] = (
    (NotFound, ErrorKind.NOT_FOUND),
    (InvalidInput, ErrorKind.INVALID_INPUT),
    (Conflict, ErrorKind.CONFLICT),
    (InDoubt, ErrorKind.IN_DOUBT),
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


def over_limit(call_id: str, decision: Decision, free_at: datetime | None, now: datetime) -> Answer[Any]:
    """A limit leaves no room for the call until a time; None if it never does, since the call alone is too much."""
    if free_at is None:
        told = "Nothing was done. It is more than the limit ever allows at once: ask for less, or tell the person."
        return denied(call_id, decision).model_copy(update={"next": told})
    free_at = free_at.replace(microsecond=0) + timedelta(seconds=1)
    seconds = max(ceil((free_at - now).total_seconds()), 1)
    told = f"Nothing was done. Go on without it, or come back in {seconds} s. Do not do the same another way."
    return denied(call_id, decision).model_copy(update={"next": told, "retry_after": seconds, "retry_at": free_at})


def busy(call_id: str, seconds: int, now: datetime) -> Answer[Any]:
    """There is no room for the call at the moment; it is not in the journal."""
    return _later(failed(call_id, ErrorKind.BUSY, "too many calls at the moment; nothing was done"), seconds, now)


def out_of_service(call_id: str, error: OutOfService, now: datetime) -> Answer[Any]:
    """The back end is left alone for a while; nothing was done."""
    return _later(failed(call_id, ErrorKind.UNAVAILABLE, str(error)), error.seconds, now)


def _later(answer: Answer[Any], seconds: int, now: datetime) -> Answer[Any]:
    return answer.model_copy(update={"retry_after": seconds, "retry_at": now + timedelta(seconds=seconds)})


def badly_granted(call_id: str, decision: Decision) -> Answer[Any]:
    """The grant that the call presents is not good: it is not looked at as if it presented none."""
    answer = denied(call_id, decision)
    return answer.model_copy(
        update={"next": "Nothing was done. Do not repeat it without a grant: get a good one first."}
    )


def stopped(call_id: str, rules: list[str], reason: str) -> Answer[Any]:
    """Somebody has stopped what the call belongs to."""
    return Answer(
        status="denied",
        call_id=call_id,
        reason=reason,
        rules=rules,
        next="Stop working on this and tell the person. Nothing of it runs, whatever the tool, until it is resumed.",
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


def too_many_asked(call_id: str, why: str) -> Answer[Any]:
    """Nobody is asked about it, because too much of this caller waits already."""
    busy = failed(call_id, ErrorKind.BUSY, f"{why}; nothing was done")
    return busy.model_copy(update={"next": "Wait until some of them are answered. Ask for fewer things at once."})


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


def refused_by_back_end(call_id: str, error: ConnectorError, *, settled: bool = False) -> Answer[Any]:
    """The back end said no, in words meant for the caller; settled, the call stays refused when it is repeated."""
    kind = next((kind for cls, kind in _KINDS if isinstance(error, cls)), ErrorKind.INTERNAL)
    refused = failed(call_id, kind, error.message, error.field)
    if error.is_untrusted:
        refused = refused.model_copy(update={"untrusted": [ERROR]})
    if settled and kind is ErrorKind.UNAVAILABLE:
        return refused.model_copy(update={"next": _NEXT[ErrorKind.NOT_DONE]})
    return refused


def in_doubt(call_id: str, why: str, *, keyed: bool = False) -> Answer[Any]:
    """Nobody can say for sure whether the effect happened; a call with a key may be repeated to hear it later."""
    doubt = failed(call_id, ErrorKind.IN_DOUBT, f"whether this happened is in doubt: {why}")
    return doubt.model_copy(update={"next": _ASK_AGAIN}) if keyed else doubt


def in_progress(call_id: str, name: str) -> Answer[Any]:
    """The same call is being carried out at this moment."""
    busy = failed(call_id, ErrorKind.BUSY, f"`{name}` is in progress; repeat it for its outcome")
    return busy.model_copy(update={"next": "Repeat exactly the same call, with the same key, in a few seconds."})


def happened(call_id: str, why: str) -> Answer[Any]:
    """A person settled that a call in doubt did happen; what it gave is not known."""
    return Answer(
        status="ok",
        call_id=call_id,
        reason=f"it happened, but its result is not known: {why}",
        next="Do not repeat it. Read the record if you need what it gave.",
    )
