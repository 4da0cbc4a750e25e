"""Imports into the embedded back ends, looked at through the tools."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.contract import CallContext
from connectors.crm.embedded import EmbeddedCrm
from connectors.crm.tools import SearchContacts
from connectors.email.embedded import EmbeddedEmail
from connectors.email.tools import GetThread, SearchEmail
from connectors.embedded.database import Database
from connectors.importing import Kind
from connectors.knowledge.embedded import EmbeddedKnowledge
from connectors.knowledge.tools import SearchKnowledge
from connectors.ticketing.embedded import EmbeddedTicketing
from connectors.ticketing.tools import GetTicket, SearchTickets
from tests.importing.recorder import MAILBOX, bring_in

CALL = CallContext(
    tenant="larkspur",
    actor="kim@larkspur.example",
    key="k",
    now=datetime(2024, 6, 1, tzinfo=UTC),
    readers=(frozenset({"support", "everyone"}),),
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'company.db'}")
    yield opened
    opened.close()


async def test_imported_contacts_are_found_with_their_company(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text("name,email,company\nAda Byron,ada@mill.example,Mill Ltd\nBob,bob@mill.example,MILL Ltd\n")
    crm = EmbeddedCrm(database)
    await bring_in(Kind.CONTACTS, path, crm)
    again = await bring_in(Kind.CONTACTS, path, crm)
    found = (await crm.crm_search_contacts(CALL, SearchContacts(query="mill"))).contacts
    assert {(each.name, each.account_name) for each in found} == {("Ada Byron", "Mill Ltd"), ("Bob", "Mill Ltd")}
    assert (again.report.added, again.report.changed, again.report.unchanged) == (0, 0, 2)


async def test_imported_tickets_have_their_threads(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "tickets.jsonl"
    ticket = {
        "id": 7,
        "subject": "Parcel lost",
        "description": "Where is it?",
        "requester": {"name": "Ada", "email": "ada@mill.example"},
        "created_at": "2024-05-01T10:00:00Z",
        "comments": [{"body": "Ask the depot", "author": "Kim", "public": False, "created_at": "2024-05-02T10:00:00Z"}],
    }
    path.write_text(json.dumps(ticket))
    ticketing = EmbeddedTicketing(database)
    await bring_in(Kind.TICKETS, path, ticketing)
    again = await bring_in(Kind.TICKETS, path, ticketing)
    (found,) = (await ticketing.ticket_search_tickets(CALL, SearchTickets(query="parcel"))).tickets
    thread = (await ticketing.ticket_get_ticket(CALL, GetTicket(ticket_id=found.id))).comments
    assert [(each.kind, each.body) for each in thread] == [("public", "Where is it?"), ("internal", "Ask the depot")]
    assert again.report.unchanged == 1


async def test_imported_mail_is_found_in_its_mailbox(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "inbox.mbox"
    path.write_bytes(
        b"From ada@example.com Mon Jan  1 00:00:00 2024\nFrom: Ada <ada@example.com>\nSubject: Gr\xfc\xdfe\n"
        b"Message-ID: <1@example.com>\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\ncaf\xe9 \x00 broken \xff\n"
    )
    mail = EmbeddedEmail(database)
    await bring_in(Kind.MBOX, path, mail)
    again = await bring_in(Kind.MBOX, path, mail)
    (found,) = (await mail.email_search_messages(CALL, SearchEmail(mailbox=MAILBOX, query="caf\xe9"))).messages
    thread = await mail.email_get_thread(CALL, GetThread(mailbox=MAILBOX, thread_id=found.thread_id))
    assert (found.subject, found.unread) == ("Gr\xfc\xdfe", True)
    assert thread.messages[0].body.startswith("caf\xe9")
    assert again.report.unchanged == 1


async def test_imported_documents_are_found_by_those_who_may_read_them(tmp_path: Path, database: Database) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "a.md").write_text("---\nreaders: support\n---\n# Refunds\n\nWithin 30 days.\n")
    (folder / "b.md").write_text("---\nreaders: legal\n---\n# Refunds in court\n\nNever.\n")
    knowledge = EmbeddedKnowledge(database)
    await bring_in(Kind.KNOWLEDGE, folder, knowledge)
    again = await bring_in(Kind.KNOWLEDGE, folder, knowledge)
    found = (await knowledge.knowledge_search_documents(CALL, SearchKnowledge(query="refunds"))).passages
    assert {each.title for each in found} == {"Refunds"}
    assert again.report.unchanged == 2
