"""Forms made from tools, the counter of attempts, and the geometry of charts."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.registry import TOOLS
from gateway.catalog import InvalidArguments, validate
from gateway.console.attempts import Attempts
from gateway.console.drawing import HEIGHT, LEFT, WIDTH, Series, bars, lines
from gateway.console.fields import arguments_in, fields_of, texts_of
from gateway.console.record import changes

BY_NAME = {tool.name: tool for tool in TOOLS}
WHOLE: dict[str, dict[str, Any]] = {
    "email_send_message": {
        "mailbox": "us@larkspur.example",
        "to": ["kim@a.example", "tom@a.example"],
        "cc": [],
        "subject": "Hi",
        "body": "\nfirst line empty\n",
    },
    "email_search_messages": {
        "mailbox": "us@larkspur.example",
        "query": "",
        "folder": "inbox",
        "sender": None,
        "unread": False,
        "limit": 5,
        "cursor": "",
    },
    "crm_issue_refund": {
        "order_id": "ord_abcd",
        "amount": "80.50",
        "currency": "EUR",
        "reason": "late",
        "note": "",
    },
    "crm_update_deal": {
        "deal_id": "dea_abcd",
        "version": 3,
        "stage": "won",
        "amount": "1000000.00",
        "close_date": "2026-11-30",
        "next_step": None,
    },
    "ticket_update_ticket": {
        "ticket_id": "tic_abcd",
        "version": 1,
        "status": None,
        "priority": "high",
        "assignee": None,
        "tags": ["a", "b-c"],
    },
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_form_that_is_sent_back_untouched_changes_nothing(name: str) -> None:
    tool, arguments = BY_NAME[name], WHOLE[name]
    again = validate(tool, arguments_in(tool, texts_of(tool, arguments)))
    assert again.model_dump(mode="json") == validate(tool, arguments).model_dump(mode="json") == arguments


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_tool_has_a_form(tool: Any) -> None:
    assert [field.name for field in fields_of(tool, {})] == list(tool.input.model_fields)


@given(st.sampled_from(TOOLS), st.data())
def test_whatever_is_typed_is_taken_or_refused_in_words(tool: Any, data: st.DataObject) -> None:
    texts = {name: data.draw(st.text(max_size=30)) for name in tool.input.model_fields}
    problems: Mapping[str, str] = {}
    try:
        validate(tool, arguments_in(tool, texts))
    except InvalidArguments as error:
        problems = error.problems
    assert set(problems) <= set(tool.input.model_fields)
    assert all(problems.values())


def test_attempts_are_counted_by_address_and_never_remembered_without_end() -> None:
    attempts = Attempts(most=2, seconds=10, addresses=3)
    assert [attempts.admit("192.0.2.1", at) for at in (0, 1, 2)] == [True, True, False]
    assert attempts.admit("192.0.2.2", 2)
    assert attempts.admit("192.0.2.1", 10.5), "the first was more than ten seconds ago"
    for last in range(100):
        attempts.admit(f"198.51.100.{last}", 11)
    assert len(attempts._seen) == 3


def test_addresses_of_one_ipv6_network_are_one() -> None:
    attempts = Attempts(most=1, seconds=10)
    assert attempts.admit("2001:db8::1", 0)
    assert not attempts.admit("2001:db8::2", 0)
    assert attempts.admit("2001:db8:0:1::1", 0)
    assert attempts.admit("not an address", 0)


@given(st.lists(st.integers(0, 10**6) | st.none(), min_size=1, max_size=40))
def test_what_is_drawn_stays_within_the_chart(values: list[float | None]) -> None:
    labels = [str(step) for step in range(len(values))]
    series = [Series("one", "ran", values), Series("two", "refused", values[::-1])]
    for box in bars("id", "t", "s", series, labels).boxes:
        assert box.x >= LEFT
        assert box.x + box.width <= WIDTH
        assert box.y >= -0.2
        assert box.y + box.height <= HEIGHT
    for path in lines("id", "t", "s", series, labels, unit="ms").paths:
        assert len(path.dots) == sum(value is not None for value in values)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y, _ in path.dots)


def test_the_difference_of_a_text_is_shown_by_lines() -> None:
    tool = BY_NAME["crm_update_contact"]
    [change] = changes({"notes": "a\nb\nc", "name": "Kim"}, tool, {"notes": "a\nx\nc", "name": "Kim", "version": 2})
    assert [(part.kind, part.text) for part in change.parts] == [
        ("same", "a\n"),
        ("removed", "b\n"),
        ("added", "x\n"),
        ("same", "c"),
    ]
