"""Refusing a call that a limit leaves no room for: an ordinary denial, with when to come back."""

from datetime import UTC, datetime, timedelta
from typing import Any

from gateway import answers
from gateway.answer import Answer
from gateway.gateway import Decided, Gateway, record
from gateway.journal import Kind
from gateway.journal.uses import OverLimit, Use
from gateway.limits.using import uses_of
from gateway.policy.limiting import denied

_EPOCH = datetime.fromtimestamp(0, UTC)


def uses(gateway: Gateway, decided: Decided) -> tuple[Use, ...]:
    """What a call would use up if it began now."""
    call = decided.call
    if not decided.policy.limits_on(call.principal, decided.tool.name):
        return ()
    run = call.grant.run if call.grant else ""
    arguments = decided.arguments.model_dump()
    return uses_of(decided.policy, call.principal, run, decided.tool.name, arguments, gateway.now(), gateway.secret)


async def check_limits(gateway: Gateway, decided: Decided) -> None:
    """See whether limits leave room for a call before a person is asked about it.

    Raises:
        OverLimit: If they do not.
        JournalUnavailable: If that cannot be read.
    """
    await gateway.uses.check(decided.call.principal.tenant, uses(gateway, decided))


async def refused_over_limit(gateway: Gateway, decided: Decided, error: OverLimit) -> Answer[Any]:
    """Refuse a call that uses up more than is left, on the record.

    Raises:
        JournalUnavailable: If that cannot be recorded.
    """
    call, policy = decided.call, decided.policy
    decision = denied(policy, [limit for limit in policy.limits if limit.id in error.limits])
    free_at = None if error.free_at is None else _EPOCH + timedelta(microseconds=error.free_at)
    facts = {**decided.facts, "verdict": decision.verdict, "rules": list(decision.rules), "reason": decision.reason}
    until = free_at.isoformat() if free_at else None
    await record(gateway, call, Kind.DENIED, **facts, limits=list(decision.rules), until=until)
    gateway.metrics.refused_by_limit(decision.rules)
    return answers.over_limit(call.id, decision, free_at, gateway.now())
