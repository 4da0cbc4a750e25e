"""What every help desk does, whichever it is: the contract that each ticketing back end is tested against."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from connectors.contract import CallContext, Input, Output, Tool, tools_of
from connectors.errors import Conflict, InDoubt, InvalidInput, NotFound, Unavailable
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
from connectors.vendor.kinds import Declarable
from tests.backends.faults import Fault, Faults

TOOL = {tool.name: tool for tool in tools_of(Ticketing)}
MANY = 1_000
HERE, ELSEWHERE = "larkspur", "other"
ANA = "ana@larkspur.example"
BO = "bo@nordwind.example"
WRITES = ("ticket_create_ticket", "ticket_update_ticket", "ticket_add_note", "ticket_add_reply")
HOSTILE = (
    "' OR 1=1 --",
    "'); DELETE FROM Tickets; --",
    'torn" OR status:closed "',
    "\\' OR id > 0 OR '",
    "CF.{Tags}",
    "cf.cf.x) OR 1=1 --",
    "__CurrentUser__ __Active__",
    "%",
    "_",
    "*",
    "-torn",
    "status>new",
    'project = X OR text ~ "a"',
    "((((",
    "\\",
)
BODIES = (
    "0",
    "From me\n.\n..\n> quoted 'single' \"double\" \\back\\slash",
    "<b>Grüße</b> & <script>alert(1)</script>",
    "Çà et là – 東京 🎈",
    "--\nSubject: x\n\nContent-Type: text/html\n\n--boundary--",
    "${x} %s %(y)s [[z]] {code}",
)
NAMES = ('"Bo" <x@evil.example>, Eve\\', "Bo, x@evil.example (at) ;")


class Desk(Ticketing, Protocol):
    """A help desk that can say what became of a call."""

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None: ...


@dataclass
class World:
    """A help desk under test, and what may be done to it from outside.

    Args:
        desk: As one tenant has it.
        elsewhere: The same system as another tenant has it.
        agent: The address of a colleague to whom tickets can be assigned.
        colleague_changes: Changes a ticket's priority to high beside Remit.
        many: Sees to it that there are `MANY` tickets of one requester's, in the fastest way there is; gives the
            requester's address.
        requester_writes: Adds to a ticket what its requester wrote; None where nobody but Remit writes.
        faults: Between Remit and the system.
        effect: By which text the request that has an effect is known, for each tool.
    """

    desk: Desk
    elsewhere: Desk
    agent: str
    colleague_changes: Callable[[str], Awaitable[None]]
    many: Callable[[], Awaitable[str]]
    requester_writes: Callable[[str, str], Awaitable[None]] | None = None
    faults: Faults = field(default_factory=lambda: Faults(""))
    effect: Mapping[str, str] = field(default_factory=dict)

    async def make(self, **changed: Any) -> Ticket:
        return await self.desk.ticket_create_ticket(a_call(), a_wish(**changed))

    async def get(self, ticket_id: str) -> Ticket:
        return await self.desk.ticket_get_ticket(a_call(), GetTicket(ticket_id=ticket_id))

    async def found(self, **wanted: Any) -> list[str]:
        page = await self.desk.ticket_search_tickets(a_call(), SearchTickets.model_validate(wanted))
        return [ticket.id for ticket in page.tickets]

    async def do(self, tool: str, ticket: Ticket, word: str, call: CallContext) -> Ticket:
        """One of each kind of write, which can be told by a word that nothing else has."""
        args: dict[str, Input] = {
            "ticket_create_ticket": a_wish(subject=word, body=f"About {word}"),
            "ticket_update_ticket": UpdateTicket(ticket_id=ticket.id, version=ticket.version, tags=[word]),
            "ticket_add_note": AddNote(ticket_id=ticket.id, body=f"note {word}"),
            "ticket_add_reply": AddReply(ticket_id=ticket.id, body=f"reply {word}"),
        }
        after: Ticket = await getattr(self.desk, tool)(call, args[tool])
        return after


def a_word() -> str:
    """A word that nothing else has."""
    return f"w{secrets.token_hex(6)}"


def a_call(key: str = "", tenant: str = HERE) -> CallContext:
    return CallContext(tenant=tenant, actor=ANA, key=key or secrets.token_hex(16), now=datetime.now(UTC))


def a_wish(**changed: Any) -> CreateTicket:
    fields = {
        "subject": "Scarf torn",
        "body": "The scarf arrived torn",
        "requester_name": "Bo Björk",
        "requester_email": BO,
    }
    return CreateTicket.model_validate({**fields, **changed})


def traces(tool: str, word: str, ticket: Ticket) -> int:
    """How often a write that can be told by a word has left something on a ticket."""
    if tool == "ticket_create_ticket":
        return int(ticket.subject == word)
    if tool == "ticket_update_ticket":
        return ticket.tags.count(word)
    return sum(word in comment.body for comment in ticket.comments)


class TicketingContract:
    """What every help desk does. A subclass is given its `world` by a fixture."""

    # Creating and reading

    async def test_a_created_ticket_is_new_and_starts_with_what_was_said(self, world: World) -> None:
        word = a_word()
        made = await world.make(
            subject=f"Größe “{word}”", body=f"Bestellt: M\n{word}", priority="high", tags=["b", "a"]
        )
        assert (made.subject, made.status, made.priority) == (f"Größe “{word}”", "new", "high")
        assert (made.requester_name, made.requester_email, made.assignee) == ("Bo Björk", BO, "")
        assert (sorted(made.tags), made.comment_count) == (["a", "b"], 1)
        (comment,) = made.comments
        assert (comment.body, comment.kind, comment.by_staff) == (f"Bestellt: M\n{word}", "public", True)
        assert made.created_at.tzinfo is not None
        assert await world.get(made.id) == made

    async def test_a_ticket_without_tags_and_with_the_usual_priority_says_so(self, world: World) -> None:
        made = await world.make()
        assert (made.tags, made.priority) == ([], "normal")

    async def test_what_is_said_arrives_as_it_was_said(self, world: World) -> None:
        made = await world.make(body=BODIES[0])
        for body in BODIES[1:]:
            await world.desk.ticket_add_note(a_call(), AddNote(ticket_id=made.id, body=body))
        after = await world.desk.ticket_add_reply(a_call(), AddReply(ticket_id=made.id, body=BODIES[0]))
        assert [comment.body for comment in after.comments] == [*BODIES, BODIES[0]]

    async def test_a_requesters_name_is_a_name_and_never_another_recipient(self, world: World) -> None:
        for name in NAMES:
            address = f"{a_word()}@nordwind.example"
            made = await world.make(requester_name=name, requester_email=address)
            assert (made.requester_name, made.requester_email) == (name, address)

    @pytest.mark.parametrize("missing", ["tic_99999999", f"tic_{'9' * 40}", "tic_nosuchticket"])
    async def test_a_missing_ticket_is_not_found(self, world: World, missing: str) -> None:
        with pytest.raises(NotFound, match=f"there is no ticket `{missing}`") as refused:
            await world.get(missing)
        assert refused.value.field == "ticket_id"

    # Searching

    async def test_words_of_the_subject_and_of_the_thread_are_found_together(self, world: World) -> None:
        one, two, three = a_word(), a_word(), a_word()
        made = await world.make(subject=f"About {one}", body=f"It is {two}, {three.upper()}!")
        assert await world.found(query=f"{two} {one.upper()} {three}") == [made.id]
        assert await world.found(query=f"{one} {a_word()}") == []

    async def test_words_in_a_query_are_words_whatever_they_look_like(self, world: World) -> None:
        address = f"{a_word()}@nordwind.example"
        made = await world.make(requester_email=address)
        for query in HOSTILE:
            assert await world.found(query=f"{a_word()} {query}") == [], query
            assert await world.found(query=query, requester_email=f"{a_word()}@nordwind.example") == [], query
            assert set(await world.found(query=query, requester_email=address)) <= {made.id}, query

    async def test_tickets_are_found_by_each_filter(self, world: World) -> None:
        word, address = a_word(), f"{a_word()}@nordwind.example"
        made = await world.make(subject=word, requester_email=address, priority="high", tags=["vip_1", word])
        change = UpdateTicket(ticket_id=made.id, version=made.version, assignee=world.agent, status="open")
        await world.desk.ticket_update_ticket(a_call(), change)
        for matching, missing in (
            ({"status": "open"}, {"status": "new"}),
            ({"priority": "high"}, {"priority": "normal"}),
            ({"priority": "high"}, {"priority": "urgent"}),
            ({"assignee": world.agent}, {"assignee": "nobody@larkspur.example"}),
            ({"requester_email": address}, {"requester_email": f"{a_word()}@nordwind.example"}),
            ({"tag": "vip_1"}, {"tag": "vip"}),
        ):
            found = await world.found(query=word, **matching), await world.found(query=word, **missing)
            assert found == ([made.id], []), (matching, missing)
        assert await world.found(tag=word) == [made.id]

    async def test_tickets_are_listed_with_what_is_known_of_them_latest_change_first(self, world: World) -> None:
        address = f"{a_word()}@nordwind.example"
        first, second, third = [await world.make(requester_email=address) for _ in range(3)]
        after = await world.desk.ticket_add_note(a_call(), AddNote(ticket_id=first.id, body="Mine"))
        page = await world.desk.ticket_search_tickets(a_call(), SearchTickets(requester_email=address))
        assert {ticket.id for ticket in page.tickets} == {first.id, second.id, third.id}
        assert page.tickets == sorted(page.tickets, key=lambda ticket: ticket.updated_at, reverse=True)
        (listed,) = [ticket for ticket in page.tickets if ticket.id == first.id]
        assert listed == TicketSummary(**after.model_dump(exclude={"comments"}))

    async def test_walking_the_pages_gives_each_of_very_many_tickets_once(self, world: World) -> None:
        address = await world.many()
        met, cursor, more = list[TicketSummary](), "", True
        while more:
            args = SearchTickets(requester_email=address, limit=50, cursor=cursor)
            page = await world.desk.ticket_search_tickets(a_call(), args)
            assert 0 < len(page.tickets) <= 50
            met, cursor, more = [*met, *page.tickets], page.next_cursor, bool(page.next_cursor)
        assert len({ticket.id for ticket in met}) == len(met) == MANY
        assert met == sorted(met, key=lambda ticket: ticket.updated_at, reverse=True)

    async def test_a_ticket_that_changes_between_two_pages_hides_no_other(self, world: World) -> None:
        address = f"{a_word()}@nordwind.example"
        made = [await world.make(requester_email=address) for _ in range(4)]
        first = await world.desk.ticket_search_tickets(a_call(), SearchTickets(requester_email=address, limit=2))
        unseen = {ticket.id for ticket in made} - {ticket.id for ticket in first.tickets}
        moved = unseen.pop()
        await world.desk.ticket_add_note(a_call(), AddNote(ticket_id=moved, body="Up to the top"))
        args = SearchTickets(requester_email=address, limit=2, cursor=first.next_cursor)
        second = await world.desk.ticket_search_tickets(a_call(), args)
        assert unseen <= {ticket.id for ticket in second.tickets}

    @pytest.mark.parametrize("cursor", ["WzEsMl0", "bm90IGpzb24", "W10"])
    async def test_a_cursor_that_was_not_made_here_is_refused(self, world: World, cursor: str) -> None:
        with pytest.raises(InvalidInput, match="not a cursor of this tool") as refused:
            await world.found(cursor=cursor)
        assert refused.value.field == "cursor"

    # Updating

    async def test_an_update_changes_what_is_given_and_nothing_else(self, world: World) -> None:
        made = await world.make(tags=["a", "b"])
        change = UpdateTicket(
            ticket_id=made.id,
            version=made.version,
            status="solved",
            priority="urgent",
            assignee=world.agent,
            tags=["b", "c"],
        )
        after = await world.desk.ticket_update_ticket(a_call(), change)
        assert (after.status, after.priority, after.assignee) == ("solved", "urgent", world.agent)
        assert (sorted(after.tags), after.subject, after.comments) == (["b", "c"], made.subject, made.comments)
        assert after.version > made.version
        only = UpdateTicket(ticket_id=made.id, version=after.version, tags=[])
        last = await world.desk.ticket_update_ticket(a_call(), only)
        assert (last.tags, last.status, last.priority, last.assignee) == ([], "solved", "urgent", world.agent)

    async def test_an_update_for_what_has_changed_meanwhile_is_refused(self, world: World) -> None:
        made = await world.make()
        await world.colleague_changes(made.id)
        with pytest.raises(Conflict, match=f"ticket `{made.id}` is now at version .*; read it again") as refused:
            await world.desk.ticket_update_ticket(
                a_call(), UpdateTicket(ticket_id=made.id, version=made.version, status="solved")
            )
        assert refused.value.field == "version"
        after = await world.get(made.id)
        assert (after.status, after.priority) == ("new", "high")

    async def test_what_was_listed_can_be_updated(self, world: World) -> None:
        address = f"{a_word()}@nordwind.example"
        await world.make(requester_email=address)
        page = await world.desk.ticket_search_tickets(a_call(), SearchTickets(requester_email=address))
        change = UpdateTicket(ticket_id=page.tickets[0].id, version=page.tickets[0].version, priority="low")
        assert (await world.desk.ticket_update_ticket(a_call(), change)).priority == "low"

    @pytest.mark.parametrize("same", [{}, {"status": "new", "tags": []}])
    async def test_an_update_that_changes_nothing_is_refused(self, world: World, same: dict[str, Any]) -> None:
        made = await world.make()
        with pytest.raises(InvalidInput, match=f"nothing to change in ticket `{made.id}`"):
            await world.desk.ticket_update_ticket(
                a_call(), UpdateTicket(ticket_id=made.id, version=made.version, **same)
            )

    # Notes and replies

    async def test_a_note_is_internal_and_leaves_the_status(self, world: World) -> None:
        made = await world.make()
        after = await world.desk.ticket_add_note(a_call(), AddNote(ticket_id=made.id, body="Ask the ÖFB depot"))
        note = after.comments[-1]
        assert (note.body, note.kind, note.by_staff) == ("Ask the ÖFB depot", "internal", True)
        assert (after.status, after.comment_count) == ("new", 2)
        assert after.version > made.version

    async def test_a_reply_is_public_and_leaves_the_ticket_waiting_for_the_requester(self, world: World) -> None:
        made = await world.make()
        after = await world.desk.ticket_add_reply(a_call(), AddReply(ticket_id=made.id, body="A new one is coming"))
        said = after.comments[-1]
        assert (said.body, said.kind, said.by_staff) == ("A new one is coming", "public", True)
        assert (after.status, after.comment_count) == ("pending", 2)
        assert after.version > made.version

    async def test_a_closed_ticket_takes_no_update_and_no_reply(self, world: World) -> None:
        made = await world.make()
        closing = UpdateTicket(ticket_id=made.id, version=made.version, status="closed")
        closed = await world.desk.ticket_update_ticket(a_call(), closing)
        assert closed.status == "closed"
        for refused_call in (
            world.desk.ticket_update_ticket(
                a_call(), UpdateTicket(ticket_id=made.id, version=closed.version, status="open")
            ),
            world.desk.ticket_add_reply(a_call(), AddReply(ticket_id=made.id, body="Hello again")),
        ):
            with pytest.raises(Conflict, match=f"ticket `{made.id}` is closed") as refused:
                await refused_call
            assert refused.value.field == "ticket_id"
        assert await world.get(made.id) == closed

    # Tenants

    async def test_nothing_of_another_tenants_is_found_read_or_changed(self, world: World) -> None:
        word = a_word()
        made = await world.make(subject=word, tags=[word])
        calls: dict[str, Input] = {
            "ticket_get_ticket": GetTicket(ticket_id=made.id),
            "ticket_update_ticket": UpdateTicket(ticket_id=made.id, version=made.version, status="solved"),
            "ticket_add_note": AddNote(ticket_id=made.id, body="x"),
            "ticket_add_reply": AddReply(ticket_id=made.id, body="x"),
        }
        assert {*calls, "ticket_search_tickets", "ticket_create_ticket"} == set(TOOL)
        for tool, args in calls.items():
            with pytest.raises(NotFound, match=f"there is no ticket `{made.id}`"):
                await getattr(world.elsewhere, tool)(a_call(tenant=ELSEWHERE), args)
        for wanted in ({"query": word}, {"tag": word}, {"requester_email": BO}):
            args = SearchTickets.model_validate(wanted)
            page = await world.elsewhere.ticket_search_tickets(a_call(tenant=ELSEWHERE), args)
            assert made.id not in {ticket.id for ticket in page.tickets}
        assert await world.get(made.id) == made

    # Exactly once

    async def test_what_each_write_did_is_found_by_its_key(self, world: World) -> None:
        ticket = await world.make()
        for tool in WRITES:
            call, word = a_call(), a_word()
            after = await world.do(tool, ticket, word, call)
            found = await world.desk.find_effect(call, TOOL[tool])
            assert isinstance(found, Ticket)
            assert (found.id, traces(tool, word, found)) == (after.id, 1), tool
            ticket = await world.get(ticket.id)

    async def test_a_key_that_did_nothing_is_never_taken_for_one_that_did(self, world: World) -> None:
        await world.make()
        for tool in WRITES:
            try:
                found = await world.desk.find_effect(a_call(), TOOL[tool])
            except InDoubt:
                found = None
            assert found is None


class RemoteTicketingContract(TicketingContract):
    """What a help desk does beyond a network that fails."""

    async def test_what_a_requester_wrote_is_theirs_and_comes_in_its_place(self, world: World) -> None:
        assert world.requester_writes
        made = await world.make()
        await world.requester_writes(made.id, "Any news?\nBo")
        after = await world.desk.ticket_add_note(a_call(), AddNote(ticket_id=made.id, body="Asked the depot"))
        assert [(each.body.strip(), each.kind, each.by_staff) for each in after.comments[1:]] == [
            ("Any news?\nBo", "public", False),
            ("Asked the depot", "internal", True),
        ]
        assert after.comments[1].author == BO

    async def test_a_look_says_what_is_there(self, world: World) -> None:
        assert isinstance(world.desk, Declarable)
        assert await world.desk.look(a_call())

    async def test_a_write_whose_answer_is_lost_is_in_doubt_and_found_to_have_happened_once(self, world: World) -> None:
        made = await world.make()
        for tool in WRITES:
            for fault in (Fault.LOST_ANSWER, Fault.MALFORMED):
                ticket = await world.get(made.id)
                world.faults.fail(fault, world.effect[tool])
                await _is_in_doubt_and_found_once(world, ticket, tool)

    async def test_a_write_is_not_called_undone_because_the_ticket_cannot_be_read_afterwards(
        self, world: World
    ) -> None:
        made = await world.make()
        for tool in WRITES:
            ticket = await world.get(made.id)
            world.faults.fail(Fault.OUTAGE, after=world.effect[tool])
            await _is_in_doubt_and_found_once(world, ticket, tool)

    async def test_a_write_that_is_not_let_in_was_not_done(self, world: World) -> None:
        made = await world.make()
        for tool in WRITES:
            word = a_word()
            world.faults.fail(Fault.UNAUTHORIZED, world.effect[tool])
            with pytest.raises(Unavailable, match="nothing was done"):
                await world.do(tool, made, word, a_call())
        assert await world.get(made.id) == made

    async def test_an_outage_during_a_write_is_never_told_as_done_or_as_not_done(self, world: World) -> None:
        made = await world.make()
        for tool in WRITES:
            world.faults.fail(Fault.OUTAGE, world.effect[tool])
            with pytest.raises(InDoubt):
                await world.do(tool, made, a_word(), a_call())
        assert await world.get(made.id) == made

    async def test_a_write_that_comes_too_soon_was_not_done(self, world: World) -> None:
        made = await world.make()
        world.faults.fail(Fault.RATE_LIMITED, world.effect["ticket_add_reply"])
        with pytest.raises(Unavailable, match="come back in 60 s"):
            await world.do("ticket_add_reply", made, a_word(), a_call())

    @pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.MALFORMED, Fault.OUTAGE, Fault.UNAUTHORIZED])
    async def test_a_read_that_fails_is_unavailable_and_can_be_repeated(self, world: World, fault: Fault) -> None:
        made = await world.make()
        world.faults.fail(fault)
        with pytest.raises(Unavailable):
            await world.get(made.id)
        assert await world.get(made.id) == made

    async def test_a_read_waits_for_a_system_that_is_shortly_busy(self, world: World) -> None:
        made = await world.make()
        world.faults.fail(Fault.SHORTLY_RATE_LIMITED)
        assert await world.get(made.id) == made

    async def test_a_busy_system_is_left_alone_until_it_takes_requests_again(self, world: World) -> None:
        made = await world.make()
        world.faults.fail(Fault.RATE_LIMITED)
        with pytest.raises(Unavailable, match="come back in 60 s"):
            await world.get(made.id)
        asked = len(world.faults.seen)
        with pytest.raises(Unavailable, match="come back in"):
            await world.get(made.id)
        assert len(world.faults.seen) == asked


async def _is_in_doubt_and_found_once(world: World, ticket: Ticket, tool: str) -> None:
    call, word = a_call(), a_word()
    with pytest.raises(InDoubt):
        await world.do(tool, ticket, word, call)
    found = await world.desk.find_effect(call, TOOL[tool])
    assert isinstance(found, Ticket), tool
    assert traces(tool, word, found) == 1, tool
    if tool == "ticket_create_ticket":
        assert await world.found(query=word) == [found.id]
