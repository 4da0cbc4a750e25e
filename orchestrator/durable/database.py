"""The orchestrator's database: a SQLite file or a PostgreSQL database, by one URL."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine, create_engine, event, func, insert, make_url, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection

from orchestrator.durable.tables import FORM, form, tables

T = TypeVar("T")
_BUSY_SECONDS = 20
_TOGETHER = 64
_DEADLOCK = "40P01"
"""PostgreSQL's word for undoing one of two transactions that wait for each other: it is to be repeated."""


class UnfitDatabase(Exception):
    """The database cannot be used: it does not answer, or another version made it."""


@dataclass(eq=False)
class _Write(Generic[T]):
    """Something to be done in a transaction, and what came of it."""

    work: Callable[[Connection], T]
    result: T | None = None
    error: BaseException | None = None
    is_over: bool = False

    def carry_out(self, connection: Connection) -> None:
        try:
            with connection.begin_nested():
                self.result = self.work(connection)
        except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for, and is no fault of the others
            self.error = error


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
        self._reader = self.engine.execution_options(only_reads=True)
        self._threads, self._reading = anyio.CapacityLimiter(8), anyio.CapacityLimiter(4)
        self._turn = anyio.Lock()
        self._waiting: list[_Write[Any]] = []

    def prepare(self) -> None:
        """Make the tables if there are none.

        Raises:
            UnfitDatabase: If the database does not answer or has tables of another form.
        """
        try:
            with self.engine.begin() as connection:
                take_turns(connection, 7238113)  # two workers may start at one moment
                tables.create_all(connection)
                if not (found := connection.scalar(select(form.c.number))):
                    connection.execute(insert(form).values(number=FORM))
        except SQLAlchemyError as error:
            raise UnfitDatabase(f"the orchestrator's database cannot be used: {_line(error)}") from None
        if found not in (None, FORM):
            raise UnfitDatabase(f"the orchestrator's database has form {found}, and this version works with {FORM}")

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction.

        SQLite has one writer at a time and syncs the disk for each: what came meanwhile is written with the next one,
        each part for itself, as if alone.
        """
        if self.is_postgresql:
            return await anyio.to_thread.run_sync(_transaction, self.engine, work, limiter=self._threads)
        write = _Write(work)
        self._waiting.append(write)
        try:
            async with self._turn:
                while not write.is_over:
                    await self._write_next()
        finally:
            if write in self._waiting:
                self._waiting.remove(write)
        if write.error is not None:
            raise write.error
        return write.result  # type: ignore[return-value] # it is over, and there was no error

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Read in one transaction, beside whatever writes."""
        return await anyio.to_thread.run_sync(_transaction, self._reader, work, limiter=self._reading)

    async def _write_next(self) -> None:
        together, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
        # Writes of others are among them: whoever gives up now must not take those along.
        with anyio.CancelScope(shield=True):
            try:
                await anyio.to_thread.run_sync(self._write_together, together, limiter=self._threads)
            except Exception:  # there is no thread: nothing was begun
                self._waiting = together + self._waiting
                raise

    def _write_together(self, writes: list[_Write[Any]]) -> None:
        try:
            if len(writes) == 1:
                writes[0].result = _transaction(self.engine, writes[0].work)
            else:
                with self.engine.begin() as connection:
                    for write in writes:
                        write.carry_out(connection)
        except BaseException as error:  # noqa: BLE001 - as above
            for write in writes:
                write.error = write.error or error
        for write in writes:
            write.is_over = True

    def close(self) -> None:
        """Let go of the connections."""
        self.engine.dispose()


def _transaction(engine: Engine, work: Callable[[Connection], T], tries: int = 5) -> T:
    try:
        with engine.begin() as connection:
            return work(connection)
    except OperationalError as error:
        if tries > 1 and getattr(error.orig, "sqlstate", "") == _DEADLOCK:
            return _transaction(engine, work, tries - 1)
        raise


def take_turns(connection: Connection, number: int) -> None:
    """Let this transaction begin when the last one that names the number is over, whichever worker's it is."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):  # they quote it, and it may hold a password
        raise UnfitDatabase("a database is given as `sqlite:///FILE` or `postgresql://…`") from None
    kind = parsed.get_backend_name()
    if kind == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            pool_size=8,
            pool_pre_ping=True,
            pool_timeout=_BUSY_SECONDS,
            connect_args={
                "connect_timeout": 10,
                "tcp_user_timeout": 30_000,
                "options": "-c statement_timeout=30000",
            },
        )
    if kind != "sqlite" or not parsed.database:
        raise UnfitDatabase("a database is given as `sqlite:///FILE` or `postgresql://…`")
    path = Path(parsed.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise UnfitDatabase(f"the orchestrator's database cannot be used: {error.strerror}: `{path}`") from None
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
        connection.exec_driver_sql(
            "BEGIN" if connection.get_execution_options().get("only_reads") else "BEGIN IMMEDIATE"
        )

    return engine


def _line(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).splitlines() or [type(error).__name__])[0][:200]


def is_away(error: SQLAlchemyError) -> bool:
    """Whether the database did not answer or could not just now, rather than that it was asked for what cannot be."""
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, OperationalError | InterfaceError | NoConnection)
