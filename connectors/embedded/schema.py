"""Bringing a database's tables to the form that this version reads and writes, before anything else is done with it.

Each form has a number, and each step to the next one is a migration (Alembic) in a folder of its own. An empty database
gets the newest form at once. Looking whether something is to be done is one small query; Alembic is imported only when
there is something to migrate. There is no way back to an earlier form but a backup.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, MetaData, Table, create_mock_engine, func, inspect, select, text
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.exc import SQLAlchemyError

from connectors.embedded.engine import BUSY_SECONDS, is_postgresql, reason
from connectors.embedded.tenancy import EVERY_TENANT, bears_tenant, protecting

# Any number will do as long as all processes agree on it.
_CHANGING_TABLES = 0x72656D69_00000001
_LONGEST_SECONDS = 3_600


OLDEST: Final = "0001"
"""The form of tables from before forms had numbers."""


class UnfitTables(Exception):
    """The tables of a database are not of the form that this version works with; says what to do."""


@dataclass(frozen=True)
class Schema:
    """The tables that belong together, in all their forms.

    Args:
        name: Such as `company`; names also the table in which the form's number stands.
        folder: Its migrations, `form_0001_….py` and so on.
        now: Gives the tables as this version has them.
    """

    name: str
    folder: Path
    now: Callable[[], Sequence[MetaData]]

    @property
    def version_table(self) -> str:
        """Where the number of a database's form stands."""
        return f"remit_{self.name}_version"

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """The numbers of all forms, rising."""
        return tuple(sorted(file.name.split("_")[1] for file in self.folder.glob("form_*.py")))

    @property
    def newest(self) -> str:
        """The number of the form that this version works with."""
        return self.forms[-1]

    def tables(self) -> list[Table]:
        """The tables as this version has them."""
        return [table for metadata in self.now() for table in metadata.sorted_tables]


def form_of(connection: Connection, schema: Schema) -> str | None:
    """The number of the form that a database has; None if it has no number.

    Raises:
        UnfitTables: If it is one that this version does not know.
    """
    if not inspect(connection).has_table(schema.version_table):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {schema.version_table}")).scalar()  # noqa: S608
    if found is not None and found not in schema.forms:
        raise UnfitTables(
            f"the {schema.name} tables have form `{found}`, and this version of Remit knows them up to "
            f"`{schema.newest}`: start the newer version that wrote them, or restore a backup; there is no way back"
        )
    return None if found is None else str(found)


def check_form(engine: Engine, schema: Schema) -> bool:
    """Whether a database has the newest form, for whoever only reads; False if it has no tables at all.

    Raises:
        UnfitTables: If it has another form.
        SQLAlchemyError: If the database does not answer.
    """
    with engine.connect() as connection:
        form = form_there(connection, schema)
    if form not in {None, schema.newest}:
        raise UnfitTables(
            f"the {schema.name} tables have form `{form}`, and this version of Remit reads form `{schema.newest}`: "
            "run `remit database upgrade`, or start the gateway"
        )
    return form is not None


def form_there(connection: Connection, schema: Schema) -> str | None:
    """The number of the form that a database has, also if that stands nowhere; None if there are no tables.

    Raises:
        UnfitTables: If it is one that this version does not know.
    """
    return form_of(connection, schema) or (None if _is_empty(connection, schema) else OLDEST)


def _is_empty(connection: Connection, schema: Schema) -> bool:
    there = set(inspect(connection).get_table_names())
    return there.isdisjoint(table.name for table in schema.tables())


def bring_up_to_date(engine: Engine, schema: Schema) -> None:
    """Give a database the newest form, unless it has that; of several processes that try at once one does it.

    Raises:
        UnfitTables: If it cannot have it; then nothing was changed.
        SQLAlchemyError: If the database does not answer.
    """
    with engine.connect() as connection:
        if form_of(connection, schema) == schema.newest:
            return
    try:
        with (
            engine.connect().execution_options(immediate=True, tenant=EVERY_TENANT) as connection,
            _patient(connection),
            connection.begin(),
        ):
            change_tables(connection, schema)
    except SQLAlchemyError as error:
        if "permission denied" in reason(error) or "must be owner" in reason(error):
            raise UnfitTables(
                f"the {schema.name} tables must be brought to form `{schema.newest}`, which this database user may "
                f"not do ({reason(error)}): run `remit database upgrade` as their owner"
            ) from error
        raise


@contextmanager
def _patient(connection: Connection) -> Iterator[None]:
    """Moving many rows takes its time, and so does waiting for another process that does it."""
    driver: Any = connection.connection.driver_connection
    if is_postgresql(connection):
        usual, driver.patience = driver.patience, _LONGEST_SECONDS
    else:
        driver.execute(f"PRAGMA busy_timeout={_LONGEST_SECONDS * 1_000}")
    try:
        yield
    finally:
        if is_postgresql(connection):
            driver.patience = usual
        else:
            driver.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1_000}")


def change_tables(connection: Connection, schema: Schema) -> None:
    """Within a transaction that keeps every other writer out, go to the newest form."""
    if is_postgresql(connection):
        for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {limit} = '{_LONGEST_SECONDS}s'")
        connection.execute(select(func.pg_advisory_xact_lock(_CHANGING_TABLES)))
    form = form_there(connection, schema)
    if form == schema.newest:
        return
    if form is None:
        create(connection, schema)
    else:
        from connectors.embedded.migrating import migrate

        migrate(connection, schema)


def create(connection: Connection, schema: Schema) -> None:
    """Make all tables in their newest form, in a database that has none of them."""
    for statement in _making(schema, connection.dialect.name):
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


@cache
def _making(schema: Schema, dialect: str) -> tuple[str, ...]:
    """The statements that make all tables: written once in a process, however many databases it makes."""
    made: list[str] = []

    def write(statement: Any, *_: object, **_options: object) -> None:  # noqa: ANN401 - of SQLAlchemy
        made.append(str(statement.compile(dialect=engine.dialect)))

    engine: MockConnection = create_mock_engine(f"{dialect}://", write)
    for metadata in schema.now():
        metadata.create_all(engine, checkfirst=False)
    if dialect == "postgresql":
        made += protecting(table.name for table in schema.tables() if bears_tenant(table))
    # As Alembic makes it.
    made.append(
        f"CREATE TABLE {schema.version_table} (version_num VARCHAR(32) NOT NULL, "
        f"CONSTRAINT {schema.version_table}_pkc PRIMARY KEY (version_num))"
    )
    made.append(f"INSERT INTO {schema.version_table} VALUES ('{schema.newest}')")  # noqa: S608
    return (";\n".join(made),) if dialect == "postgresql" else tuple(made)
