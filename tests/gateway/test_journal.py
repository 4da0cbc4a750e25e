"""The journal: durable first, append-only, and honest when it cannot write."""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest

from gateway.journal import Entry, Journal, JournalUnavailable, Kind, read_journal, writer
from gateway.journal.entry import Row, to_row

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def entry(call: str = "call_1", **body: object) -> Entry:
    return Entry(call, "larkspur", "agent:triage", NOW, Kind.INTENT, {"tool": "crm_get_contact", **body})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "remit.db"


async def test_an_appended_entry_is_on_the_disk_when_append_returns(path: Path) -> None:
    journal = Journal(path, timeout=5)
    await journal.append(entry(note="größer"))
    [read] = read_journal(path)
    journal.close()
    assert (read.position, read.call_id, read.at, read.body["note"]) == (1, "call_1", NOW, "größer")


async def test_entries_appended_at_once_are_all_kept_in_one_order(path: Path) -> None:
    journal = Journal(path, timeout=5)
    await asyncio.gather(*(journal.append(entry(f"call_{n}")) for n in range(300)))
    journal.close()
    entries = list(read_journal(path))
    assert [read.position for read in entries] == list(range(1, 301))
    assert {read.call_id for read in entries} == {f"call_{n}" for n in range(300)}


async def test_the_newest_entries_come_oldest_first_and_one_call_can_be_picked(path: Path) -> None:
    journal = Journal(path, timeout=5)
    for n in range(5):
        await journal.append(entry(f"call_{n % 2}"))
    journal.close()
    assert [read.position for read in read_journal(path, last=2)] == [4, 5]
    assert [read.position for read in read_journal(path, call_id="call_1")] == [2, 4]


@pytest.mark.parametrize("change", ["UPDATE journal SET kind = 'denied'", "DELETE FROM journal"])
async def test_a_recorded_entry_cannot_be_changed_or_removed(path: Path, change: str) -> None:
    journal = Journal(path, timeout=5)
    await journal.append(entry())
    journal.close()
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(change)
    connection.close()


async def test_a_locked_journal_refuses_in_time_and_serves_again_afterwards(path: Path) -> None:
    journal = Journal(path, timeout=0.4)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(JournalUnavailable):
        await journal.append(entry("call_while_locked"))
    assert journal.failing
    blocker.execute("ROLLBACK")
    blocker.close()
    await journal.append(entry("call_after"))
    assert not journal.failing
    journal.close()
    assert [read.call_id for read in read_journal(path)] == ["call_after"]


async def test_a_journal_that_cannot_be_opened_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="cannot be written"):
        Journal(tmp_path / "no such folder" / "remit.db", timeout=1)


async def test_closing_writes_what_is_queued(path: Path) -> None:
    journal = Journal(path, timeout=5)
    waiting = asyncio.ensure_future(journal.append(entry()))
    await asyncio.sleep(0)
    journal.close()
    await waiting
    assert len(list(read_journal(path))) == 1


async def test_text_that_is_not_unicode_is_recorded_and_harms_nobody_else(path: Path) -> None:
    journal = Journal(path, timeout=5)
    await journal.append(entry("call_bad", client="\ud800", field={"\udfff": "\x00"}))
    await journal.append(entry("call_good"))
    journal.close()
    bad, good = read_journal(path)
    assert bad.body["client"] == "\ud800"
    assert good.call_id == "call_good"


async def test_an_entry_that_cannot_be_written_fails_alone_and_the_writer_lives(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(rows: Sequence[Row]) -> NoReturn:
        raise ZeroDivisionError

    journal = Journal(path, timeout=5)
    with pytest.raises(TypeError):
        await journal.append(entry("call_bad", what=object()))
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_commit", broken)
        with pytest.raises(JournalUnavailable):
            await journal.append(entry("call_unlucky"))
    await journal.append(entry("call_good"))
    journal.close()
    assert [read.call_id for read in read_journal(path)] == ["call_good"]


async def test_a_journal_that_cannot_keep_up_refuses_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path, timeout=5)
    monkeypatch.setattr("gateway.journal.writer._QUEUE", 0)
    with pytest.raises(JournalUnavailable, match="keep up"):
        await journal.append(entry())
    journal.close()


def test_an_event_loop_that_ends_before_its_entry_is_written_harms_no_other(path: Path) -> None:
    journal = Journal(path, timeout=5)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")

    async def leave() -> None:
        waiting = asyncio.ensure_future(journal.append(entry("call_left")))
        await asyncio.sleep(0)
        waiting.cancel()
        journal._queue.put(
            writer._Pending(to_row(entry("call_lost")), waiting.get_loop().create_future(), waiting.get_loop())
        )

    asyncio.run(leave())
    blocker.execute("ROLLBACK")
    blocker.close()
    asyncio.run(journal.append(entry("call_after")))
    journal.close()
    assert [read.call_id for read in read_journal(path)][-2:] == ["call_lost", "call_after"]
