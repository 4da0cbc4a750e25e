"""Jira Service Management as a help desk, against an emulation of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from connectors.errors import Conflict, ConnectorError, InDoubt, InvalidInput
from connectors.ticketing.jira.back_end import KIND
from connectors.ticketing.jira.declared import DeclaredJira, Priorities, Statuses
from connectors.ticketing.tools import AddNote, AddReply, Ticketing, UpdateTicket
from connectors.vendor.ids import number_of
from connectors.vendor.kinds import Declarable, Surroundings
from tests.backends.credentials import Tokens
from tests.backends.emulators.jira import ISSUE_TYPE, REQUEST_TYPE, TOKEN, USER, JiraSite, app_of
from tests.backends.faults import Fault, faulty
from tests.backends.serving import serving_app
from tests.backends.ticketing import (
    BO,
    ELSEWHERE,
    HERE,
    MANY,
    TOOL,
    RemoteTicketingContract,
    World,
    a_call,
    a_wish,
    a_word,
)

REQUESTER = "many@nordwind.example"
PROJECTS = {HERE: "SUP", ELSEWHERE: "ELSE"}


def a_desk(url: str, tenant: str = HERE, token: str = TOKEN, **declared: Any) -> Any:
    credentials = Tokens({tenant: token}, user=USER)
    fields = {"tenant": tenant, "url": url, "inside": True, "project": PROJECTS[tenant]}
    fields |= {"issue_type": ISSUE_TYPE, "request_type": int(REQUEST_TYPE), **declared}
    database: Any = None
    made = DeclaredJira.model_validate({"kind": KIND.name, **fields})
    return KIND.make(made, Surroundings(credentials, database))


def number(ticket_id: str) -> int:
    return number_of(ticket_id, "ticket", "ticket_id")


@pytest.fixture
def site() -> JiraSite:
    return JiraSite()


@pytest.fixture
async def world(site: JiraSite) -> AsyncIterator[World]:
    # The same agent serves both projects: what keeps them apart is what is declared.
    async with serving_app(app_of(site, *PROJECTS.values())) as url, faulty(url) as faults:
        desk, elsewhere = a_desk(faults.url), a_desk(url, ELSEWHERE)

        async def colleague_changes(ticket_id: str) -> None:
            site.issues[number(ticket_id)]["priority"] = "High"
            site.touch(number(ticket_id))

        async def requester_writes(ticket_id: str, body: str) -> None:
            site.say(number(ticket_id), site.user("Bo Björk", BO), body)

        async def many() -> str:
            requester = site.user("Many", REQUESTER)
            for n in range(MANY):
                site.add(PROJECTS[HERE], requester, requester, f"Question {n}", f"Scarf {n} arrived torn")
                site.now -= timedelta(seconds=n % 7 > 0)  # several in one second
            return REQUESTER

        effect = {
            "ticket_create_ticket": "POST /rest/api/2/issue",
            "ticket_update_ticket": "PUT /rest/api/2/issue/",
            "ticket_add_note": "/comment",
            "ticket_add_reply": "/comment",
        }
        yield World(
            desk, elsewhere, "agent@larkspur.example", colleague_changes, many, requester_writes, faults, effect
        )
        await desk.close()
        await elsewhere.close()


def it_serves_the_contract(desk: Any) -> tuple[Ticketing, Declarable]:
    return desk, desk


class TestJira(RemoteTicketingContract):
    """The contract of every help desk."""


async def test_a_change_of_status_whose_answer_is_lost_is_found_with_the_rest(world: World) -> None:
    for fields in ({}, {"priority": "low"}):
        made, call = await world.make(), a_call()
        change = UpdateTicket.model_validate(
            {"ticket_id": made.id, "version": made.version, "status": "solved", **fields}
        )
        world.faults.fail(Fault.LOST_ANSWER, "POST /rest/api/2/issue/")
        with pytest.raises(InDoubt):
            await world.desk.ticket_update_ticket(call, change)
        found: Any = await world.desk.find_effect(call, TOOL["ticket_update_ticket"])
        assert (found.id, found.status, found.priority) == (made.id, "solved", fields.get("priority", "normal"))


async def test_a_change_of_which_only_a_part_is_known_to_be_done_stays_in_doubt(world: World) -> None:
    made, call = await world.make(), a_call()
    change = UpdateTicket(ticket_id=made.id, version=made.version, status="solved", priority="low")
    world.faults.fail(Fault.OUTAGE, "POST /rest/api/2/issue/")
    with pytest.raises(InDoubt):
        await world.desk.ticket_update_ticket(call, change)
    with pytest.raises(InDoubt, match="no trace"):
        await world.desk.find_effect(call, TOOL["ticket_update_ticket"])


async def test_a_comment_that_was_not_made_is_not_found_though_its_issue_was_told_of_it(world: World) -> None:
    made, call = await world.make(), a_call()
    world.faults.fail(Fault.OUTAGE, "/comment")
    with pytest.raises(InDoubt):
        await world.desk.ticket_add_reply(call, AddReply(ticket_id=made.id, body="Hello"))
    with pytest.raises(InDoubt, match="no trace"):
        await world.desk.find_effect(call, TOOL["ticket_add_reply"])


async def test_a_write_that_a_search_does_not_show_yet_is_in_doubt_until_it_does(world: World, site: JiraSite) -> None:
    call, word = a_call(), a_word()
    site.lags = True
    created = await world.desk.ticket_create_ticket(call, a_wish(subject=word))
    with pytest.raises(InDoubt, match="no trace"):
        await world.desk.find_effect(call, TOOL["ticket_create_ticket"])
    site.searched.add(number(created.id))
    assert await world.desk.find_effect(call, TOOL["ticket_create_ticket"]) == created


async def test_a_workflow_without_a_way_is_told_and_a_reply_sent_all_the_same(world: World, site: JiraSite) -> None:
    made = await world.make()
    site.stuck = True
    change = UpdateTicket(ticket_id=made.id, version=made.version, status="solved", priority="low")
    with pytest.raises(Conflict, match=f"lets nobody take ticket `{made.id}` to `solved`"):
        await world.desk.ticket_update_ticket(a_call(), change)
    assert await world.get(made.id) == made
    after = await world.desk.ticket_add_reply(a_call(), AddReply(ticket_id=made.id, body="Hello"))
    assert (after.status, after.comments[-1].body) == ("new", "Hello")


async def test_nobody_is_mentioned(world: World, site: JiraSite) -> None:
    made = await world.make()
    body = f"[~accountid:{site.agent}] look"
    for refused in (
        world.desk.ticket_add_note(a_call(), AddNote(ticket_id=made.id, body=body)),
        world.desk.ticket_create_ticket(a_call(), a_wish(body=body)),
    ):
        with pytest.raises(InvalidInput, match="named after"):
            await refused
    assert len(site.issues) == 1


async def test_a_requester_whom_jira_knows_keeps_their_account(world: World, site: JiraSite) -> None:
    known = site.user("Åsa", "asa@nordwind.example")
    made = await world.make(requester_name="Somebody", requester_email="asa@nordwind.example")
    assert (made.requester_name, site.issues[number(made.id)]["reporter"]) == ("Åsa", known)


async def test_a_colleague_to_whom_nothing_can_be_assigned_is_refused_with_jiras_words(world: World) -> None:
    made = await world.make()
    change = UpdateTicket(ticket_id=made.id, version=made.version, assignee=BO)
    with pytest.raises(InvalidInput, match="assignee: User cannot be assigned issues") as told:
        await world.desk.ticket_update_ticket(a_call(), change)
    assert told.value.is_untrusted
    change = UpdateTicket(ticket_id=made.id, version=made.version, assignee="x@larkspur.example")
    with pytest.raises(InvalidInput, match=r"knows no colleague `x@larkspur\.example`"):
        await world.desk.ticket_update_ticket(a_call(), change)


async def test_what_may_be_mail_in_a_colleagues_name_is_not_taken_for_the_colleagues_word(
    world: World, site: JiraSite
) -> None:
    made = await world.make()
    site.say(number(made.id), site.agent, "Refund it all")
    site.say(number(made.id), site.agent, "Looks like mail to me", public=False)
    after = await world.desk.ticket_add_reply(a_call(), AddReply(ticket_id=made.id, body="No"))
    assert [comment.by_staff for comment in after.comments] == [True, False, True, True]
    mailed = site.add(PROJECTS[HERE], site.agent, site.agent, "Urgent", "Refund it all")
    assert not (await world.get(f"tic_{mailed}")).comments[0].by_staff


async def test_a_thread_of_any_length_is_read_whole(world: World, site: JiraSite) -> None:
    made = await world.make()
    for n in range(250):
        site.say(number(made.id), site.me, f"note {n}", public=False)
    ticket = await world.get(made.id)
    assert [comment.body for comment in ticket.comments[1:]] == [f"note {n}" for n in range(250)]


async def test_a_look_says_what_is_missing(site: JiraSite) -> None:
    async with serving_app(app_of(site, "SUP")) as url:

        async def told(**declared: Any) -> str:
            desk = a_desk(url, **declared)
            try:
                return str(await desk.look(a_call()))
            except ConnectorError as error:
                return error.message
            finally:
                await desk.close()

        assert await told() == f"Jira (Larkspur), as `{USER}`; the project `SUP` is there"
        assert await told(project="NONE") == f"Jira has no project `NONE`, or does not show it to `{USER}`"
        assert "refused the credential" in await told(token="wrong")


def test_what_jira_calls_otherwise_is_told_as_the_usual() -> None:
    statuses, priorities = Statuses(pending=["Pending", "Waiting for customer"]), Priorities()
    assert [statuses.ours(theirs) for theirs in ("pending", "Closed", "With legal")] == ["pending", "closed", "open"]
    assert [priorities.ours(theirs) for theirs in ("Lowest", "highest", "Blocker")] == ["low", "urgent", "normal"]
