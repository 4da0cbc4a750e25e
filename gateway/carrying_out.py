"""The stage of a call that may go ahead: its intent on the record, its effect once, its outcome on the record."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
from structlog import get_logger

from connectors.asking import Asked, LacksCapability
from connectors.contract import CallContext, Effect, Idempotency, Output, RemembersEffects, Tool
from connectors.errors import ConnectorError, InDoubt, Unavailable
from gateway import answers
from gateway.answer import Answer, ErrorKind
from gateway.canonical import effect_key, keyed_name, names_of_key
from gateway.earlier import Begun, Earlier, answer_of, begun_by, read_earlier
from gateway.flow.shown import seen_ids
from gateway.flow.stage import Wrote, heard, shown
from gateway.flow.unfinished import writing_rows
from gateway.gateway import Decided, Gateway, ToolCall, record
from gateway.inquiries.inquiry import ClientAsked
from gateway.inquiries.stage import asking_of, inquire, log_recorded
from gateway.journal import AlreadyRecorded, JournalUnavailable, Kind
from gateway.journal.entry import Beside
from gateway.journal.uses import OverLimit, returned, taken_again
from gateway.journal.uses import told as told_uses
from gateway.limits.refusing import refused_over_limit, uses
from gateway.recovery import find_out, put_in_doubt, tell_recorded
from gateway.resilience import OutOfService
from gateway.results.stage import account_of, present
from gateway.stopping.refusing import refused_as_stopped

log = get_logger("remit.call")


async def carry_out(gateway: Gateway, decided: Decided) -> Answer[Any]:
    """Carry out a call that may go ahead, or tell what became of it if it was begun before.

    Raises:
        JournalUnavailable: If its intent cannot be recorded: then it was not carried out.
    """
    tool = decided.tool
    named = _by_its_key(decided.call, tool, gateway.secret)
    context = _context(gateway, decided, named)
    # Once a write's intent is recorded, its outcome will be too: a caller who goes away cannot tear them apart.
    with anyio.CancelScope(shield=tool.effect is not Effect.READ):
        try:
            answer = await _begin(gateway, decided, named, context)
        except AlreadyRecorded:
            # The same key came twice at this moment, and the other was faster.
            answer = await _begin(gateway, decided, named, context)
    return answer


async def carry_on(gateway: Gateway, decided: Decided, named: ToolCall) -> Answer[Any]:
    """Go on with a begun call whose client has answered what its server asked.

    Args:
        gateway: The gateway.
        decided: The call with the answers, decided anew.
        named: The call under the name that it goes by.
    """
    context = _context(gateway, decided, named)
    with anyio.CancelScope(shield=decided.tool.effect is not Effect.READ):
        answer = await _do(gateway, decided, named, context)
    return answer  # noqa: RET504 - a scope may swallow, as mypy sees it


def _context(gateway: Gateway, decided: Decided, named: ToolCall) -> CallContext:
    call, tool, arguments_hash = decided.call, decided.tool, decided.facts["arguments_hash"]
    return CallContext(
        tenant=call.principal.tenant,
        actor=call.principal.person or call.principal.agent or "",
        key=effect_key(call.principal, tool.name, arguments_hash, named.key.partition("_")[2] or named.id),
        now=gateway.now(),
        readers=decided.policy.groups(call.principal),
        progress=_before_done(call),
        asking=asking_of(gateway, call, tool),
        person=call.principal.person,
    )


async def tell_again(gateway: Gateway, decided: Decided, kept: Answer[Any], facts: dict[str, Any]) -> Answer[Any]:
    """Give a kept answer again, on the record, as policy says now; the run that repeats the call sees it as well."""
    call, beside = decided.call, heard(gateway, decided.call, kept)
    if kept.result is not None:
        seen = await shown(gateway, call, decided.tool, kept.result)
        kept, beside = kept.labelled(seen.level), seen.beside
    answer = await present(gateway, decided, kept)
    told = account_of(answer, decided.decision.obligations)
    await record(gateway, call, Kind.REPEATED, beside=beside, **facts, **told)
    return answer


async def key_used_otherwise(gateway: Gateway, call: ToolCall, facts: dict[str, Any], named: str) -> Answer[Any]:
    """Refuse a call whose idempotency key stands for another call, on the record."""
    error = f"this idempotency key named {named} already: use a key once, with the same tool and arguments"
    await record(gateway, call, Kind.INVALID, error=error, **facts)
    return answers.failed(call.id, ErrorKind.CONFLICT, error, "remit/key")


def _by_its_key(call: ToolCall, tool: Tool, secret: bytes) -> ToolCall:
    """The call under the name that its approval or its key gives it. A read simply runs again, key or not."""
    if call.key or not call.declared.key or tool.effect is Effect.READ:
        return call
    name = keyed_name(call.principal, call.declared.key, secret)
    return replace(call, id=name, key=name)


async def _begin(gateway: Gateway, decided: Decided, named: ToolCall, context: CallContext) -> Answer[Any]:
    call, tool, facts = decided.call, decided.tool, decided.facts
    earlier = await _earlier(gateway, named)
    is_released = earlier is not None and earlier.begun is None and earlier.name == call.key
    if earlier and not is_released and not earlier.is_of(tool.name, facts["arguments"]):
        return await key_used_otherwise(gateway, call, facts, f"`{earlier.name}` of `{earlier.tool}`")
    if earlier and earlier.begun:
        return await _repeat(gateway, decided, named, earlier, context)
    # It may have waited for its turn, for a person or for the journal since it was decided.
    if stopped := await refused_as_stopped(gateway, decided):
        return stopped
    try:
        with gateway.resilience.admitted(call.principal.tenant, tool):
            # Either name of a key: of an allowed call and of an approved one with the same key only one is begun.
            once = f"intent:{named.key.partition('_')[2]}" if named.key else None
            named = replace(named, uses=uses(gateway, decided))
            intent = {**facts, "effect": tool.effect, "effect_key": context.key}
            intent |= {"used": told_uses(named.uses)} if named.uses else {}
            beside = _writing(decided, named)
            await record(gateway, named, Kind.INTENT, once=once, beside=beside, uses=named.uses, **intent)
            return await _do(gateway, decided, named, context)
    except OverLimit as error:
        return await refused_over_limit(gateway, decided, error)
    except OutOfService as error:
        await record(gateway, call, Kind.TURNED_AWAY, error=str(error), **facts)
        return answers.out_of_service(call.id, error, gateway.now())


def _writing(decided: Decided, named: ToolCall) -> tuple[Beside, ...]:
    """What is committed with a write's intent: until it ends, whoever reads what it writes knows of it."""
    if decided.tool.effect is Effect.READ:
        return ()
    tenant, written = named.principal.tenant, decided.traced.written
    return writing_rows(decided.tool, tenant, named.id, decided.arguments.model_dump(), written)


async def _earlier(gateway: Gateway, call: ToolCall) -> Earlier | None:
    """What the call's key was used for, by either of its names."""
    if not call.key:
        return None
    return read_earlier(await gateway.recorded.of(call.principal.tenant, *names_of_key(call.key)))


async def _repeat(
    gateway: Gateway, decided: Decided, named: ToolCall, earlier: Earlier, context: CallContext
) -> Answer[Any]:
    """Answer a call that was begun before: with its end, that it goes on, or after finding out."""
    call, tool = decided.call, decided.tool
    assert earlier.begun  # noqa: S101 - whoever calls has looked
    begun = begun_by(earlier.begun)
    named = replace(named, id=earlier.name, key=earlier.name, uses=begun.uses)
    told = {**decided.facts, "repeats": earlier.name}
    if earlier.end:
        return await tell_again(
            gateway,
            decided,
            answer_of(earlier.end, await gateway.settled.find(decided.call.principal.tenant, earlier.name)),
            told,
        )
    is_lost = gateway.running.is_lost(earlier.name)
    if (
        earlier.name in gateway.running
        or gateway.waits_for_client(earlier)
        or (gateway.is_fresh(begun.at) and not is_lost and not earlier.doubted)
    ):
        await record(gateway, call, Kind.REPEATED, status="in_progress", **told)
        return answers.in_progress(call.id, earlier.name)
    await record(gateway, call, Kind.REPEATED, status="looked_into", **told)
    # What an approver changed was done under another key than the call as it was asked.
    if _may_be_tried_again(gateway, call.principal.tenant, tool) and context.key == begun.effect_key:
        return await _do(gateway, decided, named, context, again=True)
    if earlier.doubted:
        return answers.in_doubt(earlier.name, "nobody has settled it yet", keyed=True)
    return await find_out(gateway, begun, call)


def _may_be_tried_again(gateway: Gateway, tenant: str, tool: Tool) -> bool:
    """Whether a begun call may go to its back end once more: a read, or where that is the way to hear of a key."""
    remembers = isinstance(gateway.back_ends.of(tenant, tool.area), RemembersEffects)
    return tool.effect is Effect.READ or (tool.idempotency is Idempotency.KEY and not remembers)


async def _do(
    gateway: Gateway, decided: Decided, call: ToolCall, context: CallContext, *, again: bool = False
) -> Answer[Any]:
    """Let the back end do it, under the name that the call goes by."""
    tool = decided.tool
    with gateway.running.carrying_out(call.id):
        try:
            await call.progress(1, 2, "allowed and recorded")
            output = await _done_by_back_end(gateway, decided, call, context)
            return await _done(gateway, decided, call, output)
        except InDoubt as error:
            if tool.effect is Effect.READ:
                return await _refused(gateway, decided, call, Unavailable(error.message), again=False)
            return await _broke_off(gateway, decided, call, context)
        except LacksCapability as error:
            await _refused(gateway, decided, call, error, again=again)
            raise
        except ConnectorError as error:
            return await _refused(gateway, decided, call, error, again=again)
        except (JournalUnavailable, ClientAsked):
            raise
        except TimeoutError:
            return await _no_answer_in_time(gateway, decided, call, context)
        except anyio.get_cancelled_exc_class():
            if tool.effect is Effect.READ:
                await record(gateway, call, Kind.OUTCOME, status="cancelled")
            else:
                # No caller can do that to a write. The process is ending: whether it took effect is found out later.
                gateway.running.lose(call.principal.tenant, call.id)
            raise
        except Exception:
            log.exception("call_failed", call=call.id, tool=call.tool)
            return await _broke_off(gateway, decided, call, context)


async def _done_by_back_end(gateway: Gateway, decided: Decided, call: ToolCall, context: CallContext) -> Output:
    tool, arguments = decided.tool, decided.arguments
    back_end = gateway.back_ends.of(call.principal.tenant, tool.area)

    async def attempt() -> Output:
        try:
            output: Output = await getattr(back_end, tool.name)(context, arguments)
        except Asked as asked:
            await inquire(gateway, decided, call, asked)
        return output

    with gateway.metrics.back_end(tool.area), gateway.telemetry.span("back_end", area=tool.area):
        return await gateway.resilience.run(call.principal.tenant, tool, gateway.timeout, attempt)


async def _done(gateway: Gateway, decided: Decided, call: ToolCall, output: Output) -> Answer[Any]:
    tool = decided.tool
    arguments, result = decided.arguments.model_dump(), output.model_dump()
    wrote = None if tool.effect is Effect.READ else Wrote(arguments, decided.traced.written)
    sent = gateway.activity.recipients.rows(call.principal, tool, arguments, result, gateway.now())
    try:
        seen = await shown(gateway, call, tool, result, wrote)
        answer = answers.ok(call.id, output, seen.untrusted)
        # It is kept without: what it shows is found out anew for whoever repeats the call.
        ready = await present(gateway, decided, answer.labelled(seen.level))
        told: dict[str, Any] = {"untrusted": seen.untrusted, "saw": seen_ids(output)}
        told |= account_of(ready, decided.decision.obligations)
        settled = await _settle(gateway, call, tool, answer, (*seen.beside, *sent), **told)
    except JournalUnavailable:
        if tool.effect is Effect.READ:
            raise
        gateway.running.lose(call.principal.tenant, call.id)
        why = "it was carried out, but its outcome could not be recorded"
        return answers.in_doubt(call.id, why, keyed=bool(call.key))
    # Its outcome is on record: whoever goes away now did not cancel it.
    with anyio.CancelScope(shield=True):
        await call.progress(2, 2, "done")
    return ready if settled is answer else settled


async def _refused(
    gateway: Gateway, decided: Decided, call: ToolCall, error: ConnectorError, *, again: bool
) -> Answer[Any]:
    if again:
        # It says nothing of the first time.
        why = f"asked again, the back end says: {error.message}"
        await put_in_doubt(gateway, _begun(gateway, decided, call, ""), why)
        return answers.in_doubt(call.id, "asked again, the back end refuses it", keyed=True)
    refused = answers.refused_by_back_end(call.id, error, settled=bool(call.key))
    beside = heard(gateway, call, refused)
    # A read that was answered was made, whatever the answer: whoever tries ids out is counted.
    undone = decided.tool.effect is not Effect.READ or isinstance(error, Unavailable)
    return await _settle(gateway, call, decided.tool, refused, beside, undone=undone, error=error.message)


async def _settle(
    gateway: Gateway,
    call: ToolCall,
    tool: Tool,
    answer: Answer[Any],
    beside: tuple[Beside, ...] = (),
    *,
    undone: bool = False,
    **facts: Any,  # noqa: ANN401 - JSON data
) -> Answer[Any]:
    """Record a call's outcome, a write's once; before, keep its answer for whoever repeats it.

    What it used up of limits is given back if it is `undone`.

    Returns:
        The answer, or that of the end which was recorded before this one.
    """
    if call.key:
        await gateway.settled.keep(call.principal.tenant, call.key, answer.model_dump_json())
    once = None if tool.effect is Effect.READ else f"outcome:{call.id}"
    await log_recorded(gateway, call, tool)
    try:
        back = returned(call.uses) if undone else ()
        await record(gateway, call, Kind.OUTCOME, once=once, beside=beside, uses=back, status=answer.status, **facts)
    except AlreadyRecorded:
        # Others took it for given up and settled it.
        log.warning("ended_already", call=call.id, tool=call.tool, status=answer.status)
        earlier = read_earlier(await gateway.recorded.of(call.principal.tenant, call.id))
        if answer.status == "ok" and earlier and earlier.end and earlier.end.body["status"] == "failed":
            # They were wrong: it did happen.
            again = taken_again(call.uses)
            await record(gateway, call, Kind.OUTCOME, beside=beside, uses=again, status="ok", late=True, **facts)
        return await tell_recorded(gateway, call, tool, call.id)
    return answer


async def _no_answer_in_time(gateway: Gateway, decided: Decided, call: ToolCall, context: CallContext) -> Answer[Any]:
    if decided.tool.effect is Effect.READ:
        await record(gateway, call, Kind.OUTCOME, status="timeout")
        return answers.failed(call.id, ErrorKind.TIMEOUT, f"no answer within {gateway.timeout:g} s")
    return await _look_into(gateway, decided, call, context)


async def _broke_off(gateway: Gateway, decided: Decided, call: ToolCall, context: CallContext) -> Answer[Any]:
    if decided.tool.effect is Effect.READ:
        return await failed_within(gateway, call)
    return await _look_into(gateway, decided, call, context)


async def _look_into(gateway: Gateway, decided: Decided, call: ToolCall, context: CallContext) -> Answer[Any]:
    """Find out what became of a write that did not end as it should; if that fails too, recovery goes on with it."""
    try:
        return await find_out(gateway, _begun(gateway, decided, call, context.key), call)
    except Exception:
        log.exception("not_found_out", call=call.id, tool=call.tool)
        gateway.running.lose(call.principal.tenant, call.id)
        return answers.in_doubt(call.id, "it was begun and has no recorded outcome yet", keyed=bool(call.key))


def _begun(gateway: Gateway, decided: Decided, call: ToolCall, key: str) -> Begun:
    who = call.principal
    return Begun(
        call.id,
        who.tenant,
        who.name,
        who.person,
        who.agent,
        decided.tool.name,
        key,
        keyed=bool(call.key),
        at=gateway.now(),
        arguments=decided.facts["arguments"],
        written=decided.traced.written,
        uses=call.uses,
    )


async def failed_within(gateway: Gateway, call: ToolCall) -> Answer[Any]:
    """Record and answer that the gateway itself failed."""
    try:
        await record(gateway, call, Kind.OUTCOME, status="failed", error="internal")
    except JournalUnavailable:
        log.error("failure_not_recorded", call=call.id)
    return answers.failed(call.id, ErrorKind.INTERNAL, "the gateway failed on this call; it is logged under its id")


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
