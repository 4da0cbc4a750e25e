"""What one call uses up of the limits, and what is said when that is too much. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway.policy.decision import Decision, Verdict
from gateway.policy.files.limits import ARGS, CALLS, RECIPIENTS, Limit
from gateway.policy.judge import Policy
from gateway.principal import Principal

_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Share:
    """What a call uses up of one limit.

    Args:
        limit: The limit.
        whom: For whom it counts: the tenant, and a value for each of what the limit counts apart.
        amount: How much, above 0.
    """

    limit: Limit
    whom: tuple[str, ...]
    amount: Decimal


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """A call that was made before."""

    principal: Principal
    tool: str
    args: Mapping[str, object]
    at: datetime


def shares(policy: Policy, principal: Principal, run: str, tool: str, args: Mapping[str, object]) -> tuple[Share, ...]:
    """What a call uses up of each limit that counts it.

    Args:
        policy: The policy.
        principal: Who calls.
        run: What the call's run is called.
        tool: The tool's name.
        args: Its validated input as Python values.
    """
    found = []
    for limit in policy.limits_on(principal, tool):
        whom, amount = _whom(limit, principal, run, tool, args), _amount(limit, tool, args)
        if whom and amount:
            found.append(Share(limit, whom, amount))
    return tuple(found)


def exceeded(policy: Policy, call: Past, before: Iterable[Past]) -> tuple[Limit, ...]:
    """The limits that a call exceeds after others; each principal's calls are one run.

    Args:
        policy: The policy.
        call: The call.
        before: What was called before, and happened.
    """
    times = Counter(before)
    spent = [(past, share, count) for past, count in times.items() for share in _shares_of(policy, past)]
    over = []
    for share in _shares_of(policy, call):
        since = call.at - share.limit.window
        same = ((each, count) for past, each, count in spent if past.at > since and each.limit is share.limit)
        used = sum((each.amount * count for each, count in same if each.whom == share.whom), Decimal())
        if used + share.amount > share.limit.most:
            over.append(share.limit)
    return tuple(over)


def denied(policy: Policy, over: Sequence[Limit]) -> Decision:
    """The decision about a call that exceeds limits. It tells what they are, never who used how much."""
    ids = " and ".join(limit.id for limit in over)
    says = "; ".join(f"{limit.words}{f': {limit.note}' if limit.note else ''}" for limit in over)
    which = f"limit {ids} is" if len(over) == 1 else f"limits {ids} are"
    return Decision(Verdict.DENY, tuple(limit.id for limit in over), f"{which} reached: {says}", policy.version)


def _shares_of(policy: Policy, past: Past) -> tuple[Share, ...]:
    return shares(policy, past.principal, past.principal.name, past.tool, past.args)


def _whom(
    limit: Limit, principal: Principal, run: str, tool: str, args: Mapping[str, object]
) -> tuple[str, ...] | None:
    """For whom a call counts; None if somebody whom the limit counts apart is no part of the call."""
    known = {"person": principal.person, "agent": principal.agent, "tenant": "", "run": run, "tool": tool}
    values = [str(args[each[len(ARGS) :]]) if each.startswith(ARGS) else known[each] for each in limit.whom]
    present = [value for value in values if value is not None]
    return (principal.tenant, *present) if len(present) == len(values) else None


def _amount(limit: Limit, tool: str, args: Mapping[str, object]) -> Decimal:
    if limit.what == CALLS:
        return _ONE
    values = [value for path in limit.paths[tool] for value in _values(args, path.replace("[]", "").split("."))]
    if limit.what == RECIPIENTS:
        return Decimal(len({str(value).strip().casefold() for value in values}))
    # What takes something back is not a way to get more.
    return sum((abs(_number(value)) for value in values), Decimal())


def _values(value: object, names: Sequence[str]) -> Iterator[object]:
    """Every value at a path, those in lists included, without those that are not there."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _values(item, names)
    elif names:
        if isinstance(value, Mapping):
            yield from _values(value.get(names[0]), names[1:])
    elif value is not None and value != "":
        yield value


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise TypeError(f"not a number: {type(value).__name__}")
    number = Decimal(value)
    if not number.is_finite():
        raise ArithmeticError("not finite")
    return number
