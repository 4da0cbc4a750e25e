"""The journal: durable first, append-only, and honest when it cannot write."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy.exc import IntegrityError

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal import Entry, Journal, JournalUnavailable, Kind, read_journal, writer
from gateway.journal.entry import Row, to_row
from tests.gateway.journals import locked

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def entry(call: str = "call_1", **body: object) -> Entry:
    return Entry(call, "larkspur", "agent:triage", NOW, Kind.INTENT, {"tool": "crm_get_contact", **body})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


async def test_an_appended_entry_is_on_the_disk_when_append_returns(database: Database) -> None:
    journal = Journal(database, timeout=5)
    await journal.append(entry(note="größer"))
    [read] = read_journal(database, EVERY_TENANT)
    journal.close()
    assert (read.position, read.call_id, read.at, read.body["note"]) == (1, "call_1", NOW, "größer")


async def test_entries_appended_at_once_are_all_kept_in_one_order(database: Database) -> None:
    journal = Journal(database, timeout=5)
    await asyncio.gather(*(journal.append(entry(f"call_{n}")) for n in range(300)))
    journal.close()
    entries = list(read_journal(database, EVERY_TENANT))
    assert [read.position for read in entries] == list(range(1, 301))
    assert {read.call_id for read in entries} == {f"call_{n}" for n in range(300)}


async def test_the_newest_entries_come_oldest_first_and_one_call_can_be_picked(database: Database) -> None:
    journal = Journal(database, timeout=5)
    for n in range(5):
        await journal.append(entry(f"call_{n % 2}"))
    journal.close()
    assert [read.position for read in read_journal(database, EVERY_TENANT, last=2)] == [4, 5]
    assert [read.position for read in read_journal(database, EVERY_TENANT, call_id="call_1")] == [2, 4]


@pytest.mark.parametrize("change", ["UPDATE journal SET kind = 'denied'", "DELETE FROM journal"])
async def test_a_recorded_entry_cannot_be_changed_or_removed(database: Database, change: str) -> None:
    journal = Journal(database, timeout=5)
    await journal.append(entry())
    journal.close()
    with pytest.raises(IntegrityError, match="append-only"), database.changing(EVERY_TENANT) as connection:
        connection.exec_driver_sql(change)


async def test_a_locked_journal_refuses_in_time_and_serves_again_afterwards(database: Database) -> None:
    journal = Journal(database, timeout=0.4)
    with locked(database):
        with pytest.raises(JournalUnavailable):
            await journal.append(entry("call_while_locked"))
        assert journal.failing
    await journal.append(entry("call_after"))
    assert not journal.failing
    journal.close()
    assert [read.call_id for read in read_journal(database, EVERY_TENANT)] == ["call_after"]


async def test_a_journal_that_cannot_be_opened_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="cannot be written"):
        Journal(Database.in_file(tmp_path / "no such folder" / "remit.db"), timeout=1)


async def test_closing_writes_what_is_queued(database: Database) -> None:
    journal = Journal(database, timeout=5)
    waiting = asyncio.ensure_future(journal.append(entry()))
    await asyncio.sleep(0)
    journal.close()
    await waiting
    assert len(list(read_journal(database, EVERY_TENANT))) == 1


async def test_text_that_is_not_unicode_is_recorded_and_harms_nobody_else(database: Database) -> None:
    journal = Journal(database, timeout=5)
    await journal.append(entry("call_bad", client="\ud800", field={"\udfff": "\x00"}))
    await journal.append(entry("call_good"))
    journal.close()
    bad, good = read_journal(database, EVERY_TENANT)
    assert bad.body["client"] == "\ud800"
    assert good.call_id == "call_good"


async def test_an_entry_that_cannot_be_written_fails_alone_and_the_writer_lives(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(rows: Sequence[Row]) -> NoReturn:
        raise ZeroDivisionError

    journal = Journal(database, timeout=5)
    with pytest.raises(TypeError):
        await journal.append(entry("call_bad", what=object()))
    with monkeypatch.context() as patch:
        patch.setattr(journal._store, "append", broken)
        with pytest.raises(JournalUnavailable):
            await journal.append(entry("call_unlucky"))
    await journal.append(entry("call_good"))
    journal.close()
    assert [read.call_id for read in read_journal(database, EVERY_TENANT)] == ["call_good"]


async def test_a_journal_that_cannot_keep_up_refuses_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(database, timeout=5)
    monkeypatch.setattr("gateway.journal.writer._QUEUE", 0)
    with pytest.raises(JournalUnavailable, match="keep up"):
        await journal.append(entry())
    journal.close()


def test_an_event_loop_that_ends_before_its_entry_is_written_harms_no_other(database: Database) -> None:
    journal = Journal(database, timeout=5)

    async def leave() -> None:
        waiting = asyncio.ensure_future(journal.append(entry("call_left")))
        await asyncio.sleep(0)
        waiting.cancel()
        journal._queue.put(
            writer._Pending(
                to_row(entry("call_lost"), bytes(32)), waiting.get_loop().create_future(), waiting.get_loop()
            )
        )

    with locked(database):
        asyncio.run(leave())
    asyncio.run(journal.append(entry("call_after")))
    journal.close()
    assert [read.call_id for read in read_journal(database, EVERY_TENANT)][-2:] == ["call_lost", "call_after"]
