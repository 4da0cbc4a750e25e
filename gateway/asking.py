"""The stage of a call that policy asks a person about: asked, waiting, answered, or covered by a standing approval."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import anyio

from gateway import answers
from gateway.answer import Answer
from gateway.approvals import Approval, State
from gateway.approvals.approval import Edit
from gateway.approvals.book import KeyUsedOtherwise, TooManyAsked
from gateway.approvals.standing import Standing
from gateway.carrying_out import carry_out, key_used_otherwise, tell_again
from gateway.catalog import validate
from gateway.flow.arguments import changed_arguments
from gateway.gateway import Decided, Gateway, decide, record
from gateway.journal import Kind
from gateway.journal.uses import OverLimit
from gateway.limits.refusing import check_limits, refused_over_limit
from gateway.policy.decision import Verdict


async def ask(gateway: Gateway, decided: Decided) -> Answer[Any]:
    """Ask a person about a call, and go on with it as far as it is answered.

    Raises:
        JournalUnavailable: If something cannot be read or recorded; then nothing is carried out.
    """
    call, facts, now = decided.call, decided.facts, gateway.now()
    try:
        approval = await _asked(gateway, decided, now)
    except KeyUsedOtherwise:
        return await key_used_otherwise(gateway, call, facts, "a question to a person")
    except OverLimit as error:
        return await refused_over_limit(gateway, decided, error)
    except TooManyAsked as error:
        await record(gateway, call, Kind.TURNED_AWAY, error=str(error), **facts)
        return answers.too_many_asked(call.id, str(error))
    if isinstance(approval, Standing):
        granted = {**facts, "standing": approval.id, "approver": approval.given_by}
        return await carry_out(gateway, replace(decided, facts=granted))
    name = approval.question.id
    match approval.state(now):
        case State.PENDING | State.WITHDRAWN:
            await record(gateway, call, Kind.PENDING, approval=name, **facts)
            return answers.pending(call.id, decided.decision, approval)
        case State.REFUSED | State.EXPIRED:
            await record(gateway, call, Kind.DENIED, approval=name, **facts)
            return answers.not_approved(call.id, approval)
        case State.SETTLED:
            kept = answers.repeated(name, await gateway.settled.find(call.principal.tenant, name))
            answer = await tell_again(gateway, decided, kept, {"approval": name, **facts})
            return answers.changed(answer, approval.edit) if approval.edit else answer
        case State.APPROVED | State.STARTED:
            # From here on the call goes by the question's name: its intent is recorded once, its effect done once.
            released = replace(decided, call=replace(call, id=name, key=name), traced=decided.traced.approved())
            return await (
                _carry_out_edited(gateway, released, approval, approval.edit)
                if approval.edit
                else carry_out(gateway, released)
            )


async def _asked(gateway: Gateway, decided: Decided, now: datetime) -> Approval | Standing:
    """The question that the call raises, asked if it was not; or the standing approval that answers it."""
    call, tool, decision, arguments = decided.call, decided.tool, decided.decision, decided.facts["arguments"]
    who, declared, book = call.principal, call.declared, gateway.approvals
    said = {**declared.told(), "client": call.client, **({"grant": call.grant.told()} if call.grant else {})}
    question, approval = await book.raised(who, tool, arguments, said, now, declared.key or "", decided.traced)
    standing = None
    if approval is None:
        await check_limits(gateway, decided)  # nobody is asked about what would be refused all the same
    # What is recorded is told even if the caller goes away meanwhile.
    with anyio.CancelScope(shield=True):
        if approval is None or approval.state(now) is State.PENDING:
            standing = await book.standing.use(who, tool, arguments, decision, declared.run, call.id, now)
        if standing is None:
            approval = await book.ask(question, approval, decision, decided.policy, now)
            if declared.reply:
                approval = await book.reply(approval, who, declared.reply, now)
    found = standing or approval
    assert found is not None  # noqa: S101 - one of the two
    return found


async def _carry_out_edited(gateway: Gateway, asked: Decided, approval: Approval, edit: Edit) -> Answer[Any]:
    """Carry out what an approver changed the call to, unless policy denies that or other rules ask about it by now."""
    call, arguments = asked.call, validate(asked.tool, edit.arguments)
    flow = asked.traced.edited(changed_arguments(asked.arguments.model_dump(), arguments.model_dump()))
    decided = decide(gateway, call, asked.policy, asked.tool, arguments, asked.earlier, flow)
    facts = {**decided.facts, "edited_by": edit.by}
    if decided.decision.verdict is Verdict.DENY:
        await record(gateway, call, Kind.DENIED, **facts)
        return answers.denied(call.id, decided.decision)
    asks_otherwise = decided.decision.verdict is Verdict.ASK and decided.decision.rules != edit.rules
    if asks_otherwise and not approval.started:
        reopened = await gateway.approvals.reopen(approval, gateway.now())
        await record(gateway, call, Kind.PENDING, approval=call.id, **facts)
        return answers.pending(call.id, decided.decision, reopened)
    return answers.changed(await carry_out(gateway, replace(decided, facts=facts)), edit)
