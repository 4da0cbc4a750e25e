"""Where standing approvals are found and used up: over the journal, like the questions that they were given with."""

from datetime import datetime
from typing import Any

import anyio.to_thread

from connectors.contract import Tool
from gateway.approvals.standing import LONGEST, Standing, read_standing, used
from gateway.database import Database
from gateway.journal import AlreadyRecorded, Journal, Kind, read_journal
from gateway.journal.reading import calls_with
from gateway.policy.decision import Decision
from gateway.principal import Principal

_MOST = 100


class StandingBook:
    """Every standing approval that was ever given, in the journal of one database.

    Args:
        journal: Where each use is recorded.
        database: The journal's, to read from.
    """

    def __init__(self, journal: Journal, database: Database) -> None:
        self._journal = journal
        self._database = database

    async def find(self, tenant: str, standing_id: str) -> Standing | None:
        """Find one of a tenant by its id."""
        entries = await anyio.to_thread.run_sync(
            lambda: list(read_journal(self._database, tenant, call_id=standing_id))
        )
        return read_standing(entries)

    async def in_force(self, tenant: str, now: datetime, principal: str | None = None) -> list[Standing]:
        """Those that can still let a call through, newest first.

        Args:
            tenant: Whose.
            now: The time.
            principal: Only those for this principal, by name.
        """
        since = now - LONGEST
        ids = await anyio.to_thread.run_sync(
            lambda: calls_with(self._database, Kind.STANDING, since, tenant=tenant, principal=principal, last=_MOST)
        )
        found = [await self.find(tenant, each) for each in ids]
        return [each for each in found if each and each.holds(now)]

    async def use(
        self,
        principal: Principal,
        tool: Tool,
        arguments: dict[str, Any],
        decision: Decision,
        run: str | None,
        call_id: str,
        now: datetime,
    ) -> Standing | None:
        """Use one up by one call, if one answers what is asked about it.

        Raises:
            JournalUnavailable: If that cannot be read or recorded; then nothing was used.
        """
        rules, version = decision.rules, decision.policy_version
        for given in await self.in_force(principal.tenant, now, principal.name):
            found: Standing | None = given
            while found and found.covers(tool.name, arguments, rules, version, run, now):
                try:
                    await self._journal.append(used(found, call_id, now))
                except AlreadyRecorded:
                    found = await self.find(principal.tenant, found.id)
                else:
                    return found
        return None
