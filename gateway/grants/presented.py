"""The stage of a call that presents a grant: verified before anything else is looked at, or refused."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from connectors.contract import Tool
from gateway import answers
from gateway.answer import Answer
from gateway.gateway import Gateway, ToolCall, record
from gateway.grants.bounds import limits_of
from gateway.grants.grant import BadGrant
from gateway.journal import Kind
from gateway.policy.decision import GRANT, Decision, Verdict
from gateway.policy.judge import Policy


async def under_its_grant(gateway: Gateway, call: ToolCall) -> ToolCall:
    """The call with the grant that it presents, if it presents one.

    Raises:
        BadGrant: If what it presents is not good: then it must not go on without.
        JournalUnavailable: If that cannot be looked up.
    """
    if not call.declared.grant:
        return call
    return replace(call, grant=await gateway.grants.verify(call.declared.grant, call.principal, gateway.now()))


def looked_back_at(policy: Policy, call: ToolCall, tool: Tool) -> frozenset[str]:
    """The tools whose earlier calls are counted, by a rule or by the call's grant: such calls take turns."""
    limited = call.grant is not None and bool(limits_of(call.grant.terms, tool.name))
    return policy.needs_history(tool.name) | (frozenset({tool.name}) if limited else frozenset())


async def counted_under(gateway: Gateway, call: ToolCall, own: Collection[str]) -> ToolCall:
    """The call with what was made under its grant before, where the grant limits that; it waited for that.

    Args:
        gateway: The gateway.
        call: The call, whose turn it is.
        own: The names that it goes by itself.

    Raises:
        BadGrant: If the grant is good no more by now.
        JournalUnavailable: If that cannot be read.
    """
    if call.grant is None or not limits_of(call.grant.terms, call.tool):
        return call
    call = await under_its_grant(gateway, call)
    return replace(call, made=await gateway.grants.made(call.grant, own)) if call.grant else call


async def refuse(gateway: Gateway, call: ToolCall, error: BadGrant) -> Answer[Any]:
    """Refuse a call whose grant is not good, on the record.

    Raises:
        JournalUnavailable: If that cannot be recorded.
    """
    decision = Decision(Verdict.DENY, (GRANT,), error.reason, gateway.policy.current.version)
    facts: dict[str, Any] = {"verdict": decision.verdict, "rules": [GRANT], "reason": error.reason}
    facts |= {"grant": error.grant_id} if error.grant_id else {}
    await record(gateway, call, Kind.DENIED, policy_version=decision.policy_version, **facts)
    return answers.badly_granted(call.id, decision)
