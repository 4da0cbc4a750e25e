"""What the embedded help desk does for every ticketing tool, and what it refuses."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import CallContext
from connectors.embedded.database import Database, stable_id
from connectors.embedded.loading import LoadReport
from connectors.errors import Conflict, InvalidInput, NotFound
from connectors.records import TicketRecord
from connectors.ticketing.embedded import EmbeddedTicketing
from connectors.ticketing.tools import (
    AddNote,
    AddReply,
    CreateTicket,
    GetTicket,
    SearchTickets,
    Ticket,
    Ticketing,
    TicketSummary,
    UpdateTicket,
)
from tests.sqlite import ready_company

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
HERE, ELSEWHERE = "larkspur", "other"
TICKET = stable_id("tic", HERE, "t1")
ANA = "ana@larkspur.example"


def a_call(key: str = "k", tenant: str = HERE, now: datetime = LATER) -> CallContext:
    return CallContext(tenant=tenant, actor=ANA, key=key, now=now)


def a_comment(body: str, minute: int = 0, **changed: object) -> dict[str, object]:
    return {"author": "Åsa Österberg", "body": body, "at": NOON + timedelta(minutes=minute), **changed}


def a_ticket(source: str = "t1", **changed: object) -> TicketRecord:
    fields = {
        "subject": "Schal beschädigt",
        "requester_name": "Åsa Österberg",
        "requester_email": "asa@nordwind.example",
        "assignee": "Ben@larkspur.example",
        "tags": ["refund", "vip_1"],
        "comments": [
            a_comment("Photos attached, 100% wool?", 5),
            a_comment("The scarf arrived TORN"),
            a_comment("Seen before", 5, kind="internal", author="Ben", by_staff=True),
        ],
    }
    times = {"created_at": NOON, "updated_at": NOON}
    return TicketRecord.model_validate({"source_id": source, **times, **fields, **changed})


@contextmanager
def a_new_desk(url: str = "") -> Iterator[EmbeddedTicketing]:
    with TemporaryDirectory() as folder:
        database = Database(url or ready_company(Path(folder) / "company.db"))
        yield EmbeddedTicketing(database)
        database.close()


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[EmbeddedTicketing]:
    with a_new_desk(database_url) as desk:
        await desk.load(HERE, [a_ticket()])
        yield desk


async def the_ticket(desk: EmbeddedTicketing) -> Ticket:
    return await desk.ticket_get_ticket(a_call(), GetTicket(ticket_id=TICKET))


async def found(desk: EmbeddedTicketing, **wanted: object) -> list[str]:
    page = await desk.ticket_search_tickets(a_call(), SearchTickets.model_validate(wanted))
    return [ticket.id for ticket in page.tickets]


def it_serves_the_contract(desk: EmbeddedTicketing) -> Ticketing:
    return desk


# Reading


async def test_a_ticket_is_read_with_its_whole_thread_oldest_comment_first(desk: EmbeddedTicketing) -> None:
    ticket = await the_ticket(desk)
    assert [(comment.body, comment.kind, comment.by_staff) for comment in ticket.comments] == [
        ("The scarf arrived TORN", "public", False),
        ("Photos attached, 100% wool?", "public", False),
        ("Seen before", "internal", True),
    ]
    assert (ticket.comment_count, ticket.tags, ticket.version) == (3, ["refund", "vip_1"], 1)
    assert (ticket.updated_at, ticket.updated_at.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize("query", ["", "BESCHÄDIGT", "torn", "schal scarf photos", "seen", "100%"])
async def test_every_word_of_a_query_is_found_in_the_subject_or_some_comment(
    desk: EmbeddedTicketing, query: str
) -> None:
    assert await found(desk, query=query) == [TICKET]


@pytest.mark.parametrize("query", ["torn absent", "100_", "%", "scarf%torn"])
async def test_wildcards_are_plain_characters_and_a_missing_word_finds_nothing(
    desk: EmbeddedTicketing, query: str
) -> None:
    await desk.load(HERE, [a_ticket(comments=[a_comment("The scarf arrived torn")])])
    assert await found(desk, query=query) == []


@pytest.mark.parametrize(
    ("matching", "missing"),
    [
        ({"status": "open"}, {"status": "new"}),
        ({"priority": "normal"}, {"priority": "high"}),
        ({"assignee": "ben@LARKSPUR.example"}, {"assignee": "ben"}),
        ({"requester_email": "asa@nordwind.example"}, {"requester_email": "bo@nordwind.example"}),
        ({"tag": "vip_1"}, {"tag": "vip"}),
        ({"tag": "refund"}, {"tag": "vip-1"}),
    ],
)
async def test_tickets_are_found_by_each_filter(
    desk: EmbeddedTicketing, matching: dict[str, str], missing: dict[str, str]
) -> None:
    assert (await found(desk, **matching), await found(desk, **missing)) == ([TICKET], [])


# Creating


async def test_a_created_ticket_is_new_and_starts_with_the_actors_comment_once_per_key(
    desk: EmbeddedTicketing,
) -> None:
    wanted = CreateTicket(
        subject="Wrong size", body="Ordered M, got S", requester_name="Bo", requester_email="bo@x.example", tags=["a"]
    )
    ticket = await desk.ticket_create_ticket(a_call("one"), wanted)
    assert await desk.ticket_create_ticket(a_call("one"), wanted) == ticket
    assert (ticket.id, ticket.status, ticket.version) == (stable_id("tic", HERE, "one"), "new", 1)
    assert (ticket.created_at, ticket.updated_at, ticket.tags) == (LATER, LATER, ["a"])
    (comment,) = ticket.comments
    assert (comment.body, comment.kind, comment.author, comment.by_staff) == ("Ordered M, got S", "public", ANA, True)
    assert await found(desk, query="size ordered") == [ticket.id]


# Updating


async def test_an_update_changes_the_given_fields_and_counts_the_version(desk: EmbeddedTicketing) -> None:
    change = UpdateTicket(
        ticket_id=TICKET, version=1, status="solved", priority="high", assignee="cy@larkspur.example", tags=["a", "b"]
    )
    after = await desk.ticket_update_ticket(a_call("one"), change)
    assert await desk.ticket_update_ticket(a_call("one"), change) == after
    assert (after.status, after.priority, after.assignee) == ("solved", "high", "cy@larkspur.example")
    assert (after.tags, after.version, after.updated_at) == (["a", "b"], 2, LATER)
    assert await found(desk, assignee="cy@larkspur.example", tag="b") == [TICKET]


async def test_all_tags_can_be_taken_away(desk: EmbeddedTicketing) -> None:
    after = await desk.ticket_update_ticket(a_call(), UpdateTicket(ticket_id=TICKET, version=1, tags=[]))
    assert after.tags == []


async def test_an_update_for_an_old_version_is_refused_with_the_current_one(desk: EmbeddedTicketing) -> None:
    await desk.ticket_add_note(a_call("one"), AddNote(ticket_id=TICKET, body="Looking"))
    with pytest.raises(Conflict, match=f"ticket `{TICKET}` is now at version 2, not 1; read it again") as refused:
        await desk.ticket_update_ticket(a_call("two"), UpdateTicket(ticket_id=TICKET, version=1, status="solved"))
    assert refused.value.field == "version"


@pytest.mark.parametrize("same", [{}, {"status": "open", "tags": ["refund", "vip_1"]}])
async def test_an_update_that_changes_nothing_is_refused(desk: EmbeddedTicketing, same: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"nothing to change in ticket `{TICKET}`; give .*`status`"):
        await desk.ticket_update_ticket(a_call(), UpdateTicket(ticket_id=TICKET, version=1, **same))


# Notes and replies


async def test_a_note_is_internal_and_leaves_the_status(desk: EmbeddedTicketing) -> None:
    after = await desk.ticket_add_note(a_call("one"), AddNote(ticket_id=TICKET, body="Ask the ÖFB depot"))
    assert await desk.ticket_add_note(a_call("one"), AddNote(ticket_id=TICKET, body="Ask the ÖFB depot")) == after
    note = after.comments[-1]
    assert (note.kind, note.author, note.by_staff, note.at) == ("internal", ANA, True, LATER)
    assert (after.status, after.version, after.comment_count) == ("open", 2, 4)
    assert await found(desk, query="öfb scarf") == [TICKET]


@pytest.mark.parametrize("status", ["new", "open", "pending", "solved"])
async def test_a_reply_is_public_and_leaves_the_ticket_waiting_for_the_requester(
    desk: EmbeddedTicketing, status: str
) -> None:
    await desk.load(HERE, [a_ticket("t2", status=status)])
    reply = AddReply(ticket_id=stable_id("tic", HERE, "t2"), body="A new one is on its way")
    after = await desk.ticket_add_reply(a_call("one"), reply)
    assert await desk.ticket_add_reply(a_call("one"), reply) == after
    said = after.comments[-1]
    assert (said.kind, said.author, said.by_staff, said.body) == ("public", ANA, True, reply.body)
    assert (after.status, after.version, after.updated_at) == ("pending", 2, LATER)


async def test_comments_of_one_moment_stay_in_the_order_they_were_added(desk: EmbeddedTicketing) -> None:
    for number in range(6):
        await desk.ticket_add_note(a_call(f"n{number}"), AddNote(ticket_id=TICKET, body=f"note {number}"))
    assert [comment.body for comment in (await the_ticket(desk)).comments[3:]] == [f"note {n}" for n in range(6)]


async def test_a_closed_ticket_takes_a_note_but_no_update_and_no_reply(desk: EmbeddedTicketing) -> None:
    await desk.ticket_update_ticket(a_call("one"), UpdateTicket(ticket_id=TICKET, version=1, status="closed"))
    for refused_call in (
        desk.ticket_update_ticket(a_call("two"), UpdateTicket(ticket_id=TICKET, version=2, status="open")),
        desk.ticket_add_reply(a_call("three"), AddReply(ticket_id=TICKET, body="Hello again")),
    ):
        with pytest.raises(Conflict, match=f"ticket `{TICKET}` is closed and takes notes only; create") as refused:
            await refused_call
        assert refused.value.field == "ticket_id"
    after = await desk.ticket_add_note(a_call("four"), AddNote(ticket_id=TICKET, body="For the record"))
    assert (after.status, after.comment_count, after.version) == ("closed", 4, 3)


# Tenants


BY_ID: dict[str, Any] = {
    "ticket_get_ticket": GetTicket(ticket_id=TICKET),
    "ticket_update_ticket": UpdateTicket(ticket_id=TICKET, version=1, status="solved"),
    "ticket_add_note": AddNote(ticket_id=TICKET, body="x"),
    "ticket_add_reply": AddReply(ticket_id=TICKET, body="x"),
}


def test_every_tool_has_its_tenant_test() -> None:
    others = {"ticket_search_tickets", "ticket_create_ticket"}
    assert {name for name in vars(Ticketing) if name.startswith("ticket_")} == {*BY_ID, *others}


@pytest.mark.parametrize("tool", BY_ID)
async def test_a_ticket_of_another_tenant_answers_like_a_missing_one(desk: EmbeddedTicketing, tool: str) -> None:
    with pytest.raises(NotFound) as elsewhere:
        await getattr(desk, tool)(a_call(tenant=ELSEWHERE), BY_ID[tool])
    with a_new_desk() as nothing, pytest.raises(NotFound) as missing:
        await getattr(nothing, tool)(a_call(), BY_ID[tool])
    assert (elsewhere.value.message, elsewhere.value.field) == (missing.value.message, "ticket_id")
    assert (await the_ticket(desk)).version == 1


async def test_searching_and_creating_stay_within_the_tenant(desk: EmbeddedTicketing) -> None:
    wanted = CreateTicket(subject="Torn", body="scarf", requester_name="Bo", requester_email="bo@x.example")
    made = await desk.ticket_create_ticket(a_call("one", ELSEWHERE), wanted)
    for args in (SearchTickets(), SearchTickets(query="scarf torn")):
        page = await desk.ticket_search_tickets(a_call(tenant=ELSEWHERE), args)
        assert [ticket.id for ticket in page.tickets] == [made.id]
    assert await found(desk) == [TICKET]


# Pages


@settings(max_examples=25, deadline=None)
@given(minutes=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 5))
async def test_walking_the_pages_gives_every_ticket_once_latest_change_first(minutes: list[int], limit: int) -> None:
    with a_new_desk() as desk:
        times = {f"t{n}": NOON + timedelta(minutes=minute) for n, minute in enumerate(minutes)}
        await desk.load(HERE, [a_ticket(source, updated_at=at) for source, at in times.items()])
        met, cursor, more = list[TicketSummary](), "", True
        while more:
            args = SearchTickets(query="scarf", status="open", limit=limit, cursor=cursor)
            page = await desk.ticket_search_tickets(a_call(), args)
            met, cursor, more = [*met, *page.tickets], page.next_cursor, bool(page.next_cursor)
        expected = sorted(((at, stable_id("tic", HERE, source)) for source, at in times.items()), reverse=True)
        assert [(ticket.updated_at, ticket.id) for ticket in met] == expected


async def test_a_cursor_that_was_not_made_here_is_refused(desk: EmbeddedTicketing) -> None:
    with pytest.raises(InvalidInput, match="not a cursor of this tool") as refused:
        await found(desk, cursor="WzEsMl0")
    assert refused.value.field == "cursor"


# Loading


async def test_loading_the_same_tickets_twice_equals_loading_them_once(desk: EmbeddedTicketing) -> None:
    records = [a_ticket(), a_ticket("t2", status="new"), a_ticket("t3")]
    assert await desk.load(HERE, records) == LoadReport(added=2, unchanged=1)
    before = await the_ticket(desk)
    assert await desk.load(HERE, records) == LoadReport(unchanged=3)
    assert await the_ticket(desk) == before
    assert await desk.load(ELSEWHERE, records) == LoadReport(added=3)


async def test_a_changed_thread_is_replaced_but_what_was_added_here_stays(desk: EmbeddedTicketing) -> None:
    await desk.ticket_add_note(a_call("one"), AddNote(ticket_id=TICKET, body="Mine"))
    changed = a_ticket(comments=[a_comment("The scarf arrived torn, sorry")])
    assert await desk.load(HERE, [changed]) == LoadReport(changed=1)
    ticket = await the_ticket(desk)
    assert [comment.body for comment in ticket.comments] == ["The scarf arrived torn, sorry", "Mine"]
    assert ticket.version == 3


async def test_of_several_records_with_one_source_id_the_last_one_counts(desk: EmbeddedTicketing) -> None:
    records = [a_ticket("t2", subject="First"), a_ticket("t2", subject="Last")]
    assert await desk.load(HERE, records) == LoadReport(added=1, unchanged=1)
    assert (await found(desk, query="last"), await found(desk, query="first")) == (
        [stable_id("tic", HERE, "t2")],
        [],
    )


async def test_more_tickets_than_one_statement_takes_are_loaded_and_known_again(desk: EmbeddedTicketing) -> None:
    records = [a_ticket(f"many{n}", comments=[a_comment("short")]) for n in range(5_100)]
    assert await desk.load(HERE, records) == LoadReport(added=5_100)
    assert await desk.load(HERE, records) == LoadReport(unchanged=5_100)
