"""Where a call passes through: the answer as its caller may have it, and what the journal tells of the difference.

What is kept for whoever repeats a call is the answer as the back end gave it. Each time it is given again it is
presented anew: under the policy of that moment, with marks of its own, and what the repeating run sees is labelled
by what was really written.
"""

from typing import TYPE_CHECKING, Any

import anyio.to_thread

from gateway.answer import Answer
from gateway.flow.levels import most_confidential
from gateway.flow.size import is_larger
from gateway.results.bounding import Limits
from gateway.results.marking import new_mark
from gateway.results.presenting import Terms, presented

if TYPE_CHECKING:
    from gateway.gateway import Decided, Gateway

_LONG = 16_000
"""From how many characters on a result is looked through beside the event loop."""


async def present(gateway: "Gateway", decided: "Decided", answer: Answer[Any]) -> Answer[Any]:
    """Make an answer ready for the caller of a decided call; one that is ready stays as it is."""
    if answer.is_presented:
        return answer
    if answer.confidentiality is None:
        # Nobody looked at what it shows.
        answer = answer.labelled(most_confidential(decided.policy.labelled(decided.tool)))
    terms = terms_for(decided, gateway.limits)
    if is_larger(answer.result, _LONG):
        return await anyio.to_thread.run_sync(presented, decided.tool, answer, terms)
    return presented(decided.tool, answer, terms)


def terms_for(decided: "Decided", limits: Limits) -> Terms:
    """On which terms the caller gets the result: as the policy that decided says."""
    obligations = decided.policy.obligations(decided.call.principal, decided.tool.name)
    return Terms(obligations, limits, new_mark())


def account_of(answer: Answer[Any], obligations: tuple[str, ...]) -> dict[str, Any]:
    """What an entry tells of how a result was presented: paths, rules and counts, never a value."""
    facts: dict[str, Any] = {}
    if answer.result is None:
        return facts
    if obligations:
        facts["obligations"] = list(obligations)
    for name in ("redacted", "altered"):
        if parts := getattr(answer, name):
            facts[name] = [part.model_dump() for part in parts]
    return facts
