"""What a person is asked before a call may run.

A question is named by what it binds: who asks, the exact arguments, the rules and the policy. The same call asked
again is therefore the same question, and any change makes it another one.
"""

import hashlib

from gateway.policy.decision import Decision
from gateway.principal import Principal


def approval_id(principal: Principal, tool: str, arguments_hash: str, decision: Decision) -> str:
    """Name the question that a call raises: `apr_` and 24 hexadecimal digits.

    Args:
        principal: Who calls.
        tool: The tool's name.
        arguments_hash: Hash of the canonical arguments.
        decision: The decision that asks.
    """
    bound = (principal.tenant, *principal.parties, tool, arguments_hash, *decision.rules, decision.policy_version)
    return "apr_" + hashlib.sha256("\x1f".join(bound).encode()).hexdigest()[:24]
