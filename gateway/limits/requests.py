"""Counting requests in one process: as cheap as a flood asks for, with a memory that no flood makes grow."""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.policy.files.limits import Limit

_STEPS = 10
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class TooMany:
    """A request more than limits allow.

    Args:
        limits: The ids of the limits.
        seconds: When it would not be too many any more.
    """

    limits: tuple[str, ...]
    seconds: float


@dataclass(slots=True)
class _Lately:
    """How many came, in steps of a tenth of the window, each kept at its end: a window is never counted too short."""

    kept: deque[list[float]] = field(default_factory=deque)
    total: int = 0

    def forget(self, until: float) -> None:
        while self.kept and self.kept[0][0] <= until:
            self.total -= int(self.kept.popleft()[1])

    def count(self, at: float) -> None:
        if self.kept and self.kept[-1][0] == at:
            self.kept[-1][1] += 1
        else:
            self.kept.append([at, 1])
        self.total += 1


class Requests:
    """How many requests came lately.

    Args:
        most: For how many addresses and callers this is remembered. Beyond them those are forgotten that were quiet for
            longest.
    """

    def __init__(self, most: int = _MOST_REMEMBERED) -> None:
        self._most = most
        self._lately: OrderedDict[tuple[str, float, tuple[str, ...]], _Lately] = OrderedDict()

    def count(self, limits: Sequence[Limit], who: Mapping[str, str | None], now: float) -> TooMany | None:
        """Count one request, or say that it is too many: then it does not count.

        Args:
            limits: The limits that count it.
            who: What is known of its sender, by the words of `limits.csv`. Who is none of those a limit counts apart
                is not counted by it.
            now: Seconds of a clock that only goes forward.
        """
        counting = []
        for limit in limits:
            whom = [value for each in limit.whom if (value := who.get(each)) is not None]
            if len(whom) == len(limit.whom):
                seconds = limit.window.total_seconds()
                counting.append((limit, seconds, self._found((limit.id, seconds, tuple(whom)), now - seconds)))
        over = [
            (limit, lately.kept[0][0] + seconds) for limit, seconds, lately in counting if lately.total >= limit.most
        ]
        if over:
            return TooMany(tuple(limit.id for limit, _ in over), max(free_at for _, free_at in over) - now)
        for _, seconds, lately in counting:
            step = seconds / _STEPS
            lately.count(-(-now // step) * step)
        return None

    def _found(self, key: tuple[str, float, tuple[str, ...]], until: float) -> _Lately:
        lately = self._lately.setdefault(key, _Lately())
        self._lately.move_to_end(key)
        if len(self._lately) > self._most:
            self._lately.popitem(last=False)
        lately.forget(until)
        return lately
