"""Gets new tokens of OAuth ahead of time: one process at a time for each credential, and nothing new is ever lost.

Whoever renews leases the row first, so that a refresh token which is good once is used once. What comes back is kept
before anybody uses it. The lease outlasts every time-out of the renewal; it is no transaction, for others write too.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from secrets import token_hex

import anyio
import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from connectors.errors import Unavailable
from gateway.credentials.endpoint import NotRenewed
from gateway.credentials.keys import NoKey
from gateway.credentials.kinds import Content, Place, written
from gateway.credentials.reading import Kept, Reading

log = get_logger("remit.credentials")

LEASE = timedelta(seconds=60)
_PATIENCE_SECONDS = 15.0
_POLL_SECONDS = 0.1
_AFTER_FAILURE = timedelta(seconds=5)
_TRIES_TO_KEEP = 10
_BETWEEN_TRIES_SECONDS = 0.5
_NOT_RENEWED = "it cannot be renewed"

Renew = Callable[[Content, datetime], Awaitable[Content]]


class Renewing:
    """Renews what is due.

    Args:
        reading: What this process knows.
        renew: Gets a new token.
    """

    def __init__(self, reading: Reading, renew: Renew) -> None:
        self._reading, self._renew = reading, renew
        self._me = token_hex(8)
        self._turns: defaultdict[Place, anyio.Lock] = defaultdict(anyio.Lock)
        self._failed: dict[Place, tuple[int, datetime, str]] = {}

    async def good(self, kept: Kept, *, refused: bool = False) -> Kept:
        """A credential that can be shown, renewed if it is due.

        Args:
            kept: What is known.
            refused: Whether it was refused, though it should be good.

        Raises:
            Unavailable: If it is not good, and nothing new can be had.
        """
        if not kept.content.is_renewed or not (refused or kept.content.is_due(self._now)):
            return _checked(kept, self._now)
        if not refused and kept.content.is_good(self._now) and self._turns[kept.row.place].locked():
            return kept
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                async with self._turns[kept.row.place]:
                    return await self._in_turn(kept, refused=refused)
        except TimeoutError:
            raise _unavailable(kept, "another process is getting a new token and does not come to an end") from None

    @property
    def _now(self) -> datetime:
        return self._reading.now()

    async def _in_turn(self, known: Kept, *, refused: bool) -> Kept:
        while True:
            kept = await self._reading.find_now(known.row.place)
            if kept is None:
                raise _unavailable(known, "it was removed")
            is_other = (kept.row.version, kept.row.set_at) != (known.row.version, known.row.set_at)
            if not kept.content.is_renewed or (not kept.content.is_due(self._now) and (is_other or not refused)):
                return _checked(kept, self._now)
            if (why := self._failed_lately(kept)) is not None:
                return self._still(kept, why, refused=refused and not is_other)
            if await self._leased(kept):
                # What was renewed has to be kept, even if whoever wanted it has gone.
                with anyio.CancelScope(shield=True):
                    renewed = await self._renewed(kept)
                return renewed if isinstance(renewed, Kept) else self._still(kept, renewed, refused=refused)
            if kept.content.is_good(self._now) and (is_other or not refused):
                return kept
            await anyio.sleep(_POLL_SECONDS)

    async def _leased(self, kept: Kept) -> bool:
        now = self._now
        try:
            return await anyio.to_thread.run_sync(self._reading.table.lease, kept.row, self._me, now, now + LEASE)
        except SQLAlchemyError:
            raise _unavailable(kept, "the database does not answer") from None

    async def _renewed(self, kept: Kept) -> Kept | str:
        """What is new, or why nothing is."""
        place, now = kept.row.place, self._now
        try:
            content = await self._renew(kept.content, now)
        except NotRenewed as error:
            log.error("credential_not_renewed", credential=str(place), error=str(error))
            # Callers need not know where tokens come from.
            self._failed[place] = (kept.row.version, now + _AFTER_FAILURE, _NOT_RENEWED)
            await self._give_back(kept, str(error))
            return _NOT_RENEWED
        self._failed.pop(place, None)
        row = replace(kept.row, version=kept.row.version + 1, changed_at=now, trouble="")
        for tries_left in reversed(range(_TRIES_TO_KEEP)):
            try:
                if not await anyio.to_thread.run_sync(self._keep, kept, content, now):
                    return "it was changed meanwhile"
                break
            except (SQLAlchemyError, NoKey) as error:
                log.error("renewed_credential_not_kept", credential=str(place), error=type(error).__name__)
                if not tries_left:
                    return "what is new could not be kept"
                await anyio.sleep(_BETWEEN_TRIES_SECONDS)
        new = Kept(row, content)
        self._reading.remember(new)
        log.info("credential_renewed", credential=str(place), until=str(content.expires_at))
        return new

    def _keep(self, kept: Kept, content: Content, now: datetime) -> bool:
        sealed = self._reading.source.keys().seal(written(content), kept.row.place)
        return self._reading.table.renewed(kept.row, self._me, sealed, now)

    async def _give_back(self, kept: Kept, why: str) -> None:
        try:
            await anyio.to_thread.run_sync(self._reading.table.failed, kept.row, self._me, why)
        except SQLAlchemyError as error:
            log.error("credentials_unwritten", error=type(error).__name__)  # the lease ends by itself

    def _failed_lately(self, kept: Kept) -> str | None:
        version, until, why = self._failed.get(kept.row.place, (0, self._now, ""))
        return why if version == kept.row.version and self._now < until else None

    def _still(self, kept: Kept, why: str, *, refused: bool) -> Kept:
        """What was there before, if it is good still."""
        if kept.content.is_good(self._now) and not refused:
            return kept
        raise _unavailable(kept, why)


def _checked(kept: Kept, now: datetime) -> Kept:
    if not kept.content.is_good(now):
        raise _unavailable(kept, "it has expired")
    return kept


def _unavailable(kept: Kept, why: str) -> Unavailable:
    place = kept.row.place
    whose = "your own credential" if place.person else "the credential"
    return Unavailable(f"{whose} for `{place.back_end}` is not good: {why}; nothing was done, tell the operator")
