"""Credentials as people deal with them: set, listed, removed and sealed anew, on the record and never shown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex

import anyio
import anyio.to_thread

from gateway.credentials.keys import KeySource, NoKey
from gateway.credentials.kinds import Content, Place, written
from gateway.credentials.reading import opened
from gateway.credentials.sealing import NotOpened
from gateway.credentials.table import CredentialTable, Row
from gateway.journal import Entry, Journal, Kind

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 90.0


class BadCredential(Exception):
    """What was asked for cannot be done; one line that says why."""


@dataclass(frozen=True)
class Listed:
    """A credential without what is secret of it.

    Args:
        row: As it is kept.
        content: What is sealed in it, whose secrets do not show themselves; None if it cannot be opened.
        closed: Why it cannot be.
    """

    row: Row
    content: Content | None
    closed: str = ""


class CredentialBook:
    """Sets credentials and removes them.

    Args:
        table: Where they are kept.
        source: Gives the keys.
        journal: Where it is recorded.
    """

    def __init__(self, table: CredentialTable, source: KeySource, journal: Journal) -> None:
        self._table, self._source, self._journal = table, source, journal

    async def set(self, place: Place, content: Content, by: str, now: datetime) -> None:
        """Keep a credential in place of what was there. It is recorded first and in force then.

        Args:
            place: Where it belongs.
            content: What was given.
            by: The person who does it, without prefix.
            now: The time.

        Raises:
            BadCredential: If there is no key to seal it under.
            JournalUnavailable: If it cannot be recorded; then nothing changes.
            SQLAlchemyError: If it cannot be kept.
        """
        sealed = await anyio.to_thread.run_sync(self._sealed, content, place)
        scopes = content.scopes if content.scopes is not None else content.asked
        until = content.expires_at.isoformat() if content.expires_at else None
        facts = {"credential": content.given.kind, "scopes": list(scopes), "until": until}
        await self._record(place, Kind.CREDENTIAL_SET, by, now, **facts)
        await anyio.to_thread.run_sync(self._table.put, place, content.given.kind, sealed, by, now)

    async def remove(self, place: Place, by: str, now: datetime) -> None:
        """Forget a credential. It is recorded first.

        Raises:
            BadCredential: If there is none.
            JournalUnavailable: If it cannot be recorded; then nothing changes.
            SQLAlchemyError: If it cannot be forgotten.
        """
        if await anyio.to_thread.run_sync(self._table.find, place) is None:
            raise BadCredential(f"there is no credential `{place}`: `remit credentials list` shows them")
        await self._record(place, Kind.CREDENTIAL_REMOVED, by, now)
        await anyio.to_thread.run_sync(self._table.remove, place)

    async def listed(self) -> list[Listed]:
        """Every credential, in order.

        Raises:
            SQLAlchemyError: If they cannot be read.
        """
        return await anyio.to_thread.run_sync(lambda: list(listed(self._table, self._source)))

    async def rekey(self, tenant: str, by: str, now: Callable[[], datetime]) -> int:
        """Seal everything under the first key, beside running gateways; what is being renewed is waited for.

        Args:
            tenant: Whose journal it is recorded in.
            by: The person who does it, without prefix.
            now: The clock.

        Returns:
            How many were sealed anew.

        Raises:
            BadCredential: If one cannot be opened: then those before it are sealed anew and stay readable.
            JournalUnavailable: If it cannot be recorded; then nothing changes.
            SQLAlchemyError: If they cannot be read or kept.
        """
        old = [each for each in await self.listed() if not self._is_newest(each)]
        if closed := [each for each in old if each.content is None]:
            raise BadCredential(f"`{closed[0].row.place}` cannot be opened: {closed[0].closed}")
        if not old:
            return 0
        await self._record(Place(tenant, ""), Kind.CREDENTIALS_REKEYED, by, now(), times=len(old))
        for each in old:
            await self._resealed(each.row.place, now)
        return len(old)

    def _is_newest(self, each: Listed) -> bool:
        return each.content is not None and self._source.keys().is_newest(each.row.sealed)

    async def _resealed(self, place: Place, now: Callable[[], datetime]) -> None:
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                # Only the database tells when a lease ends.
                while not await anyio.to_thread.run_sync(self._reseal, place, now()):  # noqa: ASYNC110
                    await anyio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise BadCredential(f"`{place}` is being renewed and does not come to an end: try again") from None

    def _reseal(self, place: Place, now: datetime) -> bool:
        row = self._table.find(place)
        if row is None or self._source.keys().is_newest(row.sealed):
            return True
        try:
            return self._table.resealed(row, self._sealed(opened(row, self._source), place), now)
        except NotOpened as error:
            raise BadCredential(f"`{place}` cannot be opened: {error}") from None

    def _sealed(self, content: Content, place: Place) -> bytes:
        # Another host's key must not be missed: a new one is made only while nothing is sealed.
        if not self._table.all():
            self._source.make()
        try:
            return self._source.keys().seal(written(content), place)
        except NoKey as error:
            raise BadCredential(str(error)) from None

    async def _record(self, place: Place, kind: Kind, by: str, now: datetime, **facts: object) -> None:
        body: dict[str, object] = {"by": by, **facts}
        body |= {"back_end": place.back_end} if place.back_end else {}
        body |= {"subject": place.person} if place.person else {}
        await self._journal.append(Entry(f"cred_{token_hex(6)}", place.tenant, f"person:{by}", now, kind, body))


def listed(table: CredentialTable, source: KeySource) -> Iterator[Listed]:
    """Every credential; off the event loop.

    Raises:
        SQLAlchemyError: If they cannot be read.
    """
    for row in table.all():
        try:
            yield Listed(row, opened(row, source))
        except (NoKey, NotOpened) as error:
            yield Listed(row, None, str(error))
