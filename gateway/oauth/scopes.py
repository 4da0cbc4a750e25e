"""What the scopes of a caller's token leave open: never more than policy allows."""

from connectors.contract import Tool
from gateway.access import Access
from gateway.policy.decision import SCOPE, Decision, Verdict
from gateway.policy.judge import Policy


def missing(policy: Policy, access: Access | None, tool: Tool) -> str:
    """The scope that a token lacks for a tool, the first of the file that opens it; empty if it lacks none.

    Where no scope opens the tool, that is `SCOPE` itself, which nobody has.
    """
    identity = policy.identity
    if access is None or access.scopes is None or (identity and identity.is_open(access.scopes, tool)):
        return ""
    return next(iter(identity.opening(tool)), SCOPE) if identity else SCOPE


def within_scopes(decision: Decision, policy: Policy, access: Access | None, tool: Tool) -> Decision:
    """A decision for whoever shows a token: denied if its scopes do not open the tool, else as it was."""
    if decision.verdict is Verdict.DENY or not (scope := missing(policy, access, tool)):
        return decision
    told = f"the token's scopes do not open `{tool.name}`: get one with `{scope}`"
    return Decision(Verdict.DENY, (SCOPE,), told, decision.policy_version)
