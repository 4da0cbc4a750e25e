"""The answers of `call.py`, each with the sentence that tells the caller what to do next."""

from typing import Any

from connectors.contract import Output
from connectors.errors import Conflict, ConnectorError, InvalidInput, NotFound, Unavailable
from gateway.answer import Answer, ApprovalNeeded, ErrorKind, Failure
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


def pending(call_id: str, decision: Decision, approval: str) -> Answer[Any]:
    """Policy wants a person's yes; nothing was done."""
    return Answer(
        status="pending_approval",
        call_id=call_id,
        reason=decision.reason,
        rules=list(decision.rules),
        approval=ApprovalNeeded(id=approval),
        next="Nothing was done yet. Tell the person that this waits for approval, and go on with other work.",
    )


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
