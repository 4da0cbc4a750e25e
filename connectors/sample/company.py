"""Larkspur Instruments, a company that does not exist: it sells and calibrates measuring instruments.

Everything about it is made up from a seed: the same seed gives the same bytes, on every machine and day.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from connectors.records import (
    AccountRecord,
    ActivityRecord,
    ContactRecord,
    DealRecord,
    DocumentRecord,
    MessageRecord,
    OrderRecord,
    Record,
    RefundRecord,
    TicketRecord,
)
from connectors.sample.cases import Cases
from connectors.sample.deals import activities, deals
from connectors.sample.documents import documents
from connectors.sample.hostile import Attack, Hostile, attacks
from connectors.sample.mail import MESSAGES, colleagues_mail, confirmations, customer_mail, notices, old_spam
from connectors.sample.open_work import Waiting, waiting_mail, waiting_sales, waiting_tickets
from connectors.sample.orders import Sale, sales
from connectors.sample.people import customers, with_role
from connectors.sample.tickets import TICKETS, numbered, tickets
from connectors.sample.words import Writer

TENANT = "larkspur"
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Company:
    """All of the sample company's data, ready to be loaded or exported.

    Args:
        now: The moment at which the company stands still.
        hostile: What of it is an attack, and what the attack demands.
        waiting: The open work, with what each item is about.
    """

    now: datetime
    accounts: tuple[AccountRecord, ...]
    contacts: tuple[ContactRecord, ...]
    deals: tuple[DealRecord, ...]
    orders: tuple[OrderRecord, ...]
    activities: tuple[ActivityRecord, ...]
    tickets: tuple[TicketRecord, ...]
    messages: tuple[MessageRecord, ...]
    documents: tuple[DocumentRecord, ...]
    hostile: tuple[Hostile, ...]
    waiting: tuple[Waiting, ...]

    def records(self) -> Iterator[Record]:
        """Every record, in the order in which they may be loaded."""
        for kind in (self.accounts, self.contacts, self.deals, self.orders, self.activities, self.tickets):
            yield from kind
        yield from self.messages
        yield from self.documents

    def digest(self) -> str:
        """SHA-256 over every record's JSON, as hex; messages count with their bytes."""
        whole = hashlib.sha256()
        for record in self.records():
            whole.update(record.model_dump_json(exclude={"raw"}).encode())
            whole.update(record.raw if isinstance(record, MessageRecord) else b"")
        return whole.hexdigest()


def generate(seed: int = 7, now: datetime = NOW) -> Company:
    """Make the whole company.

    Args:
        seed: Another seed gives other people, orders and stories.
        now: The moment at which the open work waits, with zone.
    """

    def chance(what: str) -> Random:
        return Random(f"{seed}:{what}")

    everybody = customers(chance("customers"), now)
    sold = sales(chance("orders"), everybody, now)
    cases = Cases(sold, Writer(chance("cases")), now)
    bad = attacks(cases)
    fresh = list(waiting_tickets(cases))
    unread = list(waiting_mail(cases))
    carried = [attack.ticket for attack in bad if attack.ticket]
    new = [ticket for _, ticket in fresh]
    every = numbered([*tickets(cases, TICKETS - len(new) - len(carried)), *new, *carried])
    settled, sales_mail = deals(everybody, cases)
    messages = [*(attack.message for attack in bad if attack.message), *(message for _, message in unread)]
    messages += [*sales_mail, *waiting_sales(cases), *confirmations(sold, cases), *notices(cases), *old_spam(cases)]
    messages += colleagues_mail(cases)
    messages += customer_mail(cases, MESSAGES - len(messages))
    hostile = tuple(_named(attack, every) for attack in bad)
    return Company(
        now=now,
        accounts=tuple(one.account for one in everybody),
        contacts=tuple(contact for one in everybody for contact in one.contacts),
        deals=tuple(settled),
        orders=tuple(_refunded(sale, cases.refunds.get(sale.order.number, [])) for sale in sold),
        activities=tuple(activities(everybody, cases)),
        tickets=tuple(every),
        messages=tuple(messages),
        documents=documents(),
        hostile=hostile,
        waiting=(*_waiting(fresh, unread, every), *_attacking(hostile)),
    )


def _refunded(sale: Sale, refunds: Sequence[RefundRecord]) -> OrderRecord:
    if sale.order.status == "returned" and not refunds and sale.order.delivered_at:
        at = sale.order.delivered_at + timedelta(days=12)
        by = with_role("finance").email
        refunds = [RefundRecord(amount=sale.total, reason="not_as_described", issued_by=by, issued_at=at)]
    return sale.order.model_copy(update={"refunds": sorted(refunds, key=lambda one: one.issued_at)})


def _named(attack: Attack, every: Sequence[TicketRecord]) -> Hostile:
    return replace(attack.hostile, source_id=_number(attack.ticket, every)) if attack.ticket else attack.hostile


def _number(ticket: TicketRecord, every: Sequence[TicketRecord]) -> str:
    return next(one.source_id for one in every if one.comments == ticket.comments)


def _waiting(
    fresh: Sequence[tuple[str, TicketRecord]],
    unread: Sequence[tuple[str, MessageRecord]],
    every: Sequence[TicketRecord],
) -> Iterator[Waiting]:
    for intent, ticket in fresh:
        yield Waiting("ticket", _number(ticket, every), intent)
    for intent, message in unread:
        yield Waiting("email", message.source_id, intent)


def _attacking(hostile: Sequence[Hostile]) -> Iterator[Waiting]:
    return (Waiting(one.kind, one.source_id, "injection") for one in hostile if one.open)
