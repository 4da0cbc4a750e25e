"""A run for tests: what the request, the organisation, a customer and an outsider said in it."""

from connectors.contract import Confidentiality
from gateway.flow.evidence import Source
from gateway.flow.seen import Limits, Seen
from gateway.flow.values import Given, Kind
from gateway.policy.language.flow import Origin

KEY = b"a key for tests, thirty-two byte"
REQUEST = Source(Origin.REQUEST, place="request")
COLLEAGUE = Source(Origin.ORGANISATION, Confidentiality.INTERNAL, place="directory")
CUSTOMER = Source(Origin.CUSTOMER, Confidentiality.CUSTOMER, frozenset({"acme.example"}), "ticket")
OUTSIDER = Source(Origin.OUTSIDER, Confidentiality.CUSTOMER, frozenset({"evil.example"}), "mail")


def run(
    request: str = "", colleague: str = "", customer: str = "", outsider: str = "", limits: Limits | None = None
) -> Seen:
    """A run that has seen these free texts."""
    seen = Seen(KEY, limits)
    texts = ((request, REQUEST), (colleague, COLLEAGUE), (customer, CUSTOMER), (outsider, OUTSIDER))
    for text, source in texts:
        if text:
            seen.add_text(text, source)
    return seen


def kept(value: Given, kind: Kind, namespace: str = "", source: Source = COLLEAGUE) -> Seen:
    """A run that has seen one field."""
    seen = Seen(KEY)
    seen.add_value(value, kind, namespace, source)
    return seen
