"""Row-level security on PostgreSQL: whatever a statement asks for, it finds and changes one tenant's rows alone."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from connectors.embedded.company import COMPANY
from connectors.embedded.database import Database as CompanyDatabase
from connectors.embedded.schema import UnfitTables
from connectors.embedded.tenancy import EVERY_TENANT, bears_tenant
from gateway.cli import main
from gateway.database import Database
from gateway.journal import Journal, read_journal
from gateway.roles import parting
from gateway.tables import GATEWAY
from tests.gateway.journals import ENTRY
from tests.postgres import PostgresServer

OURS, THEIRS = "ours", "theirs"
# Raw, since the index of passages is made by hand.
_INDEX = "knowledge_index"
_SEARCH = "SELECT rowid FROM knowledge_index WHERE words @@ CAST('lens' AS tsquery)"
PROTECTED = [
    (schema, name)
    for schema in (GATEWAY, COMPANY)
    for name in [table.name for table in schema.tables() if bears_tenant(table)] + [_INDEX] * (schema is COMPANY)
]


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    """A database in which both tenants have a row in every table that bears a tenant."""
    url = postgres.new_database()
    with Database(url) as database:
        database.prepare()
    CompanyDatabase(url).close()
    for _schema, table in PROTECTED:
        for tenant in (OURS, THEIRS):
            fill(postgres, url, table, tenant)
    yield url
    postgres.drop_database(url)


def fill(server: PostgresServer, url: str, table: str, tenant: str) -> None:
    """Put a row in, whatever it refers to."""
    asked = (
        "SELECT column_name, udt_name FROM information_schema.columns "  # noqa: S608 - the table's name
        f"WHERE table_name = '{table}' AND is_nullable = 'NO' AND is_identity = 'NO' AND column_default IS NULL"
    )
    values = {str(name): _value(str(kind), tenant) for name, kind in server.run(asked, url)} | {"tenant": f"'{tenant}'"}
    if table == "console_sessions":
        values["token_id"] = f"'{tenant}'"  # it must stand on something
    names = ", ".join(f'"{name}"' for name in values)
    server.run(
        f"BEGIN; SET LOCAL session_replication_role = replica;"  # noqa: S608 - plain values
        f" INSERT INTO {table} ({names}) VALUES ({', '.join(values.values())}); COMMIT",
        url,
    )


def _value(kind: str, tenant: str) -> str:
    number = str(1 + (tenant == THEIRS))
    return {
        "text": f"'{tenant}'",
        "varchar": f"'{tenant}'",
        "int4": number,
        "int8": number,
        "bool": "true",
        "bytea": "'\\x00'",
        "json": "'[]'",
        "timestamptz": "now()",
        "tsvector": "''",
        "date": "now()",
    }[kind]


def in_role(url: str, role: str) -> str:
    return f"postgresql://{role}@{url.partition('@')[2]}"


def tenants_seen(database: Database, tenant: Any, table: str) -> list[str]:
    with database.looking(tenant) as connection:
        return sorted(connection.execute(text(f"SELECT tenant FROM {table}")).scalars())  # noqa: S608


@pytest.mark.parametrize("table", [name for _schema, name in PROTECTED])
def test_a_query_without_a_condition_finds_one_tenants_rows(url: str, table: str) -> None:
    with Database(url) as database:
        database.prepare()
        assert tenants_seen(database, OURS, table) == [OURS]
        assert tenants_seen(database, THEIRS, table) == [THEIRS]
        assert tenants_seen(database, "nobody", table) == []
        assert tenants_seen(database, "", table) == []
        assert tenants_seen(database, EVERY_TENANT, table) == [OURS, THEIRS]
        assert list(database.look_all(OURS, [(f"SELECT tenant FROM {table}", {})])[0]) == [(OURS,)]  # noqa: S608
        with database._engine.connect() as unsaid:
            assert unsaid.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0  # noqa: S608
        with database._engine.connect() as raw, database.looking(OURS) as ours:
            assert ours.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 1  # noqa: S608
            assert raw.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0  # noqa: S608


@pytest.mark.parametrize("table", ["settled", "tokens", "crm_contacts", "knowledge_index"])
def test_nothing_of_another_tenant_is_changed_removed_or_added(url: str, table: str) -> None:
    with Database(url) as database:
        database.prepare()
        with database.changing(OURS) as connection:
            for change in ("UPDATE {} SET tenant = tenant", "DELETE FROM {}"):
                changed = connection.execute(text(f"{change.format(table)} WHERE tenant = 'theirs'"))
                assert changed.rowcount == 0
        with pytest.raises(ProgrammingError, match="row-level security"), database.changing(OURS) as connection:
            connection.execute(text(f"UPDATE {table} SET tenant = 'theirs'"))  # noqa: S608
        assert tenants_seen(database, EVERY_TENANT, table) == [OURS, THEIRS]


def test_what_one_transaction_says_does_not_stay_with_its_connection(url: str) -> None:
    with Database(url) as database:
        database.prepare()
        for tenant in (EVERY_TENANT, OURS):
            with database.changing(tenant) as connection:
                one = connection.connection.driver_connection
            with database._engine.connect() as unsaid:
                assert unsaid.connection.driver_connection is one
                assert unsaid.exec_driver_sql("SELECT count(*) FROM tokens").scalar() == 0


@pytest.fixture
def parted(postgres: PostgresServer) -> Iterator[str]:
    """The owner's URL of a database whose rights are parted as `remit database roles` says."""
    url = postgres.url(postgres.new_database().rpartition("?")[0].rpartition("/")[2])
    postgres.run("\n".join(parting("parted_owner", "parted_gateway")), url)
    yield in_role(url, "parted_owner")
    postgres.drop_database(url)


def test_a_gateway_that_does_not_own_the_tables_works_with_them_once_their_owner_made_them(
    parted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    works, owns = in_role(parted, "parted_gateway"), parted
    with Database(works) as database, pytest.raises(UnfitTables, match="run `remit database upgrade` as their owner"):
        database.prepare()
    assert remit(tmp_path, owns, "database", "upgrade") == 0
    assert remit(tmp_path, works, "database", "status") == 0
    assert "above" not in capsys.readouterr().out
    with Database(works) as database:
        journal = Journal(database, timeout=5)
        for tenant in (OURS, THEIRS):
            asyncio.run(journal.append(replace(ENTRY, tenant=tenant)))
        journal.close()
        assert [entry.tenant for entry in read_journal(database, OURS)] == [OURS]
        database.vacuum("journal_keys")
        with database.looking(OURS) as connection:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = "\n".join(connection.execute(text(f"EXPLAIN {_SEARCH}")).scalars())
            assert "Bitmap Index Scan on knowledge_index_words" in plan
        for forbidden in (
            "ALTER TABLE journal DISABLE ROW LEVEL SECURITY",
            "DROP POLICY own_tenant ON journal",
            "DROP TRIGGER journal_append_only ON journal",
            "CREATE TABLE beside (it text)",
        ):
            with (
                pytest.raises(ProgrammingError, match=r"must be owner|permission denied"),
                database.changing(OURS) as c,
            ):
                c.exec_driver_sql(forbidden)


def test_an_administrator_is_told_to_be_above_row_security(
    postgres: PostgresServer, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert remit(tmp_path, in_role(url, "postgres"), "database", "status") == 1
    assert "above row-level security; see `remit database roles`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("owner", "gateway", "told"),
    [
        ("x; DROP TABLE journal", "remit", "no plain name"),
        ("remit_owner", "public", "no plain name"),
        ("remit_owner", "pg_monitor", "no plain name"),
        ("current_user", "remit", "no plain name"),
        ("remit", "remit", "two"),
    ],
)
def test_roles_that_are_not_two_plain_names_are_refused(
    owner: str, gateway: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["remit", "database", "roles", "--owner", owner, "--gateway", gateway])
        with pytest.raises(SystemExit, match="2"):
            main()
    said = capsys.readouterr()
    assert told in said.err
    assert not said.out


def remit(home: Path, url: str, *command: str) -> int:
    """Run a command on a database; gives its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REMIT_DATABASE_URL", url)
        patch.setattr("sys.argv", ["remit", *command, "--home", str(home)])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)
