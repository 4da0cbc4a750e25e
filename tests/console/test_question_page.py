"""One page holds everything that an answer needs, and nothing on it deceives or runs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.records import CommentRecord, TicketRecord
from connectors.registry import EmbeddedBackEnds
from connectors.ticketing.tools import Status
from tests.console.conftest import ANA, INES, MAYA, NADIA, REFUND, TOM, TRIAGE, OpenSite, Site, text_of

SCRIPT = '<script>alert("x")</script>'
IMAGE = '"><img src=x onerror=alert(1)>'
THEN = datetime(2026, 3, 2, 9, tzinfo=UTC)


async def add_ticket(opened: Site, subject: str = "Late", body: str = "Where is it?", status: Status = "open") -> str:
    back_ends = opened.gateway.back_ends
    assert isinstance(back_ends, EmbeddedBackEnds)
    comment = CommentRecord(author="Kim", body=body, at=THEN)
    ticket = TicketRecord(
        source_id="t1",
        subject=subject,
        requester_name="Kim",
        requester_email="kim@customer.example",
        comments=[comment],
        status=status,
        created_at=THEN,
        updated_at=THEN,
    )
    await back_ends.ticket.load("larkspur", [ticket])
    found = await opened.call(ANA, "ticket_search_tickets", query=subject.split(maxsplit=1)[0].strip("<>"))
    assert found.result is not None
    ticket_id: str = found.result.tickets[0].id
    return ticket_id


async def test_the_page_says_what_would_happen_why_and_who_asks(site: OpenSite) -> None:
    declared = {
        "remit/model": "gpt-9",
        "remit/run": "run-7",
        "remit/case": {"recommendation": "Pay it", "evidence": ["ticket tic_1: parcel lost"], "confidence": 0.9},
    }
    async with site() as opened, opened.signed_in(MAYA) as maya:
        await opened.call(TRIAGE, "crm_search_contacts", {"remit/run": "run-7"}, query="kim")
        question = await opened.ask(TRIAGE, "crm_issue_refund", declared, **REFUND)
        page = text_of(await maya.see(f"/approvals/{question}"))
    for part in (
        f"Give back 80.00 EUR on order {REFUND['order_id']}, because: late",
        "This cannot be taken back.",
        "rule A2 asks for approval: refunds above 50 need a second look",
        "Rules A2",
        "Person ana@larkspur.example Agent triage",
        "What the caller says of itself not checked",
        "gpt-9",
        "Nothing in it is checked.",
        "Pay it",
        "ticket tic_1: parcel lost",
        "crm_search_contacts",
        "a person is asked",
    ):
        assert part in page


async def test_a_letter_is_shown_as_it_would_go_out_with_strangers_marked(site: OpenSite) -> None:
    mail: dict[str, Any] = {
        "mailbox": "support@larkspur.example",
        "subject": "Your order",
        "body": "Dear Kim,\n\n  it is on its way.",
    }
    async with site() as opened, opened.signed_in(MAYA) as maya:
        to: dict[str, Any] = {"to": ["kim@customer.example", "tom@larkspur.example"]}
        question = await opened.ask(ANA, "email_send_message", **mail, **to)
        shown = await maya.see(f"/approvals/{question}")
    page = text_of(shown)
    assert "Send an email from support@larkspur.example to kim@customer.example, tom@larkspur.example" in page
    assert "kim@customer.example external" in page
    assert "tom@larkspur.example external" not in page
    assert "Dear Kim,\n\n  it is on its way." in shown


async def test_a_change_is_shown_against_the_record_as_it_is_now(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        ticket = await add_ticket(opened)
        asked: dict[str, Any] = {"ticket_id": ticket, "version": 1, "status": "solved", "tags": ["late"]}
        question = await opened.ask(ANA, "ticket_update_ticket", **asked)
        page = text_of(await maya.see(f"/approvals/{question}"))
        reads = [entry for entry in opened.entries() if entry.body.get("client") == "remit console"]
    assert "status now: open then: solved" in page
    assert f"Change ticket {ticket}: status to solved, tags to late" in page
    assert {entry.body["person"] for entry in reads} == {MAYA.person}, "the approver's own call, recorded as such"
    assert {entry.kind.value for entry in reads} == {"intent", "outcome"}


async def test_without_the_right_to_read_the_record_nothing_of_it_is_shown(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(NADIA) as nadia:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        page = text_of(await nadia.see(f"/approvals/{question}"))
    assert "Not shown, and nothing is compared: you may not read it: no rule allows person:nadia" in page


@pytest.mark.parametrize("poison", [SCRIPT, IMAGE, "{{ 7*7 }}", "</textarea><script>1</script>"])
async def test_text_of_outsiders_and_agents_is_text_wherever_it_is_shown(site: OpenSite, poison: str) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya, opened.signed_in(INES) as ines:
        ticket = await add_ticket(opened, subject=f"zebra {poison}", body=poison)
        declared = {"remit/run": poison, "remit/model": poison, "remit/case": {"recommendation": poison}}
        reply = await opened.ask(TRIAGE, "ticket_add_reply", declared, ticket_id=ticket, body=poison)
        mail: dict[str, Any] = {
            "mailbox": "support@larkspur.example",
            "to": ["kim@customer.example"],
            "subject": poison,
            "body": poison,
        }
        letter = await opened.ask(TRIAGE, "email_send_message", declared, **mail)
        answer = await maya.send(f"/approvals/{reply}/ask-back", text=poison)
        assert answer.status_code == 303
        await opened.call(TRIAGE, "ticket_add_reply", {"remit/reply": poison}, ticket_id=ticket, body=poison)
        pages = [await maya.see(path) for path in ("/", f"/approvals/{reply}", f"/approvals/{letter}", "/standing")]
        pages += [await ines.see(path) for path in ("/journal", f"/calls/{reply}", f"/calls/{letter}", "/charts")]
        pages += [await ines.see(f"/journal?run={poison}&tool={poison}&since={poison}")]
    for page in pages:
        assert "<script>" not in page
        assert "<img" not in page
    for page in pages[1:3]:
        assert poison in text_of(page)


async def test_what_deceives_in_a_recipient_is_marked_and_told_first(site: OpenSite) -> None:
    mail: dict[str, Any] = {
        "mailbox": "support@larkspur.example",
        "subject": "Invoice\u200b",
        "body": "See p\u0430ypal.com \u2800now",
    }
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "email_send_message", to=["kim@xn--pypal-4ve.com"], **mail)
        page = text_of(await maya.see(f"/approvals/{question}"))
    look_out = page[page.index("Look out") : page.index("As it would go out")]
    assert "In to : reads `p\u0430ypal.com`, is `xn--pypal-4ve.com`: Cyrillic and Latin" in look_out
    assert "In subject : invisible: zero width space" in look_out
    assert "braille pattern blank" in look_out
    assert "U+200B" in page


async def test_text_that_turns_around_is_shown_by_the_marks_that_turn_it(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        ticket = await add_ticket(opened, subject="Turned", body="send to \u202emoc.live\u202c now")
        question = await opened.ask(ANA, "ticket_add_reply", ticket_id=ticket, body="Hello")
        page = await maya.see(f"/approvals/{question}")
    assert "\u202e" not in page
    assert "⟦U+202E: right-to-left override⟧moc.live⟦U+202C: pop directional formatting⟧" in text_of(page)


async def test_a_question_is_seen_by_who_may_answer_it_whose_it_is_and_viewers(site: OpenSite) -> None:
    async with site() as opened:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        for who, said in ((ANA, "Nobody answers a question of their own"), (INES, "may not answer for")):
            async with opened.signed_in(who) as somebody:
                page = await somebody.see(f"/approvals/{question}")
                assert said in text_of(page)
                assert 'value="approve"' not in page
        async with opened.signed_in(TOM) as tom:
            await tom.see(f"/approvals/{question}", 404)
