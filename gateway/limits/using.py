"""What one call uses up of the limits, as it is committed with its intent: hashes in place of names."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from gateway.canonical import keyed_hash
from gateway.journal.uses import Use
from gateway.policy.files.limits import Limit
from gateway.policy.judge import Policy
from gateway.policy.limiting import Share, shares
from gateway.principal import Principal

_MILLIONTHS = Decimal(1_000_000)
_MICROSECOND = timedelta(microseconds=1)


def uses_of(
    policy: Policy,
    principal: Principal,
    run: str,
    tool: str,
    args: Mapping[str, object],
    now: datetime,
    secret: bytes,
) -> tuple[Use, ...]:
    """What a call uses up.

    Args:
        policy: The policy.
        principal: Who calls.
        run: The run that its grant names; empty without one: then all that the principal does is one run.
        tool: The tool's name.
        args: Its validated input as Python values.
        now: The time of the call.
        secret: Keys the hashes.
    """
    whose = f"run {run}" if run else principal.name
    at = microseconds(now)
    return tuple(_use(share, at, secret) for share in shares(policy, principal, whose, tool, args))


def microseconds(moment: datetime) -> int:
    """A time in microseconds since the epoch."""
    return (moment - datetime.fromtimestamp(0, moment.tzinfo)) // _MICROSECOND


def _use(share: Share, now: int, secret: bytes) -> Use:
    limit, (most, window) = share.limit, _bounds(share.limit)
    whom = json.dumps(["limit", limit.id, limit.what, limit.whom, share.whom])
    # More than that is not told apart: it is too much.
    wanted = min(int((share.amount * _MILLIONTHS).to_integral_value(ROUND_CEILING)), most + 1)
    return Use(limit.id, keyed_hash(whom, secret)[:32], wanted, most, window, now)


@lru_cache(maxsize=1_000)
def _bounds(limit: Limit) -> tuple[int, int]:
    return int(limit.most * _MILLIONTHS), limit.window // _MICROSECOND
