"""What the security team says of a field's writer and readers counts, and a mistake has its place."""

from datetime import UTC, datetime

import pytest

from connectors.contract import Author, Confidentiality
from connectors.registry import TOOLS
from connectors.ticketing.tools import Comment, Ticket
from gateway.flow.reading import read
from gateway.policy.files.labels import Relabel, read_labels, relabelled
from gateway.policy.language.flow import Integrity
from gateway.policy.problem import Problem

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
BY_NAME = {tool.name: tool for tool in TOOLS}


def lines(text: str) -> tuple[Relabel, ...]:
    problems: list[Problem] = []
    found = read_labels(text, TOOLS, problems)
    assert problems == []
    return found


def mistakes(text: str) -> list[str]:
    problems: list[Problem] = []
    read_labels(text, TOOLS, problems)
    return [str(problem) for problem in problems]


def label_of(path: str, text: str, *, by_staff: bool = True) -> tuple[Author, Integrity, Confidentiality]:
    comment = Comment(id="com_0001", kind="public", author="Ana", by_staff=by_staff, body="We look into it", at=NOW)
    ticket = Ticket(
        id="tic_0001", subject="Help", status="open", priority="normal", requester_name="", tags=[], comment_count=1,
        requester_email="lena@brightlab.example", created_at=NOW, updated_at=NOW, version=1, comments=[comment],
    )  # fmt: skip
    tool = relabelled(BY_NAME["ticket_get_ticket"], lines(text))
    [piece] = [each for each in read(tool, ticket.model_dump()).values if each.path == path]
    return piece.author, piece.label.integrity, piece.label.confidentiality


def test_a_field_that_policy_trusts_is_the_organisations() -> None:
    said = "label, ticket_get_ticket, subject, organisation, public, we write the subjects ourselves"
    assert label_of("subject", said) == (Author.ORGANISATION, Integrity.ORGANISATION, Confidentiality.PUBLIC)


def test_a_field_that_policy_gives_to_outsiders_is_theirs_whatever_the_record_says() -> None:
    said = "label, ticket_get_ticket, comments[].body, outsider, -, staff paste what customers send"
    assert label_of("comments[].body", "")[0] is Author.ORGANISATION
    assert label_of("comments[].body", said)[:2] == (Author.OUTSIDER, Integrity.ANYONE)


def test_confidentiality_alone_leaves_the_author() -> None:
    said = "label, ticket_get_ticket, comments[].body, -, secret, security incidents"
    assert label_of("comments[].body", said) == (Author.ORGANISATION, Integrity.ORGANISATION, Confidentiality.SECRET)


def test_what_is_said_of_one_tool_leaves_the_others_alone() -> None:
    said = lines("label, ticket_get_ticket, subject, organisation, -, ours")
    other = BY_NAME["ticket_search_tickets"]
    assert relabelled(other, said) is other


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("labels, a, b, c, d, e", "1:1: error: unknown line type `labels`: lines of labels.csv start with `label`"),
        ("label, crm_get_contact, notes", "1:1: error: expected 6 columns"),
        (
            "label, crm_get_contct, notes, outsider, -, x",
            "unknown tool `crm_get_contct` — did you mean `crm_get_contact`?",
        ),
        ("label, crm_get_contact, note, outsider, -, x", "gives no text `note` — did you mean `notes`?"),
        ("label, crm_get_contact, version, outsider, -, x", "gives no text `version`"),
        ("label, crm_get_contact, notes, anyone, -, x", "1:32: error: unknown author `anyone`"),
        ("label, crm_get_contact, notes, -, hidden, x", "unknown confidentiality `hidden`"),
        ("label, crm_get_contact, notes, -, -, x", "the line changes nothing"),
        ("label, crm_get_contact, notes, outsider, -, ", "say in the note why"),
        (
            "label, crm_get_contact, notes, outsider, -, x\nlabel, crm_get_contact, notes, -, secret, x",
            "2:25: error: `notes`",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, said: str) -> None:
    [mistake] = mistakes(text)
    assert said in mistake
