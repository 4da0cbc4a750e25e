"""Tickets: cases as the help desk keeps them, with public answers and internal notes."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from connectors.records import CommentRecord, TicketRecord
from connectors.sample.cases import BY_NAME, Case, Cases, section
from connectors.sample.conversation import Turn, converse
from connectors.sample.people import with_role
from connectors.sample.words import Writer, bank
from connectors.ticketing.tools import Priority, Status

TICKETS = 1_500
_TAGS = {
    "late": ["delivery"],
    "damaged": ["delivery", "damage"],
    "wrong_item": ["delivery", "warehouse"],
    "refund_outside": ["refund"],
    "trouble": ["technical"],
    "calibration": ["calibration"],
    "certificate": ["calibration", "certificate"],
    "access": ["portal"],
    "lead": ["sales"],
}


def tickets(cases: Cases, count: int) -> list[TicketRecord]:
    """Tickets that were worked on, in no order and without their final numbers."""
    return [_worked(cases.any(), cases) for _ in range(count)]


def numbered(records: Sequence[TicketRecord]) -> list[TicketRecord]:
    """The tickets in the order they came in, numbered."""
    ordered = sorted(records, key=lambda ticket: (ticket.created_at, ticket.requester_email, ticket.subject))
    return [ticket.model_copy(update={"source_id": f"LT-{10_200 + at}"}) for at, ticket in enumerate(ordered, 1)]


def new_ticket(case: Case, subject: str, body: str) -> TicketRecord:
    """A ticket that nobody has looked at."""
    comment = CommentRecord(author=case.contact.name, body=body, at=case.at)
    return _ticket(case, subject, [comment], "new", "normal", "", [])


def subject_of(case: Case, writer: Writer) -> str:
    """A subject line for a case, as its customer would write it."""
    text = writer.write(bank(case.language)[section(case.intent)]["subject"], case.facts)
    return text[:1].upper() + text[1:]


def _worked(case: Case, cases: Cases) -> TicketRecord:
    rng = cases.rng
    turns = converse(case, cases)
    priority: Priority = BY_NAME[case.intent].priority  # type: ignore[assignment]
    if case.customer.account.tier == "key" and case.intent != "invoice":
        priority = {"low": "normal", "normal": "high"}.get(priority, "urgent")  # type: ignore[assignment]
    tags = [*_TAGS.get(case.intent, [case.intent])]
    if rng.random() < 0.2:
        tags.append(rng.choice(("callback", "key-account", "repeat", "waiting-for-parts", "documents")))
    escalated = any(turn.author == with_role("lead") for turn in turns)
    assignee = with_role("lead").email if escalated and rng.random() < 0.5 else case.agent.email
    comments = [_comment(turn, case) for turn in turns]
    return _ticket(case, subject_of(case, cases.writer), comments, _status(turns, cases.now), priority, assignee, tags)


def _ticket(
    case: Case,
    subject: str,
    comments: list[CommentRecord],
    status: Status,
    priority: Priority,
    assignee: str,
    tags: list[str],
) -> TicketRecord:
    return TicketRecord(
        source_id="LT-0",
        subject=subject,
        status=status,
        priority=priority,
        requester_name=case.contact.name,
        requester_email=case.contact.email,
        assignee=assignee,
        tags=tags,
        comments=comments,
        created_at=case.at,
        updated_at=comments[-1].at,
    )


def _comment(turn: Turn, case: Case) -> CommentRecord:
    author = turn.author.name if turn.author else case.contact.name
    kind = "public" if turn.public else "internal"
    return CommentRecord(kind=kind, author=author, by_staff=turn.author is not None, body=turn.text, at=turn.at)


def _status(turns: Sequence[Turn], now: datetime) -> Status:
    age = now - turns[-1].at
    waits_for_us = turns[-1].author is None and len(turns) < 3
    if age > timedelta(days=24):
        return "closed"
    if waits_for_us and age < timedelta(days=4):
        return "open"
    if turns[-1].author and turns[-1].public and age < timedelta(days=5):
        return "pending"
    return "solved" if age > timedelta(days=2) else "open"
