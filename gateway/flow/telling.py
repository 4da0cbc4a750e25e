"""Where an argument's value comes from, in words for whoever approves."""

from collections.abc import Sequence

from gateway.flow.evidence import POSITIVE
from gateway.policy.language.flow import Origin

_WORDS = {
    Origin.REQUEST: "the person's own request",
    Origin.ORGANISATION: "the organisation's own records",
    Origin.CUSTOMER: "words of a known customer only",
    Origin.NOWHERE: "nowhere that this run has seen: the model made it up",
    Origin.OUTSIDER: "text only that outsiders may have written",
}


def origin_words(origin: Origin, places: Sequence[str]) -> str:
    """Say where a value comes from.

    Args:
        origin: Its origin.
        places: Where it was seen, such as `ticket_get_ticket call_… comments[].body`.
    """
    where = "; ".join(dict.fromkeys(map(_place, places)))
    return f"{_WORDS[origin]} ({where})" if where else _WORDS[origin]


def is_vouched(origin: Origin) -> bool:
    """Whether the person or the organisation stands behind it."""
    return origin in POSITIVE


def _place(place: str) -> str:
    tool, _, rest = place.partition(" ")
    path = rest.rpartition(" ")[2]
    return f"{tool}: {path}" if path else place
