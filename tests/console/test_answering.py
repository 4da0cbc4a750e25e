"""An answer covers exactly what was shown, is given by who may, once, and what was typed is not lost."""

from datetime import timedelta

import pytest

from gateway.approvals import State
from tests.console.conftest import ANA, MAYA, NADIA, REFUND, OpenSite, Site, text_of


async def state(opened: Site, question: str) -> State:
    found = await opened.gateway.approvals.find("larkspur", question)
    assert found is not None
    return found.state(opened.clock())


async def test_a_yes_lets_the_repeated_call_through(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        assert question in await maya.see("/")
        answer = await maya.send(f"/approvals/{question}/answer", answer="approve", note="as agreed")
        assert answer.status_code == 303
        assert await state(opened, question) is State.APPROVED
        assert question not in await maya.see("/")
        assert "Approved by maya@larkspur.example , who notes: as agreed" in text_of(
            await maya.see(f"/approvals/{question}")
        )


async def test_a_no_is_told_to_the_caller_with_the_note(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        await maya.send(f"/approvals/{question}/answer", answer="refuse", note="ask the carrier first")
        told = await opened.call(ANA, "crm_issue_refund", **REFUND)
        assert told.status == "denied"
        assert "ask the carrier first" in str(told.reason)


@pytest.mark.parametrize("given", ["", "maybe"])
async def test_an_answer_that_is_neither_yes_nor_no_is_none(site: OpenSite, given: str) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        answer = await maya.send(f"/approvals/{question}/answer", answer=given)
        assert answer.status_code == 400
        assert await state(opened, question) is State.PENDING


async def test_an_answer_to_what_has_changed_meanwhile_is_not_taken_and_the_note_is_kept(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        answer = await maya.send(f"/approvals/{question}/answer", answer="approve", note="my note", seen="0" * 32)
        assert answer.status_code == 409
        page = text_of(answer.text)
        assert "It has changed since you were shown it" in page
        assert "my note" in page
        without = await maya.send(f"/approvals/{question}/answer", answer="approve", seen="")
        assert without.status_code == 409
        assert await state(opened, question) is State.PENDING


async def test_the_second_of_two_is_told_who_was_first(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya, opened.signed_in(NADIA) as nadia:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        page = f"/approvals/{question}"
        shown = await nadia.see(page)
        await maya.send(f"{page}/answer", answer="refuse")
        hidden = {
            name: shown.partition(f'name="{name}" value="')[2].partition('"')[0] for name in ("form_token", "seen")
        }
        answer = await nadia.http.post(f"/console{page}/answer", data={**hidden, "answer": "approve"})
        assert answer.status_code == 409
        assert "It is refused already, by maya@larkspur.example" in text_of(answer.text)


async def test_nobody_answers_their_own_question_here_either(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(ANA) as ana:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        answer = await ana.send(f"/approvals/{question}/answer", answer="approve")
        assert answer.status_code == 409
        assert await state(opened, question) is State.PENDING


async def test_a_yes_to_changed_arguments_covers_these(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        fields = {"order_id": "ord_abcd2345", "amount": "60.50", "currency": "EUR", "reason": "damaged", "note": ""}
        form = {f"arg.{name}": value for name, value in fields.items()}
        answer = await maya.send(f"/approvals/{question}/edit", **form)
        assert answer.status_code == 303
        found = await opened.gateway.approvals.find("larkspur", question)
        assert found is not None
        assert found.edit is not None
        assert found.arguments == {**fields}
        page = text_of(await maya.see(f"/approvals/{question}"))
        assert "Changed by maya@larkspur.example" in page
        assert "amount now: 80.00 then: 60.50" in page


async def test_wrong_fields_are_named_at_the_field_and_keep_what_was_typed(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        form = {"arg.order_id": "ord_abcd2345", "arg.amount": "a lot", "arg.currency": "EUR", "arg.reason": "late"}
        for path, status in (("edit", 422), ("check", 200)):
            answer = await maya.send(f"/approvals/{question}/{path}", **form)
            assert answer.status_code == status
            field = answer.text.partition('name="arg.amount"')[2].partition(">")[0]
            assert 'value="a lot"' in field
            assert 'aria-describedby="h-amount p-amount" aria-invalid="true"' in field
            assert "`amount`: input should be a valid decimal" in text_of(answer.text)
        assert await state(opened, question) is State.PENDING


async def test_what_policy_denies_cannot_be_edited_into_a_call(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        form = {"arg.order_id": "ord_abcd2345", "arg.amount": "501", "arg.currency": "EUR", "arg.reason": "late"}
        checked = text_of((await maya.send(f"/approvals/{question}/check", **form)).text)
        assert "deny rule A3 denies it: nobody refunds more than 500" in checked
        answer = await maya.send(f"/approvals/{question}/edit", **form)
        assert answer.status_code == 409
        assert "Policy denies the edited call" in text_of(answer.text)
        assert await state(opened, question) is State.PENDING


async def test_checking_records_nothing(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        await maya.see(f"/approvals/{question}")
        before = len(opened.entries())
        form = {"arg.order_id": "ord_abcd2345", "arg.amount": "60", "arg.currency": "EUR", "arg.reason": "late"}
        part = await maya.send(f"/approvals/{question}/check", "/", **form)
        maya.http.headers["HX-Request"] = "true"
        part = await maya.send(f"/approvals/{question}/check", "/", **form)
        assert "<html" not in part.text
        assert "Give back 60.00 EUR" in text_of(part.text)
        assert len(opened.entries()) == before


async def test_the_caller_is_asked_back_and_the_reply_is_shown_as_theirs(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        await maya.send(f"/approvals/{question}/ask-back", text="Which parcel?")
        assert "asked back, no reply yet" in text_of(await maya.see("/"))
        await opened.call(ANA, "crm_issue_refund", {"remit/reply": "The second"}, **REFUND)
        page = text_of(await maya.see(f"/approvals/{question}"))
        assert "The caller replied" in page
        assert "The second" in page
        empty = await maya.send(f"/approvals/{question}/ask-back", text="  ")
        assert empty.status_code == 409
        assert "Say what you want to know" in text_of(empty.text)


async def test_a_colleague_answers_by_the_right_that_was_passed_on(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        wrong = await maya.send(f"/approvals/{question}/pass-on", to="ana@larkspur.example")
        assert wrong.status_code == 409
        await maya.send(f"/approvals/{question}/pass-on", to="person:tom@larkspur.example")
        async with opened.signed_in(type(ANA)("larkspur", person="tom@larkspur.example")) as tom:
            assert question in await tom.see("/")
            answer = await tom.send(f"/approvals/{question}/answer", answer="approve")
            assert answer.status_code == 303
        assert "by right of maya@larkspur.example" in text_of(await maya.see(f"/approvals/{question}"))


async def test_a_standing_approval_is_given_listed_and_taken_back(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        too_many = await maya.send(f"/approvals/{question}/answer", answer="approve", times="99", hours="2")
        assert too_many.status_code == 409
        for wrong in ({"times": "x", "hours": "2"}, {"times": "2", "hours": "soon"}):
            assert (await maya.send(f"/approvals/{question}/answer", answer="approve", **wrong)).status_code == 422
        assert await state(opened, question) is State.PENDING
        await maya.send(f"/approvals/{question}/answer", answer="approve", times="2", hours="2")
        page = text_of(await maya.see("/standing"))
        assert "crm_issue_refund for person:ana@larkspur.example" in page
        assert "Used 0 of 2" in page
        [given] = await opened.gateway.approvals.standing.in_force("larkspur", opened.clock())
        assert (await maya.send(f"/standing/{given.id}/end", "/standing")).status_code == 303
        assert "None is in force." in await maya.see("/standing")
        assert (await maya.send(f"/standing/{given.id}/end", "/standing")).status_code == 404


async def test_who_answers_much_is_told_so(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        for amount in range(60, 80):
            question = await opened.ask(ANA, "crm_issue_refund", **{**REFUND, "amount": amount})
            await opened.gateway.approvals.answer(
                question, MAYA, opened.gateway.policy.current, True, "", opened.clock() + timedelta(seconds=90)
            )
        opened.clock.ahead = timedelta(minutes=3)
        page = text_of(await maya.see("/"))
        assert "Answered, last hour 20" in page
        assert "Last 24 hours 20" in page
        assert "Median wait 90 s" in page
        assert "You answered 20 questions within an hour" in page
        opened.clock.ahead = timedelta(hours=3)
        assert "Answered, last hour 0 Last 24 hours 20" in text_of(await maya.see("/"))


async def test_an_expired_question_is_over(site: OpenSite) -> None:
    async with site(approval_ttl=60) as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        opened.clock.ahead = timedelta(seconds=61)
        assert question not in await maya.see("/")
        page = await maya.see(f"/approvals/{question}")
        assert "It is expired already" in text_of(page)
        assert 'value="approve"' not in page
