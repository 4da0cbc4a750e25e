"""The way of one tool call, from the caller's words to the recorded outcome.

Every call of every caller over every transport takes exactly this way; `_dispose` reads from top to bottom. Whatever
fails before the decision is a refusal, and nothing happens in a back end that the journal does not hold first.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from secrets import token_hex
from time import time_ns
from typing import Any

import anyio
from pydantic import BaseModel
from structlog import get_logger

from connectors.contract import CallContext, Effect, Idempotency, Tool, no_progress
from connectors.errors import ConnectorError
from connectors.registry import BackEnds
from gateway import answers
from gateway.answer import Answer, ErrorKind
from gateway.approvals import Approval, State
from gateway.approvals.approval import Edit
from gateway.approvals.book import ApprovalBook, KeyUsedOtherwise
from gateway.approvals.standing import Standing
from gateway.canonical import digest, effect_key
from gateway.catalog import Catalog, InvalidArguments, UnknownTool, validate
from gateway.declared import Declared
from gateway.flow import seen_ids, untrusted_paths
from gateway.held import Patience
from gateway.journal import AlreadyRecorded, Entry, Journal, JournalUnavailable, Kind
from gateway.metrics import Metrics, counted
from gateway.policy.decision import Decision, Verdict
from gateway.policy.judge import Policy
from gateway.policy.language.history import History
from gateway.policy_source import PolicySource
from gateway.principal import Principal
from gateway.run_history import RunHistory
from gateway.settled import SettledAnswers
from gateway.slots import Busy, Slots

log = get_logger("remit.call")


@dataclass(frozen=True)
class Gateway:
    """Everything a call passes through, wired once by `app.py`."""

    catalog: Catalog
    policy: PolicySource
    journal: Journal
    history: RunHistory
    approvals: ApprovalBook
    settled: SettledAnswers
    back_ends: BackEnds
    slots: Slots
    metrics: Metrics
    patience: Patience
    timeout: float
    now: Callable[[], datetime]


def new_call_id() -> str:
    """Make a name for a call."""
    # The time first: the journal's index then grows at its end alone, which halves what a commit writes.
    return f"call_{time_ns():016x}{token_hex(8)}"


@dataclass(frozen=True)
class ToolCall:
    """One `tools/call` as it arrived."""

    principal: Principal
    tool: str
    arguments: Mapping[str, Any]
    declared: Declared = field(default_factory=Declared)
    client: str = ""
    progress: Callable[[float, float | None, str], Awaitable[None]] = no_progress
    id: str = field(default_factory=new_call_id)
    key: str = ""
    """The name of the approval that released it: then its entries are recorded once."""


@counted
async def call_tool(gateway: Gateway, call: ToolCall) -> Answer[Any]:
    """Decide one call, carry it out if policy allows it, and record both.

    Returns:
        The answer for the caller; refusals and failures are answers too.

    Raises:
        UnknownTool: If the principal has no such tool. It is recorded and says nothing about why.
    """
    try:
        async with gateway.slots.take():
            return await _dispose(gateway, call)
    except UnknownTool:
        raise
    except Busy:
        return answers.failed(call.id, ErrorKind.BUSY, "too many calls at the moment; nothing was done")
    except JournalUnavailable:
        log.error("refused_without_journal", call=call.id, tool=call.tool)
        return answers.failed(call.id, ErrorKind.JOURNAL_UNAVAILABLE, "the call cannot be recorded, so it was not run")
    except Exception:
        log.exception("call_failed", call=call.id, tool=call.tool)
        return await _failed_within(gateway, call)


async def _dispose(gateway: Gateway, call: ToolCall) -> Answer[Any]:
    policy = gateway.policy.current
    try:
        tool = gateway.catalog.find(policy, call.principal, call.tool, gateway.now())
        arguments = validate(tool, call.arguments)
    except UnknownTool:
        await _record(gateway, call, Kind.UNKNOWN_TOOL)
        raise
    except InvalidArguments as error:
        await _record(gateway, call, Kind.INVALID, error=error.message)
        return answers.failed(call.id, ErrorKind.INVALID_INPUT, error.message, error.field)

    looked_back_at = policy.needs_history(tool.name)
    async with gateway.history.turn(call.principal, looked_back_at, gateway.now()) as earlier:
        return await _decide(gateway, call, policy, tool, arguments, earlier)


async def _decide(
    gateway: Gateway, call: ToolCall, policy: Policy, tool: Tool, arguments: BaseModel, earlier: History | None
) -> Answer[Any]:
    decision = policy.decide(call.principal, tool.name, arguments.model_dump(), gateway.now(), earlier)
    facts = {"arguments": arguments.model_dump(mode="json"), "arguments_hash": digest(arguments), **_told(decision)}
    if decision.verdict is Verdict.DENY:
        await _record(gateway, call, Kind.DENIED, **facts)
        return answers.denied(call.id, decision)
    if decision.verdict is Verdict.ASK:
        return await _with_approval(gateway, call, policy, tool, arguments, decision, facts, earlier)
    return await _run(gateway, call, policy, tool, arguments, facts)


async def _with_approval(
    gateway: Gateway,
    call: ToolCall,
    policy: Policy,
    tool: Tool,
    arguments: BaseModel,
    decision: Decision,
    facts: dict[str, Any],
    earlier: History | None,
) -> Answer[Any]:
    now = gateway.now()
    try:
        approval = await _asked(gateway, call, policy, tool, decision, facts["arguments"], now)
    except KeyUsedOtherwise:
        return await _key_used_otherwise(gateway, call, facts)
    if isinstance(approval, Standing):
        granted = {**facts, "standing": approval.id, "approver": approval.given_by}
        return await _run(gateway, call, policy, tool, arguments, granted)
    name = approval.question.id
    match approval.state(now):
        case State.PENDING | State.WITHDRAWN:
            await _record(gateway, call, Kind.PENDING, approval=name, **facts)
            return answers.pending(call.id, decision, approval)
        case State.REFUSED | State.EXPIRED:
            await _record(gateway, call, Kind.DENIED, approval=name, **facts)
            return answers.not_approved(call.id, approval)
        case State.SETTLED:
            await _record(gateway, call, Kind.REPEATED, approval=name, **facts)
            answer = answers.repeated(name, await gateway.settled.find(name))
            return answers.changed(answer, approval.edit) if approval.edit else answer
        case State.APPROVED | State.STARTED as state:
            # From here on the call goes by the question's name: its intent is recorded once, its effect done once.
            released = replace(call, id=name, key=name)
            again = state is State.STARTED
            if approval.edit is None:
                return await _run(gateway, released, policy, tool, arguments, facts, again=again)
            return await _run_edited(gateway, released, policy, tool, approval.edit, earlier, again)


async def _asked(
    gateway: Gateway,
    call: ToolCall,
    policy: Policy,
    tool: Tool,
    decision: Decision,
    arguments: dict[str, Any],
    now: datetime,
) -> Approval | Standing:
    """The question that the call raises, asked if it was not; or the standing approval that answers it."""
    who, declared, book = call.principal, call.declared, gateway.approvals
    said = {**declared.told(), "client": call.client}
    question, approval = await book.raised(who, tool, arguments, said, now, declared.key or "")
    standing = None
    # What is recorded is told even if the caller goes away meanwhile.
    with anyio.CancelScope(shield=True):
        if approval is None or approval.state(now) is State.PENDING:
            standing = await book.use_standing(who, tool, arguments, decision, declared.run, call.id, now)
        if standing is None:
            approval = await book.ask(question, decision, policy, now)
            if declared.reply:
                approval = await book.reply(approval, who, declared.reply, now)
    found = standing or approval
    assert found is not None  # noqa: S101 - one of the two
    return found


async def _run_edited(
    gateway: Gateway, call: ToolCall, policy: Policy, tool: Tool, edit: Edit, earlier: History | None, again: bool
) -> Answer[Any]:
    """Carry out what an approver changed the call to, unless policy denies that by now."""
    arguments = validate(tool, edit.arguments)
    decision = policy.decide(call.principal, tool.name, arguments.model_dump(), gateway.now(), earlier)
    told = {**_told(decision), "edited_by": edit.by}
    facts = {"arguments": edit.arguments, "arguments_hash": digest(arguments), **told}
    if decision.verdict is Verdict.DENY:
        await _record(gateway, call, Kind.DENIED, **facts)
        return answers.denied(call.id, decision)
    answer = await _run(gateway, call, policy, tool, arguments, facts, again=again)
    return answers.changed(answer, edit)


async def _key_used_otherwise(gateway: Gateway, call: ToolCall, facts: dict[str, Any]) -> Answer[Any]:
    error = "this idempotency key named another call: use a key once, with the same tool and arguments"
    await _record(gateway, call, Kind.INVALID, error=error, **facts)
    return answers.failed(call.id, ErrorKind.CONFLICT, error, "remit/key")


async def _run(
    gateway: Gateway,
    call: ToolCall,
    policy: Policy,
    tool: Tool,
    arguments: BaseModel,
    facts: dict[str, Any],
    *,
    again: bool = False,
) -> Answer[Any]:
    context = CallContext(
        tenant=call.principal.tenant,
        actor=call.principal.person or call.principal.agent or "",
        key=effect_key(call.principal, tool.name, facts["arguments_hash"], call.key or call.declared.key or call.id),
        now=gateway.now(),
        readers=policy.groups(call.principal),
        progress=_before_done(call),
    )
    # Once a write's intent is recorded, its outcome will be too: a caller who goes away cannot tear them apart.
    with anyio.CancelScope(shield=tool.effect is not Effect.READ):
        try:
            if not again:
                once = f"intent:{call.key}" if call.key else None
                await _record(gateway, call, Kind.INTENT, once=once, effect=tool.effect, **facts)
        except AlreadyRecorded:
            again = True
        if again and tool.idempotency is not Idempotency.KEY:
            return answers.in_doubt(call.id, "it was started before and has no recorded outcome")
        await call.progress(1, 2, "allowed and recorded")
        answer = await _carry_out(gateway, call, tool, context, arguments)
    return answer  # noqa: RET504 - a type checker cannot know that this scope swallows nothing


async def _carry_out(
    gateway: Gateway, call: ToolCall, tool: Tool, context: CallContext, arguments: BaseModel
) -> Answer[Any]:
    back_end = getattr(gateway.back_ends, tool.area)
    try:
        with anyio.fail_after(gateway.timeout):
            output = await getattr(back_end, tool.name)(context, arguments)
    except ConnectorError as error:
        refused = answers.refused_by_back_end(call.id, error)
        await _settle(gateway, call, refused)
        await _record(gateway, call, Kind.OUTCOME, status="failed", error=error.message)
        return refused
    except TimeoutError:
        return await _no_answer_in_time(gateway, call, tool)
    except anyio.get_cancelled_exc_class():
        await _record(gateway, call, Kind.OUTCOME, status="cancelled")
        raise
    untrusted = untrusted_paths(tool, output)
    answer = answers.ok(call.id, output, untrusted)
    try:
        await _settle(gateway, call, answer)
        await _record(gateway, call, Kind.OUTCOME, status="ok", untrusted=untrusted, saw=seen_ids(output))
    except JournalUnavailable:
        if tool.effect is Effect.READ:
            raise
        return answers.in_doubt(call.id, "it was carried out, but its outcome could not be recorded")
    await call.progress(2, 2, "done")
    return answer


async def _settle(gateway: Gateway, call: ToolCall, answer: Answer[Any]) -> None:
    """Keep the answer of a call that a person approved, for whoever repeats it; before its outcome is recorded."""
    if call.key:
        await gateway.settled.keep(call.key, answer.model_dump_json(exclude_none=True))


async def _no_answer_in_time(gateway: Gateway, call: ToolCall, tool: Tool) -> Answer[Any]:
    if tool.effect is Effect.READ:
        await _record(gateway, call, Kind.OUTCOME, status="timeout")
        return answers.failed(call.id, ErrorKind.TIMEOUT, f"no answer within {gateway.timeout:g} s")
    await _record(gateway, call, Kind.OUTCOME, status="in_doubt")
    return answers.in_doubt(call.id, f"no answer within {gateway.timeout:g} s")


async def _failed_within(gateway: Gateway, call: ToolCall) -> Answer[Any]:
    try:
        await _record(gateway, call, Kind.OUTCOME, status="failed", error="internal")
    except JournalUnavailable:
        log.error("failure_not_recorded", call=call.id)
    return answers.failed(call.id, ErrorKind.INTERNAL, "the gateway failed on this call; it is logged under its id")


async def _record(
    gateway: Gateway,
    call: ToolCall,
    kind: Kind,
    *,
    once: str | None = None,
    **facts: Any,  # noqa: ANN401 - JSON data
) -> None:
    who = {"person": call.principal.person, "agent": call.principal.agent, "client": call.client}
    said = call.declared.told()
    body = {"tool": call.tool[:100], **who, **said, **facts}
    # What was decided is recorded even if the caller has gone: nobody tries policy out without a trace.
    with anyio.CancelScope(shield=True):
        await gateway.journal.append(
            Entry(call.id, call.principal.tenant, call.principal.name, gateway.now(), kind, body, once=once)
        )


def _told(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict,
        "rules": list(decision.rules),
        "reason": decision.reason,
        "policy_version": decision.policy_version,
    }


def _before_done(call: ToolCall) -> Callable[[float, float | None, str], Awaitable[None]]:
    told = 1.0

    async def report(done: float, total: float | None, message: str) -> None:
        nonlocal told
        # Without a total nobody knows how far it is: each step covers half of what is left.
        now = 1 + min(done / total if total else 1 - 0.5**done, 0.99)
        # The protocol wants every value above the last one (MCP 2025-06-18, "Progress").
        if now > told:
            told = now
            await call.progress(now, 2, message)

    return report
