"""What a result shows: each value with its author, its label and its record."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.contract import Author, Confidentiality, Output
from connectors.crm.tools import Contact, ContactPage
from connectors.email.tools import Message, Thread
from connectors.knowledge.tools import Document
from connectors.registry import TOOLS
from connectors.ticketing.tools import Comment, Ticket
from gateway.flow.labels import CLEAN, Label
from gateway.flow.reading import NOBODY, Alike, Reading, read, record_names
from gateway.policy.language.flow import Integrity

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
BY_NAME = {tool.name: tool for tool in TOOLS}
ANYONE = Label(Integrity.ANYONE)


def ticket() -> Ticket:
    def comment(number: int, body: str, *, by_staff: bool) -> Comment:
        return Comment(id=f"com_000{number}", kind="public", author="x", by_staff=by_staff, body=body, at=NOW)

    return Ticket(
        id="tic_0001",
        subject="Broken scale",
        status="open",
        priority="normal",
        requester_name="Lena",
        requester_email="Lena@brightlab.example",
        assignee="ana.ruiz@larkspur.example",
        tags=["scales"],
        comment_count=2,
        created_at=NOW,
        updated_at=NOW,
        version=3,
        comments=[comment(1, "it broke", by_staff=False), comment(2, "we look into it", by_staff=True)],
    )


def page() -> ContactPage:
    lena = Contact(
        id="con_0001",
        name="Lena",
        email="lena@brightlab.example",
        account_id="acc_0001",
        notes="likes calls",
        created_at=NOW,
        updated_at=NOW,
        version=2,
    )
    return ContactPage(contacts=[lena])


def reading(tool: str, output: Ticket | ContactPage | Document, labels: dict[str, Label] | None = None) -> Reading:
    return read(BY_NAME[tool], output.model_dump(), labels)


def piece(found: Reading, path: str, at: int = 0) -> Alike:
    return [each for each in found.values for _ in each.values if each.path == path][at]


def test_a_ticket_comment_is_by_whoever_the_record_says() -> None:
    found = reading("ticket_get_ticket", ticket())

    assert piece(found, "comments[].body", 0).author is Author.OUTSIDER
    assert piece(found, "comments[].body", 1).author is Author.ORGANISATION
    assert piece(found, "comments[].body", 0).label.integrity is Integrity.ANYONE
    assert piece(found, "comments[].body", 1).label.integrity is Integrity.ORGANISATION


def test_what_stands_in_a_customers_record_is_that_customers_own_whoever_wrote_it() -> None:
    found, owners = reading("ticket_get_ticket", ticket()), frozenset({"lena@brightlab.example"})

    assert piece(found, "comments[].body", 1).label.confidentiality is Confidentiality.CUSTOMER
    assert piece(found, "id").label.owners == piece(found, "comments[].body", 1).label.owners == owners


def test_what_outsiders_wrote_is_the_customers_own() -> None:
    found = reading("ticket_get_ticket", ticket())

    assert piece(found, "subject").label == Label(
        Integrity.ANYONE, Confidentiality.CUSTOMER, frozenset({"lena@brightlab.example"})
    )
    assert found.label.owners == {"lena@brightlab.example"}


def test_only_texts_of_outsiders_are_named_untrusted() -> None:
    assert "comments[].body" in reading("ticket_get_ticket", ticket()).untrusted
    by_staff = ticket().model_copy(update={"comments": ticket().comments[1:]})
    untrusted = reading("ticket_get_ticket", by_staff).untrusted
    assert "comments[].body" not in untrusted
    assert {"subject", "requester_name"} <= set(untrusted)
    assert "id" not in untrusted


@pytest.mark.parametrize(
    ("origin", "author"),
    [("official", Author.ORGANISATION), ("internal", Author.ORGANISATION), ("external", Author.OUTSIDER)],
)
def test_a_document_is_by_whom_its_origin_says(origin: str, author: Author) -> None:
    data = {"id": "doc_0001", "title": "Shipping", "text": "Three days.", "source": "s", "origin": origin}
    document = Document.model_validate({**data, "readers": ["everyone"], "updated_at": NOW, "offset": 0})

    assert piece(reading("knowledge_get_document", document), "text").author is author


def test_an_address_in_the_crm_is_on_record_though_the_customer_worded_it() -> None:
    found = reading("crm_search_contacts", page())

    assert piece(found, "contacts[].email").is_kept
    assert not piece(found, "contacts[].name").is_kept
    assert found.links == [frozenset({"con_0001", "acc_0001", "lena@brightlab.example"})]


def test_a_record_into_which_untrusted_text_was_written_vouches_for_nothing_any_more() -> None:
    found = reading("crm_search_contacts", page(), {"crm::con_0001": ANYONE})

    assert piece(found, "contacts[].notes").author is Author.OUTSIDER
    assert piece(found, "contacts[].notes").label.integrity is Integrity.ANYONE
    assert not piece(found, "contacts[].email").is_kept
    assert found.links == []
    assert piece(found, "contacts[].id").author is Author.SYSTEM


def test_a_label_of_one_record_leaves_the_others_alone() -> None:
    found = reading("ticket_get_ticket", ticket(), {"ticket::com_0001": ANYONE})

    assert piece(found, "comments[].body", 1).author is Author.ORGANISATION


def test_records_are_named_by_area_and_id() -> None:
    names = record_names(BY_NAME["ticket_get_ticket"], ticket().model_dump())

    assert names == ("ticket::tic_0001", "ticket::com_0001", "ticket::com_0002")


def test_joined_labels_only_rise() -> None:
    high = Label(Integrity.ANYONE, Confidentiality.SECRET, frozenset({"a"}))
    low = Label(Integrity.CUSTOMER, Confidentiality.INTERNAL, frozenset({"b"}))

    assert high | low == Label(Integrity.ANYONE, Confidentiality.SECRET, frozenset({"a", "b"}))
    assert high | CLEAN == CLEAN | high == high


def test_a_key_in_plain_json_can_neither_hide_a_text_nor_pass_for_a_declared_path() -> None:
    class Plain(Output):
        structured: dict[str, Any]

    tool = replace(
        BY_NAME["crm_get_contact"],
        output=Plain,
        authors={"structured.to.email": Author.ORGANISATION},
        kept=frozenset({"structured.to.email"}),
    )
    found = read(tool, {"structured": {"to.email": "mallory@evil.example", "to": {"email": "ana@larkspur.example"}}})

    authors = {value: (each.author, each.is_kept) for each in found.values for value in each.values}
    assert authors == {
        "to.email": (Author.OUTSIDER, False),
        "mallory@evil.example": (Author.OUTSIDER, False),
        "ana@larkspur.example": (Author.ORGANISATION, True),
    }


def test_of_very_many_keys_only_what_they_lie_in_is_named() -> None:
    class Plain(Output):
        structured: dict[str, Any]

    tool = replace(BY_NAME["crm_get_contact"], output=Plain, authors={})
    found = read(tool, {"structured": {f"k{number}": "x" for number in range(500)}})

    assert found.untrusted == ["structured"]


def test_a_conversation_is_that_of_whoever_takes_part_in_it() -> None:
    message = Message(
        id="msg_0001", thread_id="thr_0001", folder="inbox", sender_name="Lena", sender_email="lena@brightlab.example",
        to=["support@larkspur.example"], cc=[], subject="Scale", snippet="", unread=True, attachment_count=0, at=NOW,
        body="It broke", truncated=False, attachments=[],
    )  # fmt: skip
    thread = Thread(id="thr_0001", mailbox="support@larkspur.example", subject="Scale", messages=[message])

    found = read(BY_NAME["email_get_thread"], thread.model_dump(), own_domains=("larkspur.example",))

    assert piece(found, "subject").label.owners == {"lena@brightlab.example", "support@larkspur.example"}
    assert NOBODY not in found.label.owners


def test_each_of_several_records_is_its_own_customers() -> None:
    lena, otto = (
        page().contacts[0],
        page().contacts[0].model_copy(update={"id": "con_0002", "email": "otto@other.example", "account_id": None}),
    )
    found = reading("crm_search_contacts", ContactPage(contacts=[lena, otto]))

    assert piece(found, "contacts[].name", 0).label.owners == {"con_0001", "acc_0001", "lena@brightlab.example"}
    assert piece(found, "contacts[].name", 1).label.owners == {"con_0002", "otto@other.example"}
