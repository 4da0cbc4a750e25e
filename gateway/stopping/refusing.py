"""Refusing what is stopped: a call before it is decided and once more before it begins, a tool before it is shown."""

from collections.abc import Collection, Iterable
from typing import Any

from gateway import answers
from gateway.answer import Answer
from gateway.gateway import Decided, Gateway, ToolCall, record
from gateway.journal import Kind
from gateway.policy.decision import Verdict
from gateway.principal import Principal
from gateway.stopping.in_force import StopsUnread
from gateway.stopping.stop import ANY_TENANT, Stop

UNREAD = "unread"
"""The id in place of a stop's, where the stops cannot be read."""


async def refused_as_stopped(gateway: Gateway, decided: Decided) -> Answer[Any] | None:
    """Refuse a call that is stopped, on the record; None if it may go on.

    Args:
        gateway: The gateway.
        decided: The call.

    Raises:
        JournalUnavailable: If the refusal cannot be recorded.
    """
    call = decided.call
    try:
        stop = await _stop_of(gateway, call, decided.tool.name)
    except StopsUnread as error:
        why = f"{error}: ask whoever runs this gateway"
        return await _refused(gateway, decided, UNREAD, why, why)
    if stop is None:
        return None
    told = f"{stop.target.label} is stopped by {_whom(stop)} since {stop.since:%Y-%m-%d %H:%M} UTC"
    ask = "whoever runs this gateway" if stop.target.tenant == ANY_TENANT else stop.by
    # The words of why are kept with the stop, where they can be erased.
    return await _refused(gateway, decided, stop.id, told, f"{told}: {stop.why}; ask {ask} to resume it")


async def offered(
    gateway: Gateway, who: Principal, tools: Iterable[str], tokens: Collection[str] = ()
) -> frozenset[str]:
    """Those of some tools, by name, that are not stopped for a caller; none while the stops cannot be read."""
    try:
        stops = await gateway.stops.current(gateway.now())
    except StopsUnread:
        return frozenset()
    return frozenset(tool for tool in tools if not any(each.target.covers(who, tool, (), tokens) for each in stops))


def runs_of(call: ToolCall) -> frozenset[str]:
    """The ids of all runs that a call belongs to."""
    named = {call.declared.run, call.grant.run if call.grant else None}
    return frozenset(run for run in named if run)


async def _stop_of(gateway: Gateway, call: ToolCall, tool: str) -> Stop | None:
    stops = await gateway.stops.current(gateway.now())
    if not stops:
        return None
    runs, tokens = runs_of(call), call.access.tokens if call.access else ()
    return next((each for each in stops if each.target.covers(call.principal, tool, runs, tokens)), None)


def _whom(stop: Stop) -> str:
    # What concerns every tenant does not tell one tenant's people the names of another's.
    return "the operator" if stop.target.tenant == ANY_TENANT else stop.by


async def _refused(gateway: Gateway, decided: Decided, stop_id: str, recorded: str, told: str) -> Answer[Any]:
    rules = [f"stop:{stop_id}"]
    facts = {**decided.facts, "verdict": Verdict.DENY, "rules": rules, "reason": recorded}
    await record(gateway, decided.call, Kind.DENIED, **facts)
    gateway.metrics.refused_by_stop()
    return answers.stopped(decided.call.id, rules, told)
