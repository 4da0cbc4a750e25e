"""What Larkspur sells, and what its customers ordered."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random

from connectors.crm.tools import OrderStatus
from connectors.records import ContactRecord, OrderLineRecord, OrderRecord
from connectors.sample.people import Customer
from connectors.sample.words import bank

ORDERS = 400
RATES = {"EUR": "1", "GBP": "0.86", "USD": "1.09", "CHF": "0.96", "SEK": "11.4", "PLN": "4.3"}

_CARRIERS = {
    "United Kingdom": ("Harbour Express", "HX", 5),
    "Ireland": ("Harbour Express", "HX", 5),
    "United States": ("Harbour Express", "HX", 8),
    "Switzerland": ("Alpen Kurier", "AK", 4),
    "Sweden": ("Baltparcel", "BP", 4),
    "Poland": ("Baltparcel", "BP", 4),
}
_NORDVIA = ("Nordvia", "NV", 3)
_COMMON = {
    "balance": 5,
    "ph": 5,
    "electrode": 7,
    "conductivity": 3,
    "logger": 8,
    "accessory": 7,
    "solution": 10,
    "service": 4,
}


@dataclass(frozen=True)
class Product:
    """An article; `kind` is a key of the phrase banks' `kind` table."""

    sku: str
    model: str
    name: str
    kind: str
    price: int


@dataclass(frozen=True)
class Sale:
    """An order with the customer behind it and what the parcel's papers say."""

    order: OrderRecord
    customer: Customer
    contact: ContactRecord
    shipped_at: datetime
    due_at: datetime
    carrier: str
    tracking: str

    @property
    def total(self) -> Decimal:
        return sum((line.quantity * line.unit_price for line in self.order.lines), Decimal(0))

    @property
    def invoice(self) -> str:
        return f"INV-{int(self.order.number.removeprefix('LI-')) + 51_000}"

    @property
    def goods(self) -> tuple[OrderLineRecord, ...]:
        """The lines that are things, not services."""
        return tuple(line for line in self.order.lines if catalogue()[line.sku].kind != "service")


@cache
def catalogue() -> dict[str, Product]:
    """Every product by its article number."""
    return {one["sku"]: Product(**one) for one in bank("products")["product"]}


def price(product: Product, currency: str, quantity: int = 1) -> Decimal:
    """The price of one piece in a currency, with the discount for the quantity."""
    whole = (product.price * Decimal(RATES[currency])).quantize(Decimal(1))
    discount = Decimal("0.93") if quantity >= 10 else Decimal("0.96") if quantity >= 5 else Decimal(1)
    return (whole * discount).quantize(Decimal("0.01"))


def in_eur(amount: Decimal, currency: str) -> Decimal:
    """An amount in EUR, for the limits that are set in it."""
    return amount / Decimal(RATES[currency])


def number_for(*parts: str, digits: int = 5) -> str:
    """A number that always belongs to the same thing, such as an instrument's serial number."""
    low = 10 ** (digits - 1)
    return str(low + zlib.crc32("/".join(parts).encode()) % (9 * low))


def serial_number(order: str, sku: str) -> str:
    """The serial number of the first piece of an order's line."""
    return f"{sku.split('-')[1]}{number_for(order, sku, digits=6)}"


def sales(rng: Random, everybody: Sequence[Customer], now: datetime) -> tuple[Sale, ...]:
    """About 400 orders, denser towards `now`, oldest first."""
    buyers = [one for one in everybody if one.account.status != "prospect"]
    weights = [{"key": 8, "plus": 3, "standard": 1}[one.account.tier] for one in buyers]
    placed = sorted(now - timedelta(days=0.2 + 600 * rng.random() ** 1.7) for _ in range(ORDERS))
    number, found = 20_011, []
    for at in placed:
        number += rng.randint(1, 4)
        found.append(_sale(f"LI-{number}", rng.choices(buyers, weights)[0], _to_minute(at), rng, now))
    return tuple(found)


def _sale(number: str, customer: Customer, placed: datetime, rng: Random, now: datetime) -> Sale:
    carrier, prefix, days = _CARRIERS.get(customer.account.country, _NORDVIA)
    shipped = _working(placed + timedelta(hours=rng.uniform(3, 36)))
    due = _working(placed + timedelta(days=days + 3))
    late = rng.random() < 0.24
    arrival = due + timedelta(days=rng.uniform(2, 9)) if late else due - timedelta(days=rng.uniform(0, 2.5))
    arrival = _working(max(arrival, shipped + timedelta(days=1)))
    cancelled = rng.random() < 0.05
    delivered = None if cancelled or arrival > now else arrival
    contact = rng.choice(customer.contacts)
    order = OrderRecord(
        source_id=f"order-{number}",
        number=number,
        account=customer.account.source_id,
        contact=contact.source_id,
        status="cancelled" if cancelled else _status(shipped, delivered, now, rng),
        currency=customer.currency,
        lines=_lines(customer.currency, rng),
        placed_at=placed,
        delivered_at=delivered,
    )
    return Sale(order, customer, contact, shipped, due, carrier, f"{prefix}{number_for(number, digits=9)}")


def _status(shipped: datetime, delivered: datetime | None, now: datetime, rng: Random) -> OrderStatus:
    if delivered:
        return "returned" if rng.random() < 0.03 and now - delivered > timedelta(days=30) else "delivered"
    return "shipped" if shipped < now else "placed"


def _lines(currency: str, rng: Random) -> list[OrderLineRecord]:
    products = list(catalogue().values())
    weights = [_COMMON[product.kind] for product in products]
    first = next(one for one in rng.choices(products, weights, k=50) if one.kind != "service")
    chosen = dict.fromkeys([first, *rng.choices(products, weights, k=rng.choice((0, 0, 1, 1, 2, 3)))])
    lines = []
    for product in chosen:
        few = product.price > 400 or product.kind == "service"
        quantity = rng.choice((1, 1, 1, 1, 2)) if few else rng.choice((1, 1, 2, 2, 3, 4, 5, 6, 10, 12))
        unit = price(product, currency, quantity)
        lines.append(OrderLineRecord(sku=product.sku, name=product.name, quantity=quantity, unit_price=unit))
    return lines


def _to_minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _working(at: datetime) -> datetime:
    """The same moment in a working day: weekends move to Monday, nights to the morning."""
    at = at.replace(hour=8 + at.hour * 9 // 24, second=0, microsecond=0)
    return at + timedelta(days=max(0, 7 - at.weekday()) if at.weekday() > 4 else 0)
