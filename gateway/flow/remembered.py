"""What is remembered of the past so that it need not be found out again: so much and no more."""

from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Remembered(Generic[_K, _V]):
    """What was found out lately, for any thread: what has not been asked for in a while is forgotten.

    Args:
        most: How much is remembered of the latest, in what `put` says of each; as much again of what came before.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._latest: dict[_K, _V] = {}
        self._before: dict[_K, _V] = {}

    def get(self, key: _K) -> _V | None:
        """What is remembered; None if nothing is."""
        found = self._latest.get(key)
        return self._before.get(key) if found is None else found

    def put(self, key: _K, value: _V, size: int) -> None:
        """Remember something.

        Args:
            key: What it is found by.
            value: What it is; what is larger than a tenth of all is not remembered.
            size: How much it is.
        """
        if size > self._most // 10:
            return
        if self._size + size > self._most:
            # Two halves: one assignment each, so that no thread meets a half-cleared one.
            self._before, self._latest, self._size = self._latest, {}, 0
        self._latest[key] = value
        self._size += size + 1
