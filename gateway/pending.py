"""What a client gets whose call waits for a person: asked whether to wait, in the way of its protocol era, and held.

An answer of the client only says whether to wait. Whether the call may run stands in the gateway's own record, which
the call is decided by when it is made again.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import mcp.types as wire
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError
from structlog import get_logger

from gateway.answer import Answer, ApprovalNeeded
from gateway.elicitation import Mode, action_in, elicitation, mode_for, page_of, where_answered
from gateway.gateway import Gateway, ToolCall
from gateway.held import NoPlace, Patience
from gateway.principal import Principal

log = get_logger("remit.pending")

_KEY = "approval"
_TELL_SECONDS = 5.0


@dataclass(frozen=True)
class PendingCall:
    """A call that waits for a person.

    Args:
        context: The request.
        params: Its parameters.
        call: The call that it is.
        answer: That it waits.
        needed: For what.
        again: Makes the same call again.
    """

    context: ServerRequestContext[Any, Any]
    params: wire.CallToolRequestParams
    call: ToolCall
    answer: Answer[Any]
    needed: ApprovalNeeded
    again: Callable[[], Awaitable[Answer[Any]]]

    def log(self, event: str, **facts: str) -> None:
        """Log what passed between client and gateway. It decides nothing, so it is not in the journal."""
        log.info(event, call=self.call.id, approval=self.needed.id, caller=str(self.call.principal), **facts)


async def left_waiting(gateway: Gateway, params: wire.CallToolRequestParams, caller: Principal) -> Answer[Any] | None:
    """The answer to a retry that says that the client's user does not want to wait; None to any other call.

    Such a retry is not made a call: whoever has just said no must not see it run because an approver said yes.
    """
    action = action_in(params.input_responses, _KEY)
    if params.request_state is None or action not in {"decline", "cancel"}:
        return None
    approval = await gateway.approvals.find(caller.tenant, params.request_state)
    if approval is None or not approval.is_open(gateway.now()):
        return None
    question = approval.question
    log.info("elicitation_answered", approval=question.id, caller=str(caller), action=action)
    answer: Answer[Any] = Answer(
        status="pending_approval",
        call_id=question.id,
        reason="an approver has to answer, and the client's user chose not to wait",
        approval=ApprovalNeeded(
            id=question.id, expires_at=question.expires_at, given=len(approval.votes), needed=approval.quorum
        ),
        next="Nothing was done. Go on with other work. Repeat exactly the same call only if the person wants it: "
        "once it is approved, the repetition runs it.",
    )
    return with_way_to_answer(answer, gateway.patience)


async def wait_or_answer(patience: Patience, pending: PendingCall) -> Answer[Any] | wire.InputRequiredResult:
    """Wait for a person as far as the client wants that, and give the call's answer.

    A caller who said how long to be held has decided: its user is not asked. One who is asked something back has to
    reply first.

    Args:
        patience: How long and where.
        pending: The call.
    """
    page = page_of(patience.console_url, pending.needed.id)
    version, wished = pending.context.protocol_version, pending.call.declared.wait
    mode = mode_for(pending.context.session.client_capabilities, version, page)
    if pending.needed.asked_back or not patience.seconds:
        return pending.answer
    if wished is not None:
        return await _held(patience, pending, min(wished, patience.seconds))
    if mode is None:
        return pending.answer
    if version in MODERN_PROTOCOL_VERSIONS:
        return await _asked_in_rounds(patience, pending, mode, page)
    return await _asked_meanwhile(patience, pending, mode, page)


def with_way_to_answer(answer: Answer[Any], patience: Patience) -> Answer[Any]:
    """The answer, which tells where an approver answers if one has to."""
    if answer.status != "pending_approval" or answer.approval is None:
        return answer
    if page := page_of(patience.console_url, answer.approval.id):
        return answer.model_copy(update={"approval": answer.approval.model_copy(update={"url": page})})
    how = f" An approver answers on the gateway's machine: {where_answered('', answer.approval.id)}."
    return answer.model_copy(update={"next": f"{answer.next}{how}"})


async def _asked_in_rounds(
    patience: Patience, pending: PendingCall, mode: Mode, page: str
) -> Answer[Any] | wire.InputRequiredResult:
    """Ask by an answer that wants a retry (from 2026-07-28), and hold the retry of who waits."""
    params, needed = pending.params, pending.needed
    if params.request_state == needed.id and action_in(params.input_responses, _KEY) == "accept":
        pending.log("elicitation_answered", action="accept")
        return await _held(patience, pending, patience.seconds)
    pending.log("elicitation_sent", mode=mode)
    asked = elicitation(mode, needed, params.name, pending.call.principal, page, None)
    return wire.InputRequiredResult(input_requests={_KEY: asked}, request_state=needed.id)


async def _held(patience: Patience, pending: PendingCall, seconds: float) -> Answer[Any]:
    try:
        with patience.held.place(pending.call.principal.tenant, pending.needed.id) as told:
            if not await _told_within(told, seconds, pending) or patience.held.is_let_go:
                return pending.answer
    except NoPlace:
        pending.log("not_held_for_lack_of_places")
        return pending.answer
    return await pending.again()


async def _asked_meanwhile(patience: Patience, pending: PendingCall, mode: Mode, page: str) -> Answer[Any]:
    """Ask by a request within the client's request (up to 2025-11-25), and hold that while its user looks at it."""
    elicitation_id = pending.call.id
    asked = elicitation(mode, pending.needed, pending.params.name, pending.call.principal, page, elicitation_id)
    was_told = False
    try:
        with patience.held.place(pending.call.principal.tenant, pending.needed.id) as told:
            async with anyio.create_task_group() as tasks:

                async def ask() -> None:
                    if await _action(pending, asked, mode) != "accept":
                        tasks.cancel_scope.cancel()

                tasks.start_soon(ask)
                was_told = await _told_within(told, patience.seconds, pending)
                tasks.cancel_scope.cancel()
    except NoPlace:
        pending.log("not_held_for_lack_of_places")
    if not was_told or patience.held.is_let_go:
        return pending.answer
    answer = await pending.again()
    if mode is Mode.PAGE and answer.status != "pending_approval":
        await pending.context.session.send_elicit_complete(elicitation_id, pending.context.request_id)
    return answer


async def _action(pending: PendingCall, asked: wire.ElicitRequest, mode: Mode) -> str:
    action: str
    related = ServerMessageMetadata(related_request_id=pending.context.request_id)
    pending.log("elicitation_sent", mode=mode)
    try:
        action = (await pending.context.session.send_request(asked, wire.ElicitResult, metadata=related)).action
    except (MCPError, ValidationError):
        action = "failed"
    pending.log("elicitation_answered", action=action)
    return action


async def _told_within(told: anyio.Event, seconds: float, pending: PendingCall) -> bool:
    """Wait until there is something to tell, and let the client know all along that it is waited for."""
    steps = math.ceil(seconds / _TELL_SECONDS)
    for step in range(steps):
        # A call that runs has reached 1 of 2: waiting stays below.
        await pending.call.progress(step / (steps + 1), 2, "waiting for an approver")
        with anyio.move_on_after(min(_TELL_SECONDS, seconds - step * _TELL_SECONDS)):
            await told.wait()
            return True
    return False
