"""Sets of values that can be cut, joined and turned inside out without loss: intervals, and lists of single values."""

from collections.abc import Callable
from operator import and_, or_
from typing import Any, NamedTuple, TypeAlias


class Spans(NamedTuple):
    """Numbers, dates or lengths as intervals.

    Args:
        cuts: Where inside and outside change places, ascending: `(5, 0)` lies just before 5, `(5, 1)` just after it.
        inside: Whether what lies below the first cut belongs to the set.
    """

    cuts: tuple[tuple[Any, int], ...] = ()
    inside: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing belongs to it."""
        return not self.cuts and not self.inside

    @property
    def is_full(self) -> bool:
        """Whether everything belongs to it."""
        return not self.cuts and self.inside

    def holds(self, value: Any) -> bool:  # noqa: ANN401 - a number or a date
        """Whether a value belongs to it."""
        return self.inside ^ (sum(cut < (value, 0.5) for cut in self.cuts) % 2 == 1)

    def opposite(self) -> "Spans":
        """All that does not belong to it."""
        return Spans(self.cuts, not self.inside)

    def meet(self, other: Any) -> "Spans":  # noqa: ANN401 - `Spans`
        """What belongs to both."""
        return self if self == other else _combined(self, other, and_)

    def join(self, other: Any) -> "Spans":  # noqa: ANN401 - `Spans`
        """What belongs to either."""
        return self if self == other else _combined(self, other, or_)

    def hull(self) -> "Spans":
        """The smallest interval around it."""
        ends = [] if self.inside else list(self.cuts[:1])
        is_open_above = self.inside ^ (len(self.cuts) % 2 == 1)
        return Spans((*ends, *(() if is_open_above else self.cuts[-1:])), self.inside)

    def points(self) -> list[Any] | None:
        """Its values if it holds nothing but single ones."""
        pairs = list(zip(self.cuts[::2], self.cuts[1::2], strict=False))
        is_plain = not self.inside and len(self.cuts) % 2 == 0 and all(low[0] == high[0] for low, high in pairs)
        return [low[0] for low, _ in pairs] if is_plain else None


def _combined(left: Spans, right: Spans, relation: Callable[[bool, bool], bool]) -> Spans:
    in_left, in_right = left.inside, right.inside
    inside = now = relation(in_left, in_right)
    cuts = []
    for cut in sorted({*left.cuts, *right.cuts}):
        in_left ^= cut in left.cuts
        in_right ^= cut in right.cuts
        if relation(in_left, in_right) != now:
            now = not now
            cuts.append(cut)
    return Spans(tuple(cuts), inside)


def span(operator: str, limit: Any) -> Spans:  # noqa: ANN401 - a number or a date
    """The values that are in a relation to a limit, such as `<= 50`."""
    match operator:
        case "<":
            return Spans(((limit, 0),), True)
        case "<=":
            return Spans(((limit, 1),), True)
        case ">":
            return Spans(((limit, 1),))
        case ">=":
            return Spans(((limit, 0),))
        case "==":
            return Spans(((limit, 0), (limit, 1)))
        case "!=":
            return Spans(((limit, 0), (limit, 1)), True)
    raise ValueError(f"`{operator}` does not order")


class Words(NamedTuple):
    """Single values, or everything but single values.

    Args:
        items: The values that are named.
        others: Whether all that is not named belongs to the set, and what is named does not.
    """

    items: frozenset[Any] = frozenset()
    others: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing belongs to it."""
        return not self.items and not self.others

    @property
    def is_full(self) -> bool:
        """Whether everything belongs to it."""
        return not self.items and self.others

    def holds(self, value: object) -> bool:
        """Whether a value belongs to it."""
        return (value in self.items) ^ self.others

    def opposite(self) -> "Words":
        """All that does not belong to it."""
        return Words(self.items, not self.others)

    def meet(self, other: Any) -> "Words":  # noqa: ANN401 - `Words`
        """What belongs to both."""
        if self.others:
            return Words(self.items | other.items, True) if other.others else Words(other.items - self.items)
        return Words(self.items - other.items if other.others else self.items & other.items)

    def join(self, other: Any) -> "Words":  # noqa: ANN401 - `Words`
        """What belongs to either."""
        return self.opposite().meet(other.opposite()).opposite()


Set: TypeAlias = Spans | Words


def within(small: Set, large: Set) -> bool:
    """Whether everything that belongs to one set belongs to another of its kind."""
    return small == large or small.meet(large) == small
