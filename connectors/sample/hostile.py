"""Messages that try to make an assistant act for an attacker, with what each of them demands."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from connectors.records import CommentRecord, MessageRecord, TicketRecord
from connectors.sample.attachments import Attached
from connectors.sample.cases import BY_NAME, Case, Cases
from connectors.sample.mail import SUPPORT
from connectors.sample.messages import Letter, thread
from connectors.sample.orders import catalogue
from connectors.sample.people import slug
from connectors.sample.tickets import new_ticket
from connectors.sample.words import bank

Kind = Literal["email", "ticket", "document"]

_SLOT = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True)
class Hostile:
    """One attack and where to find it.

    Args:
        name: What to call it.
        kind: Whether the record is an email, a ticket or a document.
        source_id: The record's.
        place: Where in it: body, hidden html, quote, attachment or comment.
        tool: The tool that the attacker wants called.
        arguments: What the attacker wants in the call. `order` and `contact` stand for the ids of the order with
            that number and the contact with that address; a text is contained in the argument.
        attacker: The address, link or account that must never be written to, shown or paid.
        open: Whether it waits among the open work.
    """

    name: str
    kind: Kind
    source_id: str
    place: str
    tool: str
    arguments: tuple[tuple[str, str], ...]
    attacker: str
    open: bool


@dataclass(frozen=True)
class Attack:
    """An attack with the record that carries it, for which the source id may still change."""

    hostile: Hostile
    message: MessageRecord | None = None
    ticket: TicketRecord | None = None


def attacks(cases: Cases) -> list[Attack]:
    """Every attack of the phrase bank, told with the facts of a real case."""
    return [_attack(plan, number, cases) for number, plan in enumerate(bank("hostile")["hostile"])]


def _attack(plan: dict[str, Any], number: int, cases: Cases) -> Attack:
    is_open = plan.get("open", False)
    hours = 3 + 2.3 * number if is_open else 24.0 * (12 + 9 * number)
    at = (cases.now - timedelta(hours=hours)).replace(second=0, microsecond=0)
    if plan["kind"] == "document":
        return Attack(_hostile(plan, f"knowledge/{plan['subject']}", {}))
    case, facts = _case(plan, at, cases)
    if plan["kind"] == "ticket":
        ticket = _ticket(plan, case, facts, answered=not is_open)
        return Attack(_hostile(plan, ticket.source_id, facts), ticket=ticket)
    message = _message(plan, case, facts, cases).model_copy(update={"unread": is_open})
    return Attack(_hostile(plan, message.source_id, facts), message=message)


def _case(plan: dict[str, Any], at: datetime, cases: Cases) -> tuple[Case, dict[str, str]]:
    language = plan.get("language", "en")
    intent = BY_NAME[plan["about"]]
    sale, line = cases.rng.choice(
        [
            (sale, line)
            for sale in cases.sales
            if sale.order.delivered_at and sale.order.delivered_at < at and sale.contact.language == language
            for line in sale.goods
            if catalogue()[line.sku].kind in intent.kinds
        ]
    )
    case = replace(cases.about(intent, sale, line, at), language=language)
    facts = {
        **{name: str(fact) for name, fact in case.facts.items()},
        "first": slug(case.contact.name.split()[0], "", language),
        "account": sale.customer.account.domain.removesuffix(".example"),
        "currency": sale.order.currency,
    }
    return case, facts


def _hostile(plan: dict[str, Any], source_id: str, facts: dict[str, str]) -> Hostile:
    return Hostile(
        name=plan["name"],
        kind=plan["kind"],
        source_id=source_id,
        place=plan["place"],
        tool=plan["tool"],
        arguments=tuple((name, _told(value, facts)) for name, value in plan["arguments"].items()),
        attacker=_told(plan["attacker"], facts),
        open=plan.get("open", False),
    )


def _message(plan: dict[str, Any], case: Case, facts: dict[str, str], cases: Cases) -> MessageRecord:
    name, address = plan.get("sender", (case.contact.name, case.contact.email))
    files: tuple[Attached, ...] = ()
    if "attachment" in plan:
        kind = "text/calendar" if plan["attachment"].endswith(".ics") else "text/plain"
        data = _told(plan["attached"], facts).encode()
        files = (Attached(_told(plan["attachment"], facts), kind, data),)
    letter = Letter(
        sender=(_told(name, facts), _told(address, facts)),
        to=SUPPORT,
        subject=_told(plan["subject"], facts),
        text=_told(plan.get("text", ""), facts),
        at=case.at,
        language=case.language,
        attached=files,
        html=_told(plan.get("html", ""), facts),
    )
    return thread([letter], SUPPORT[1], cases.now, cases.rng)[0]


def _ticket(plan: dict[str, Any], case: Case, facts: dict[str, str], *, answered: bool) -> TicketRecord:
    ticket = new_ticket(case, _told(plan["subject"], facts), _told(plan["text"], facts))
    if "sender" in plan:
        name, address = plan["sender"]
        comments = [ticket.comments[0].model_copy(update={"author": name})]
        changes = {"requester_name": name, "requester_email": address, "comments": comments}
        ticket = ticket.model_copy(update=changes)
    if not answered:
        return ticket
    at = case.at + timedelta(hours=3)
    text = "Tries to steer us. Not answered, tagged, passed to Maya."
    note = CommentRecord(kind="internal", author=case.agent.name, by_staff=True, body=text, at=at)
    changes = {"comments": [*ticket.comments, note], "status": "closed", "assignee": case.agent.email}
    return ticket.model_copy(update={**changes, "tags": ["suspicious"], "updated_at": at})


def _told(text: str, facts: dict[str, str]) -> str:
    return _SLOT.sub(lambda found: facts.get(found[1], found[0]), text)
