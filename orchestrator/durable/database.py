"""The orchestrator's database: a SQLite file or a PostgreSQL database, by one URL."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine, create_engine, event, insert, make_url, select
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from orchestrator.durable.tables import FORM, form, tables

T = TypeVar("T")
_BUSY_SECONDS = 20


class UnfitDatabase(Exception):
    """The database cannot be used: it does not answer, or another version made it."""


class Database:
    """Transactions, each on a thread of its own and none on the event loop.

    Args:
        url: `sqlite:///FILE` or `postgresql://…`. The file is made if it is not there; only its owner may read it.

    Raises:
        UnfitDatabase: If the URL is neither.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        # SQLite has one writer at a time: more threads would only wait for each other.
        self._threads = anyio.CapacityLimiter(8 if self.is_postgresql else 1)

    def prepare(self) -> None:
        """Make the tables if there are none.

        Raises:
            UnfitDatabase: If the database does not answer or has tables of another form.
        """
        try:
            with self.engine.begin() as connection:
                if self.is_postgresql:  # two workers may start at one moment
                    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7238113)")
                tables.create_all(connection)
                if not (found := connection.scalar(select(form.c.number))):
                    connection.execute(insert(form).values(number=FORM))
        except SQLAlchemyError as error:
            raise UnfitDatabase(f"the orchestrator's database cannot be used: {_line(error)}") from None
        if found not in (None, FORM):
            raise UnfitDatabase(f"the orchestrator's database has form {found}, and this version works with {FORM}")

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction."""

        def transaction() -> T:
            with self.engine.begin() as connection:
                return work(connection)

        return await anyio.to_thread.run_sync(transaction, limiter=self._threads)

    def close(self) -> None:
        """Let go of the connections."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UnfitDatabase("a database is given as `sqlite:///FILE` or `postgresql://…`") from None
    kind = parsed.get_backend_name()
    if kind == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            pool_size=8,
            pool_pre_ping=True,
            pool_timeout=_BUSY_SECONDS,
            connect_args={"connect_timeout": 10, "options": "-c statement_timeout=30000"},
        )
    if kind != "sqlite" or not parsed.database:
        raise UnfitDatabase("a database is given as `sqlite:///FILE` or `postgresql://…`")
    path = Path(parsed.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and then writes would otherwise fail when another process wrote in between.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _line(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).splitlines() or [type(error).__name__])[0][:200]


def is_taken(error: IntegrityError) -> bool:
    """Whether a row was not inserted because there is one of its name."""
    told = str(error.orig)
    return "UNIQUE constraint" in told or "duplicate key" in told
