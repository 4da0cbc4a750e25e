"""What the scopes of a caller's token leave open: never more than policy allows."""

from datetime import datetime
from typing import Final

from connectors.contract import Tool
from gateway.access import Access
from gateway.policy.decision import SCOPE, Decision, Verdict
from gateway.policy.judge import Policy

_ENDED: Final = "the token ended while the call waited: make the call again with a new one"


def missing(policy: Policy, access: Access | None, tool: Tool) -> str | None:
    """The scope that a token lacks for a tool, the first of the file that opens it; None if it lacks none.

    Where no scope opens the tool it is empty.
    """
    identity = policy.identity
    if access is None or access.scopes is None or (identity and identity.is_open(access.scopes, tool)):
        return None
    return next(iter(identity.opening(tool)), "") if identity else ""


def within_scopes(decision: Decision, policy: Policy, access: Access | None, tool: Tool, now: datetime) -> Decision:
    """A decision for whoever shows a token: denied if it has ended or its scopes do not open the tool, else as it was.

    It was good when the request came; since then the call may have waited for a slot, a person or its client.
    """
    if access and decision.verdict is not Verdict.DENY and now.timestamp() >= access.expires_at:
        return Decision(Verdict.DENY, (SCOPE,), _ENDED, decision.policy_version)
    if decision.verdict is Verdict.DENY or (scope := missing(policy, access, tool)) is None:
        return decision
    return Decision(Verdict.DENY, (SCOPE,), closed(tool, scope), decision.policy_version)


def closed(tool: Tool, scope: str) -> str:
    """Why a tool is closed to a token that lacks a scope."""
    if not scope:
        return f"`{tool.name}` is closed to tokens of this issuer: no scope opens it"
    return f"the token's scopes do not open `{tool.name}`: get one with `{scope}`"
