"""The way of one tool call, from the caller's words to the recorded outcome.

Every call of every caller over every transport takes exactly this way; `_dispose` reads from top to bottom. Whatever
fails before the decision is a refusal, and nothing happens in a back end that the journal does not hold first.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from secrets import token_hex
from time import time_ns
from typing import Any

import anyio
from pydantic import BaseModel
from structlog import get_logger

from connectors.contract import CallContext, Effect, Idempotency, Output, RemembersEffects, Tool, no_progress
from connectors.errors import ConnectorError, InDoubt
from connectors.registry import BackEnds
from gateway import answers
from gateway.answer import Answer, ErrorKind
from gateway.approvals import Approval, State
from gateway.approvals.approval import Edit
from gateway.approvals.book import ApprovalBook, KeyUsedOtherwise
from gateway.approvals.standing import Standing
from gateway.canonical import digest, effect_key, keyed_name, names_of_key
from gateway.catalog import Catalog, InvalidArguments, UnknownTool, validate
from gateway.declared import Declared
from gateway.earlier import Begun, Earlier, answer_of, begun_by, read_earlier
from gateway.flow import seen_ids, untrusted_paths
from gateway.held import Patience
from gateway.journal import AlreadyRecorded, Entry, Journal, JournalUnavailable, Kind
from gateway.journal.calls import RecordedCalls
from gateway.metrics import Metrics, counted
from gateway.policy.decision import Decision, Verdict
from gateway.policy.judge import Policy
from gateway.policy.language.history import History
from gateway.policy_source import PolicySource
from gateway.principal import Principal
from gateway.recovery import find_out, put_in_doubt, recorded_answer
from gateway.resilience import OutOfService, Resilience
from gateway.run_history import RunHistory
from gateway.running import Running
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
    resilience: Resilience
    running: Running
    recorded: RecordedCalls
    timeout: float
    given_up_after: timedelta
    """How long after its intent another process may still carry a call out and record its outcome."""
    now: Callable[[], datetime]

    def is_fresh(self, begun_at: datetime) -> bool:
        """Whether a call that was begun then may still be carried out somewhere."""
        return self.now() < begun_at + self.given_up_after


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
    """What whoever repeats it knows it by: the name of its approval or of its idempotency key; then it runs once."""


@counted
async def call_tool(gateway: Gateway, call: ToolCall) -> Answer[Any]:
    """Decide one call, carry it out if policy allows it, and record both.

    Returns:
        The answer for the caller; refusals and failures are answers too.

    Raises:
        UnknownTool: If the principal has no such tool. It is recorded and says nothing about why.
    """
    try:
        async with gateway.slots.take(_place(gateway, call)):
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


def _place(gateway: Gateway, call: ToolCall) -> tuple[str, str]:
    tool = gateway.catalog.tools.get(call.tool)
    return call.principal.tenant, tool.area if tool else ""


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
    own = names_of_key(keyed_name(call.principal, call.declared.key)) if call.declared.key else ()
    async with gateway.history.turn(call.principal, looked_back_at, gateway.now(), own) as earlier:
        return await _decide(gateway, call, policy, tool, arguments, earlier)


async def _decide(
    gateway: Gateway, call: ToolCall, policy: Policy, tool: Tool, arguments: BaseModel, earlier: History | None
) -> Answer[Any]:
    decision = policy.decide(call.principal, tool.name, arguments.model_dump(), gateway.now(), earlier)
    facts = {"arguments": arguments.model_dump(mode="json"), "arguments_hash": digest(arguments), **_told(decision)}
    if decision.verdict is Verdict.DENY:
        await _record(gateway, call, Kind.DENIED, **facts)
        return answers.denied(call.id, decision)
    if decision.verdict is Verdict.ASK and not await _ran_unasked(gateway, call):
        return await _with_approval(gateway, call, policy, tool, arguments, decision, facts, earlier)
    return await _run(gateway, call, policy, tool, arguments, facts)


async def _ran_unasked(gateway: Gateway, call: ToolCall) -> bool:
    """Whether the caller's key names a call that began when policy allowed it: nobody is asked about it afterwards."""
    if not call.declared.key:
        return False
    entries = await gateway.recorded.of(call.principal.tenant, keyed_name(call.principal, call.declared.key))
    return any(entry.kind is Kind.INTENT for entry in entries)


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
        return await _key_used_otherwise(gateway, call, facts, "a question to a person")
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
        case State.APPROVED | State.STARTED:
            # From here on the call goes by the question's name: its intent is recorded once, its effect done once.
            released = replace(call, id=name, key=name)
            if approval.edit is None:
                return await _run(gateway, released, policy, tool, arguments, facts)
            return await _run_edited(gateway, released, policy, tool, approval.edit, earlier)


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
    gateway: Gateway, call: ToolCall, policy: Policy, tool: Tool, edit: Edit, earlier: History | None
) -> Answer[Any]:
    """Carry out what an approver changed the call to, unless policy denies that by now."""
    arguments = validate(tool, edit.arguments)
    decision = policy.decide(call.principal, tool.name, arguments.model_dump(), gateway.now(), earlier)
    told = {**_told(decision), "edited_by": edit.by}
    facts = {"arguments": edit.arguments, "arguments_hash": digest(arguments), **told}
    if decision.verdict is Verdict.DENY:
        await _record(gateway, call, Kind.DENIED, **facts)
        return answers.denied(call.id, decision)
    answer = await _run(gateway, call, policy, tool, arguments, facts)
    return answers.changed(answer, edit)


async def _key_used_otherwise(gateway: Gateway, call: ToolCall, facts: dict[str, Any], named: str) -> Answer[Any]:
    error = f"this idempotency key named {named} already: use a key once, with the same tool and arguments"
    await _record(gateway, call, Kind.INVALID, error=error, **facts)
    return answers.failed(call.id, ErrorKind.CONFLICT, error, "remit/key")


async def _run(
    gateway: Gateway, call: ToolCall, policy: Policy, tool: Tool, arguments: BaseModel, facts: dict[str, Any]
) -> Answer[Any]:
    named = _by_its_key(call, tool)
    context = CallContext(
        tenant=call.principal.tenant,
        actor=call.principal.person or call.principal.agent or "",
        key=effect_key(call.principal, tool.name, facts["arguments_hash"], named.key.partition("_")[2] or call.id),
        now=gateway.now(),
        readers=policy.groups(call.principal),
        progress=_before_done(call),
    )
    # Once a write's intent is recorded, its outcome will be too: a caller who goes away cannot tear them apart.
    with anyio.CancelScope(shield=tool.effect is not Effect.READ):
        try:
            answer = await _begin(gateway, call, named, tool, context, arguments, facts)
        except AlreadyRecorded:
            # The same key came twice at this moment, and the other was faster.
            answer = await _begin(gateway, call, named, tool, context, arguments, facts)
    return answer


def _by_its_key(call: ToolCall, tool: Tool) -> ToolCall:
    """The call under the name that its approval or its key gives it. A read simply runs again, key or not."""
    if call.key or not call.declared.key or tool.effect is Effect.READ:
        return call
    name = keyed_name(call.principal, call.declared.key)
    return replace(call, id=name, key=name)


async def _begin(
    gateway: Gateway,
    call: ToolCall,
    named: ToolCall,
    tool: Tool,
    context: CallContext,
    arguments: BaseModel,
    facts: dict[str, Any],
) -> Answer[Any]:
    earlier = await _earlier(gateway, named)
    is_released = earlier is not None and earlier.begun is None and earlier.name == call.key
    if earlier and not is_released and not earlier.is_of(tool.name, facts["arguments"]):
        return await _key_used_otherwise(gateway, call, facts, f"`{earlier.name}` of `{earlier.tool}`")
    if earlier and earlier.begun:
        return await _repeat(gateway, call, named, earlier, tool, context, arguments, facts)
    try:
        with gateway.resilience.admitted(call.principal.tenant, tool):
            # Either name of a key: of an allowed call and of an approved one with the same key only one is begun.
            once = f"intent:{named.key.partition('_')[2]}" if named.key else None
            intent = {**facts, "effect": tool.effect, "effect_key": context.key}
            await _record(gateway, named, Kind.INTENT, once=once, **intent)
            return await _carry_out(gateway, named, tool, context, arguments)
    except OutOfService as error:
        await _record(gateway, call, Kind.TURNED_AWAY, error=str(error), **facts)
        return answers.failed(call.id, ErrorKind.UNAVAILABLE, str(error))


async def _earlier(gateway: Gateway, call: ToolCall) -> Earlier | None:
    """What the call's key was used for, by either of its names."""
    if not call.key:
        return None
    return read_earlier(await gateway.recorded.of(call.principal.tenant, *names_of_key(call.key)))


async def _repeat(
    gateway: Gateway,
    call: ToolCall,
    named: ToolCall,
    earlier: Earlier,
    tool: Tool,
    context: CallContext,
    arguments: BaseModel,
    facts: dict[str, Any],
) -> Answer[Any]:
    """Answer a call that was begun before: with its end, that it goes on, or after finding out."""
    assert earlier.begun  # noqa: S101 - whoever calls has looked
    named, begun = replace(named, id=earlier.name, key=earlier.name), begun_by(earlier.begun)
    told = {**facts, "repeats": earlier.name}
    if earlier.end:
        await _record(gateway, call, Kind.REPEATED, **told)
        return answer_of(earlier.end, await gateway.settled.find(earlier.name))
    is_lost = gateway.running.is_lost(earlier.name)
    if earlier.name in gateway.running or (gateway.is_fresh(begun.at) and not is_lost and not earlier.doubted):
        await _record(gateway, call, Kind.REPEATED, status="in_progress", **told)
        return answers.in_progress(call.id, earlier.name)
    await _record(gateway, call, Kind.REPEATED, status="looked_into", **told)
    if _may_be_tried_again(gateway, tool):
        return await _carry_out(gateway, named, tool, context, arguments, again=True)
    if earlier.doubted:
        return answers.in_doubt(earlier.name, "nobody has settled it yet", keyed=True)
    return await find_out(gateway, begun)


def _may_be_tried_again(gateway: Gateway, tool: Tool) -> bool:
    """Whether a begun call may go to its back end once more: a read, or where that is the way to hear of a key."""
    remembers = isinstance(getattr(gateway.back_ends, tool.area), RemembersEffects)
    return tool.effect is Effect.READ or (tool.idempotency is Idempotency.KEY and not remembers)


async def _carry_out(
    gateway: Gateway, call: ToolCall, tool: Tool, context: CallContext, arguments: BaseModel, *, again: bool = False
) -> Answer[Any]:
    back_end = getattr(gateway.back_ends, tool.area)
    with gateway.running.carrying_out(call.id):
        try:
            await call.progress(1, 2, "allowed and recorded")
            output = await gateway.resilience.run(
                call.principal.tenant, tool, gateway.timeout, lambda: getattr(back_end, tool.name)(context, arguments)
            )
            return await _done(gateway, call, tool, output)
        except InDoubt:
            return await _broke_off(gateway, call, tool, context)
        except ConnectorError as error:
            return await _refused(gateway, call, tool, error, again=again)
        except JournalUnavailable:
            raise
        except TimeoutError:
            return await _no_answer_in_time(gateway, call, tool, context)
        except anyio.get_cancelled_exc_class():
            await _record(gateway, call, Kind.OUTCOME, status="cancelled")
            raise
        except Exception:
            log.exception("call_failed", call=call.id, tool=call.tool)
            return await _broke_off(gateway, call, tool, context)


async def _done(gateway: Gateway, call: ToolCall, tool: Tool, output: Output) -> Answer[Any]:
    untrusted = untrusted_paths(tool, output)
    answer = answers.ok(call.id, output, untrusted)
    try:
        answer = await _settle(gateway, call, tool, answer, untrusted=untrusted, saw=seen_ids(output))
    except JournalUnavailable:
        if tool.effect is Effect.READ:
            raise
        gateway.running.lose(call.principal.tenant, call.id)
        why = "it was carried out, but its outcome could not be recorded"
        return answers.in_doubt(call.id, why, keyed=bool(call.key))
    await call.progress(2, 2, "done")
    return answer


async def _refused(gateway: Gateway, call: ToolCall, tool: Tool, error: ConnectorError, *, again: bool) -> Answer[Any]:
    if again:
        # It says nothing of the first time.
        await put_in_doubt(gateway, _begun(gateway, call, tool, ""), f"asked again, the back end says: {error.message}")
        return answers.in_doubt(call.id, "asked again, the back end refuses it", keyed=True)
    refused = answers.refused_by_back_end(call.id, error, settled=bool(call.key))
    return await _settle(gateway, call, tool, refused, error=error.message)


async def _settle(
    gateway: Gateway,
    call: ToolCall,
    tool: Tool,
    answer: Answer[Any],
    **facts: Any,  # noqa: ANN401 - JSON data
) -> Answer[Any]:
    """Record a call's outcome, a write's once; before, keep its answer for whoever repeats it.

    Returns:
        The answer, or that of the end which was recorded before this one.
    """
    if call.key:
        await gateway.settled.keep(call.key, answer.model_dump_json())
    once = None if tool.effect is Effect.READ else f"outcome:{call.id}"
    try:
        await _record(gateway, call, Kind.OUTCOME, once=once, status=answer.status, **facts)
    except AlreadyRecorded:
        # Others took it for given up and settled it.
        log.warning("ended_already", call=call.id, tool=call.tool, status=answer.status)
        return await recorded_answer(gateway, call.principal.tenant, call.id)
    return answer


async def _no_answer_in_time(gateway: Gateway, call: ToolCall, tool: Tool, context: CallContext) -> Answer[Any]:
    if tool.effect is Effect.READ:
        await _record(gateway, call, Kind.OUTCOME, status="timeout")
        return answers.failed(call.id, ErrorKind.TIMEOUT, f"no answer within {gateway.timeout:g} s")
    return await _look_into(gateway, call, tool, context)


async def _broke_off(gateway: Gateway, call: ToolCall, tool: Tool, context: CallContext) -> Answer[Any]:
    if tool.effect is Effect.READ:
        return await _failed_within(gateway, call)
    return await _look_into(gateway, call, tool, context)


async def _look_into(gateway: Gateway, call: ToolCall, tool: Tool, context: CallContext) -> Answer[Any]:
    """Find out what became of a write that did not end as it should; if that fails too, recovery goes on with it."""
    try:
        return await find_out(gateway, _begun(gateway, call, tool, context.key))
    except Exception:
        log.exception("not_found_out", call=call.id, tool=call.tool)
        gateway.running.lose(call.principal.tenant, call.id)
        return answers.in_doubt(call.id, "it was begun and has no recorded outcome yet", keyed=bool(call.key))


def _begun(gateway: Gateway, call: ToolCall, tool: Tool, key: str) -> Begun:
    who = call.principal
    return Begun(
        call.id, who.tenant, who.name, who.person, who.agent, tool.name, key, keyed=bool(call.key), at=gateway.now()
    )


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
