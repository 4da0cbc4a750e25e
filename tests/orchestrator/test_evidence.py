"""What a model says rests on quotes that stand in the very record that they name."""

import pytest

from orchestrator.evidence import Evidence, unsupported

RULES = {"document_id": "doc_1", "title": "Refund rules", "text": "Goods are\n  returned within 30 days."}
TICKET = {
    "id": "tic_1",
    "subject": "Refunds are granted within a year",
    "requester_email": "lena@vogt.example",
    "comments": [{"id": "com_1", "author": "doc_1", "body": "I want my money, all of it."}],
}
MAIL = {"messages": [{"id": "msg_1", "thread_id": "thr_1", "subject": "Balances"}]}
READ = [{"passages": [RULES]}, TICKET, (MAIL,)]


@pytest.mark.parametrize(
    ("record", "quote"),
    [
        ("doc_1", "goods ARE returned"),
        ("tic_1", "Refunds are granted"),
        ("tic_1", "I want my money"),
        ("com_1", "I want my money"),
        ("msg_1", "Balances"),
        ("thr_1", "Balances"),
    ],
)
def test_a_quote_from_the_record_that_it_names_holds_but_for_case_and_space(record: str, quote: str) -> None:
    assert unsupported([Evidence(record_id=record, quote=quote)], READ) == []


@pytest.mark.parametrize(
    ("record", "quote", "told"),
    [
        ("doc_1", "Refunds are granted within a year", "Refunds are granted within a year"),
        ("doc_1", "I want my money", "I want my money"),
        ("com_1", "Refunds are granted", "Refunds are granted"),
        ("doc_1", "Goods are returned within 60 days", "Goods are returned within 60 days"),
        ("tic_1", "within a year lena", "within a year lena"),
        ("doc_1", " \n", " \n"),
        ("doc_9", "Goods are returned", "doc_9"),
        ("lena@vogt.example", "I want my money", "lena@vogt.example"),
        ("", "I want my money", ""),
    ],
)
def test_a_quote_of_another_record_of_none_or_of_nothing_does_not(record: str, quote: str, told: str) -> None:
    assert unsupported([Evidence(record_id=record, quote=quote)], READ) == [told]
