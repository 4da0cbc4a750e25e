"""What one run has seen so far, put together from what its calls showed."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from connectors.contract import Author
from gateway.flow.audience import Links, customers
from gateway.flow.copied import LONGEST_LINE
from gateway.flow.evidence import Source
from gateway.flow.labels import CLEAN, Label
from gateway.flow.ledger import Sight, Sighting
from gateway.flow.prints import Gathered, Printer, Prints, printer_of
from gateway.flow.reading import Alike, Reading
from gateway.flow.seen import Seen
from gateway.flow.values import Kind
from gateway.policy.language.flow import Origin

_ORIGINS = {
    Author.OUTSIDER: Origin.OUTSIDER,
    Author.CUSTOMER: Origin.CUSTOMER,
    Author.ORGANISATION: Origin.ORGANISATION,
    Author.SYSTEM: Origin.ORGANISATION,
}
_MOST_LINKS = 10_000
_SHORT = 200
_SHAPES = (
    (re.compile(r"[^@\s]+@[^@\s]+"), Kind.ADDRESS),
    (re.compile(r"https?://\S+", re.IGNORECASE), Kind.URL),
    (re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{10,30}"), Kind.ACCOUNT),
    (re.compile(r"\+?[0-9][0-9()./ -]{5,}"), Kind.PHONE),
)


@dataclass
class Run:
    """What a run has seen.

    Args:
        seen: Where each value stood.
        label: The label of everything.
        links: Sets of owners that are one customer's.
        position: Up to where it is known.
        oldest: When the first of it was seen; None while there is nothing.
    """

    seen: Seen
    label: Label = CLEAN
    links: Links = field(default_factory=Links)
    position: int = 0
    oldest: datetime | None = None
    _counted: dict[object, int] = field(default_factory=dict)

    def take(self, sighting: Sighting) -> None:
        """Add what a call showed."""
        self.seen.load(sighting.sight.values)
        self.label |= sighting.sight.label
        # A customer who is not recognised gets a question more.
        self.links.add(sighting.sight.links[: max(0, _MOST_LINKS - len(self.links))])
        self.position, self.oldest = sighting.position, self.oldest or sighting.at

    def customers(self, own_domains: Collection[object], hidden: Callable[[str], str]) -> int:
        """How many different customers' own data it has seen, as `audience.customers` counts them."""
        of = (self.label.owners, len(self.links), tuple(own_domains))
        if of not in self._counted:
            self._counted.clear()
            self._counted[of] = customers(self.label.owners, self.links, own_domains, hidden)
        return self._counted[of]


def sight_of(reading: Reading, place: str, key: bytes) -> Sight:
    """What a result shows, as it is kept.

    Args:
        reading: The result.
        place: Which call showed it, for people who ask where a value was seen.
        key: The secret of fingerprints.
    """
    printer, shown = printer_of(key), Gathered(key)
    for alike in reading.values:
        texts, numbers = alike.parts()
        is_field = alike.author is Author.SYSTEM or bool(alike.namespace)
        if texts and alike.is_kept and not is_field:
            names = (text for text in texts if len(text.split()) <= LONGEST_LINE)  # a longer one is no name
            kept = [printer.of_value(text, kind_of(text), "", Origin.ORGANISATION) for text in names]
            shown.add(kept, _source(alike, place, Origin.ORGANISATION))
        origin = _ORIGINS[alike.author]
        prints = _prints_of_fields(printer, alike, texts, origin) if is_field else []
        if alike.author is not Author.SYSTEM:
            prints += [printer.of_text(text, origin) for text in texts]
        if numbers:
            prints += _prints_of_numbers(printer, alike, numbers, origin)
        if prints:
            shown.add(prints, _source(alike, place, origin))
    return Sight(reading.label, reading.links, shown.take())


def _prints_of_fields(printer: Printer, alike: Alike, texts: Iterable[str], origin: Origin) -> list[Prints]:
    """Of texts that are the system's, or that identify something whoever wrote them."""
    if alike.namespace:
        return [printer.of_value(text, Kind.IDENTIFIER, alike.namespace, origin) for text in texts]
    kinds = ((text, kind_of(text)) for text in texts)
    return [printer.of_value(text, Kind.IDENTIFIER if kind is Kind.TEXT else kind, "", origin) for text, kind in kinds]


def _prints_of_numbers(
    printer: Printer, alike: Alike, numbers: Iterable[float | Decimal], origin: Origin
) -> list[Prints]:
    if alike.namespace:
        return [printer.of_value(number, Kind.IDENTIFIER, alike.namespace, origin) for number in numbers]
    # Counts and versions are no amounts: `version 2` must not vouch for a refund of 2.
    is_counted = alike.author is Author.SYSTEM
    amounts = (each for each in numbers if isinstance(each, Decimal)) if is_counted else numbers
    return [printer.of_value(amount, Kind.NUMBER, "", origin) for amount in amounts]


def _source(alike: Alike, place: str, origin: Origin) -> Source:
    label = alike.label
    return Source(origin, label.confidentiality, label.owners, f"{place} {alike.path}")


def kind_of(value: object) -> Kind:
    """What a value of a field that may hold several kinds is, by its shape."""
    text = str(value)
    return _kind_of_short(text) if len(text) <= _SHORT else _kind_of(text)


@lru_cache(maxsize=5_000)
def _kind_of_short(text: str) -> Kind:
    return _kind_of(text)


def _kind_of(text: str) -> Kind:
    return next((kind for shape, kind in _SHAPES if shape.fullmatch(text)), Kind.TEXT)
