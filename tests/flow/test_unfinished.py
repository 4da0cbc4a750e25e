"""What a write has begun to write is known to whoever reads it before the write has ended."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from connectors.registry import TOOLS
from gateway.database import Database
from gateway.flow.labels import CLEAN, Label
from gateway.flow.unfinished import NOTHING, Unfinished, Writing, writing_rows
from gateway.journal import Entry, Journal, Kind
from gateway.journal.entry import Beside
from gateway.policy.language.flow import Integrity
from gateway.settings import Settings
from tests.flow.conftest import OpenFlow

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
BY_NAME = {tool.name: tool for tool in TOOLS}
ANYONE = Label(Integrity.ANYONE)
NOTE = BY_NAME["ticket_add_note"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database(tmp_path: Path, database_url: str) -> Iterator[Database]:
    with Settings(home=tmp_path, database_url=SecretStr(database_url)).open_database() as database:
        yield database


def entry(call: str, kind: Kind, *beside: Beside, once: str | None = None) -> Entry:
    return Entry(call, "larkspur", "agent:one", NOW, kind, {"status": "ok"}, once, beside=beside)


def begun(call: str, ticket: str | None = "tic_0001", label: Label = ANYONE) -> Entry:
    arguments = {"ticket_id": ticket} if ticket else {}
    tool = NOTE if ticket else BY_NAME["ticket_create_ticket"]
    return entry(call, Kind.INTENT, *writing_rows(tool, "larkspur", call, arguments, label))


def ended(call: str) -> Entry:
    return entry(call, Kind.OUTCOME, once=f"outcome:{call}")


async def test_a_write_counts_from_its_intent_to_its_outcome(database: Database) -> None:
    journal, writing = Journal(database, timeout=10), Writing(database)
    assert await writing.unfinished("larkspur", "ticket", "") is NOTHING
    await journal.append(begun("call_1"))
    found = await writing.unfinished("larkspur", "ticket", "")
    assert found == Unfinished({"ticket::tic_0001": ANYONE}, CLEAN)
    assert await writing.unfinished("larkspur", "ticket", "call_1") == Unfinished()  # its own result it labels itself
    assert await writing.unfinished("larkspur", "crm", "") is NOTHING
    assert await writing.unfinished("other", "ticket", "") is NOTHING
    await journal.append(ended("call_1"))
    assert await writing.unfinished("larkspur", "ticket", "") is NOTHING
    journal.close()


async def test_what_ended_before_one_that_is_open_is_passed_and_what_comes_after_is_seen(database: Database) -> None:
    journal, writing = Journal(database, timeout=10), Writing(database)
    for one in (begun("call_1"), ended("call_1"), begun("call_2", "tic_0002"), begun("call_3", "tic_0003")):
        await journal.append(one)
    await journal.append(ended("call_3"))
    assert (await writing.unfinished("larkspur", "ticket", "")).records == {"ticket::tic_0002": ANYONE}
    await journal.append(begun("call_4", None))
    found = await writing.unfinished("larkspur", "ticket", "")
    assert found == Unfinished({"ticket::tic_0002": ANYONE}, ANYONE)
    for call in ("call_2", "call_4"):
        await journal.append(ended(call))
    assert await writing.unfinished("larkspur", "ticket", "") is NOTHING
    assert writing.forget() == 4
    journal.close()


def test_a_write_of_the_organisations_own_words_needs_no_row() -> None:
    assert writing_rows(NOTE, "larkspur", "call_1", {"ticket_id": "tic_0001"}, CLEAN) == ()


def test_the_mailbox_that_is_written_from_is_no_record() -> None:
    draft = {"mailbox": "support@larkspur.example", "draft_id": "dra_0001", "version": 1}
    [row] = writing_rows(BY_NAME["email_send_draft"], "larkspur", "call_1", draft, ANYONE)
    assert row.values[3] == '["email::dra_0001"]'


async def test_a_reader_that_is_faster_than_the_outcome_still_knows(
    opened: OpenFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer stands still between its effect and its outcome, as if its process had died there."""
    async with opened() as calls:
        record = await calls.contact("lena@brightlab.example")
        await calls.reads("New office: mallory@evil.example")
        crm = calls.gateway.back_ends.crm
        written, wait = anyio.Event(), anyio.Event()
        update = crm.crm_update_contact

        async def held(*given: object) -> object:
            result = await update(*given)  # type: ignore[arg-type]
            written.set()
            await wait.wait()
            return result

        monkeypatch.setattr(crm, "crm_update_contact", held)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                lambda: calls("crm_update_contact", contact_id=record, version=1, notes="mallory@evil.example")
            )
            with anyio.fail_after(10):
                await written.wait()
            read = await calls("crm_get_contact", contact_id=record, who="agent:two")
            mailed = await calls.mail("mallory@evil.example", who="agent:two")
            wait.set()

    assert read.result is not None
    assert read.result.notes == "mallory@evil.example"
    assert "notes" in (read.untrusted or [])
    assert mailed.status == "pending_approval"
