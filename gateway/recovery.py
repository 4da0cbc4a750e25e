"""Finding out what became of calls that were begun and have no outcome: after a crash, a time-out, a lost record.

Nothing is done again here. A back end that remembers says what happened, and what did not happen it fences off; where
it cannot say, the call is recorded as in doubt, for a person. Each end is recorded once, so that a late outcome and
one that was found out never both count.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
from structlog import get_logger

from connectors.contract import CallContext, Effect, RemembersEffects, Tool
from connectors.errors import InDoubt, Unavailable
from gateway import answers
from gateway.answer import Answer, ErrorKind
from gateway.earlier import Begun, answer_of, begun_by, read_earlier
from gateway.flow.reading import read
from gateway.flow.shown import seen_ids
from gateway.flow.stage import Wrote, heard, labelled, shown
from gateway.journal import AlreadyRecorded, Entry, JournalUnavailable, Kind
from gateway.journal.entry import Beside
from gateway.journal.uses import Use, returned

if TYPE_CHECKING:
    from gateway.gateway import Gateway, ToolCall

log = get_logger("remit.recovery")

_LOOK_UP_SECONDS = 5
_GIVE_UP = timedelta(hours=1)
_STILL_COMING = timedelta(minutes=5)
"""How long a system that was asked for something may still show it for the first time."""
_REMEMBERED_EVERY = 1_000


class _CannotSay(Exception):
    """Nobody can be asked what became of a call; `now` says that it is worth asking later."""

    def __init__(self, why: str, *, now: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.now = now


async def find_out(gateway: "Gateway", begun: Begun, call: "ToolCall | None" = None) -> Answer[Any]:
    """Find out what became of a call that nobody carries out any more, and record it.

    Args:
        gateway: Whose journal and back ends.
        begun: What is known of it.
        call: The call whose caller is told; its run then sees the result. None if nobody is.

    Returns:
        Its answer; `in_doubt` where nobody can say, which is recorded unless the back end is worth asking again.

    Raises:
        JournalUnavailable: If it cannot be recorded; then it stays open.
    """
    tool = gateway.catalog.tools.get(begun.tool)
    if tool and tool.effect is Effect.READ:
        await _record(gateway, begun, Kind.OUTCOME, f"outcome:{begun.id}", status="interrupted")
        return answers.failed(begun.id, ErrorKind.NOT_DONE, "it was interrupted")
    if tool and tool.passes and await _was_never_answered(gateway, begun):
        unanswered = answers.failed(begun.id, ErrorKind.NOT_DONE, "its client was asked something and never answered")
        return await _end(gateway, begun, tool, unanswered, call)
    try:
        answer = await _what_happened(gateway, begun, tool)
    except _CannotSay as error:
        if error.now and gateway.now() - begun.at < _GIVE_UP:
            gateway.running.lose(begun.tenant, begun.id)
        else:
            await put_in_doubt(gateway, begun, error.why)
        return answers.in_doubt(begun.id, error.why, keyed=begun.keyed)
    assert tool  # noqa: S101 - or nothing could have been found out
    return await _end(gateway, begun, tool, answer, call)


async def _was_never_answered(gateway: "Gateway", begun: Begun) -> bool:
    """Whether a server asked instead of acting, and nobody told it what it asked for."""
    earlier = read_earlier(await gateway.recorded.of(begun.tenant, begun.id))
    asked = earlier.inquired if earlier else None
    return asked is not None and asked.kind is Kind.INQUIRED and not asked.body["held"]


async def put_in_doubt(gateway: "Gateway", begun: Begun, why: str) -> None:
    """Record, once, that nobody knows whether a call took effect."""
    await _record(gateway, begun, Kind.OUTCOME, f"doubt:{begun.id}", status="in_doubt", error=why)
    gateway.running.found(begun.id)


async def recorded_answer(gateway: "Gateway", tenant: str, name: str) -> Answer[Any]:
    """The answer of a call whose end is recorded."""
    earlier = read_earlier(await gateway.recorded.of(tenant, name))
    if earlier is None or earlier.end is None:
        return answers.in_doubt(name, "its end cannot be read", keyed=True)
    return answer_of(earlier.end, await gateway.settled.find(tenant, name))


async def tell_recorded(gateway: "Gateway", call: "ToolCall", tool: Tool, name: str) -> Answer[Any]:
    """The answer of a call whose end is recorded, given to another caller: on the record, and its run sees it."""
    answer = await recorded_answer(gateway, call.principal.tenant, name)
    beside = heard(gateway, call, answer)
    if answer.result is not None:
        seen = await shown(gateway, call, tool, answer.result)
        answer, beside = answer.labelled(seen.level), seen.beside
    if beside:
        who = {"person": call.principal.person, "agent": call.principal.agent}
        body = {"tool": tool.name, **who, "repeats": name, "status": answer.status}
        tenant, caller = call.principal.tenant, call.principal.name
        await gateway.journal.append(Entry(call.id, tenant, caller, gateway.now(), Kind.REPEATED, body, beside=beside))
    return answer


async def _what_happened(gateway: "Gateway", begun: Begun, tool: Tool | None) -> Answer[Any]:
    if tool is None:
        raise _CannotSay(f"there is no tool `{begun.tool}` any more")
    kept = await gateway.settled.find(begun.tenant, begun.id)
    if kept is not None:
        # It is kept before the outcome is recorded: whoever carried it out was that far.
        return Answer[tool.output].model_validate_json(kept)  # type: ignore[name-defined]
    back_end = gateway.back_ends.of(begun.tenant, tool.area)
    if not (isinstance(back_end, RemembersEffects) and begun.effect_key):
        raise _CannotSay("it was begun and has no recorded outcome, and the back end cannot say")
    actor = begun.person or begun.agent or ""
    context = CallContext(tenant=begun.tenant, actor=actor, key=begun.effect_key, now=gateway.now())
    try:
        with anyio.fail_after(_LOOK_UP_SECONDS):
            output = await back_end.find_effect(context, tool)
    except InDoubt as error:
        asks_on = gateway.now() - begun.at < _STILL_COMING
        raise _CannotSay(f"it was begun and has no recorded outcome; {error.message}", now=asks_on) from None
    except (Unavailable, TimeoutError):
        raise _CannotSay("it was begun and has no recorded outcome yet", now=True) from None
    if output is None:
        return answers.failed(begun.id, ErrorKind.NOT_DONE, "it did not happen, and it will not")
    return answers.ok(begun.id, output, read(gateway.policy.current.labelled(tool), output.model_dump()).untrusted)


async def _end(
    gateway: "Gateway", begun: Begun, tool: Tool, answer: Answer[Any], call: "ToolCall | None"
) -> Answer[Any]:
    facts: dict[str, Any] = {"status": answer.status, "recovered": True}
    rows: tuple[Beside, ...] = ()
    told = answer
    if answer.result is not None:
        facts |= {"untrusted": answer.untrusted, "saw": seen_ids(answer.result)}
        # What it wrote is labelled like what any call writes.
        wrote, result = Wrote(begun.arguments, begun.written), answer.result.model_dump()
        if call:
            seen = await shown(gateway, call, tool, result, wrote)
            told, rows = answer.labelled(seen.level), seen.beside
        else:
            rows = await labelled(gateway.runs.ledger, begun.tenant, tool, result, wrote)
    elif call:
        rows = heard(gateway, call, answer)
    if answer.error is not None:
        facts |= {"error": answer.error.message}
    if begun.keyed:
        await gateway.settled.keep(begun.tenant, begun.id, answer.model_dump_json())
    back = returned(begun.uses) if answer.status == "failed" else ()
    recorded = await _record(gateway, begun, Kind.OUTCOME, f"outcome:{begun.id}", rows, back, **facts)
    gateway.running.found(begun.id)
    if recorded:
        return told
    if call:
        return await tell_recorded(gateway, call, tool, begun.id)
    return await recorded_answer(gateway, begun.tenant, begun.id)


async def _record(
    gateway: "Gateway",
    begun: Begun,
    kind: Kind,
    once: str,
    beside: tuple[Beside, ...] = (),
    uses: tuple[Use, ...] = (),
    **facts: object,
) -> bool:
    """Record an entry and say whether it was the first."""
    body = {"tool": begun.tool, "person": begun.person, "agent": begun.agent, **facts}
    at = gateway.now()
    try:
        await gateway.journal.append(
            Entry(begun.id, begun.tenant, begun.principal, at, kind, body, once, beside=beside, uses=uses)
        )
    except AlreadyRecorded:
        return False
    return True


class Recovery:
    """Looks, again and again, for calls that were begun and have no end.

    Args:
        gateway: Whose journal and back ends.
    """

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._open: dict[tuple[str, str], Begun] = {}
        self._upto: int | None = None
        self._saved = 0

    async def watch(self, every: float) -> None:
        """Look at once and then every so many seconds, whatever happens."""
        while True:
            try:
                await self.run()
            except JournalUnavailable as error:
                log.warning("recovery_waits", error=str(error))
            except Exception:
                log.exception("recovery_failed")
            await anyio.sleep(every)

    async def run(self) -> None:
        """Look once for what was left open, and find out what became of it.

        Raises:
            JournalUnavailable: If the journal can be neither read nor written; the next look goes on from here.
        """
        await self._look()
        silent: set[tuple[str, str]] = set()
        for where, begun in list(self._open.items()):
            if self._may_be_running(begun) or await self._waits_for_client(begun):
                continue
            back_end = begun.tenant, begun.tool.partition("_")[0]
            # A back end that did not answer now is not asked for every call.
            if back_end not in silent and not await self._is_settled(begun):
                silent.add(back_end)
            elif back_end not in silent:
                del self._open[where]
        await self._remember()

    def _may_be_running(self, begun: Begun) -> bool:
        running = self._gateway.running
        return begun.id in running or (self._gateway.is_fresh(begun.at) and not running.is_lost(begun.id))

    async def _waits_for_client(self, begun: Begun) -> bool:
        earlier = read_earlier(await self._gateway.recorded.of(begun.tenant, begun.id))
        return earlier is not None and self._gateway.waits_for_client(earlier)

    async def _look(self) -> None:
        """Take in what became old enough since the last look, and what this process lost track of."""
        recorded, running = self._gateway.recorded, self._gateway.running
        if self._upto is None:
            self._upto = self._saved = await recorded.reached()
        newest = await recorded.newest_before((self._gateway.now() - self._gateway.given_up_after).isoformat())
        if newest > self._upto:
            for intent in await recorded.open_between(self._upto, newest):
                self._open[intent.tenant, intent.call_id] = begun_by(intent)
            self._upto = newest
        for tenant, call_id in running.lost:
            earlier = read_earlier(await recorded.of(tenant, call_id))
            if earlier and earlier.begun and not (earlier.end or earlier.doubted):
                self._open[tenant, call_id] = begun_by(earlier.begun)
            else:
                running.found(call_id)

    async def _is_settled(self, begun: Begun) -> bool:
        earlier = read_earlier(await self._gateway.recorded.of(begun.tenant, begun.id))
        if earlier and not earlier.end and not earlier.doubted:
            found = await find_out(self._gateway, begun)
            self._gateway.metrics.recovered(found.status)
            log.info("recovered", call=begun.id, tool=begun.tool, status=found.status)
            return not self._gateway.running.is_lost(begun.id)
        self._gateway.running.found(begun.id)
        return True

    async def _remember(self) -> None:
        # Seldom, since it costs a commit; a start then reads this much more.
        reached = self._upto if self._upto is not None and not self._open else self._saved
        if reached - self._saved >= _REMEMBERED_EVERY:
            await self._gateway.recorded.reach(reached)
            self._saved = reached
