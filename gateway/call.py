"""The way of one tool call, from the caller's words to the recorded outcome.

Every call of every caller over every transport takes exactly this way; `_dispose` reads from top to bottom. Whatever
fails before the decision is a refusal, and nothing happens in a back end that the journal does not hold first.
"""

from typing import Any

from pydantic import BaseModel
from structlog import get_logger

from connectors.asking import LacksCapability
from connectors.contract import Effect, Tool
from gateway import answers
from gateway.answer import Answer, ErrorKind
from gateway.asking import ask
from gateway.canonical import keyed_name, names_of_key
from gateway.carrying_out import carry_out, failed_within
from gateway.catalog import InvalidArguments, UnknownTool, validate
from gateway.flow.stage import traced
from gateway.gateway import Gateway, ToolCall, decide, record
from gateway.grants.grant import BadGrant
from gateway.grants.presented import counted_under, looked_back_at, refuse, under_its_grant
from gateway.inquiries.going_on import go_on
from gateway.inquiries.inquiry import ClientAsked
from gateway.journal import JournalUnavailable, Kind
from gateway.logs import about
from gateway.metrics import counted
from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy
from gateway.policy.language.history import History
from gateway.results.stage import present
from gateway.slots import Busy, Place
from gateway.stopping.refusing import refused_as_stopped

log = get_logger("remit.call")


@counted
async def call_tool(gateway: Gateway, call: ToolCall) -> Answer[Any]:
    """Decide one call, carry it out if policy allows it, and record both.

    Returns:
        The answer for the caller; refusals and failures are answers too.

    Raises:
        UnknownTool: If the principal has no such tool. It is recorded and says nothing about why.
        ClientAsked: If the client has to answer first what an upstream server asks.
        LacksCapability: If an upstream server needs what the client cannot do.
    """
    traced = {"trace": call.trace} if call.trace else {}
    with about(call=call.id, tool=call.tool, tenant=call.principal.tenant, **traced):
        return await _answered(gateway, call)


async def _answered(gateway: Gateway, call: ToolCall) -> Answer[Any]:
    try:
        async with gateway.slots.take(_place(gateway, call)):
            # Whoever waited for a slot meanwhile is told so as well.
            if gateway.leaving.is_closed:
                return answers.failed(call.id, ErrorKind.BUSY, "the gateway is shutting down; nothing was done")
            return await _under_grant(gateway, call)
    except (UnknownTool, ClientAsked, LacksCapability):
        raise
    except Busy as error:
        return answers.busy(call.id, error.seconds, gateway.now())
    except JournalUnavailable as error:
        gateway.journal.doubt(str(error))
        log.error("refused_without_journal")
        return answers.failed(call.id, ErrorKind.JOURNAL_UNAVAILABLE, "the call cannot be recorded, so it was not run")
    except Exception:
        log.exception("call_failed")
        return await failed_within(gateway, call)


def _place(gateway: Gateway, call: ToolCall) -> Place:
    tool = gateway.catalog.tools.get(call.tool)
    return Place(call.principal.tenant, tool.area if tool else "", call.principal)


async def _under_grant(gateway: Gateway, call: ToolCall) -> Answer[Any]:
    try:
        return await _dispose(gateway, await under_its_grant(gateway, call))
    except BadGrant as error:
        return await refuse(gateway, call, error)


async def _dispose(gateway: Gateway, call: ToolCall) -> Answer[Any]:
    policy = gateway.policy.current
    try:
        tool = gateway.catalog.find(policy, call.principal, call.tool, gateway.now())
        arguments = validate(tool, call.arguments)
    except UnknownTool:
        await record(gateway, call, Kind.UNKNOWN_TOOL)
        raise
    except InvalidArguments as error:
        await record(gateway, call, Kind.INVALID, error=error.message)
        return answers.failed(call.id, ErrorKind.INVALID_INPUT, error.message, error.field)

    own = _own_names(gateway, call)
    async with gateway.history.turn(call.principal, looked_back_at(policy, call, tool), gateway.now(), own) as earlier:
        if gateway.policy.current is policy:
            call = await counted_under(gateway, call, own)
            return await _decide(gateway, call, policy, tool, arguments, earlier)
    # Policy changed while the call waited for its turn.
    return await _dispose(gateway, call)


def _own_names(gateway: Gateway, call: ToolCall) -> tuple[str, ...]:
    """The names under which the call itself may have been begun before."""
    keyed = names_of_key(keyed_name(call.principal, call.declared.key, gateway.secret)) if call.declared.key else ()
    return (*keyed, call.resumed.inquiry.call) if call.resumed else keyed


async def _decide(
    gateway: Gateway, call: ToolCall, policy: Policy, tool: Tool, arguments: BaseModel, earlier: History | None
) -> Answer[Any]:
    flow = await traced(gateway, call, policy, tool, arguments)
    decided = decide(gateway, call, policy, tool, arguments, earlier, flow)
    if stopped := await refused_as_stopped(gateway, decided):
        return stopped
    if decided.decision.verdict is Verdict.DENY:
        await record(gateway, call, Kind.DENIED, **decided.facts)
        return answers.denied(call.id, decided.decision)
    if call.resumed:
        answer = await go_on(gateway, decided, call.resumed)
    elif decided.decision.verdict is Verdict.ASK and not await _ran_unasked(gateway, call, tool):
        answer = await ask(gateway, decided)
    else:
        answer = await carry_out(gateway, decided)
    # Whatever way an answer came, also one that was found out: no result leaves as the back end gave it.
    return await present(gateway, decided, answer)


async def _ran_unasked(gateway: Gateway, call: ToolCall, tool: Tool) -> bool:
    """Whether the caller's key names a call that began when policy allowed it: nobody is asked about it afterwards."""
    # A read takes no name from its key and would run again: what its key named before says nothing about it.
    if not call.declared.key or tool.effect is Effect.READ:
        return False
    entries = await gateway.recorded.of(
        call.principal.tenant, keyed_name(call.principal, call.declared.key, gateway.secret)
    )
    return any(entry.kind is Kind.INTENT for entry in entries)
