"""Whatever somebody looks for, Request Tracker's query parser reads it as values, and as those that were meant."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import InvalidInput
from connectors.ticketing.request_tracker.declared import DeclaredRequestTracker
from connectors.ticketing.request_tracker.query import here, wanted
from connectors.ticketing.tools import SearchTickets

# As `RT::SQL` tells its tokens apart: a quoted text may hold anything, with `\` before what would end it.
_QUOTED = r"'(?:[^\\']|\\.)*'|\"(?:[^\\\"]|\\.)*\""
_FIELD = r"CF\.\{.+?\}|[{}\w.]+"
_TOKEN = re.compile(rf"\s*(?:(AND|OR)\b|(!=|>=|<=|=|>|<|LIKE\b)|({_QUOTED})|({_FIELD})|([()]))", re.IGNORECASE)

DECLARED = DeclaredRequestTracker.model_validate(
    {
        "tenant": "larkspur",
        "kind": "request_tracker",
        "url": "https://rt.example",
        "queue": "Support",
        "fields": {"tags": "Tags"},
    }
)
LINE = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")) | st.sampled_from("'\"\\%_ ()="), max_size=40)


def read(query: str) -> tuple[list[str], list[str]]:
    """The shape of a query, and the values in it."""
    shape, values, place = list[str](), list[str](), 0
    while place < len(query):
        token = _TOKEN.match(query, place)
        assert token, query[place:]
        if token[3]:
            values.append(re.sub(r"\\(.)", r"\1", token[3][1:-1]))
        shape.append("value" if token[3] else token[0].strip())
        place = token.end()
    return shape, values


def asked(**fields: Any) -> str:
    return " AND ".join([*here(DECLARED), *wanted(DECLARED, SearchTickets.model_validate(fields))])


@given(LINE)
def test_every_word_is_a_value_and_nothing_but_a_value(query: str) -> None:
    try:
        args = SearchTickets(query=query)
    except ValueError:
        return
    shape, values = read(" AND ".join(wanted(DECLARED, args)))
    words = values[::2]
    assert values[1::2] == words
    one = ["(", "Subject", "LIKE", "value", "OR", "Content", "LIKE", "value", ")"]
    assert shape == [*one, *["AND", *one] * (len(words) - 1)] if words else shape == []
    assert all(word in query and not re.match(r"cf\.", word, re.IGNORECASE) for word in words)
    assert not any(set(word) & set("%_ ") for word in words)


@given(LINE)
def test_an_assignee_is_one_value_or_refused(assignee: str) -> None:
    try:
        args = SearchTickets(assignee=assignee)
    except ValueError:
        return
    try:
        conditions = wanted(DECLARED, args)
    except InvalidInput:
        assert assignee.casefold().startswith("cf.")
        return
    shape, values = read(" AND ".join(conditions))
    assert (shape, values) == ((["Owner.EmailAddress", "=", "value"], [assignee]) if assignee else ([], []))


def test_all_conditions_are_asked_for_together_and_within_the_queue() -> None:
    query = asked(
        query="o'brien",
        status="pending",
        priority="normal",
        assignee="ben@larkspur.example",
        requester_email="o'brien@nordwind.example",
        tag="vip_1",
    )
    assert query == (
        r"Queue = 'Support' AND Type = 'ticket' AND Status != 'deleted'"
        r" AND (Subject LIKE 'o\'brien' OR Content LIKE 'o\'brien') AND (Status = 'stalled')"
        r" AND Priority >= 50 AND Priority < 75 AND Owner.EmailAddress = 'ben@larkspur.example'"
        r" AND Requestor.EmailAddress = 'o\'brien@nordwind.example' AND CF.{Tags} = 'vip_1'"
    )


@pytest.mark.parametrize("queue", ["Sup'port", "a{b}", 'x"', "x\\"])
def test_a_name_that_could_end_a_value_is_not_taken(queue: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        DECLARED.model_validate({**DECLARED.model_dump(), "queue": queue})
