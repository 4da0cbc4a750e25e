"""Looking up what is used up of limits, for calls that are not begun yet, and forgetting what counts no more."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import anyio.to_thread
from sqlalchemy import delete, select

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal.reading import readable
from gateway.journal.schema import limit_uses
from gateway.journal.uses import Counts, Place, Use, places
from gateway.limits.using import microseconds


class LimitUses:
    """What is used up, in all processes.

    Args:
        database: Where the journal is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self, tenant: str, uses: Sequence[Use]) -> None:
        """See whether there is enough left at this moment; nothing is counted.

        Raises:
            OverLimit: If there is not.
            JournalUnavailable: If it cannot be read.
        """
        if not uses:
            return
        found = await anyio.to_thread.run_sync(self._find, tenant, uses)
        if over := Counts(found).take(tenant, uses):
            raise over

    def forget(self, now: datetime) -> int:
        """Forget what counts no more; say how many rows that were. Off the event loop.

        Raises:
            JournalUnavailable: If the database cannot be changed.
        """
        with readable(self._database), self._database.changing(EVERY_TENANT) as connection:
            return connection.execute(delete(limit_uses).where(limit_uses.c.until < microseconds(now))).rowcount

    def _find(self, tenant: str, uses: Sequence[Use]) -> dict[Place, dict[int, int]]:
        found: dict[Place, dict[int, int]] = defaultdict(dict)
        with readable(self._database), self._database.looking(tenant) as connection:
            for (of, by), since in places([(tenant, uses)]).items():
                rows = select(limit_uses.c.at, limit_uses.c.amount).where(
                    limit_uses.c.tenant == of, limit_uses.c.used_by == by, limit_uses.c.at > since
                )
                found[of, by] = {row.at: row.amount for row in connection.execute(rows)}
        return found
