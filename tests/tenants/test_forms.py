"""The form of a database's tables: new or migrated they are the same, and nobody works on a form that is not known."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.exc import SQLAlchemyError

from connectors.embedded.company import COMPANY
from connectors.embedded.engine import database_url as read_url
from connectors.embedded.engine import is_postgresql, make_engine
from connectors.embedded.migrating import configuration
from connectors.embedded.schema import OLDEST, Schema, UnfitTables, bring_up_to_date, form_there
from connectors.embedded.tenancy import EVERY_TENANT, bears_tenant
from gateway.cli import main
from gateway.tables import GATEWAY
from tests.postgres import PostgresServer

SCHEMAS = pytest.mark.parametrize("schema", [GATEWAY, COMPANY], ids=lambda schema: schema.name)


@pytest.fixture
def postgres_url(empty_postgres_url: str) -> str:
    return empty_postgres_url


@pytest.fixture
def company_url(database_url: str, tmp_path: Path) -> str:
    """A database without tables."""
    return database_url or f"sqlite:///{tmp_path}/company.db"


@pytest.fixture
def engine(company_url: str) -> Iterator[Engine]:
    with closing_engine(company_url) as engine:
        yield engine


def migrated(engine: Engine, schema: Schema, upto: str = "head") -> None:
    with engine.connect().execution_options(immediate=True, tenant=EVERY_TENANT) as connection, connection.begin():
        command.upgrade(configuration(schema, connection), upto)


def shape(connection: Connection) -> dict[str, object]:
    """What there is besides columns and indexes: what protects rows, and what refuses changes."""
    if is_postgresql(connection):
        asked = {
            "policies": "SELECT tablename, policyname, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2",
            "forced": "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity ORDER BY 1",
            "triggers": (
                "SELECT tgrelid::regclass::text, tgname, tgtype FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
            ),
            "constraints": (
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype <> 'n' ORDER BY 1"
            ),
            "columns": (
                "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default, "
                "character_maximum_length FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
            ),
            "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        }
    else:
        asked = {
            "triggers": "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY 1",
            "other": "SELECT sql FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'",
            "columns": (
                'SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_master AS m, '
                "pragma_table_info(m.name) AS c WHERE m.type = 'table' ORDER BY 1, 2"
            ),
            "indexes": (
                'SELECT m.name, i."unique", i.partial, c.seqno, c.name FROM sqlite_master AS m, '
                "pragma_index_list(m.name) AS i, pragma_index_info(i.name) AS c WHERE m.type = 'table' "
                "ORDER BY 1, 2, 3, 4, 5"
            ),
        }
    return {name: [tuple(row) for row in connection.exec_driver_sql(query)] for name, query in asked.items()}


@SCHEMAS
def test_a_database_taken_through_every_step_is_like_a_new_one(
    engine: Engine, schema: Schema, postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.new_database() if engine.dialect.name == "postgresql" else f"sqlite:///{tmp_path}/other.db"
    migrated(engine, schema)
    with closing_engine(url) as fresh:
        bring_up_to_date(fresh, schema)
        with engine.connect() as old, fresh.connect() as new:
            assert shape(old) == shape(new)
            assert differences(old, schema) == differences(new, schema) == []
            assert form_there(old, schema) == schema.newest


def differences(connection: Connection, schema: Schema) -> list[object]:
    """What Alembic would still change to get to the tables that the code names."""
    together = MetaData()
    for table in schema.tables():
        table.to_metadata(together)
    options = {"version_table": schema.version_table, "compare_type": True, "include_name": _is_compared}
    found: list[object] = compare_metadata(MigrationContext.configure(connection, opts=options), together)
    return found


def _is_compared(name: str | None, kind: str, _parents: object) -> bool:
    # The full-text index is made by hand, and FTS5 keeps it in tables of its own.
    return kind != "table" or not str(name).startswith("knowledge_index")


@SCHEMAS
def test_a_second_start_changes_nothing_and_does_not_import_alembic(company_url: str, schema: Schema) -> None:
    with closing_engine(company_url) as engine:
        bring_up_to_date(engine, schema)
    program = (
        "import sys\n"
        "from connectors.embedded.company import COMPANY\n"
        "from connectors.embedded.engine import database_url, make_engine\n"
        "from connectors.embedded.schema import bring_up_to_date\n"
        "from gateway.tables import GATEWAY\n"
        f"bring_up_to_date(make_engine(database_url({company_url!r})), {schema.name.upper()})\n"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@SCHEMAS
def test_processes_that_start_at_once_on_an_old_database_migrate_it_once(company_url: str, schema: Schema) -> None:
    with closing_engine(company_url) as engine:
        migrated(engine, schema, OLDEST)
        forget_number(engine, schema)

    def start(_number: int) -> str | None:
        with closing_engine(company_url) as own:
            bring_up_to_date(own, schema)
            with own.connect() as connection:
                return form_there(connection, schema)

    with ThreadPoolExecutor(4) as starters:
        assert set(starters.map(start, range(4))) == {schema.newest}


@SCHEMAS
def test_tables_of_a_newer_version_are_not_touched(engine: Engine, schema: Schema) -> None:
    bring_up_to_date(engine, schema)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {schema.version_table} SET version_num = '9001'")  # noqa: S608
    with pytest.raises(UnfitTables, match=r"form `9001`.*start the newer version .* no way back"):
        bring_up_to_date(engine, schema)


def test_a_step_that_fails_leaves_everything_as_it_was(engine: Engine) -> None:
    migrated(engine, GATEWAY, OLDEST)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE settled_by_tenant (in_the_way text)")
        before = shape(connection)
    with pytest.raises(SQLAlchemyError, match="already exists"):
        bring_up_to_date(engine, GATEWAY)
    with engine.connect() as connection:
        assert shape(connection) == before
        assert form_there(connection, GATEWAY) == OLDEST


def forget_number(engine: Engine, schema: Schema) -> None:
    """As a database is from before forms had numbers."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {schema.version_table}")


@SCHEMAS
def test_every_table_bears_a_tenant_but_for_what_is_all_tenants_together(schema: Schema) -> None:
    shared = {"journal_checkpoints", "journal_tree", "recovery", "secrets"}
    assert {table.name for table in schema.tables() if not bears_tenant(table)} <= shared


def test_whoever_only_reads_an_old_database_is_told_what_to_do(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_on(database_url, tmp_path)
    with closing_engine(database_url or f"sqlite:///{home}/remit.db") as engine:
        migrated(engine, GATEWAY, OLDEST)

    def remit(*command: str) -> int:
        monkeypatch.setattr("sys.argv", ["remit", *command, "--home", str(home)])
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    assert remit("journal", "list") == 1
    assert "have form `0001`" in (said := capsys.readouterr().err)
    assert "run `remit database upgrade`" in said
    assert remit("database", "status") == 1
    assert "gateway: form 0001; `remit database upgrade` brings form" in capsys.readouterr().out
    assert remit("database", "upgrade") == 0
    assert remit("journal", "list") == 0
    capsys.readouterr()
    status = remit("database", "status")
    assert (status, capsys.readouterr().out.splitlines()[0]) == (0, f"gateway: form {GATEWAY.newest}")


def home_on(url: str, folder: Path) -> Path:
    if url:
        (folder / "remit.toml").write_text(f'database_url = "{url}"')
    return folder


@contextmanager
def closing_engine(url: str) -> Iterator[Engine]:
    engine = make_engine(read_url(url))
    try:
        yield engine
    finally:
        engine.dispose()
