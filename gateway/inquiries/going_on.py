"""Going on with a call whose client has answered: once, by whoever was asked, and as policy says by now."""

import json
from dataclasses import replace
from typing import Any

from connectors.asking import Given
from connectors.contract import Effect
from gateway import answers
from gateway.answer import Answer, ErrorKind
from gateway.canonical import keyed_hash
from gateway.carrying_out import carry_on
from gateway.catalog import validate
from gateway.earlier import Earlier, begun_by, read_earlier
from gateway.flow.labels import Label
from gateway.gateway import Decided, Gateway, record
from gateway.inquiries.inquiry import Inquiry, Resumed
from gateway.inquiries.stage import cleared
from gateway.journal import AlreadyRecorded, Kind
from gateway.policy.decision import Decision, Verdict

_OVER = "nothing of this call waits for this answer: it was given before, the time is over, or it was asked of another"
_CLEARANCE = "clearance"


async def go_on(gateway: Gateway, decided: Decided, resumed: Resumed) -> Answer[Any]:
    """Hand a client's answers to the server that asked, and carry the call on.

    What may go on is what the journal says was asked, not what the client brings back.

    Args:
        gateway: The gateway.
        decided: The repeated call, which policy does not deny.
        resumed: What it answers.

    Raises:
        ClientAsked: If the server asks again.
        JournalUnavailable: If something cannot be read or recorded; then the answers go nowhere.
    """
    call, inquiry = decided.call, resumed.inquiry
    earlier = read_earlier(await gateway.recorded.of(call.principal.tenant, inquiry.call))
    if earlier is None or earlier.begun is None or not _waits(gateway, earlier, decided, inquiry):
        await record(gateway, call, Kind.INVALID, error=_OVER, **decided.facts)
        return answers.failed(call.id, ErrorKind.CONFLICT, _OVER)
    label, why = await cleared(gateway, call, decided.tool)
    if why or _asks_only_now(earlier, decided):
        return await _denied(gateway, decided, why or "policy by now asks an approver: make the call anew")
    named = replace(call, id=inquiry.call, key=inquiry.key, uses=begun_by(earlier.begun).uses)
    try:
        await record(gateway, named, Kind.INFORMED, once=f"informed:{inquiry.name}", **_told(gateway, decided, resumed))
    except AlreadyRecorded:
        return answers.failed(call.id, ErrorKind.CONFLICT, _OVER)
    return await carry_on(gateway, _as_begun(decided, earlier, label), named)


def _waits(gateway: Gateway, earlier: Earlier, decided: Decided, inquiry: Inquiry) -> bool:
    """Whether this very inquiry, of this very call, is what the call waits for."""
    begun, asked, call = earlier.begun, earlier.inquired, decided.call
    if begun is None or asked is None or earlier.end or earlier.doubted or earlier.erased:
        return False
    is_same = begun.principal == call.principal.name and earlier.is_of(call.tool, decided.facts["arguments"])
    is_asked = asked.kind is Kind.INQUIRED and asked.body["inquiry"] == inquiry.name
    return is_same and is_asked and gateway.waits_for_client(earlier)


def _asks_only_now(earlier: Earlier, decided: Decided) -> bool:
    """Whether policy wants a person's yes to what it allowed without one when the call began."""
    assert earlier.begun  # noqa: S101 - it waits
    return decided.decision.verdict is Verdict.ASK and earlier.begun.body.get("verdict") != Verdict.ASK


def _as_begun(decided: Decided, earlier: Earlier, label: Label) -> Decided:
    """The call with the arguments that it began with, which an approver may have changed.

    What it writes may tell whatever its run has seen by now: that is what answers are made of.
    """
    assert earlier.begun  # noqa: S101 - it waits
    begun = earlier.begun.body
    facts = {**decided.facts, "arguments": begun["arguments"], "arguments_hash": begun["arguments_hash"]}
    written = decided.traced.written if decided.tool.effect is Effect.READ else decided.traced.written | label
    return replace(
        decided,
        arguments=validate(decided.tool, begun["arguments"]),
        traced=replace(decided.traced, written=written),
        facts=facts,
    )


def _told(gateway: Gateway, decided: Decided, resumed: Resumed) -> dict[str, Any]:
    given = [each for _, each in sorted(resumed.answers.items())]
    return {
        "inquiry": resumed.inquiry.name,
        "round": resumed.inquiry.round,
        "kinds": [each.kind for each in given],
        "given": [_word(each) for each in given],
        "hashes": [keyed_hash(json.dumps(each.result, sort_keys=True), gateway.secret) for each in given],
        "rules": list(decided.decision.rules),
        "policy_version": decided.decision.policy_version,
    }


def _word(given: Given) -> str:
    return "refused" if given.result is None else str(given.result.get("action", "answered"))


async def _denied(gateway: Gateway, decided: Decided, reason: str) -> Answer[Any]:
    decision = Decision(Verdict.DENY, (_CLEARANCE,), reason, decided.decision.policy_version)
    facts = {**decided.facts, "verdict": decision.verdict, "rules": list(decision.rules), "reason": reason}
    await record(gateway, decided.call, Kind.DENIED, **facts)
    return answers.denied(decided.call.id, decision)
