"""What customers write about: a case is one customer's matter about one order, with the facts that its texts use."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import Literal

from connectors.records import ContactRecord, OrderLineRecord, RefundRecord
from connectors.sample.facts import agent_facts, customer_facts, daytime, offer_facts, weekday
from connectors.sample.orders import Sale, catalogue, in_eur, number_for, serial_number
from connectors.sample.people import Colleague, Customer, speaking
from connectors.sample.words import Facts, Writer, bank, day, money

AGENT_LIMIT = 200
LEAD_LIMIT = 2_000
INSTRUMENTS = frozenset({"balance", "ph", "logger", "conductivity"})
GOODS = INSTRUMENTS | {"electrode", "accessory", "solution"}

Anchor = Literal["placed", "due", "delivered"]


@dataclass(frozen=True)
class Intent:
    """A reason to write.

    Args:
        name: Its section in the phrase banks, and its tag on tickets.
        weight: How often it occurs among tickets.
        anchor: What it follows, and within how many days.
        kinds: Product kinds that it may be about.
        pairs: The bank's list of questions with their answers, if it has any.
    """

    name: str
    weight: int
    anchor: Anchor
    days: tuple[float, float]
    kinds: frozenset[str] = GOODS
    pairs: str = ""
    priority: str = "normal"


INTENTS = (
    Intent("late", 13, "due", (0.6, 6), priority="normal"),
    Intent("damaged", 12, "delivered", (0.1, 4), priority="high"),
    Intent("wrong_item", 6, "delivered", (0.1, 3)),
    Intent("refund", 6, "delivered", (2, 26)),
    Intent("refund_outside", 5, "delivered", (40, 220)),
    Intent("calibration", 12, "delivered", (10, 420), INSTRUMENTS | {"electrode"}, "question", "low"),
    Intent("trouble", 16, "delivered", (14, 420), INSTRUMENTS | {"electrode"}, "howto"),
    Intent("certificate", 6, "delivered", (20, 400), INSTRUMENTS, priority="low"),
    Intent("access", 6, "delivered", (1, 300), pairs="portal"),
    Intent("complaint", 4, "delivered", (6, 25), priority="high"),
    Intent("invoice", 11, "placed", (3, 45), pairs="billing"),
    Intent("cancellation", 3, "placed", (0.05, 1.3)),
    Intent("warranty", 6, "delivered", (65, 520), INSTRUMENTS),
    Intent("privacy", 2, "delivered", (30, 500)),
    Intent("lead", 5, "delivered", (20, 400), frozenset({"balance", "ph", "logger", "conductivity"}), priority="low"),
)
BY_NAME = {intent.name: intent for intent in INTENTS}


@dataclass(frozen=True)
class Case:
    """One matter of one contact: when it began, who answers it, and the facts for its texts."""

    intent: str
    contact: ContactRecord
    customer: Customer
    agent: Colleague
    at: datetime
    language: str
    facts: Facts
    sale: Sale | None = None
    line: OrderLineRecord | None = None
    outcome: Literal["", "refunded", "won", "lost"] = ""

    @property
    def amount(self) -> Decimal:
        """What the line cost that the case is about."""
        return self.line.quantity * self.line.unit_price if self.line else Decimal(0)

    @property
    def in_eur(self) -> Decimal:
        return in_eur(self.amount, self.customer.currency)


@dataclass
class Cases:
    """Finds cases that fit the sales, and keeps what was refunded on the way.

    Args:
        sales: Every order there is.
        writer: Source of chance and phrases.
        now: No case begins later.
    """

    sales: Sequence[Sale]
    writer: Writer
    now: datetime
    refunds: dict[str, list[RefundRecord]] = field(default_factory=lambda: defaultdict(list))
    _taken: set[tuple[str, str, str]] = field(default_factory=set)
    _heard: set[str] = field(default_factory=set)

    def any(self) -> Case:
        """A case of any intent, by weight, more than six hours ago."""
        while True:
            intent = self.rng.choices(INTENTS, [one.weight for one in INTENTS])[0]
            sale = self.rng.choice(self.sales)
            if (at := self._moment(intent, sale)) and (lines := self._lines(intent, sale)):
                return self.about(intent, sale, self.rng.choice(lines), at)

    def recent(self, name: str, language: str, at: datetime, cost: tuple[int, int] = (0, 100_000)) -> Case | None:
        """A case of an intent that began at a given moment, in that language if there is one; None if none fits.

        Args:
            name: The intent.
            language: The preferred one.
            at: When the customer writes.
            cost: The line's cost in EUR, from and to.
        """
        intent = BY_NAME[name]
        found = [
            (sale, line)
            for sale in self.sales
            if (start := anchor(intent, sale, still_open=True))
            and intent.days[0] <= (at - start) / timedelta(days=1) <= intent.days[1]
            for line in self._lines(intent, sale)
            if cost[0] <= in_eur(line.quantity * line.unit_price, sale.customer.currency) <= cost[1]
        ]
        new = [one for one in found if one[0].contact.email not in self._heard] or found
        preferred = [one for one in new if one[0].contact.language == language] or new
        if not preferred:
            return None
        sale, line = self.rng.choice(preferred)
        self._heard.add(sale.contact.email)
        return self.about(intent, sale, line, at)

    def sold(self, before: datetime, kinds: Collection[str] = INSTRUMENTS) -> tuple[Sale, OrderLineRecord]:
        """A line of an instrument, or another kind, that somebody ordered before a moment; else any line."""
        every = [(sale, line) for sale in self.sales for line in sale.goods]
        fitting = [
            (sale, line)
            for sale, line in every
            if sale.order.placed_at < before and catalogue()[line.sku].kind in kinds
        ]
        return self.rng.choice(fitting or every)

    def about(self, intent: Intent, sale: Sale, line: OrderLineRecord, at: datetime) -> Case:
        """The case of an intent about one line of a sale."""
        language = sale.contact.language if spoken(intent, sale.contact.language, line) else "en"
        agent = self.rng.choice(speaking(language, "support") if intent.name != "lead" else speaking(language, "sales"))
        facts = {
            **customer_facts(sale.customer, sale.contact),
            **agent_facts(agent),
            **self.sale_facts(sale, line, at, language),
        }
        if intent.name == "lead":
            count = self.rng.choice((2, 3, 4, 5, 6, 8, 10, 12))
            facts |= offer_facts(catalogue()[line.sku], sale.customer, count, language)
        facts |= self._wording(intent, language, line, facts)
        if language == "en":
            facts |= {f"again_{key}": text for key, text in self.writer.pick(bank("en")["again"]).items()}
        outcome: Literal["", "refunded"] = ""
        self._taken.add((section(intent.name), sale.order.number, line.sku))
        if intent.name == "refund" and self.rng.random() < 0.6:
            outcome = "refunded"
        return Case(intent.name, sale.contact, sale.customer, agent, at, language, facts, sale, line, outcome)

    def sale_facts(self, sale: Sale, line: OrderLineRecord, at: datetime, language: str) -> dict[str, object]:
        """The facts about one line of a sale as they stand at a moment."""
        currency = sale.customer.currency
        delivered = sale.order.delivered_at or sale.due_at
        product = catalogue()[line.sku]
        other = self.rng.choice(
            [one for one in catalogue().values() if one.kind == product.kind and one is not product]
        )
        dates = {
            "placed": sale.order.placed_at,
            "delivered": delivered,
            "due": sale.due_at,
            "shipped": sale.shipped_at,
            "eta": weekday(at + timedelta(days=5)),
        }
        return {
            **{name: day(moment, language, at.year) for name, moment in dates.items()},
            "order": sale.order.number,
            "invoice": sale.invoice,
            "po": f"45{number_for(sale.order.number, digits=6)}",
            "tracking": sale.tracking,
            "carrier": sale.carrier,
            "depot": self.rng.choice([town for town in sale.customer.towns if town != sale.customer.town]),
            "model": product.model,
            "kind": bank(language)["kind"][product.kind],
            "product": product.kind,
            "sku": product.sku,
            "serial": serial_number(sale.order.number, line.sku),
            "qty": line.quantity,
            "other": other.model,
            "amount": money(line.quantity * line.unit_price, currency, language),
            "total": money(sale.total, currency, language),
            "weeks": max(2, (at - delivered).days // 7),
            "months": max(2, (at - delivered).days // 30),
            "digit": self.rng.randint(0, 9),
        }

    @property
    def rng(self) -> Random:
        return self.writer.rng

    def _moment(self, intent: Intent, sale: Sale) -> datetime | None:
        start = anchor(intent, sale)
        if start is None:
            return None
        at = daytime(start + timedelta(days=self.rng.uniform(*intent.days)))
        at = max(at, start + timedelta(minutes=17))
        arrived = sale.order.delivered_at
        too_late = at > self.now - timedelta(hours=6) or (intent.name == "late" and arrived and at > arrived)
        return None if too_late else at

    def _lines(self, intent: Intent, sale: Sale) -> list[OrderLineRecord]:
        return [
            line
            for line in sale.order.lines
            if catalogue()[line.sku].kind in intent.kinds
            and (section(intent.name), sale.order.number, line.sku) not in self._taken
        ]

    def _wording(self, intent: Intent, language: str, line: OrderLineRecord, facts: Facts) -> dict[str, str]:
        words, kind = bank(language), catalogue()[line.sku].kind
        if intent.name == "damaged":
            return {"damage": self.writer.write(words["damage"][kind], facts)}
        if not intent.pairs:
            return {}
        pair = self.writer.pick(_pairs(language, intent.pairs, kind))
        found = {name: self.writer.fill(text, facts) for name, text in pair.items() if name != "kind"}
        return {"topic": found.pop("title"), **found}


def anchor(intent: Intent, sale: Sale, *, still_open: bool = False) -> datetime | None:
    """The moment that an intent follows, or None if the sale does not have it.

    Args:
        intent: The reason to write.
        sale: What it would be about.
        still_open: Whether the matter waits now: the order is not cancelled or delivered yet.
    """
    order = sale.order
    if intent.name == "cancellation":
        return order.placed_at if order.status == ("placed" if still_open else "cancelled") else None
    if intent.name == "late":
        late = order.status == "shipped" or (order.delivered_at and order.delivered_at > sale.due_at and not still_open)
        return sale.due_at if late else None
    if order.status == "cancelled":
        return None
    return order.delivered_at if intent.anchor == "delivered" else order.placed_at


def spoken(intent: Intent, language: str, line: OrderLineRecord) -> bool:
    """Whether a language's phrase bank has what an intent about this line needs."""
    words, kind = bank(language), catalogue()[line.sku].kind
    if section(intent.name) not in words:
        return False
    return not intent.pairs or bool(_pairs(language, intent.pairs, kind))


def section(intent: str) -> str:
    """The section of the phrase banks that holds an intent's texts."""
    return "refund" if intent == "refund_outside" else intent


@cache
def _pairs(language: str, name: str, kind: str) -> tuple[dict[str, str], ...]:
    return tuple(pair for pair in bank(language).get(name, ()) if pair.get("kind", kind) == kind)
