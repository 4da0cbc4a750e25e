"""Reads and opens credentials, and remembers what it read for less than a second."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

import anyio.to_thread
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from connectors.errors import Unavailable
from gateway.credentials.keys import KeySource, NoKey
from gateway.credentials.kinds import Content, Place, read
from gateway.credentials.sealing import NotOpened
from gateway.credentials.table import CredentialTable, Row

log = get_logger("remit.credentials")

FRESH_SECONDS = 0.8
"""What was read longer ago is read again, so that a change counts everywhere within a second."""
_MOST_KNOWN = 10_000
_BETWEEN_NOTES = timedelta(minutes=5)


@dataclass(frozen=True)
class Kept:
    """A row and what is sealed in it."""

    row: Row
    content: Content


@dataclass(frozen=True)
class _Known:
    kept: Kept | None
    read_at: float


def opened(row: Row, source: KeySource) -> Content:
    """What is sealed in a row; off the event loop.

    Raises:
        NoKey: If there is no key at all.
        NotOpened: If no key at hand opens it.
    """
    try:
        return read(source.keys().open(row.sealed, row.place))
    except ValidationError:
        raise NotOpened("it is of another version of the gateway") from None


class Reading:
    """What one process knows of the credentials.

    Args:
        table: Where they are kept.
        source: Gives the keys.
        now: The clock.
        seconds: Gives seconds that only rise.
    """

    def __init__(
        self,
        table: CredentialTable,
        source: KeySource,
        now: Callable[[], datetime],
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        self.table, self.source, self.now = table, source, now
        self._seconds = seconds
        self._known: dict[Place, _Known] = {}

    async def find(self, place: Place) -> Kept | None:
        """The credential of a place, less than a second old; None if there is none.

        Raises:
            Unavailable: If it cannot be read or opened.
        """
        known = self._known.get(place)
        if known is not None and self._seconds() - known.read_at <= FRESH_SECONDS:
            return known.kept
        return await self.find_now(place)

    async def find_now(self, place: Place) -> Kept | None:
        """The credential of a place as it is now.

        Raises:
            Unavailable: If it cannot be read or opened.
        """
        read_at = self._seconds()
        try:
            kept = await anyio.to_thread.run_sync(self._read, place)
        except SQLAlchemyError as error:
            log.error("credentials_unread", error=type(error).__name__)
            raise Unavailable(f"the credential for `{place.back_end}` cannot be read; nothing was done") from None
        except (NoKey, NotOpened) as error:
            log.error("credential_not_opened", credential=str(place), error=str(error))
            raise Unavailable(f"the credential for `{place.back_end}` cannot be opened; nothing was done") from None
        self._remember(place, _Known(kept, read_at))
        return kept

    def remember(self, kept: Kept) -> None:
        """Take note of what this process itself has changed."""
        self._remember(kept.row.place, _Known(kept, self._seconds()))

    def _remember(self, place: Place, known: _Known) -> None:
        if len(self._known) >= _MOST_KNOWN and place not in self._known:
            self._known.clear()  # read again at the next call; names come from outside and must not pile up
        self._known[place] = known

    def _read(self, place: Place) -> Kept | None:
        row = self.table.find(place)
        if row is None:
            return None
        content = opened(row, self.source)
        now = self.now()
        if row.used_at is None or now - row.used_at >= _BETWEEN_NOTES:
            self._note_use(place, now)
        return Kept(row, content)

    def _note_use(self, place: Place, now: datetime) -> None:
        try:
            self.table.used(place, now)
        except SQLAlchemyError as error:
            log.warning("credential_use_not_noted", error=type(error).__name__)  # no call fails for that
