"""What one run has seen so far, put together from what its calls showed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from connectors.contract import Author
from gateway.flow.labels import CLEAN, Label
from gateway.flow.ledger import Seen, Sight
from gateway.flow.reading import Piece, Reading
from gateway.flow.seen import Index, Source, kind_of
from gateway.policy.language.flow import Origin

_ORIGINS = {
    Author.OUTSIDER: Origin.OUTSIDER,
    Author.CUSTOMER: Origin.CUSTOMER,
    Author.ORGANISATION: Origin.ORGANISATION,
    Author.SYSTEM: Origin.ORGANISATION,
}
_MOST_LINKS = 10_000


@dataclass
class Run:
    """What a run has seen.

    Args:
        index: Where each value stood.
        label: The label of everything.
        links: Sets of owners that are one customer's.
        position: Up to where it is known.
        oldest: When the first of it was seen; None while there is nothing.
    """

    index: Index
    label: Label = CLEAN
    links: set[frozenset[str]] = field(default_factory=set)
    position: int = 0
    oldest: datetime | None = None

    def take(self, seen: Seen) -> None:
        """Add what a call showed."""
        self.index.load(seen.sight.index)
        self.label |= seen.sight.label
        # A customer who is not recognised gets a question more.
        self.links.update(seen.sight.links[: max(0, _MOST_LINKS - len(self.links))])
        self.position, self.oldest = seen.position, self.oldest or seen.at


def sight_of(reading: Reading, place: str, new_index: Callable[[], Index]) -> Sight:
    """What a result shows, as it is kept.

    Args:
        reading: The result.
        place: Which call showed it, for people who ask where a value was seen.
        new_index: Makes an empty index.
    """
    index = new_index()
    for piece in reading.pieces:
        _add(index, piece, place)
    return Sight(reading.label, reading.links, index.dump())


def _add(index: Index, piece: Piece, place: str) -> None:
    value, label = piece.value, piece.label
    source = Source(_ORIGINS[piece.author], label.confidentiality, label.owners, f"{place} {piece.path}")
    if isinstance(value, str):
        on_record = Source(Origin.ORGANISATION, label.confidentiality, label.owners, source.place)
        if piece.author is Author.SYSTEM or piece.namespace:
            index.add_value(value, kind_of(value), piece.namespace, source)
        elif piece.is_kept:
            index.add_value(value, kind_of(value), "", on_record)
        if piece.author is not Author.SYSTEM:
            index.add_text(value, source)
    elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        _add_number(index, value, piece, source)


def _add_number(index: Index, value: float | Decimal, piece: Piece, source: Source) -> None:
    if piece.namespace:
        index.add_value(str(value), kind_of(str(value)), piece.namespace, source)
    # Counts and versions are no amounts: `version 2` must not vouch for a refund of 2.
    elif isinstance(value, Decimal) or piece.author is not Author.SYSTEM:
        index.add_value(value, kind_of(value), "", source)
