"""The work that waits: new tickets and unread mail of the last two days, as a triage run finds them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.records import MessageRecord, TicketRecord
from connectors.sample.cases import Case, Cases, section
from connectors.sample.conversation import Turn, greeted
from connectors.sample.hostile import Kind
from connectors.sample.mail import SALES, SUPPORT, conversation, spam
from connectors.sample.tickets import new_ticket, subject_of
from connectors.sample.words import bank

_SMALL, _LARGE, _ANY = (5, 200), (700, 20_000), (0, 100_000)

_TICKETS = (
    ("cancellation", "en", _ANY),
    ("late", "en", _ANY),
    ("refund", "en", _SMALL),
    ("damaged", "de", _ANY),
    ("calibration", "en", _ANY),
    ("refund_outside", "en", _ANY),
    ("access", "en", _ANY),
    ("invoice", "nl", _ANY),
    ("complaint", "en", _ANY),
    ("refund", "fr", _LARGE),
    ("trouble", "sv", _ANY),
    ("lead", "es", _ANY),
    ("warranty", "en", _ANY),
    ("calibration", "de", _ANY),
    ("wrong_item", "en", _ANY),
    ("certificate", "en", _ANY),
    ("privacy", "en", _ANY),
)
_MAIL = (
    ("cancellation", "de", _ANY),
    ("damaged", "en", _ANY),
    ("refund", "de", _SMALL),
    ("late", "fr", _ANY),
    ("lead", "en", _ANY),
    ("invoice", "en", _ANY),
    ("refund", "en", _LARGE),
    ("calibration", "es", _ANY),
    ("complaint", "en", _ANY),
    ("refund_outside", "pl", _ANY),
    ("access", "en", _ANY),
    ("trouble", "it", _ANY),
    ("damaged", "it", _ANY),
    ("late", "en", _ANY),
    ("trouble", "en", _ANY),
)
_SALES = (("lead", "de", _ANY), ("lead", "en", _ANY), ("lead", "fr", _ANY))


@dataclass(frozen=True)
class Waiting:
    """One open item and what it is about: the answer that a triage run is measured by.

    `intent` is an intent's name, `spam`, or `injection`.
    """

    kind: Kind
    source_id: str
    intent: str


def waiting_tickets(cases: Cases) -> Iterator[tuple[str, TicketRecord]]:
    """New tickets with their intents; numbers follow when all tickets are there."""
    moments = _waking(cases.now - timedelta(minutes=35), 96)
    for (name, language, cost), at in zip(_TICKETS, moments, strict=False):
        if case := cases.recent(name, language, at, cost):
            yield name, new_ticket(case, subject_of(case, cases.writer), _asked(case, cases))


def waiting_mail(cases: Cases) -> Iterator[tuple[str, MessageRecord]]:
    """Unread mail to support with its intents."""
    yield from _unread(_MAIL, SUPPORT, cases)
    moments = [cases.now - timedelta(hours=hours, minutes=12) for hours in (4, 19)]
    for message in spam(cases, moments):
        yield "spam", message.model_copy(update={"unread": True})


def waiting_sales(cases: Cases) -> Iterator[MessageRecord]:
    """Unread mail to sales."""
    return (message for _, message in _unread(_SALES, SALES, cases))


def _unread(
    plan: tuple[tuple[str, str, tuple[int, int]], ...], desk: tuple[str, str], cases: Cases
) -> Iterator[tuple[str, MessageRecord]]:
    moments = _waking(cases.now - timedelta(minutes=18), 109)
    for (name, language, cost), at in zip(plan, moments, strict=False):
        if case := cases.recent(name, language, at, cost):
            turn = Turn(None, True, _asked(case, cases), at)
            for message in conversation(case, [turn], desk, cases):
                yield name, message.model_copy(update={"unread": True})


def _waking(at: datetime, step: int) -> Iterator[datetime]:
    """Moments back in time, `step` minutes apart, without the nights."""
    while True:
        at = at - timedelta(hours=11) if at.hour < 6 else at
        yield at
        at -= timedelta(minutes=step)


def _asked(case: Case, cases: Cases) -> str:
    phrases = bank(case.language)[section(case.intent)]
    key = "outside" if case.intent == "refund_outside" else "ask"
    return greeted(case, cases.writer.write(phrases[key], case.facts), cases.writer)
