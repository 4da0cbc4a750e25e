"""What the scopes of a caller's token leave open: never more than policy allows."""

from connectors.contract import Tool
from gateway.access import Access
from gateway.policy.decision import SCOPE, Decision, Verdict
from gateway.policy.judge import Policy


def missing(policy: Policy, access: Access | None, tool: Tool) -> str | None:
    """The scope that a token lacks for a tool, the first of the file that opens it; None if it lacks none.

    Where no scope opens the tool it is empty.
    """
    identity = policy.identity
    if access is None or access.scopes is None or (identity and identity.is_open(access.scopes, tool)):
        return None
    return next(iter(identity.opening(tool)), "") if identity else ""


def within_scopes(decision: Decision, policy: Policy, access: Access | None, tool: Tool) -> Decision:
    """A decision for whoever shows a token: denied if its scopes do not open the tool, else as it was."""
    if decision.verdict is Verdict.DENY or (scope := missing(policy, access, tool)) is None:
        return decision
    return Decision(Verdict.DENY, (SCOPE,), closed(tool, scope), decision.policy_version)


def closed(tool: Tool, scope: str) -> str:
    """Why a tool is closed to a token that lacks a scope."""
    if not scope:
        return f"`{tool.name}` is closed to tokens of this issuer: no scope opens it"
    return f"the token's scopes do not open `{tool.name}`: get one with `{scope}`"
