"""What texts may say about who writes, who answers, what is offered, and when."""

from datetime import datetime, timedelta

from connectors.records import ContactRecord
from connectors.sample.orders import Product, price
from connectors.sample.people import Colleague, Customer
from connectors.sample.words import bank, money


def customer_facts(customer: Customer, contact: ContactRecord) -> dict[str, object]:
    """The facts about who writes."""
    return {
        "name": contact.name,
        "first": contact.name.split()[0],
        "email": contact.email,
        "title": contact.title,
        "company": customer.account.name,
        "city": customer.town,
        "town": customer.town,
        "phone": contact.phone,
    }


def agent_facts(agent: Colleague) -> dict[str, object]:
    """The facts about who answers."""
    return {"agent": agent.first, "agent_name": agent.name}


def offer_facts(product: Product, customer: Customer, count: int, language: str) -> dict[str, object]:
    """The facts of a quotation for some pieces of a product."""
    each = price(product, customer.currency, count)
    return {
        "n": count,
        "model": product.model,
        "kind": bank(language)["kind"][product.kind],
        "offer": money(each, customer.currency, language),
        "offer_total": money(each * count, customer.currency, language),
    }


def daytime(at: datetime) -> datetime:
    """The same day between seven in the morning and seven at night."""
    return at.replace(hour=7 + at.hour // 2, second=0, microsecond=0)


def weekday(at: datetime) -> datetime:
    """The same moment, or the Monday after it if it falls on a weekend."""
    return at + timedelta(days=max(0, 7 - at.weekday()) if at.weekday() > 4 else 0)
