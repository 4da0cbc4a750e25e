"""How SQLAlchemy reaches SQLite and PostgreSQL: full durability, explicit transactions, and a limit to every wait."""

from collections.abc import Callable
from math import ceil
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from connectors.embedded.tenancy import work_for

BUSY_SECONDS = 5
"""How long to wait for another writer, for a free connection and for a new one."""


def database_url(text: str) -> URL:
    """Read the URL of a database: `sqlite:///FILE`, or `postgresql://…` for psycopg 3.

    Raises:
        ValueError: If it is none; says what was expected, without the URL, which may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = URL.create("nothing")
    if url.drivername in {"postgresql", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite":
        return url
    raise ValueError("expected `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/DATABASE`")


def is_postgresql(connection: Connection) -> bool:
    """Say on what a connection is."""
    return connection.dialect.name == "postgresql"


def make_engine(
    url: URL, *, pooled: bool = True, creator: Callable[[], Any] | None = None, patience: float = 30
) -> Engine:
    """Make an engine.

    Args:
        url: What `database_url` gave.
        pooled: Keep connections for the next use; a file's connection must not outlive the file.
        creator: Opens a connection to a file, if not as the URL says.
        patience: Seconds that a server may take for one answer.
    """
    if url.get_backend_name() == "postgresql":
        return _postgresql(url, patience)
    arguments: dict[str, Any] = {} if pooled else {"poolclass": NullPool}
    if creator:
        arguments["creator"] = creator
    # A failed statement is logged; its parameters are customers' data.
    engine = create_engine(url, hide_parameters=True, **arguments)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: ConnectionPoolEntry) -> None:  # noqa: ANN401 - of the driver
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1_000}")
    # A read-only connection has no mode to change.
    if not connection.execute("PRAGMA query_only").fetchone()[0]:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("alone", False):
        return  # each statement for itself
    # A transaction that will write takes the lock at once: upgrading later could fail half way.
    immediate = options.get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _postgresql(url: URL, patience: float) -> Engine:
    from connectors.embedded.patience import PatientConnection  # the driver: whoever is on SQLite needs none

    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_timeout=BUSY_SECONDS,
        connect_args=server_limits(url, BUSY_SECONDS, patience),
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, _none: object, where: dict[str, Any]) -> PatientConnection:
        connection = PatientConnection.connect(**where)
        connection.patience = patience
        return connection

    event.listen(engine, "begin", _begin_for)
    return engine


def _begin_for(connection: Connection) -> None:
    # Whoever does not say for whom finds nothing.
    tenant = connection.get_execution_options().get("tenant")
    if tenant is not None:
        work_for(connection, tenant)


def server_limits(url: URL, busy: float, patience: float) -> dict[str, Any]:
    """What to tell a PostgreSQL server when connecting, so that it gives up itself what takes too long.

    Args:
        url: Where it is; what it says of `options` counts.
        busy: Seconds to wait for another one's lock and for the connection.
        patience: Seconds that a statement may take, or that a transaction may be left alone: whoever stands still
            while others wait for it is cut off.
    """
    limits = {"lock_timeout": busy, "statement_timeout": patience, "idle_in_transaction_session_timeout": patience}
    options = " ".join(f"-c {name}={ceil(seconds * 1_000)}" for name, seconds in limits.items())
    return {
        "options": f"{options} {url.query.get('options', '')}".strip(),
        "connect_timeout": ceil(busy),
        "tcp_user_timeout": ceil(patience * 1_000),
        "application_name": "remit",
    }


def reason(error: SQLAlchemyError) -> str:
    """What the database said, in one line without statement and values."""
    said = getattr(error, "orig", None) or error
    return (str(said).splitlines() or [type(said).__name__])[0]
