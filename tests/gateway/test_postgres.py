"""PostgreSQL under the gateway: shared by many, gone, frozen, and never told anybody's password."""

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg
import pytest

from connectors.embedded.database import Database as CompanyDatabase
from connectors.embedded.tenancy import EVERY_TENANT
from connectors.registry import embedded
from gateway.cli import main
from gateway.database import Database
from gateway.grants.table import GrantTable
from gateway.journal import Journal, JournalUnavailable, read_journal
from gateway.journal.checkpoint import read_published
from gateway.journal.note import load_or_make_signer
from gateway.journal.snapshot import snapshot
from gateway.journal.verify import check
from gateway.settings import load_settings
from gateway.settled import SettledAnswers
from gateway.tokens import Tokens
from tests.gateway.journals import ENTRY, Kept
from tests.gateway.test_outage import create_contact
from tests.postgres import PostgresServer, postgres_server
from tests.processes import serving

TOM = "person:tom.lindqvist@larkspur.example"


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    with postgres_server(fsync=True) as server:
        yield server


def home_on(url: str, home: Path, **settings: object) -> Path:
    home.mkdir()
    lines = [f'database_url = "{url}"', *(f"{name} = {value}" for name, value in settings.items())]
    (home / "remit.toml").write_text("\n".join(lines))
    return home


def test_processes_that_start_at_once_on_an_empty_database_make_its_tables_once(empty_postgres_url: str) -> None:
    def start(_number: int) -> int:
        company = CompanyDatabase(empty_postgres_url)
        embedded(company)
        company.close()
        with Database(empty_postgres_url) as database:
            Tokens(database), SettledAnswers(database), GrantTable(database)
            journal = Journal(database, timeout=5)
            asyncio.run(journal.append(ENTRY))
            journal.close()
            return len(list(read_journal(database, EVERY_TENANT)))

    with ThreadPoolExecutor(6) as starters:
        assert max(starters.map(start, range(6))) == 6


@pytest.mark.process
def test_three_gateways_on_one_database_write_one_chain_that_verifies(postgres_url: str, tmp_path: Path) -> None:
    homes = [home_on(postgres_url, tmp_path / f"home{n}", checkpoint_seconds=0.2) for n in range(3)]
    signer = load_or_make_signer(homes[0] / "journal.key")
    with ExitStack() as stack, ThreadPoolExecutor(12) as callers:
        for home in homes[1:]:
            shutil.copy(homes[0] / "journal.key", home)
        gateways = [stack.enter_context(serving(home, "--no-auth", "--as", TOM)) for home in homes]
        answers = list(callers.map(lambda n: create_contact(gateways[n % 3], n), range(60)))
    assert [answer["status"] for answer in answers] == ["ok"] * 60
    published = [each for home in homes for each in read_published(home / "checkpoints", signer.public)]
    with Database(postgres_url) as database, snapshot(database) as journal:
        report = check(journal.items(), signer.public, published)
    assert (report.finding, report.entries, report.signed) == (None, 120, 120)


@pytest.mark.process
def test_while_the_database_is_gone_nothing_runs_and_service_resumes_with_it(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    home = home_on(own_server.url(), tmp_path / "home", journal_timeout=2)
    with serving(home, "--no-auth", "--as", TOM) as served:
        assert create_contact(served, 1)["status"] == "ok"
        own_server.stop()
        refused = [create_contact(served, number) for number in (2, 3)]
        ready = httpx.get(f"{served.url}/readyz", timeout=30)
        own_server.start()
        again = create_contact(served, 2)
        back = httpx.get(f"{served.url}/readyz", timeout=30)
    assert back.status_code == 200, (back.text, again)
    assert [answer["error"]["kind"] for answer in refused] == ["journal_unavailable"] * 2
    assert (ready.status_code, ready.json()["journal"]) == (503, "failing")
    assert again["status"] == "ok", "the contact must not exist yet"


async def test_a_server_that_stands_still_is_refused_in_time_and_used_again_when_it_answers(
    own_server: PostgresServer,
) -> None:
    with Database(own_server.url()) as database:
        journal = Journal(database, timeout=1)
        await journal.append(ENTRY)
        with own_server.frozen():
            for number in range(2):
                with pytest.raises(JournalUnavailable):
                    await journal.append(replace(ENTRY, call_id=f"call_frozen_{number}"))
        while journal.failing:
            try:
                await journal.append(replace(ENTRY, call_id="call_after"))
            except JournalUnavailable:
                continue
        journal.close()
        assert "call_after" in {entry.call_id for entry in read_journal(database, EVERY_TENANT)}


async def test_reading_from_a_server_that_stands_still_ends_in_time(own_server: PostgresServer) -> None:
    with Database(own_server.url(), patience=0.5) as database:
        journal = Journal(database, timeout=5)
        await journal.append(ENTRY)
        journal.close()
        assert len(list(read_journal(database, EVERY_TENANT, call_id=ENTRY.call_id))) == 1
        with own_server.frozen(), pytest.raises(JournalUnavailable, match=r"no answer|timeout"):
            list(read_journal(database, EVERY_TENANT, call_id=ENTRY.call_id))
        assert len(list(read_journal(database, EVERY_TENANT, call_id=ENTRY.call_id))) == 1


async def test_whoever_reads_everything_may_pause_for_longer_than_a_writer(
    postgres: PostgresServer, postgres_url: str
) -> None:
    with Database(postgres_url, patience=1.0) as database:
        journal = Journal(database, timeout=5)
        await asyncio.gather(*(journal.append(ENTRY) for _ in range(2_500)))
        journal.close()
        entries = read_journal(database, EVERY_TENANT)
        first = next(entries)
        with psycopg.connect(postgres_url, options="-c idle_in_transaction_session_timeout=1000") as idle:
            idle.execute("SELECT 1")
            while postgres.run(f"SELECT 1 FROM pg_stat_activity WHERE pid = {idle.info.backend_pid}"):  # noqa: S608
                pass
            idle.close()
        assert len([first, *entries]) == 2_500


async def test_a_writer_that_stops_with_the_lock_in_its_hand_does_not_stop_the_others(postgres_url: str) -> None:
    with Database(postgres_url) as database:
        journal, stuck = Journal(database, timeout=5), Journal(database, timeout=0.4)
        await stuck.append(ENTRY)
        connection = stuck._store._connected()  # type: ignore[attr-defined]
        from gateway.journal.postgres import _BEGIN

        connection.execute(_BEGIN)
        await journal.append(replace(ENTRY, call_id="call_other"))
        stuck.close()
        journal.close()
        assert [entry.call_id for entry in read_journal(database, EVERY_TENANT)] == [ENTRY.call_id, "call_other"]


@pytest.mark.parametrize("statement", ["TRUNCATE journal", "TRUNCATE journal_checkpoints", "DELETE FROM journal"])
def test_the_journal_can_neither_be_emptied_nor_thinned_out(
    postgres: PostgresServer, postgres_url: str, tmp_path: Path, statement: str
) -> None:
    kept = Kept(tmp_path, postgres_url)
    kept.grow(3)
    with pytest.raises(Exception, match="append-only"):
        postgres.run(statement, postgres_url)
    assert len(list(read_journal(kept.database, EVERY_TENANT))) == 3
    kept.database.close()


@pytest.mark.parametrize("command", [["journal", "list"], ["token", "list"], ["sample"], ["journal", "export"]])
def test_a_password_is_in_no_message(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = home_on("postgresql://remit:s3cret-word@127.0.0.1:1/remit", tmp_path / "home")
    load_or_make_signer(home / "journal.key")
    monkeypatch.setattr("sys.argv", ["remit", *command, "--home", str(home)])
    with pytest.raises(SystemExit, match="1"):
        main()
    said = capsys.readouterr()
    assert "127.0.0.1" in said.err
    assert "s3cret" not in said.err + said.out
    assert "s3cret" not in repr(load_settings(home=home)) + repr(load_settings(home=home).open_database())
