"""What waits for people: doubts, stops that nobody remembers, tokens that are about to end."""

from collections.abc import Sequence
from datetime import timedelta

import anyio.to_thread
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from connectors.embedded.schema import UnfitTables
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.doctor.finding import Finding, ok, warning
from gateway.home import utc_now
from gateway.journal.calls import count_doubts
from gateway.settings import Settings

_SOON = timedelta(days=14)
_LONG = timedelta(days=7)
_STOPS = "SELECT id, since FROM stops WHERE until IS NULL ORDER BY since"
_TOKENS = "SELECT id, expires_at FROM tokens WHERE revoked_at IS NULL AND expires_at > :now ORDER BY expires_at"


async def doubts(settings: Settings) -> Sequence[Finding]:
    """Calls of which nobody knows whether they took effect."""
    number = await anyio.to_thread.run_sync(_doubts, settings)
    if number is None:
        return []  # Told of elsewhere, or nothing was called yet.
    if number:
        return [warning("doubts", f"{number} calls may or may not have taken effect", "`remit doubts list` names them")]
    return [ok("doubts", "it is known of every call whether it took effect")]


def _doubts(settings: Settings) -> int | None:
    with settings.open_database() as database:
        try:
            with database.looking(EVERY_TENANT) as connection:
                return count_doubts(connection)
        except (SQLAlchemyError, UnfitTables):
            return None


async def stops(settings: Settings) -> Sequence[Finding]:
    """Stops that have been in force for long."""
    before = (utc_now() - _LONG).isoformat()
    old = [name for name, since in await _rows(settings, _STOPS, {}) if since < before]
    if not old:
        return []
    told = f"{len(old)} stops are in force for more than {_LONG.days} days: {', '.join(old[:5])}"
    return [warning("stops", told, "`remit stop list`; `remit resume` ends one")]


async def tokens(settings: Settings) -> Sequence[Finding]:
    """Tokens that callers use and that end soon."""
    now = utc_now()
    rows = await _rows(settings, _TOKENS, {"now": now.isoformat()})
    soon = [name for name, expires_at in rows if expires_at < (now + _SOON).isoformat()]
    if soon:
        told = f"{len(soon)} of {len(rows)} tokens end within {_SOON.days} days: {', '.join(soon[:5])}"
        return [warning("tokens", told, "`remit token create` makes new ones; `remit token list` says whose they are")]
    return [ok("tokens", f"{len(rows)} in force, none ends within {_SOON.days} days")] if rows else []


async def _rows(settings: Settings, query: str, asked: dict[str, str]) -> Sequence[tuple[str, str]]:
    def read() -> Sequence[tuple[str, str]]:
        with settings.open_database() as database:
            return _found(database, query, asked) if database.may_exist else []

    return await anyio.to_thread.run_sync(read)


def _found(database: Database, query: str, asked: dict[str, str]) -> Sequence[tuple[str, str]]:
    try:
        with database.looking(EVERY_TENANT) as connection:
            return [(str(name), str(time)) for name, time in connection.execute(text(query), asked)]
    except (SQLAlchemyError, UnfitTables):
        return []  # No such table yet; a database that cannot be read is told of elsewhere.
