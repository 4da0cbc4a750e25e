"""What policy answers: a verdict, the rules that made it and the reason, always together."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """May the call go ahead? Ordered by strictness: a deny beats an ask, an ask beats an allow."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"

    @property
    def strictness(self) -> int:
        """0 for allow, 1 for ask, 2 for deny."""
        return _STRICTNESS[self]


GRANT = "grant"
"""What stands among the rules of a decision that was made by a grant; no rule has this id."""

SCOPE = "scope"
"""Likewise of one that was made by the scopes of the caller's token."""

_STRICTNESS = {Verdict.ALLOW: 0, Verdict.ASK: 1, Verdict.DENY: 2}


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer of the policy to one call.

    Args:
        verdict: Whether the call may go ahead, needs a person's yes, or is refused.
        rules: The ids of the rules that made the verdict, in the order of the file; empty when no rule allows the call.
        reason: One sentence for a person, such as `rule F02 asks for approval: refunds above 50 need a second look`.
        policy_version: Content hash of the policy files that decided.
        obligations: The ids of the lines of `obligations.csv` that the result has to comply with.
    """

    verdict: Verdict
    rules: tuple[str, ...]
    reason: str
    policy_version: str
    obligations: tuple[str, ...] = ()
