"""What a caller may send: every wrong field is named, and nothing is coerced."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Tool
from connectors.registry import TOOLS
from gateway.catalog import InvalidArguments, validate

BY_NAME = {tool.name: tool for tool in TOOLS}
DRAFT = {
    "mailbox": "support@larkspur.example",
    "to": ["kim@customer.example"],
    "subject": "Your order",
    "body": "Dear Kim,\nit ships today.",
}
REFUND = {"order_id": "ord_abcd2345", "amount": 12.5, "currency": "EUR", "reason": "late"}


def told(tool: str, arguments: dict[str, Any]) -> str:
    with pytest.raises(InvalidArguments) as refused:
        validate(BY_NAME[tool], arguments)
    return refused.value.message


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("crm_get_contact", {}, "`contact_id`: missing"),
        ("crm_get_contact", {"contact": "con_abcd"}, "`contact`: unknown field; did you mean `contact_id`?"),
        ("crm_get_contact", {"contact_id": "con_abcd", "x": 1}, "`x`: unknown field; `crm_get_contact` takes"),
        ("crm_get_contact", {"contact_id": 7}, "`contact_id`: input should be a valid string"),
        ("crm_get_contact", {"contact_id": "acc_abcd"}, "`contact_id`: string should match pattern"),
        ("crm_get_contact", {"contact_id": "con_" + "a" * 10_000}, "`contact_id`: string should have at most 48"),
        ("crm_issue_refund", {**REFUND, "amount": "12.50 EUR"}, "`amount`: input should be a valid decimal"),
        ("crm_issue_refund", {**REFUND, "amount": -1}, "`amount`: input should be greater than 0"),
        ("crm_issue_refund", {**REFUND, "amount": 0.001}, "`amount`: decimal input should have no more than 2"),
        ("crm_issue_refund", {**REFUND, "amount": float("nan")}, "not valid JSON data"),
        ("crm_issue_refund", {**REFUND, "currency": "eur"}, "`currency`: input should be 'EUR'"),
        ("crm_search_contacts", {"limit": "5"}, "`limit`: input should be a valid integer"),
        ("crm_search_contacts", {"limit": True}, "`limit`: input should be a valid integer"),
        ("crm_search_contacts", {"limit": 51}, "`limit`: input should be less than or equal to 50"),
        ("email_create_draft", {**DRAFT, "to": []}, "`to`: list should have at least 1 item"),
        ("email_create_draft", {**DRAFT, "to": "kim@customer.example"}, "`to`: input should be a valid array"),
        ("email_create_draft", {**DRAFT, "to": ["ok@x.example", "nonsense"]}, "`to[1]`: not an email address"),
        ("email_create_draft", {**DRAFT, "to": ["Kim <kim@customer.example>"]}, "`to[0]`: not an email address"),
        ("email_create_draft", {**DRAFT, "body": "x" * 20_001}, "`body`: string should have at most 20000"),
        (
            "email_create_draft",
            {**DRAFT, "body": "null\x00byte"},
            "`body`: text must not contain U+0000 (at position 4)",
        ),
        ("email_create_draft", {**DRAFT, "body": "lone \ud800"}, "`body`: not valid Unicode"),
    ],
)
def test_a_wrong_field_is_named_with_what_it_should_be(tool: str, arguments: dict[str, Any], message: str) -> None:
    assert message in told(tool, arguments)


@pytest.mark.parametrize("break_", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x00", "\u202e"])
@pytest.mark.parametrize("field", ["subject", "to", "mailbox"])
def test_a_header_cannot_be_broken_or_reordered(field: str, break_: str) -> None:
    evil = f"a{break_}Bcc: attacker@evil.example"
    assert f"`{field}" in told("email_create_draft", {**DRAFT, field: [evil] if field == "to" else evil})


def test_many_problems_are_told_together_but_not_without_end() -> None:
    message = told("crm_get_contact", {f"field{n}": n for n in range(100)})
    assert message.endswith("; and 96 more")


def test_a_nested_bomb_is_refused() -> None:
    bomb: dict[str, Any] = {}
    for _ in range(100_000):
        bomb = {"a": bomb}
    assert told("crm_get_contact", bomb)


def test_an_address_is_lower_cased_so_that_one_person_has_one_spelling() -> None:
    draft = validate(BY_NAME["email_create_draft"], {**DRAFT, "to": ["Kim@Customer.EXAMPLE"]}).model_dump()
    assert draft["to"] == ["kim@customer.example"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(tool=st.sampled_from(TOOLS), data=st.data())
def test_any_json_is_either_valid_or_refused_and_never_breaks_the_check(tool: Tool, data: st.DataObject) -> None:
    names = st.sampled_from([*tool.input.model_fields]) | st.text(max_size=12)
    arguments = data.draw(st.dictionaries(names, json_values, max_size=6))
    with suppress(InvalidArguments):
        validate(tool, arguments)
