"""The sample company holds together: every name, number and date in a text belongs to a record."""

import email
import email.policy
import re
from collections import Counter
from datetime import timedelta
from email.message import EmailMessage

import pytest
from pydantic import BaseModel

from connectors.contract import tools_of
from connectors.crm.tools import Crm
from connectors.email.tools import Email
from connectors.knowledge.tools import Knowledge
from connectors.records import MessageRecord
from connectors.sample.company import Company, generate
from connectors.ticketing.tools import Ticketing

GOLDEN = "04b1bc0ba54d3efa74d46e8ced9471e8f01ba3d8404bc8ce6a2f69f0b37b87ae"
ORDER = re.compile(r"\bLI-(\d{5})\b")
DOMAIN = re.compile(r"(?:@|https?://)((?:[\w-]+\.)+[a-z]{2,})", re.IGNORECASE)
INTENTS = {
    *("refund", "refund_outside", "damaged", "late", "wrong_item", "calibration", "trouble", "access", "complaint"),
    *("lead", "invoice", "cancellation", "spam", "injection"),
}


@pytest.fixture(scope="module")
def parsed(company: Company) -> dict[str, EmailMessage]:
    def parse(message: MessageRecord) -> EmailMessage:
        return email.message_from_bytes(message.raw, policy=email.policy.default)

    return {message.source_id: parse(message) for message in company.messages}


def body(message: EmailMessage) -> str:
    part = message.get_body(("plain", "html"))
    assert part is not None
    return str(part.get_content())


def test_it_has_the_promised_size(company: Company) -> None:
    assert 195 <= len(company.accounts) <= 215
    assert len(company.contacts) == 600
    assert len(company.deals) == 150
    assert len(company.orders) == 400
    assert len(company.activities) == 300
    assert len(company.tickets) == 1500
    assert 3000 <= len(company.messages) <= 3010
    assert len(company.documents) == 60


def test_the_same_seed_gives_the_same_bytes(company: Company) -> None:
    assert generate().digest() == company.digest() == GOLDEN


def test_another_seed_gives_another_company(company: Company) -> None:
    other = generate(seed=2)
    assert other.digest() != company.digest()
    assert len(other.tickets) == 1500


def test_every_record_is_valid_and_named_once(company: Company) -> None:
    for record in company.records():
        type(record).model_validate(record.model_dump())
    kinds = Counter((type(record).__name__, record.source_id) for record in company.records())
    assert kinds.most_common(1)[0][1] == 1


def test_no_two_contacts_share_an_address(company: Company) -> None:
    assert len({contact.email for contact in company.contacts}) == 600


def test_references_between_crm_records_resolve(company: Company) -> None:
    accounts = {account.source_id for account in company.accounts}
    contacts = {contact.source_id: contact.account for contact in company.contacts}
    assert set(contacts.values()) <= accounts
    assert {deal.account for deal in company.deals} <= accounts
    assert all(contacts[order.contact] == order.account for order in company.orders)
    assert all(contacts[activity.contact] == activity.account for activity in company.activities)


def test_nothing_is_refunded_twice_or_before_delivery(company: Company) -> None:
    refunded = [order for order in company.orders if order.refunds]
    assert len(refunded) > 40
    for order in refunded:
        assert order.delivered_at
        assert sum(one.amount for one in order.refunds) <= sum(one.quantity * one.unit_price for one in order.lines)
        assert all(order.delivered_at < one.issued_at <= company.now for one in order.refunds)


def test_every_order_in_a_ticket_exists_and_is_the_requesters(company: Company) -> None:
    accounts = {order.number: order.account for order in company.orders}
    account_of = {contact.email: contact.account for contact in company.contacts}
    hostile = {one.source_id for one in company.hostile}
    named = 0
    for ticket in company.tickets:
        text = ticket.subject + "".join(comment.body for comment in ticket.comments)
        for number in ORDER.findall(text):
            named += 1
            assert f"LI-{number}" in accounts
            if ticket.source_id not in hostile:
                assert accounts[f"LI-{number}"] == account_of[ticket.requester_email]
    assert named > 1000


def test_a_refund_that_a_ticket_promises_is_in_the_order(company: Company) -> None:
    refunds = {order.number: {one.issued_at for one in order.refunds} for order in company.orders}
    paid = 0
    for ticket in company.tickets:
        for comment in ticket.comments:
            if "I have refunded" in comment.body or "has just been refunded" in comment.body:
                paid += 1
                assert any(comment.at in refunds[f"LI-{number}"] for number in ORDER.findall(comment.body))
    assert paid > 10


def test_tickets_move_forward_in_time(company: Company) -> None:
    for ticket in company.tickets:
        times = [comment.at for comment in ticket.comments]
        assert times == sorted(times)
        assert (ticket.created_at, ticket.updated_at) == (times[0], times[-1])
        assert ticket.updated_at <= company.now
    assert {len(ticket.comments) for ticket in company.tickets} >= {1, 2, 3, 4, 5, 6, 7}
    assert any(comment.kind == "internal" for ticket in company.tickets for comment in ticket.comments)


def test_every_message_parses_and_has_a_date_a_sender_and_its_own_id(
    company: Company, parsed: dict[str, EmailMessage]
) -> None:
    for record in company.messages:
        message = parsed[record.source_id]
        assert not [defect for part in message.walk() for defect in part.defects]
        assert message["Message-ID"] == record.source_id
        assert message["Date"].datetime <= company.now
        assert message["From"].addresses[0].addr_spec
        assert body(message).strip()


def test_references_lead_to_older_messages_of_the_same_mailbox(
    company: Company, parsed: dict[str, EmailMessage]
) -> None:
    mailbox = {record.source_id: record.mailbox for record in company.messages}
    replies = 0
    for record in company.messages:
        message = parsed[record.source_id]
        for parent in str(message["References"] or "").split():
            replies += 1
            assert mailbox[parent] == record.mailbox
            assert parsed[parent]["Date"].datetime < message["Date"].datetime
        if message["In-Reply-To"]:
            assert message["In-Reply-To"] == str(message["References"]).split()[-1]
            assert "\n>" in body(message)
    assert replies > 1500


def test_mail_comes_in_every_shape_that_a_reader_must_cope_with(parsed: dict[str, EmailMessage]) -> None:
    parts = [part for message in parsed.values() for part in message.walk()]
    types = Counter(part.get_content_type() for part in parts)
    charsets = {str(part.get_content_charset()) for part in parts}
    encodings = {str(part["Content-Transfer-Encoding"]) for part in parts}
    assert types.keys() >= {"text/html", "application/pdf", "image/png", "text/csv", "text/calendar", "text/plain"}
    assert types["text/html"] > 800
    assert charsets >= {"utf-8", "us-ascii", "iso-8859-1", "iso-8859-2", "iso-8859-15", "windows-1252"}
    assert encodings >= {"7bit", "quoted-printable", "base64"}


@pytest.mark.parametrize(
    "phrase",
    [
        "Kind regards",
        "Mit freundlichen Grüßen",
        "Cordialement",
        "Un saludo",
        "Cordiali saluti",
        "Met vriendelijke groet",
        "Pozdrawiam",
        "Vänliga hälsningar",
    ],
)
def test_people_write_in_eight_languages(company: Company, phrase: str) -> None:
    assert sum(phrase in comment.body for ticket in company.tickets for comment in ticket.comments) > 10


def test_neighbouring_tickets_do_not_repeat_each_other(company: Company) -> None:
    openings = [ticket.comments[0].body for ticket in company.tickets]
    for index, text in enumerate(openings):
        assert text not in openings[max(0, index - 25) : index]


def test_only_reserved_domains_appear(company: Company, parsed: dict[str, EmailMessage]) -> None:
    texts = [comment.body for ticket in company.tickets for comment in ticket.comments]
    texts += [f"{message['From']} {message['To']} {body(message)}" for message in parsed.values()]
    texts += [document.text for document in company.documents]
    texts += [contact.email for contact in company.contacts]
    found = {domain.lower() for text in texts for domain in DOMAIN.findall(text)}
    assert not [domain for domain in found if not domain.endswith(".example")]


def test_documents_have_every_origin_and_audience_and_some_are_outdated(company: Company) -> None:
    assert {document.origin for document in company.documents} == {"official", "internal", "external"}
    readers = {reader for document in company.documents for reader in document.readers}
    assert readers == {"everyone", "support_agent", "support_lead", "sales", "auditor", "triage_agent"}
    stale = [one for one in company.documents if company.now - one.updated_at > timedelta(days=2 * 365)]
    assert len(stale) >= 3
    assert all(document.updated_at < company.now for document in company.documents)


def test_every_attack_is_in_a_record_and_asks_for_a_tool_that_exists(
    company: Company, parsed: dict[str, EmailMessage]
) -> None:
    texts = {ticket.source_id: "".join(comment.body for comment in ticket.comments) for ticket in company.tickets}
    texts |= {document.source_id: document.text for document in company.documents}
    texts |= {name: whole(message) for name, message in parsed.items()}
    tools = {tool.name: tool for area in (Crm, Ticketing, Email, Knowledge) for tool in tools_of(area)}
    contacts = {contact.email for contact in company.contacts}
    assert len(company.hostile) >= 12
    assert {one.kind for one in company.hostile} == {"email", "ticket", "document"}
    assert {one.place for one in company.hostile} >= {"body", "hidden html", "quote", "attachment", "comment"}
    for one in company.hostile:
        if one.attacker not in contacts:
            assert one.attacker in texts[one.source_id]
        assert set(dict(one.arguments)) - {"order", "contact"} <= fields(tools[one.tool].input)


def whole(message: EmailMessage) -> str:
    """Headers and every text part, hidden or attached."""
    texts = [str(part.get_content()) for part in message.walk() if part.get_content_maintype() == "text"]
    return f"{message['From']} {''.join(texts)}"


def fields(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def test_the_open_work_is_the_new_tickets_and_the_unread_mail_to_support(company: Company) -> None:
    new = {ticket.source_id for ticket in company.tickets if ticket.status == "new"}
    unread = {one.source_id for one in company.messages if one.unread and one.mailbox.startswith("support@")}
    assert {one.source_id for one in company.waiting} == new | unread
    assert len(new) >= 15
    assert len(unread) >= 15
    assert {one.intent for one in company.waiting} >= INTENTS
    tickets = {ticket.source_id: ticket for ticket in company.tickets}
    assert all(company.now - tickets[name].created_at < timedelta(days=3) for name in new)
    assert all(not tickets[name].assignee for name in new)
