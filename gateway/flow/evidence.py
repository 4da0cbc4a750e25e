"""What is known of each piece of evidence, a value or a run of words, and how much of it is kept."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from connectors.contract import Confidentiality
from gateway.flow.labels import CLEAN, Label
from gateway.policy.language.flow import Integrity, Origin

POSITIVE = frozenset({Origin.REQUEST, Origin.ORGANISATION})
"""Where a value must have been seen to be endorsed."""
_MOST_PLACES = 3
_INTEGRITY = {
    Origin.REQUEST: Integrity.ORGANISATION,
    Origin.ORGANISATION: Integrity.ORGANISATION,
    Origin.CUSTOMER: Integrity.CUSTOMER,
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where something was seen.

    Args:
        origin: Who wrote it; `NOWHERE` is no source.
        confidentiality: Who may see it.
        owners: Whose it is.
        place: Words for the people who are asked, such as `email_get_thread messages[].body`.
    """

    origin: Origin
    confidentiality: Confidentiality = Confidentiality.PUBLIC
    owners: frozenset[str] = frozenset()
    place: str = ""

    def __post_init__(self) -> None:
        if self.origin is Origin.NOWHERE:
            raise ValueError("`nowhere` is no source: say who wrote it")


@dataclass(frozen=True, slots=True)
class Standing:
    """All that is known of one piece of evidence: the best of where it stands.

    It is as confidential as the least confidential place: what stands in a public page is no secret. If several owners'
    places are equally confidential it is all theirs.
    """

    origin: Origin
    confidentiality: Confidentiality
    owners: frozenset[str]
    places: tuple[str, ...]

    def __or__(self, other: "Standing") -> "Standing":
        """What is known of it if it stands in both; the order does not matter."""
        best = self.origin if self.origin.rank <= other.origin.rank else other.origin
        mine, theirs = self.confidentiality, other.confidentiality
        least = mine if mine.rank <= theirs.rank else theirs
        sides = (self, other)
        places = {place for side in sides if side.origin is best for place in side.places}
        owners = (side.owners for side in sides if side.confidentiality is least)
        return Standing(best, least, frozenset().union(*owners), tuple(sorted(places)[:_MOST_PLACES]))


def label_of(standing: Standing) -> Label:
    """The label of what is so known."""
    return Label(_INTEGRITY.get(standing.origin, Integrity.ANYONE), standing.confidentiality, standing.owners)


def _adds_nothing(other: Standing, known: Standing) -> bool:
    """Whether what is known stays the same if it stands in another place as well."""
    if known.origin.rank > other.origin.rank or known.confidentiality.rank > other.confidentiality.rank:
        return False
    if known.confidentiality is other.confidentiality and not other.owners <= known.owners:
        return False
    if known.origin is not other.origin or set(other.places) <= set(known.places):
        return True
    return len(known.places) == _MOST_PLACES and min(other.places) > known.places[-1]


def standing_of(source: Source) -> Standing:
    """What is known of something seen in one place."""
    places = (source.place,) if source.place else ()
    return Standing(source.origin, source.confidentiality, source.owners, places)


class Evidence:
    """Fingerprints and what is known of each, at most so many.

    What comes when it is full is dropped and its label kept. A quarter is open only to positive evidence, so that an
    outsider's flood cannot keep out what endorses.

    Args:
        limit: How many fingerprints are kept.
        standings: What can be known, shared by several; a fingerprint refers to one by its position.
    """

    def __init__(self, limit: int, standings: "Standings") -> None:
        self._limit = limit
        self._standings = standings
        self._known: dict[int, int] = {}
        self.dropped: Label = CLEAN
        self.has_dropped = False

    def __len__(self) -> int:
        return len(self._known)

    def add(self, fingerprints: Collection[int], source: Source) -> None:
        """Remember that these stand in a source."""
        if not fingerprints:
            return
        number = self._standings.number_of(source)
        if number is None:
            self._drop(source)
            return
        seen = set(map(self._known.get, fingerprints))
        if seen == {None} and len(self._known) >= self._room(source):
            self._drop(source)
            return
        if seen <= {None, number} and len(self._known) + len(fingerprints) <= self._room(source):
            self._known.update(dict.fromkeys(fingerprints, number))
        else:
            for fingerprint in fingerprints:
                self._add_one(fingerprint, number, source)

    def _add_one(self, fingerprint: int, number: int, source: Source) -> None:
        known = self._known.get(fingerprint)
        if known is None:
            if len(self._known) < self._room(source):
                self._known[fingerprint] = number
            else:
                self._drop(source)
        elif known != number:
            joined = self._standings.joined(known, number)
            if joined is None:
                self._drop(source)
            else:
                self._known[fingerprint] = joined

    def _room(self, source: Source) -> int:
        return self._limit if source.origin in POSITIVE else self._limit * 3 // 4

    def _drop(self, source: Source) -> None:
        self.has_dropped = True
        self.dropped |= label_of(standing_of(source))

    def hits(self, fingerprints: Iterable[int]) -> "list[tuple[int, Standing]]":
        """Those that were seen, each as its position and what is known of it."""
        numbers = enumerate(map(self._known.get, fingerprints))
        return [(at, self._standings[number]) for at, number in numbers if number is not None]

    def get(self, fingerprints: Iterable[int]) -> "list[Standing | None]":
        """What is known of each, in order; None of one that was not seen."""
        numbers = map(self._known.get, fingerprints)
        return [None if number is None else self._standings[number] for number in numbers]


class Standings:
    """The different things that are known of some evidence, numbered.

    Args:
        limit: How many are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._numbers: dict[Standing, int] = {}
        self._all: list[Standing] = []
        self._joined: dict[tuple[int, int], int] = {}
        self._latest: tuple[Source, int | None] | None = None

    def __getitem__(self, number: int) -> Standing:
        return self._all[number]

    def number_of(self, source: Source) -> int | None:
        """The number of what is known of something seen in one place."""
        # What one place shows comes in several goes.
        if self._latest is None or self._latest[0] is not source:
            self._latest = (source, self.number(standing_of(source)))
        return self._latest[1]

    def number(self, standing: Standing) -> int | None:
        """The number of a standing, a new one if need be, in need without its places; None if there are too many."""
        number = self._numbers.get(standing)
        if number is None and len(self._all) >= self._limit:
            standing = replace(standing, places=())
            number = self._numbers.get(standing)
        if number is None and len(self._all) < self._limit * 2:
            number = self._numbers[standing] = len(self._all)
            self._all.append(standing)
        return number

    def joined(self, one: int, other: int) -> int | None:
        """The number of what is known if both are so; None if there are too many."""
        pair = (one, other)
        number = self._joined.get(pair)
        if number is None and _adds_nothing(self._all[other], self._all[one]):
            return one
        if number is None:
            number = self.number(self._all[one] | self._all[other])
            if number is not None and len(self._joined) < self._limit:
                self._joined[pair] = number
        return number
