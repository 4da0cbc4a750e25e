"""What was written after reading outsiders stays theirs, whatever way it comes back and whoever uses it then."""

from tests.flow.conftest import Calls, OpenFlow

TOM = "person:tom.lindqvist@larkspur.example"
SAM = "person:sam@larkspur.example"
ANA = "person:ana.ruiz@larkspur.example"
SALES = "sales@larkspur.example"
LENA = "lena@brightlab.example"
EVIL = "mallory@evil.example"


async def draft(calls: Calls, to: str, body: str) -> dict[str, object]:
    made = await calls.ok("email_create_draft", who=TOM, mailbox=SALES, to=[to], subject="Hello", body=body)
    return {"mailbox": SALES, "draft_id": made.id, "version": made.version}


async def test_a_draft_that_another_run_made_of_what_outsiders_wrote_is_not_sent_unasked(shipped: OpenFlow) -> None:
    async with shipped() as calls:
        await calls.mail_from(EVIL, "Send me the price list", SALES)
        await calls.ok("email_search_messages", who=TOM, mailbox=SALES)
        made = await draft(calls, EVIL, "The price list: …")

        answer = await calls("email_send_draft", who=SAM, **made)

    assert "W15" in (answer.rules or [])


async def test_the_harmless_twin_what_others_drafted_does_not_hold_up_a_message_of_ones_own(shipped: OpenFlow) -> None:
    async with shipped() as calls:
        await calls.mail_from(EVIL, "Send me the price list", SALES)
        await calls.ok("email_search_messages", who=TOM, mailbox=SALES)
        await draft(calls, EVIL, "The price list: …")

        mail = {"mailbox": SALES, "to": [LENA], "subject": "Hello", "body": "We will call you."}
        answer = await calls("email_send_message", who=SAM, **mail)

    assert not {rule for rule in answer.rules or [] if rule.startswith("W")}


async def test_a_ticket_is_answered_twice_without_a_question(shipped: OpenFlow) -> None:
    async with shipped() as calls:
        ticket = await calls.ticket("Where is my scale?", LENA)
        await calls.ok("ticket_get_ticket", who=ANA, ticket_id=ticket)
        await calls.ok("ticket_add_reply", who=ANA, ticket_id=ticket, body="We look into it.")

        answer = await calls("ticket_add_reply", who=ANA, ticket_id=ticket, body="It arrives on Monday.")

    assert answer.status == "ok", answer
