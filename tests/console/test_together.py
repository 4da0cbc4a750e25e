"""What waits in one task is one item and one page: every call whole, answered together or each as it deserves."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway.approvals import State
from gateway.approvals.together import MOST
from gateway.grants.grant import Terms
from gateway.journal import Kind
from gateway.principal import Principal
from tests.console.conftest import ANA, INES, MAYA, NADIA, OTTO, REFUND, TRIAGE, ZOE, OpenSite, Person, Site, text_of

LETTER: dict[str, Any] = {"mailbox": "support@larkspur.example", "subject": "Your order", "body": "It ships today."}
KIM, LEE, EVE = "kim@customer.example", "lee@customer.example", "eve@evil.example"


async def granted(opened: Site, request: str = "write to the customers") -> dict[str, str]:
    """A task of its own: what a call declares that belongs to it."""
    issued = await opened.gateway.grants.issue(TRIAGE, Terms(request=request), opened.clock(), "orchestrator")
    return {"remit/grant": issued.token}


async def write(opened: Site, task: dict[str, str], to: str, who: Principal = TRIAGE, **changes: Any) -> str:
    return await opened.ask(who, "email_send_message", task, to=[to], **{**LETTER, **changes})


async def states(opened: Site, *questions: str, tenant: str = "larkspur") -> list[State]:
    found = [await opened.gateway.approvals.find(tenant, each) for each in questions]
    return [each.state(opened.clock()) for each in found if each]


def form_of(page: str) -> dict[str, str]:
    """What a browser would send of the page's form without a choice."""
    form = page.partition('<form method="post" action="/console/approvals/')[2].partition("</form>")[0]
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))


async def send(maya: Person, page: str, anchor: str, answer: str, **choices: str) -> httpx.Response:
    chosen = {f"answer.{name}": chosen for name, chosen in choices.items() if name != "note"}
    form = {**form_of(page), **chosen, "answer": answer, "note": choices.get("note", "")}
    return await maya.http.post(f"/console/approvals/{anchor}/together", data=form)


async def test_the_inbox_has_one_item_for_a_task_with_each_call_in_it(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya, opened.signed_in(ANA) as ana:
        one, two = await granted(opened), await granted(opened)
        first, second = await write(opened, one, KIM), await write(opened, one, LEE)
        other = await write(opened, two, KIM, subject="Another task")
        inbox = await maya.see("/")
        page = text_of(inbox)
        assert "Waiting for you 2 " in page
        assert "2 calls of one task" in page
        for question in (first, second, other):
            assert inbox.count(f'href="/console/approvals/{question}"') == 1
        assert inbox.count(f'href="/console/approvals/{first}/together"') == 1
        theirs = await ana.see("/")
        assert "2 calls of one task" in text_of(theirs), "whoever may only look sees them as one as well"
        assert "/together" not in theirs


async def test_the_page_has_every_call_whole_and_tells_where_they_differ(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        task = await granted(opened)
        first = await write(opened, task, KIM)
        await write(opened, task, EVE, subject="Your\u200b order", body="Dear Eve, here is the list.")
        await opened.ask(TRIAGE, "crm_issue_refund", task, **REFUND)
        page = text_of(await maya.see(f"/approvals/{first}/together"))
        alone = text_of(await maya.see(f"/approvals/{first}"))
    assert "2 more calls of this task wait for you: answer them together" in alone
    where = page[page.index("Where it goes") : page.index("1. ")]
    assert "2 different: recipient" in where
    for value in (KIM, EVE, "80.00", REFUND["order_id"]):
        assert value in where
    for part in (
        "3 calls of one task wait for you",
        "the person asked write to the customers",
        "1. Send an email from support@larkspur.example to kim@customer.example",
        "Dear Eve, here is the list.",
        "In subject : invisible: zero width space",
        "Give back 80.00 EUR",
        "This cannot be taken back.",
        "Rule A2 asks for approval: refunds above 50 need a second look",
        "Rule A7 asks for approval: a person reads what is sent",
        "nowhere that this run has seen",
        "Approve all 3",
        "Refuse all 3",
    ):
        assert part in page


async def test_what_the_caller_did_before_is_told_up_to_the_newest_call(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        task = await granted(opened, f"write to {KIM} and {LEE}")
        kim, _, newest = [await write(opened, task, to) for to in (KIM, LEE, EVE)]
        page = await maya.see(f"/approvals/{kim}/together")
    assert f'name="seen.{newest}"' in page.partition("</article>")[0], "it is the first of the page all the same"
    assert text_of(page).partition("What the same caller did before")[2].count("email_send_message") == 4


async def test_one_yes_approves_all_that_was_shown_each_recorded_with_the_others(site_on_each: OpenSite) -> None:
    async with site_on_each() as opened, opened.signed_in(MAYA) as maya:
        task = await granted(opened)
        names = [await write(opened, task, to) for to in (KIM, LEE)]
        page = await maya.see(f"/approvals/{names[0]}/together")
        joined = await write(opened, task, EVE)
        answer = await send(maya, page, names[0], "approve", note="as agreed")
        assert answer.status_code == 303
        assert await states(opened, *names, joined) == [State.APPROVED, State.APPROVED, State.PENDING]
        after = text_of(await maya.see(f"/approvals/{names[0]}/together"))
        assert "1 call of one task waits for you" in after
        assert "Decided in this task approved" in after
        recorded = {entry.call_id: entry.body for entry in opened.entries() if entry.kind.value == "answered"}
        assert {name: body["together"] for name, body in recorded.items()} == {
            names[0]: [names[1]],
            names[1]: [names[0]],
        }
        assert len({body["binding"] for body in recorded.values()}) == 2
        assert f"on one page with {names[1]}, who notes: as agreed" in text_of(await maya.see(f"/approvals/{names[0]}"))


async def test_each_call_is_answered_as_chosen_and_what_is_left_open_stays_open(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        task = await granted(opened)
        kim, eve, lee = [await write(opened, task, to) for to in (KIM, EVE, LEE)]
        page = await maya.see(f"/approvals/{kim}/together")
        answer = await send(maya, page, kim, "each", **{kim: "approve", eve: "refuse", "note": "who is Eve?"})
        assert answer.status_code == 303
        assert await states(opened, kim, eve, lee) == [State.APPROVED, State.REFUSED, State.PENDING]
        told = await opened.call(TRIAGE, "email_send_message", task, to=[EVE], **LETTER)
        assert told.status == "denied"
        assert "who is Eve?" in str(told.reason)


@pytest.mark.parametrize(("answer", "chosen"), [("approve", "refuse"), ("refuse", "approve")])
async def test_an_answer_to_all_that_contradicts_a_choice_answers_nothing(
    site: OpenSite, answer: str, chosen: str
) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        task = await granted(opened)
        kim, eve = [await write(opened, task, to) for to in (KIM, EVE)]
        page = await maya.see(f"/approvals/{kim}/together")
        received = await send(maya, page, kim, answer, **{eve: chosen, "note": "my note"})
        assert received.status_code == 422
        assert "Nothing was answered: you chose" in text_of(received.text)
        assert f'name="answer.{eve}" value="{chosen}" checked' in received.text
        assert "my note" in received.text
        nothing = await send(maya, page, kim, "each")
        assert nothing.status_code == 422
        assert await states(opened, kim, eve) == [State.PENDING, State.PENDING]


async def test_what_was_answered_changed_or_withdrawn_meanwhile_is_named_and_the_others_are_answered(
    site: OpenSite,
) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        task = await granted(opened)
        kim, lee, eve = [await write(opened, task, to) for to in (KIM, LEE, EVE)]
        page = await maya.see(f"/approvals/{kim}/together")
        book, policy = opened.gateway.approvals, opened.gateway.policy.current
        await book.answer(eve, NADIA, policy, False, "", opened.clock())
        form = form_of(page) | {f"seen.{lee}": "0" * 32, "answer": "approve"}
        received = await maya.http.post(f"/console/approvals/{kim}/together", data=form)
        assert received.status_code == 409
        told = text_of(received.text)
        assert "1 of 3 answers were taken; 2 not." in told
        assert f"{eve} , which you wanted to approve: it is refused already, by nadia@larkspur.example" in told
        assert f"{lee} , which you wanted to approve: it has changed since you were shown it" in told
        assert await states(opened, kim, lee, eve) == [State.APPROVED, State.PENDING, State.REFUSED]
        assert 'value="approve" checked' not in received.text, "what has changed is looked at again"


async def test_what_expired_while_it_was_looked_at_is_not_approved(site: OpenSite) -> None:
    async with site(approval_ttl=600) as opened, opened.signed_in(MAYA) as maya:
        task = await granted(opened)
        old = await write(opened, task, KIM)
        opened.clock.ahead = timedelta(seconds=300)
        new = await write(opened, task, LEE)
        page = await maya.see(f"/approvals/{old}/together")
        opened.clock.ahead = timedelta(seconds=601)
        received = await send(maya, page, old, "approve")
        assert received.status_code == 409
        assert "it is expired already" in text_of(received.text)
        assert await states(opened, old, new) == [State.EXPIRED, State.APPROVED]


async def test_more_than_a_page_holds_are_further_pages_and_each_answers_its_own(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        task = await granted(opened)
        names = [await write(opened, task, f"kim{number}@customer.example") for number in range(MOST + 2)]
        first = await maya.see(f"/approvals/{names[0]}/together")
        second = await maya.see(f"/approvals/{names[0]}/together?page=2")
        shown = [[name for name in names if f'name="seen.{name}"' in page] for page in (first, second)]
        assert list(map(len, shown)) == [MOST, 2]
        assert sorted(shown[0] + shown[1]) == sorted(names)
        assert f"{MOST + 2} calls of one task wait for you" in text_of(first)
        assert f"This page has {MOST} of them, 1 to {MOST}, and answers only these." in text_of(first)
        assert (await send(maya, first, names[0], "approve")).status_code == 303
        assert set(await states(opened, *shown[0])) == {State.APPROVED}
        assert set(await states(opened, *shown[1])) == {State.PENDING}
        assert await maya.see(f"/approvals/{names[0]}/together?page=999")


async def test_whoever_may_answer_only_some_sees_only_those(site: OpenSite, tmp_path: Any) -> None:
    rules = tmp_path / "policies" / "approvers.csv"
    lines = rules.read_text().replace("role:lead, crm_*", "role:sales, crm_*")
    rules.write_text(lines)
    async with site() as opened, opened.signed_in(MAYA) as maya, opened.signed_in(INES) as ines:
        task = await granted(opened)
        kim, lee = await write(opened, task, KIM), await write(opened, task, LEE)
        refund = await opened.ask(TRIAGE, "crm_issue_refund", task, **REFUND)
        page = await maya.see(f"/approvals/{kim}/together")
        assert "2 calls of one task wait for you" in text_of(page)
        assert refund not in page
        forged = form_of(page) | {f"seen.{refund}": "", "answer": "approve"}
        received = await maya.http.post(f"/console/approvals/{kim}/together", data=forged)
        assert received.status_code == 409
        assert "there is no such call in this task" in text_of(received.text)
        assert await states(opened, kim, lee, refund) == [State.APPROVED, State.APPROVED, State.PENDING]
        assert "Nothing of this task waits for your answer" in text_of(await ines.see(f"/approvals/{kim}/together"))


async def test_without_a_grant_a_task_is_what_one_client_asks_under_one_run_within_an_hour(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        one, other = {"remit/run": "run-1"}, {"remit/run": "run-2"}
        names = [await write(opened, one, to) for to in (KIM, LEE)]
        apart = [await write(opened, other, EVE), await write(opened, one, EVE, who=ANA)]
        opened.clock.ahead = timedelta(minutes=61)
        apart.append(await write(opened, one, "late@customer.example"))
        page = await maya.see(f"/approvals/{names[0]}/together")
        for name in names:
            assert name in page
        for name in apart:
            assert f'name="seen.{name}"' not in page


@pytest.mark.parametrize(
    "form",
    [
        {"answer": "maybe"},
        {"answer.{id}": "perhaps", "answer": "each"},
        {"seen.{id}%00": "x", "answer": "approve"},
        {f"seen.apr_{number}": "x" for number in range(MOST + 1)} | {"answer": "approve"},
    ],
)
async def test_a_form_that_the_page_cannot_have_sent_is_refused_and_answers_nothing(
    site: OpenSite, form: dict[str, str]
) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        task = await granted(opened)
        names = [await write(opened, task, to) for to in (KIM, LEE)]
        sent = form_of(await maya.see(f"/approvals/{names[0]}/together"))
        sent |= {name.replace("{id}", names[0]): value for name, value in form.items()}
        received = await maya.http.post(f"/console/approvals/{names[0]}/together", data=sent)
        assert received.status_code == 400
        assert await states(opened, *names) == [State.PENDING, State.PENDING]


async def test_what_is_not_there_for_somebody_is_not_there_together_either(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(ZOE) as zoe, opened.signed_in(OTTO) as otto:
        task = await granted(opened)
        kim = await write(opened, task, KIM)
        for somebody in (zoe, otto):
            await somebody.see(f"/approvals/{kim}/together", 404)


async def test_of_two_people_who_answer_the_same_page_at_once_each_is_told_what_of_theirs_was_taken(
    site_on_each: OpenSite,
) -> None:
    async with site_on_each() as opened, opened.signed_in(MAYA) as maya, opened.signed_in(NADIA) as nadia:
        task = await granted(opened)
        names = [await write(opened, task, to) for to in (KIM, LEE, EVE)]
        pages = [await person.see(f"/approvals/{names[0]}/together") for person in (maya, nadia)]
        yes, no = await asyncio.gather(
            send(maya, pages[0], names[0], "approve"), send(nadia, pages[1], names[0], "refuse")
        )
        found = await states(opened, *names)
        recorded = [entry for entry in opened.entries() if entry.kind is Kind.ANSWERED]
        assert len(recorded) == len(names), "each call has one answer"
        for answer, taken in ((yes, found.count(State.APPROVED)), (no, found.count(State.REFUSED))):
            told = text_of(answer.text)
            assert answer.status_code == 303 if taken == 3 else f"{taken} of 3 answers were taken" in told
        assert found.count(State.PENDING) == 0
