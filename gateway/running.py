"""Which calls this process is carrying out, and which it lost track of."""

from collections.abc import Iterator
from contextlib import contextmanager


class Running:
    """The calls between their intent and their outcome, by their names."""

    def __init__(self) -> None:
        self._here: set[str] = set()
        self._lost: dict[str, str] = {}

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._here

    @contextmanager
    def carrying_out(self, call_id: str) -> Iterator[None]:
        """Count a call as running until the block ends."""
        self._here.add(call_id)
        try:
            yield
        finally:
            self._here.discard(call_id)

    @property
    def names(self) -> tuple[str, ...]:
        """The calls that are being carried out."""
        return tuple(self._here)

    @property
    def lost(self) -> tuple[tuple[str, str], ...]:
        """Tenant and name of the calls that ended here without a recorded outcome."""
        return tuple((tenant, call_id) for call_id, tenant in self._lost.items())

    def lose(self, tenant: str, call_id: str) -> None:
        """Remember a call that ended without a recorded outcome: nobody has to wait to look into it."""
        self._lost[call_id] = tenant

    def is_lost(self, call_id: str) -> bool:
        """Whether it ended here without a recorded outcome."""
        return call_id in self._lost

    def found(self, call_id: str) -> None:
        """Forget a lost call: its end is recorded."""
        self._lost.pop(call_id, None)
