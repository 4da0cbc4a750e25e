"""What one run has seen so far, put together from what its calls showed."""

import re
from collections.abc import Callable, Collection
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
from gateway.flow.prints import Gathered
from gateway.flow.reading import Piece, Reading
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
    shown = _Showing(place, key)
    for piece in reading.pieces:
        if isinstance(piece.value, str):
            shown.add_text(piece.value, piece)
        elif isinstance(piece.value, (int, float, Decimal)) and not isinstance(piece.value, bool):
            shown.add_number(piece.value, piece)
    return Sight(reading.label, reading.links, shown.gathered.take())


class _Showing:
    """Gathers the values of a result, each under where it stands."""

    def __init__(self, place: str, key: bytes) -> None:
        self.gathered = Gathered(key)
        self._place = place
        self._sources: dict[tuple[str, Origin, int], Source] = {}

    def add_text(self, value: str, piece: Piece) -> None:
        author = piece.author
        if author is Author.SYSTEM or piece.namespace:
            kind = kind_of(value) if not piece.namespace else Kind.IDENTIFIER
            kind = Kind.IDENTIFIER if kind is Kind.TEXT else kind
            self.gathered.add_value(value, kind, piece.namespace, self._source(piece, _ORIGINS[author]))
        elif piece.is_kept and len(value.split()) <= LONGEST_LINE:  # a longer one is no name
            self.gathered.add_value(value, kind_of(value), "", self._source(piece, Origin.ORGANISATION))
        if author is not Author.SYSTEM:
            self.gathered.add_text(value, self._source(piece, _ORIGINS[author]))

    def add_number(self, value: float | Decimal, piece: Piece) -> None:
        if piece.namespace:
            source = self._source(piece, _ORIGINS[piece.author])
            self.gathered.add_value(str(value), Kind.IDENTIFIER, piece.namespace, source)
        # Counts and versions are no amounts: `version 2` must not vouch for a refund of 2.
        elif isinstance(value, Decimal) or piece.author is not Author.SYSTEM:
            self.gathered.add_value(value, Kind.NUMBER, "", self._source(piece, _ORIGINS[piece.author]))

    def _source(self, piece: Piece, origin: Origin) -> Source:
        label = piece.label
        where = (piece.path, origin, id(label))
        if (source := self._sources.get(where)) is None:
            source = Source(origin, label.confidentiality, label.owners, f"{self._place} {piece.path}")
            self._sources[where] = source
        return source


def kind_of(value: object) -> Kind:
    """What a value of a field that may hold several kinds is, by its shape."""
    text = str(value)
    return _kind_of_short(text) if len(text) <= _SHORT else _kind_of(text)


@lru_cache(maxsize=5_000)
def _kind_of_short(text: str) -> Kind:
    return _kind_of(text)


def _kind_of(text: str) -> Kind:
    return next((kind for shape, kind in _SHAPES if shape.fullmatch(text)), Kind.TEXT)
