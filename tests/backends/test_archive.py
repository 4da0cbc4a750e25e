"""Knowledge in an archive of mail and tickets."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Connection, delete, select

from connectors.credentials import NoCredentials
from connectors.email.embedded import EmbeddedEmail
from connectors.embedded.database import Database
from connectors.embedded.sources import by_source
from connectors.errors import Unavailable
from connectors.knowledge.archive import KIND, Archive
from connectors.knowledge.indexed import IndexedKnowledge
from connectors.knowledge.tools import SearchKnowledge
from connectors.records import CommentRecord, MessageRecord, TicketRecord
from connectors.ticketing.embedded import EmbeddedTicketing
from connectors.ticketing.tables import comments, tickets
from connectors.vendor.kinds import Surroundings
from tests.backends.knowledge import (
    LEADS,
    NOW,
    REFUNDS,
    TENANT,
    KnowledgeContract,
    LosableContract,
    Written,
    call,
    found,
    titles,
    whole,
)
from tests.sqlite import ready_company

_GROUPS = ("board", "everyone", "leads", "sales")
READERS = [*chain.from_iterable(combinations(_GROUPS, many) for many in range(1, 5)), ("Leads",)]
"""Everybody whom a test's document may be for: an archive says it of whole mailboxes and queues."""


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Database]:
    """An empty database of the embedded back ends."""
    database = Database(ready_company(tmp_path / "company.db"))
    yield database
    database.close()


def archive(company: Database, shelves: Sequence[dict[str, Any]]) -> IndexedKnowledge:
    declared = Archive.model_validate({"tenant": TENANT, "shelves": shelves})
    made = KIND.make(declared, Surroundings(NoCredentials(), company))
    assert isinstance(made, IndexedKnowledge)
    return made


def message(written: Written, **headers: str) -> bytes:
    made = EmailMessage()
    made["Subject"] = written.name
    made["From"] = "Kim Ray <kim@customer.example>"
    made["Date"] = format_datetime(written.updated_at)
    made["Message-ID"] = f"<{written.name}@customer.example>"
    for name, value in headers.items():
        made[name] = value
    made.set_content(written.text, cte="8bit")
    return made.as_bytes()


def unique(raw: bytes) -> str:
    return f"{hashlib.sha256(raw).hexdigest()[:20]}.host"


def maildir(path: Path) -> Path:
    for part in ("new", "cur", "tmp"):
        (path / part).mkdir(parents=True, exist_ok=True)
    return path


def tag(readers: Sequence[str]) -> str:
    return "-".join(f"upper-{name.lower()}" if name != name.lower() else name for name in readers)


@dataclass
class MaildirWorld:
    folder: Path
    knowledge: IndexedKnowledge
    keeps_origin: bool = False
    tells_readers: bool = True

    async def hold(self, documents: Sequence[Written]) -> None:
        wanted = {self._place(each.readers) / unique(raw): raw for each in documents for raw in [message(each)]}
        for readers in READERS:
            for old in self._place(readers).iterdir():
                if old not in wanted:
                    old.unlink()
        for path, raw in wanted.items():
            path.write_bytes(raw)

    def _place(self, readers: Sequence[str]) -> Path:
        return self.folder / tag(readers) / "new"

    @asynccontextmanager
    async def lost(self) -> AsyncIterator[None]:
        elsewhere = self.folder.rename(self.folder.with_name("elsewhere"))
        yield
        elsewhere.rename(self.folder)


class TestMaildir(LosableContract):
    @pytest.fixture
    async def world(self, tmp_path: Path, company: Database) -> AsyncIterator[MaildirWorld]:
        folder = tmp_path / "mail"
        shelves = [{"maildir": maildir(folder / tag(readers)), "readers": list(readers)} for readers in READERS]
        knowledge = archive(company, shelves)
        yield MaildirWorld(folder, knowledge)
        await knowledge.close()


@dataclass
class TicketsWorld:
    company: Database
    knowledge: IndexedKnowledge
    keeps_origin: bool = False
    tells_readers: bool = True

    async def hold(self, documents: Sequence[Written]) -> None:
        records = [ticket(each) for each in documents]
        kept = set(by_source(TENANT, "tic", records).values())
        await self.company.change(TENANT, lambda connection: _remove_others(connection, kept))
        await EmbeddedTicketing(self.company).load(TENANT, records)


def _remove_others(connection: Connection, kept: set[str]) -> None:
    gone = sorted(set(connection.scalars(select(tickets.c.id))) - kept)
    for start in range(0, len(gone), 500):
        some = gone[start : start + 500]
        connection.execute(delete(comments).where(comments.c.ticket_id.in_(some)))
        connection.execute(delete(tickets).where(tickets.c.id.in_(some)))


def ticket(written: Written, *more: CommentRecord, **fields: Any) -> TicketRecord:
    said = CommentRecord(author="Kim Ray", body=written.text, at=written.updated_at)
    return TicketRecord(
        source_id=fields.pop("source_id", f"{written.name} {hashlib.sha256(written.text.encode()).hexdigest()}"),
        subject=written.name,
        requester_email="kim@customer.example",
        tags=fields.pop("tags", [tag(written.readers)]),
        comments=[said, *more],
        created_at=written.updated_at,
        updated_at=written.updated_at,
        **fields,
    )


class TestImportedTickets(KnowledgeContract):
    @pytest.fixture
    async def world(self, company: Database) -> AsyncIterator[TicketsWorld]:
        shelves = [{"tickets": tag(readers), "readers": list(readers)} for readers in READERS]
        knowledge = archive(company, shelves)
        yield TicketsWorld(company, knowledge)
        await knowledge.close()


# Mail


async def test_a_message_is_told_with_its_sender_and_counts_as_an_outsiders(tmp_path: Path, company: Database) -> None:
    written = Written("late-lamp", "It came broken.")
    (maildir(tmp_path / "support") / "cur" / f"{unique(b'x')}:2,S").write_bytes(message(written))
    knowledge = archive(company, [{"maildir": tmp_path / "support", "readers": ["everyone"]}])
    [passage] = (await knowledge.knowledge_search_documents(call(), SearchKnowledge(query="broken"))).passages
    assert passage.text == "From Kim Ray <kim@customer.example>\n\nIt came broken."
    assert (passage.title, passage.origin, passage.updated_at) == ("late-lamp", "external", NOW)
    assert passage.source == "support-1: <late-lamp@customer.example>"
    await knowledge.close()


async def test_what_was_thrown_away_and_drafts_are_not_in_an_archive(tmp_path: Path, company: Database) -> None:
    box = maildir(tmp_path / "support")
    for name, where, flags in (
        ("kept", "cur", ":2,S"),
        ("marked", "cur", ":2,ST"),
        ("trash", ".Trash/cur", ":2,S"),
        ("junk", ".INBOX.Junk/cur", ":2,S"),
        ("draft", ".Drafts/cur", ":2,D"),
        ("sent", ".Sent/cur", ":2,S"),
    ):
        (box / where).mkdir(parents=True, exist_ok=True)
        (box / where / f"{name}.host{flags}").write_bytes(message(Written(name, "lamp")))
    knowledge = archive(company, [{"maildir": box, "readers": ["everyone"]}])
    page = await knowledge.knowledge_search_documents(call(), SearchKnowledge(query="lamp", limit=50))
    assert {passage.title for passage in page.passages} == {"kept", "sent"}
    await knowledge.close()


async def test_a_message_that_was_read_meanwhile_stays_the_same_document(tmp_path: Path, company: Database) -> None:
    box = maildir(tmp_path / "support")
    fresh = box / "new" / "1.host"
    fresh.write_bytes(message(Written("lamp", "lamp")))
    knowledge = archive(company, [{"maildir": box, "readers": ["everyone"]}])
    world = MaildirWorld(tmp_path, knowledge)
    [before] = await found(world, "lamp")
    fresh.rename(box / "cur" / "1.host:2,S")
    [after] = await found(world, "lamp")
    assert after == before
    await knowledge.close()


async def test_links_in_a_maildir_are_not_followed(tmp_path: Path, company: Database) -> None:
    box, secret = maildir(tmp_path / "support"), tmp_path / "secret"
    secret.mkdir()
    (secret / "1.host").write_bytes(message(Written("secret", "lamp")))
    (box / "new" / "2.host").symlink_to(secret / "1.host")
    (box / ".Linked").symlink_to(secret)
    (maildir(tmp_path / "other") / "new" / "3.host").write_bytes(message(Written("other", "lamp")))
    (box / ".Whole").symlink_to(tmp_path / "other")
    knowledge = archive(company, [{"maildir": box, "readers": ["everyone"]}])
    assert await titles(MaildirWorld(tmp_path, knowledge), "lamp") == []
    assert "1 left out" in await knowledge.look(call())
    await knowledge.close()


async def test_an_mbox_is_followed_as_it_grows_and_as_messages_are_taken_out(tmp_path: Path, company: Database) -> None:
    file = tmp_path / "sales.mbox"
    entries = {name: b"From a Mon Jan  1 10:00:00 2024\n" + message(Written(name, "lamp")) + b"\n" for name in "wxyz"}
    file.write_bytes(entries["w"] + entries["x"])
    knowledge = archive(company, [{"mbox": file, "readers": ["leads"]}])
    world = MaildirWorld(tmp_path, knowledge)
    assert sorted(await titles(world, "lamp", call(LEADS))) == ["w", "x"]
    assert await titles(world, "lamp") == []
    with file.open("ab") as grown:
        grown.write(entries["y"].replace(b"lamp\n", b"lamp\n>From here on\n"))
    [passage] = [each for each in await found(world, "lamp", call(LEADS)) if each.title == "y"]
    assert passage.text.endswith("lamp\nFrom here on")
    assert sorted(await titles(world, "lamp", call(LEADS))) == ["w", "x", "y"]
    file.write_bytes(entries["x"] + entries["y"])
    assert sorted(await titles(world, "lamp", call(LEADS))) == ["x", "y"]
    file.unlink()
    with pytest.raises(Unavailable):
        await titles(world, "lamp", call(LEADS))
    await knowledge.close()


async def test_imported_mail_is_read_by_whom_its_mailbox_is_open_to(tmp_path: Path, company: Database) -> None:
    for mailbox, name in (("support@larkspur.example", "lamp"), ("board@larkspur.example", "merger lamp")):
        record = MessageRecord(source_id=f"{name}@x", mailbox=mailbox, raw=message(Written(name, "lamp")))
        await EmbeddedEmail(company).load(TENANT, [record])
    shelves = [
        {"mailbox": "support@larkspur.example", "readers": ["everyone"]},
        {"mailbox": "board@larkspur.example", "readers": ["board"]},
    ]
    knowledge = archive(company, shelves)
    world = MaildirWorld(tmp_path, knowledge)
    assert await titles(world, "lamp") == ["lamp"]
    assert sorted(await titles(world, "lamp", call(frozenset({"everyone", "board"})))) == ["lamp", "merger lamp"]
    [passage] = await found(world, "lamp")
    assert passage.source.startswith("support@larkspur.example/msg_")
    await knowledge.close()


# Tickets


async def test_of_two_queues_with_a_ticket_the_first_one_says_who_may_read_it(company: Database) -> None:
    both = ticket(Written("contract", "lamp"), tags=["billing", "legal"])
    await EmbeddedTicketing(company).load(TENANT, [both, ticket(Written("bill", "lamp"), tags=["billing"])])
    shelves = [{"tickets": "legal", "readers": ["leads"]}, {"tickets": "*", "readers": ["everyone"]}]
    world = TicketsWorld(company, archive(company, shelves))
    assert await titles(world, "lamp") == ["bill"]
    assert sorted(await titles(world, "lamp", call(LEADS))) == ["bill", "contract"]
    await world.knowledge.close()


@pytest.mark.parametrize("with_notes", [False, True])
async def test_internal_notes_are_in_an_archive_only_if_it_says_so(company: Database, *, with_notes: bool) -> None:
    note = CommentRecord(author="Ana", by_staff=True, kind="internal", body="suspected fraud", at=NOW)
    await EmbeddedTicketing(company).load(TENANT, [ticket(Written("refund", REFUNDS), note)])
    shelves = [{"tickets": "*", "readers": ["everyone"], "notes": with_notes}]
    world = TicketsWorld(company, archive(company, shelves))
    assert bool(await found(world, "fraud")) is with_notes
    [first, *_] = await found(world, "refund")
    assert ("fraud" in (await whole(world, first.document_id)).text) is with_notes
    await world.knowledge.close()


@pytest.mark.parametrize("shelf", [{}, {"mbox": Path("a"), "tickets": "*"}, {"tickets": "not a tag"}])
def test_a_shelf_is_one_thing(shelf: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Archive.model_validate({"tenant": TENANT, "shelves": [{**shelf, "readers": ["everyone"]}]})
