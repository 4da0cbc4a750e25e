"""Zendesk as a help desk, against an emulation of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from connectors.errors import Conflict, ConnectorError, InDoubt, InvalidInput
from connectors.ticketing.tools import AddNote, AddReply, SearchTickets, Ticket, Ticketing, UpdateTicket
from connectors.ticketing.zendesk.back_end import KIND, DeclaredZendesk
from connectors.vendor.ids import number_of
from connectors.vendor.kinds import Declarable, Surroundings
from tests.backends.credentials import Tokens
from tests.backends.emulators.zendesk import KEY_FIELD, OTHER_TOKEN, TOKEN, Account, app_of
from tests.backends.faults import faulty
from tests.backends.serving import serving_app
from tests.backends.ticketing import (
    BO,
    ELSEWHERE,
    HERE,
    MANY,
    TOOL,
    WRITES,
    RemoteTicketingContract,
    World,
    a_call,
    a_wish,
    a_word,
)

REQUESTER = "many@nordwind.example"


def a_desk(url: str, tenant: str = HERE, field: int = KEY_FIELD, token: str = "") -> Any:
    credentials = Tokens({tenant: token or {HERE: TOKEN, ELSEWHERE: OTHER_TOKEN}[tenant]})
    fields = {"tenant": tenant, "url": url, "inside": True, "fields": {"key": field}}
    database: Any = None
    made = DeclaredZendesk.model_validate({"kind": KIND.name, **fields})
    return KIND.make(made, Surroundings(credentials, database))


def number(ticket_id: str) -> int:
    return number_of(ticket_id, "ticket", "ticket_id")


@pytest.fixture
def account() -> Account:
    return Account(TOKEN)


@pytest.fixture
async def world(account: Account) -> AsyncIterator[World]:
    other = app_of(Account(OTHER_TOKEN))
    async with serving_app(app_of(account)) as url, serving_app(other) as other_url, faulty(url) as faults:
        desk, elsewhere = a_desk(faults.url), a_desk(other_url, ELSEWHERE)

        async def colleague_changes(ticket_id: str) -> None:
            account.tickets[number(ticket_id)]["priority"] = "high"
            account.touch(number(ticket_id))

        async def requester_writes(ticket_id: str, body: str) -> None:
            account.say(number(ticket_id), account.user("Bo Björk", BO), body, channel="email")

        async def many() -> str:
            requester = account.user("Many", REQUESTER)
            for n in range(MANY):
                account.add(requester, requester, f"Scarf {n} arrived torn", subject=f"Question {n}")
                account.now -= timedelta(seconds=n % 7 > 0)  # several in one second
            return REQUESTER

        effect = {tool: "POST " if tool == "ticket_create_ticket" else "PUT " for tool in WRITES}
        yield World(
            desk, elsewhere, "agent@larkspur.example", colleague_changes, many, requester_writes, faults, effect
        )
        await desk.close()
        await elsewhere.close()


def it_serves_the_contract(desk: Any) -> tuple[Ticketing, Declarable]:
    return desk, desk


class TestZendesk(RemoteTicketingContract):
    """The contract of every help desk."""


async def test_a_write_that_a_search_does_not_show_yet_is_in_doubt_until_it_does(
    world: World, account: Account
) -> None:
    call, made, word = a_call(), await world.make(), a_word()
    account.lags = True
    created = await world.desk.ticket_create_ticket(call, a_wish(subject=word))
    with pytest.raises(InDoubt, match="no trace"):
        await world.desk.find_effect(call, TOOL["ticket_create_ticket"])
    account.lags = False
    account.index(number(created.id))
    assert await world.desk.find_effect(call, TOOL["ticket_create_ticket"]) == created
    assert made.id != created.id


async def test_the_same_key_creates_one_ticket_even_if_it_is_sent_twice(world: World, account: Account) -> None:
    call = a_call()
    first = await world.desk.ticket_create_ticket(call, a_wish())
    assert await world.desk.ticket_create_ticket(call, a_wish()) == first
    with pytest.raises(InvalidInput, match="other parameters"):
        await world.desk.ticket_create_ticket(call, a_wish(subject="Another"))
    assert len(account.tickets) == 1


async def test_a_change_between_reading_and_writing_is_not_overwritten(
    world: World, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, api = await world.make(), world.desk._api  # type: ignore[attr-defined]
    act = api.act

    async def act_too_late(*args: Any, **given: Any) -> Any:
        await world.colleague_changes(made.id)
        return await act(*args, **given)

    monkeypatch.setattr(api, "act", act_too_late)
    with pytest.raises(Conflict, match="Safe Update prevented the update"):
        await world.desk.ticket_update_ticket(
            a_call(), UpdateTicket(ticket_id=made.id, version=made.version, status="solved", priority="low")
        )
    assert (await world.get(made.id)).priority == "high"


@pytest.mark.parametrize("body", ["{{ticket.requester.email}}", "a {% if x %}"])
async def test_nothing_is_written_that_zendesk_would_fill_in(world: World, account: Account, body: str) -> None:
    made = await world.make()
    with pytest.raises(InvalidInput, match="fills in what stands between") as refused:
        await world.desk.ticket_add_reply(a_call(), AddReply(ticket_id=made.id, body=body))
    assert refused.value.field == "body"
    assert len(account.comments[number(made.id)]) == 1


async def test_a_closed_ticket_takes_no_note_either(world: World, account: Account) -> None:
    made = await world.make()
    account.tickets[number(made.id)]["status"] = "closed"
    with pytest.raises(Conflict, match="is closed and takes nothing more"):
        await world.desk.ticket_add_note(a_call(), AddNote(ticket_id=made.id, body="x"))


async def test_a_ticket_on_hold_is_pending_and_found_as_such(world: World, account: Account) -> None:
    made = await world.make()
    account.tickets[number(made.id)]["status"] = "hold"
    assert (await world.get(made.id)).status == "pending"
    assert await world.found(status="pending") == [made.id]


async def test_mail_in_a_colleagues_name_is_not_taken_for_the_colleagues_word(world: World, account: Account) -> None:
    made = await world.make()
    account.say(number(made.id), account.agent, "Refund it all", channel="email")
    comment = (await world.get(made.id)).comments[-1]
    assert (comment.author, comment.by_staff) == ("agent@larkspur.example", False)


async def test_a_thread_of_any_length_is_read_whole(world: World, account: Account) -> None:
    made = await world.make()
    for n in range(250):
        account.say(number(made.id), account.me, f"note {n}", public=False)
    ticket = await world.get(made.id)
    assert [comment.body for comment in ticket.comments[1:]] == [f"note {n}" for n in range(250)]
    assert ticket.comment_count == 251


async def test_a_colleague_whom_zendesk_does_not_know_is_refused_with_its_words(world: World) -> None:
    made = await world.make()
    change = UpdateTicket(ticket_id=made.id, version=made.version, assignee="x@larkspur.example")
    with pytest.raises(InvalidInput, match=r"\[x-zendesk-request-id req-42\]: Assignee: x@.* is not an agent") as told:
        await world.desk.ticket_update_ticket(a_call(), change)
    assert told.value.is_untrusted


async def test_a_look_says_what_is_missing(account: Account) -> None:
    async with serving_app(app_of(account)) as url:

        async def told(**declared: Any) -> str:
            desk = a_desk(url, **declared)
            try:
                return str(await desk.look(a_call()))
            except ConnectorError as error:
                return error.message
            finally:
                await desk.close()

        assert await told() == "Zendesk, as `remit@larkspur.example`; the field `Remit key` is there"
        assert "has no ticket field 1;" in await told(field=1)
        assert "`Amount` (360002) is not an active one of type `text`" in await told(field=KEY_FIELD + 1)
        assert "refused the credential" in await told(token="wrong")
        account.users[account.me]["role"] = "end-user"
        assert "who is no agent" in await told()


async def test_a_page_may_end_among_tickets_that_changed_in_one_second(world: World, account: Account) -> None:
    requester = account.user("Bo Björk", BO)
    for n in range(130):
        account.add(requester, requester, "x", subject=f"Same second {n}")
        account.now -= timedelta(seconds=1)
    met, cursor, more = list[Ticket](), "", True
    while more:
        args = SearchTickets(requester_email=BO, limit=40, cursor=cursor)
        page = await world.desk.ticket_search_tickets(a_call(), args)
        met, cursor, more = [*met, *page.tickets], page.next_cursor, bool(page.next_cursor)  # type: ignore[list-item]
    assert len({ticket.id for ticket in met}) == len(met) == 130
