"""Every tool's effect can be said in one sentence that names what matters."""

from typing import Any

import pytest

from connectors.registry import TOOLS
from gateway.effect_words import effect_sentence, recipients, warning

BY_NAME = {tool.name: tool for tool in TOOLS}
MAIL = {"mailbox": "us@larkspur.example", "to": ["kim@a.example"], "cc": [], "subject": "Hi there", "body": "…"}


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("email_send_message", MAIL, "Send an email from us@larkspur.example to kim@a.example: “Hi there”"),
        (
            "email_send_message",
            MAIL | {"to": ["kim@a.example", "b@b.example"], "cc": ["c@c.example"]},
            "Send an email from us@larkspur.example to kim@a.example, b@b.example, with a copy to c@c.example: "
            "“Hi there”",
        ),
        (
            "email_create_draft",
            MAIL,
            "Write a draft in us@larkspur.example to kim@a.example: “Hi there”. Nothing is sent.",
        ),
        (
            "crm_issue_refund",
            {"order_id": "ord_1", "amount": "80.00", "currency": "EUR", "reason": "wrong_item", "note": ""},
            "Give back 80.00 EUR on order ord_1, because: wrong item",
        ),
        (
            "ticket_update_ticket",
            {"ticket_id": "tic_1", "version": 3, "status": "solved", "assignee": None, "tags": ["a", "b"]},
            "Change ticket tic_1: status to solved, tags to a, b",
        ),
        (
            "crm_update_contact",
            {"contact_id": "con_1", "version": 1, "name": "Kim Novak", "notes": "long"},
            "Change contact con_1: name to “Kim Novak”, notes",
        ),
        (
            "crm_log_activity",
            {"kind": "call", "subject": "Asked", "body": "…", "contact_id": "con_1", "account_id": None},
            "Log an activity: kind call, subject Asked, contact id con_1",
        ),
        ("ticket_add_reply", {"ticket_id": "tic_1", "body": "…"}, "Send a reply to the requester of ticket tic_1"),
    ],
)
def test_an_effect_is_said_in_a_sentence(tool: str, arguments: dict[str, Any], said: str) -> None:
    assert effect_sentence(BY_NAME[tool], arguments) == said


def test_long_values_are_cut_where_the_page_shows_them_whole_anyway() -> None:
    said = effect_sentence(BY_NAME["crm_log_activity"], {"kind": "call", "subject": "x" * 500})
    assert len(said) < 200
    assert "…" in said


def test_whom_a_call_reaches_is_what_the_tool_declares() -> None:
    assert recipients(BY_NAME["email_send_message"], MAIL) == {"to": ["kim@a.example"]}
    asked = {"subject": "x", "body": "y", "requester_name": "Kim", "requester_email": "kim@a.example"}
    assert recipients(BY_NAME["ticket_create_ticket"], asked) == {"requester_email": ["kim@a.example"]}


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.effect == "send"], ids=lambda tool: tool.name)
def test_whatever_is_sent_is_said_to_be_final(tool: Any) -> None:
    assert warning(tool) == "This cannot be taken back."
    assert warning(BY_NAME["ticket_update_ticket"]) == ""
