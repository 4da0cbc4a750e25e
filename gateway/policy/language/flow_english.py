"""Says in plain words what a condition asks about data flow."""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.policy.language.expression import Constant, FlowFact, Operator
from gateway.policy.language.flow import Origin

LEVEL_VERBS: Final[Mapping[Operator, str]] = {
    "==": "is as confidential as",
    "!=": "is not as confidential as",
    "<": "is less confidential than",
    "<=": "is at most as confidential as",
    ">": "is more confidential than",
    ">=": "is at least as confidential as",
    "in": "is as confidential as one of",
    "not in": "is as confidential as none of",
}

_COMES_FROM: Mapping[str, str] = {
    Origin.REQUEST: "the person's own request",
    Origin.ORGANISATION: "the organisation's own data",
    Origin.CUSTOMER: "a known customer's words",
    Origin.NOWHERE: "nowhere",
    Origin.OUTSIDER: "text of outsiders alone",
}
_TRUTHS: Mapping[str, tuple[str, str]] = {
    "first_time": ("`{}` names somebody never written to before", "`{}` names nobody new"),
    "saw_untrusted": (
        "this task has seen what others may have written",
        "this task has seen only the organisation's words",
    ),
    "saw_private": (
        "this task has seen customers' data or secrets",
        "this task has seen no customers' data and no secrets",
    ),
    "has_grant": ("the call has a valid grant", "the call has no valid grant"),
    "is_intended": ("the person's own words ask for this", "the person's own words do not ask for this"),
}
_THINGS: Mapping[tuple[str, bool], str] = {
    ("origin", True): "where `{}` comes from",
    ("confidentiality", True): "what `{}` tells",
    ("audience", True): "what `{}` may see",
    ("integrity", False): "the least trusted author of what this task has seen",
    ("confidentiality", False): "what this task has seen",
    ("denials", False): "the number of denied calls of this task",
    ("records", False): "the number of records that this task was shown",
    ("customers", False): "the number of different customers whose data the run has seen",
    ("recent_calls", False): "the number of calls within the last minute",
}


def flow_truth(fact: FlowFact, *, holds: bool) -> str:
    """A question that is true or false, and how it is answered."""
    return _TRUTHS[fact.name][not holds].format(fact.argument)


def flow_thing(fact: FlowFact) -> str:
    """What is asked, as the subject or object of a comparison."""
    if fact.name in _TRUTHS:
        return f"the truth of ({flow_truth(fact, holds=True)})"
    return _THINGS[fact.name, fact.argument is not None].format(fact.argument)


def comes_from(fact: FlowFact, origins: Sequence[Constant], operator: Operator) -> str:
    """An origin compared with those that are written out."""
    places = [_COMES_FROM[str(origin.value)] for origin in origins]
    listed = " or ".join(filter(None, (", ".join(places[:-1]), places[-1])))
    verb = "comes from" if operator in ("==", "in", "is") else "does not come from"
    return f"`{fact.argument}` {verb} {listed}"
