"""The database: reachable, new enough, honest about what is on its disk, and of one mind with this machine's clock."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import anyio.to_thread

from connectors.embedded.schema import UnfitTables
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.doctor.finding import Finding, ok, warning, wrong
from gateway.settings import Settings

_OLDEST = 140_000
_CONNECTIONS = 31
_SKEW, _MUCH_SKEW = 1.0, 30.0
_SERVER = """
SELECT current_setting('server_version_num'), current_setting('fsync'), current_setting('full_page_writes'),
    current_setting('synchronous_commit'), current_setting('max_connections'),
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), pg_is_in_recovery(),
    extract(epoch FROM clock_timestamp())
"""


async def database(settings: Settings) -> Sequence[Finding]:
    """The gateway's own database."""
    return await anyio.to_thread.run_sync(lambda: list(_database(settings)))


def _database(settings: Settings) -> Iterator[Finding]:
    with settings.open_database() as database:
        if not database.may_exist:
            yield warning("database", f"`{database.label}` is not there yet", "the first `remit serve` makes it")
            return
        try:
            yield from _server(database) if database.is_postgresql else _file(database)
        except UnfitTables as error:
            yield wrong("database", str(error), "`remit database status` says more")


def _file(database: Database) -> Iterator[Finding]:
    with database.looking(EVERY_TENANT) as connection:
        version = connection.exec_driver_sql("SELECT sqlite_version()").scalar()
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    yield ok("database", f"`{database.label}`, SQLite {version}")
    if mode != "wal":
        yield warning("database", f"its journal mode is `{mode}`", "start the gateway once: it sets `wal`")


def _server(database: Database) -> Iterator[Finding]:
    before = datetime.now(UTC).timestamp()
    [[[version, fsync, pages, commit, most, used, is_copy, there]]] = database.look_all(EVERY_TENANT, [(_SERVER, {})])
    here = (before + datetime.now(UTC).timestamp()) / 2
    yield ok("database", f"`{database.label}`, PostgreSQL {int(version) // 10_000}")
    if int(version) < _OLDEST:
        yield wrong("database", f"PostgreSQL {int(version) // 10_000} is too old", "upgrade to 14 or newer")
    if is_copy:
        yield wrong("database", "it is a standby and cannot be written", "let `database_url` name the primary")
    if fsync != "on" or pages != "on":
        told = "`fsync` or `full_page_writes` is off: a power failure loses what calls were told is recorded"
        yield wrong("database", told, "turn both on in postgresql.conf")
    if commit == "off":
        # Each writer of the journal asks for it anyway.
        yield warning("database", "`synchronous_commit` is off", "leave it on for the gateway's user")
    if int(most) - int(used) < _CONNECTIONS:
        told = f"{used} of {most} connections are in use, and a gateway process takes up to {_CONNECTIONS}"
        yield warning("database", told, "raise `max_connections`, or start fewer processes")
    yield _clock(float(there) - here)


def _clock(skew: float) -> Finding:
    told = f"the database's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    then = "let both follow the same time servers: what expires is judged by these clocks"
    if abs(skew) > _MUCH_SKEW:
        return wrong("clock", told, then)
    return warning("clock", told, then) if abs(skew) > _SKEW else ok("clock", "the database's and this one agree")
