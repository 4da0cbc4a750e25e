"""When a vendor wants no requests: what one answer says counts for every request that shows the same credential."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from time import monotonic

import anyio
import httpx

from connectors.errors import Unavailable

WAITED_FOR_SECONDS = 5.0
"""A shorter pause is waited for; for a longer one the caller is told when to come back."""
_LONGEST_SECONDS = 3_600.0

Holder = tuple[str, str | None]
"""Whose credential is shown: a tenant's, or a person's in it."""


@dataclass
class Pace:
    """The pauses that one vendor has asked for.

    Args:
        name: How messages call it.
    """

    name: str
    _until: dict[Holder, float] = field(default_factory=dict)

    async def wait(self, holder: Holder) -> None:
        """Wait until the vendor takes requests again.

        Raises:
            Unavailable: If that is too long to wait for; says when to come back.
        """
        left = self._until.get(holder, 0.0) - monotonic()
        if left > WAITED_FOR_SECONDS:
            raise Unavailable(f"{self.name} has had enough requests for now; come back in {ceil(left)} s")
        if left > 0:
            await anyio.sleep(left)
        self._until.pop(holder, None)

    def pause(self, holder: Holder, seconds: float) -> None:
        """Have nobody send anything for so long."""
        until = monotonic() + min(seconds, _LONGEST_SECONDS)
        self._until[holder] = max(until, self._until.get(holder, 0.0))


def retry_after(headers: httpx.Headers, now: datetime) -> float | None:
    """After how many seconds to come back, if an answer says so (RFC 9110, section 10.2.3: a number, or a date)."""
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.replace(".", "", 1).isdigit():
        return float(told)
    try:
        when = parsedate_to_datetime(told)
    except ValueError:
        return None
    return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now.timestamp())
