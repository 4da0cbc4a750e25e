"""The embedded back ends say afterwards what became of a key, and what they say stays true."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from connectors.contract import CallContext, Output, RemembersEffects
from connectors.crm.embedded import EmbeddedCrm
from connectors.crm.tools import Contact, CreateContact, SearchContacts
from connectors.email.embedded import EmbeddedEmail
from connectors.email.tools import SendEmail, SentMessage
from connectors.embedded.database import Database
from connectors.errors import Conflict, InDoubt
from connectors.records import MessageRecord
from connectors.registry import TOOLS, embedded
from connectors.ticketing.embedded import EmbeddedTicketing
from connectors.ticketing.tools import CreateTicket

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SUPPORT = "support@larkspur.example"
KIM = CreateContact(name="Kim Doe", email="kim@customer.example")
TOOL = {tool.name: tool for tool in TOOLS}


def call(key: str = "k1", tenant: str = "larkspur") -> CallContext:
    return CallContext(tenant=tenant, actor="ana@larkspur.example", key=key, now=NOW)


@pytest.fixture
def database(company_url: str) -> Iterator[Database]:
    database = Database(company_url)
    yield database
    database.close()


async def contacts(crm: EmbeddedCrm) -> list[Contact]:
    return (await crm.crm_search_contacts(call(), SearchContacts())).contacts


async def test_what_happened_is_found_with_its_result(database: Database) -> None:
    crm = EmbeddedCrm(database)
    made = await crm.crm_create_contact(call(), KIM)
    assert await crm.find_effect(call(), TOOL["crm_create_contact"]) == made
    assert await crm.find_effect(call(), TOOL["crm_create_contact"]) == made


async def test_what_was_said_not_to_have_happened_never_happens_afterwards(database: Database) -> None:
    crm = EmbeddedCrm(database)
    assert await crm.find_effect(call(), TOOL["crm_create_contact"]) is None
    for _ in range(2):
        with pytest.raises(Conflict, match="nothing was done"):
            await crm.crm_create_contact(call(), KIM)
    assert await contacts(crm) == []
    assert await crm.find_effect(call(), TOOL["crm_create_contact"]) is None


async def test_other_keys_and_other_tenants_are_not_fenced(database: Database) -> None:
    ticketing = EmbeddedTicketing(database)
    ticket = CreateTicket(subject="Late", body="Where?", requester_name="Kim", requester_email="kim@customer.example")
    assert await ticketing.find_effect(call(), TOOL["ticket_create_ticket"]) is None
    made = [await ticketing.ticket_create_ticket(each, ticket) for each in (call("k2"), call(tenant="other"))]
    assert len({ticket.id for ticket in made}) == 2


async def test_a_commit_that_is_not_confirmed_is_a_doubt_which_a_look_up_settles(database: Database) -> None:
    crm = EmbeddedCrm(database)

    def break_off(_connection: Connection) -> None:
        raise OperationalError("COMMIT", {}, ConnectionError("gone"))

    event.listen(database.engine, "commit", break_off)
    with pytest.raises(InDoubt):
        await crm.crm_create_contact(call(), KIM)
    event.remove(database.engine, "commit", break_off)
    found = await crm.find_effect(call(), TOOL["crm_create_contact"])
    assert await contacts(crm) == ([found] if found else [])


async def test_a_message_that_went_out_is_found_and_its_file_gets_the_name_that_it_lacked(
    database: Database, tmp_path: Path
) -> None:
    email = EmbeddedEmail(database, tmp_path / "outbox")
    raw = b"From: Jo <jo@x.example>\nMessage-ID: <1@x.example>\nSubject: Lamp\n\nBroken.\n"
    await email.load("larkspur", [MessageRecord(source_id="1", mailbox=SUPPORT, raw=raw)])
    message = SendEmail(mailbox=SUPPORT, to=["jo@x.example"], subject="Lamp", body="A new one is on its way.")
    sent = await email.email_send_message(call(), message)
    [file] = (tmp_path / "outbox").glob("*.eml")
    file.rename(file.with_name(f".{file.name}.part"))
    found = await email.find_effect(call(), TOOL["email_send_message"])
    assert isinstance(found, SentMessage)
    assert found == sent
    assert file.exists()


def test_every_embedded_back_end_that_changes_anything_remembers(database: Database) -> None:
    back_ends = embedded(database)
    for tool in TOOLS:
        back_end = getattr(back_ends, tool.area)
        assert isinstance(back_end, RemembersEffects) or tool.effect == "read", tool.name


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["do", "ask"]), min_size=2, max_size=8))
def test_whoever_asks_while_it_is_being_done_hears_what_remains_true(steps: list[str]) -> None:
    done: list[Contact] = []
    heard: list[Output | None] = []
    refused: list[Conflict] = []

    async def do(crm: EmbeddedCrm) -> None:
        try:
            done.append(await crm.crm_create_contact(call(), KIM))
        except Conflict as error:
            refused.append(error)

    async def ask(crm: EmbeddedCrm) -> None:
        heard.append(await crm.find_effect(call(), TOOL["crm_create_contact"]))

    async def all_at_once(crm: EmbeddedCrm) -> list[Contact]:
        async with anyio.create_task_group() as tasks:
            for step in steps:
                tasks.start_soon({"do": do, "ask": ask}[step], crm)
        return await contacts(crm)

    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/company.db")
        left = anyio.run(all_at_once, EmbeddedCrm(database))
        database.close()
    assert len(left) == (1 if done else 0)
    assert not (done and refused), "a key is either used or fenced"
    assert all(each == left[0] for each in done)
    assert heard == [left[0] if left else None] * len(heard)
