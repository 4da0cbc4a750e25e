"""What calls use up of limits, counted in the same transaction as their entries: exact in any number of processes.

A use is kept in a step of a hundredth of its window, at the step's end. So a window is never counted too short, and
what a limit has to look at never grows beyond a hundred rows. Pure but for the table.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

STEPS = 100
_HOUR = 3_600_000_000

Place: TypeAlias = tuple[str, str]
"""A tenant, and whom of it a limit counts apart."""


class Use(NamedTuple):
    """What one call uses up of one limit, or gives back of it. Times are in microseconds since the epoch.

    Args:
        limit: The limit's id.
        by: A hash of whom it counts for.
        amount: How much, in millionths; below 0 what is given back.
        most: How much the limit allows, in millionths; None counts whatever is used up already.
        window: The limit's window.
        now: When the call is made.
    """

    limit: str
    by: str
    amount: int
    most: int | None
    window: int
    now: int

    @property
    def since(self) -> int:
        """What is kept at this time or before does not count any more."""
        return self.now - self.window

    @property
    def at(self) -> int:
        """When it is kept."""
        step = max(self.window // STEPS, 1)
        return -(-self.now // step) * step

    @property
    def until(self) -> int:
        """When it may be forgotten, also if clocks are set back a little."""
        return self.at + self.window + max(self.window, _HOUR)


class OverLimit(Exception):
    """What the entry would use up is more than a limit leaves; it was not written.

    Args:
        limits: The ids of the limits.
        free_at: When it would not be too much any more, in microseconds since the epoch; None if it always is.
    """

    def __init__(self, limits: tuple[str, ...], free_at: int | None) -> None:
        super().__init__(f"limit {', '.join(limits)} is reached")
        self.limits = limits
        self.free_at = free_at


class Kept(NamedTuple):
    """A row of the table to be written: `amount` is added to what is there."""

    tenant: str
    used_by: str
    at: int
    amount: int
    until: int


class Counts:
    """What is used up, as far as a batch of entries looks at it, and what the batch changes.

    Args:
        found: How much is kept at which times for each place.
    """

    def __init__(self, found: Mapping[Place, Mapping[int, int]]) -> None:
        self._found: defaultdict[Place, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        for place, kept in found.items():
            self._found[place].update(kept)
        self._changed: dict[tuple[str, str, int], Kept] = {}
        self._returned: list[Kept] = []

    @property
    def added(self) -> list[Kept]:
        """What the batch uses up: one row for each time of each place."""
        return list(self._changed.values())

    @property
    def returned(self) -> list[Kept]:
        """What the batch gives back; a row that is not there any more stays so."""
        return self._returned

    def take(self, tenant: str, uses: Sequence[Use]) -> OverLimit | None:
        """Count what one entry uses up; nothing of it if any of it is too much."""
        over = [(use, self._free_at(tenant, use)) for use in uses if self._is_too_much(tenant, use)]
        if over:
            times = [free_at for _, free_at in over]
            known = [time for time in times if time is not None]
            return OverLimit(tuple(use.limit for use, _ in over), max(known) if len(known) == len(times) else None)
        for use in uses:
            self._count(tenant, use)
        return None

    def _count(self, tenant: str, use: Use) -> None:
        self._found[tenant, use.by][use.at] += use.amount
        if use.amount < 0:
            self._returned.append(Kept(tenant, use.by, use.at, use.amount, use.until))
            return
        key = tenant, use.by, use.at
        earlier = self._changed.get(key, Kept(*key, 0, 0))
        self._changed[key] = Kept(*key, earlier.amount + use.amount, max(earlier.until, use.until))

    def _is_too_much(self, tenant: str, use: Use) -> bool:
        if use.most is None or use.amount <= 0:
            return False
        return sum(amount for _, amount in self._counting(tenant, use)) + use.amount > use.most

    def _free_at(self, tenant: str, use: Use) -> int | None:
        counting = sorted(self._counting(tenant, use))
        left = sum(amount for _, amount in counting) + use.amount - (use.most or 0)
        for at, amount in counting:
            left -= amount
            if left <= 0:
                return at + use.window
        return None

    def _counting(self, tenant: str, use: Use) -> Iterable[tuple[int, int]]:
        return ((at, amount) for at, amount in self._found[tenant, use.by].items() if at > use.since and amount > 0)


def places(uses: Iterable[tuple[str, Sequence[Use]]]) -> dict[Place, int]:
    """Which places have to be looked up for some entries, and since when.

    Args:
        uses: The tenant of each entry and what it uses up.
    """
    wanted: dict[Place, int] = {}
    for tenant, each in uses:
        for use in each:
            if use.most is not None:
                wanted[tenant, use.by] = min(use.since, wanted.get((tenant, use.by), use.since))
    return wanted


def returned(uses: Iterable[Use]) -> tuple[Use, ...]:
    """The uses by which some are given back."""
    return tuple(use._replace(amount=-use.amount, most=None) for use in uses)


def taken_again(uses: Iterable[Use]) -> tuple[Use, ...]:
    """The uses by which some count after all that were given back, whatever else was used up meanwhile."""
    return tuple(use._replace(most=None) for use in uses)


def told(uses: Iterable[Use]) -> list[list[str | int]]:
    """What an intent tells of its uses, as JSON data."""
    return [[use.limit, use.by, use.amount, use.window, use.now] for use in uses]


def uses_from(data: Iterable[Sequence[object]]) -> tuple[Use, ...]:
    """The uses that an intent tells of."""
    return tuple(
        Use(str(limit), str(by), int(str(amount)), None, int(str(window)), int(str(now)))
        for limit, by, amount, window, now in data
    )
