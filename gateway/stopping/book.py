"""The stops of one database: set, ended and read by every process that shares it, and recorded in its journal."""

from dataclasses import replace
from datetime import datetime
from secrets import token_hex

import anyio
import anyio.to_thread
from sqlalchemy import Column, Connection, MetaData, RowMapping, Table, Text, delete, insert, select

from connectors.embedded.tenancy import EVERY_TENANT, EveryTenant, Tenant
from gateway.database import Database
from gateway.journal import AlreadyRecorded, Entry, Journal, JournalUnavailable, Kind
from gateway.stopping.stop import Stop, Target, What

metadata = MetaData()
_stops = Table(
    "stops",
    metadata,
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("tenant", "what", "name", "why", "by_whom", "since")),
    Column("until", Text),
)


class NotStopped(Exception):
    """There is no such stop in force; the message says how to see those that are."""


class StopBook:
    """Sets stops and ends them.

    Args:
        journal: Where it is recorded.
        database: Where they are kept; the table is made if absent.
    """

    def __init__(self, journal: Journal, database: Database) -> None:
        self._journal = journal
        self._database = database
        database.prepare()

    def read(self) -> tuple[Stop, ...]:
        """Every stop that nobody has ended, oldest first; off the event loop.

        Raises:
            SQLAlchemyError: If they cannot be read.
        """
        with self._database.looking(EVERY_TENANT) as connection:
            return _all(connection, EVERY_TENANT)

    async def in_force(self, tenant: str, now: datetime) -> list[Stop]:
        """The stops that concern a tenant, oldest first; for `*` all.

        Raises:
            SQLAlchemyError: If they cannot be read.
        """
        found = await anyio.to_thread.run_sync(self.read)
        seen = {tenant, "*"}
        return [each for each in found if each.in_force(now) and (tenant == "*" or each.target.tenant in seen)]

    async def stop(self, target: Target, by: str, why: str, now: datetime, until: datetime | None = None) -> Stop:
        """Stop something. It is in force first and recorded then: what fails in between leaves it stopped.

        Args:
            target: What.
            by: The person who does it, without prefix.
            why: In one line.
            now: The time.
            until: When it ends by itself.

        Raises:
            SQLAlchemyError: If it cannot be set; then nothing is stopped.
            JournalUnavailable: If it cannot be recorded; it is in force all the same, and the message says so.
        """
        stop = Stop(f"stop_{token_hex(6)}", target, why, by, now, until)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._set, stop, now)
            facts = {"until": _text(until)}
            await self._record(stop, Kind.STOPPED, now, f"`{stop.id}` is in force", facts)
        return stop

    async def resume(self, stop_id: str, tenant: str, by: str, why: str, now: datetime) -> Stop:
        """End a stop. It is recorded first and ended then: what fails in between leaves it stopped.

        Args:
            stop_id: The stop.
            tenant: Whose stop it must be; `*` may end any.
            by: The person who does it, without prefix.
            why: In one line.
            now: The time.

        Raises:
            NotStopped: If there is no such stop of the tenant.
            JournalUnavailable: If it cannot be recorded; then it stays in force.
            SQLAlchemyError: If it cannot be ended.
        """
        found = await self.in_force(tenant, now)
        stop = next((each for each in found if each.id == stop_id and tenant in (each.target.tenant, "*")), None)
        if stop is None:
            raise NotStopped(f"no stop `{stop_id[:60]}` is in force: `remit stop list` shows them")
        with anyio.CancelScope(shield=True):
            await self._record(replace(stop, by=by, why=why), Kind.RESUMED, now, f"`{stop.id}` stays in force")
            await anyio.to_thread.run_sync(self._end, stop)
        return stop

    async def _record(
        self, stop: Stop, kind: Kind, now: datetime, state: str, facts: dict[str, str | None] | None = None
    ) -> None:
        body = {"stops": stop.target.what, **_named(stop.target), "by": stop.by, "note": stop.why, **(facts or {})}
        once = f"{kind}:{stop.id}"
        entry = Entry(stop.id, stop.target.tenant, f"person:{stop.by}", now, kind, body, once=once)
        try:
            await self._journal.append(entry)
        except AlreadyRecorded:
            # An earlier attempt got so far and no further.
            return
        except JournalUnavailable as error:
            raise JournalUnavailable(f"{state}, but that could not be recorded: {error}") from error

    def _set(self, stop: Stop, now: datetime) -> None:
        with self._database.changing(stop.target.tenant) as connection:
            whose = _all(connection, stop.target.tenant)
            over = [each.id for each in whose if not each.in_force(now)]
            connection.execute(delete(_stops).where(_stops.c.id.in_(over)))
            connection.execute(insert(_stops).values(_row(stop)))

    def _end(self, stop: Stop) -> None:
        with self._database.changing(stop.target.tenant) as connection:
            connection.execute(delete(_stops).where(_stops.c.id == stop.id))


def _all(connection: Connection, tenant: Tenant) -> tuple[Stop, ...]:
    query = select(_stops) if isinstance(tenant, EveryTenant) else select(_stops).where(_stops.c.tenant == tenant)
    found = map(_stop, connection.execute(query).mappings())
    return tuple(sorted(found, key=lambda each: (each.since, each.id)))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _named(target: Target) -> dict[str, str]:
    # A run's name is whatever its caller chose, so may have to be erased.
    if not target.name:
        return {}
    return {"run" if target.what is What.RUN else "subject": target.name}


def _row(stop: Stop) -> dict[str, str | None]:
    target = stop.target
    return {
        "id": stop.id,
        "tenant": target.tenant,
        "what": target.what,
        "name": target.name,
        "why": stop.why,
        "by_whom": stop.by,
        "since": stop.since.isoformat(),
        "until": _text(stop.until),
    }


def _stop(told: RowMapping) -> Stop:
    until = told["until"] and datetime.fromisoformat(told["until"])
    target = Target(What(told["what"]), told["name"], told["tenant"])
    return Stop(told["id"], target, told["why"], told["by_whom"], datetime.fromisoformat(told["since"]), until)
