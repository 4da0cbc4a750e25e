"""What may be recorded only once is recorded once, whoever else writes at the same moment."""

import asyncio
import multiprocessing
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal import AlreadyRecorded, Entry, Journal, Kind, read_journal
from gateway.journal.snapshot import snapshot
from gateway.journal.verify import Report, check
from gateway.settings import load_settings
from tests.gateway.journals import Kept


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def entry(call: str, once: str | None, tenant: str = "larkspur") -> Entry:
    return Entry(call, tenant, "agent:triage", NOW, Kind.INTENT, {"tool": "email_send"}, once)


async def append(journal: Journal, one: Entry) -> str:
    """`written`, or the call that had been first."""
    try:
        await journal.append(one)
    except AlreadyRecorded as refused:
        return refused.call_id
    return "written"


async def test_a_second_entry_with_the_same_once_is_refused_and_told_by_whom(database: Database) -> None:
    journal = Journal(database, timeout=5)
    assert await append(journal, entry("call_1", "approval:a")) == "written"
    assert await append(journal, entry("call_2", "approval:a")) == "call_1"
    assert await append(journal, entry("call_1", "approval:a")) == "call_1"
    journal.close()
    [kept] = read_journal(database, EVERY_TENANT)
    assert (kept.call_id, kept.once) == ("call_1", "approval:a")


async def test_another_tenants_entry_does_not_count(database: Database) -> None:
    journal = Journal(database, timeout=5)
    assert await append(journal, entry("call_1", "a", "larkspur")) == "written"
    assert await append(journal, entry("call_2", "a", "other")) == "written"
    journal.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["larkspur", "other"]), st.none() | st.sampled_from("abc")), max_size=40))
def test_of_entries_appended_at_once_each_once_is_kept_once_and_all_others_are_kept(
    wanted: list[tuple[str, str | None]],
) -> None:
    with TemporaryDirectory() as folder:
        database = Database.in_file(Path(folder) / "remit.db")

        async def append_all() -> list[str]:
            journal = Journal(database, timeout=5)
            calls = [entry(f"call_{n}", once, tenant) for n, (tenant, once) in enumerate(wanted)]
            answers = await asyncio.gather(*(append(journal, call) for call in calls))
            journal.close()
            return answers

        answers = asyncio.run(append_all())
        kept = list(read_journal(database, EVERY_TENANT))
    written = [f"call_{n}" for n, answer in enumerate(answers) if answer == "written"]
    assert [one.call_id for one in kept] == written
    assert all(count == 1 for count in Counter((one.tenant, one.once) for one in kept if one.once).values())
    for (tenant, once), answer in zip(wanted, answers, strict=True):
        assert answer == "written" or next(one for one in kept if one.call_id == answer).once == once
        assert once is None or any((one.tenant, one.once) == (tenant, once) for one in kept)


def _append_hundred(home: Path, worker: int) -> int:
    async def run() -> int:
        with load_settings(home=home).open_database() as database:
            journal = Journal(database, timeout=30)
            calls = [entry(f"call_{worker}_{n}", f"effect:{n}" if n % 2 else None) for n in range(100)]
            answers = await asyncio.gather(*(append(journal, call) for call in calls))
            journal.close()
        return answers.count("written")

    return asyncio.run(run())


@pytest.mark.process
def test_processes_that_write_at_the_same_time_write_one_chain_and_share_each_once_between_them(kept: Kept) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        written = pool.starmap(_append_hundred, [(kept.home, worker) for worker in range(3)])
    kept.sealer().seal()
    entries = list(read_journal(kept.database, EVERY_TENANT))
    assert sum(written) == len(entries) == 3 * 50 + 50
    assert sorted(one.once for one in entries if one.once) == sorted(f"effect:{n}" for n in range(1, 100, 2))
    with snapshot(kept.database) as journal:
        assert check(journal.items(), kept.key) == Report(200, 1, 200, None)
