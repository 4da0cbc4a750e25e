"""Sales in progress and settled, the mail about them, and what colleagues logged."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from connectors.crm.tools import DealStage
from connectors.records import ActivityRecord, DealRecord, MessageRecord
from connectors.sample.cases import Case, Cases
from connectors.sample.conversation import Turn, converse
from connectors.sample.facts import agent_facts, customer_facts, daytime, offer_facts, weekday
from connectors.sample.mail import SALES, conversation
from connectors.sample.orders import Product, catalogue, price
from connectors.sample.people import Customer, speaking
from connectors.sample.words import bank, day

DEALS = 150
ACTIVITIES = 300
_COUNTS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20)


def deals(everybody: Sequence[Customer], cases: Cases) -> tuple[list[DealRecord], list[MessageRecord]]:
    """About 150 deals, each with the conversation that led to its stage."""
    records, messages = [], []
    weights = [4 if one.account.status == "prospect" else 1 for one in everybody]
    instruments = [one for one in catalogue().values() if one.kind in {"balance", "ph", "logger", "conductivity"}]
    for number in range(1, DEALS + 1):
        customer, product = cases.rng.choices(everybody, weights)[0], cases.rng.choice(instruments)
        count = cases.rng.choice(_COUNTS)
        case = _enquiry(customer, product, count, cases)
        turns = _so_far(converse(case, cases), cases)
        messages += conversation(case, turns, SALES, cases)
        amount = price(product, customer.currency, count) * count
        records.append(_deal(number, case, turns, f"{count} x {product.model}", amount, cases))
    return records, messages


def activities(everybody: Sequence[Customer], cases: Cases) -> Iterator[ActivityRecord]:
    """What colleagues logged about customers."""
    actors = {one.account.source_id: one.account.owner for one in everybody}
    for number in range(1, ACTIVITIES + 1):
        sale, line = cases.sold(cases.now)
        span = cases.now - sale.order.placed_at
        at = weekday(daytime(sale.order.placed_at + span * cases.rng.random()))
        plan = cases.writer.pick(bank("internal")["activity"])
        facts = {
            **customer_facts(sale.customer, sale.contact),
            **cases.sale_facts(sale, line, at, "en"),
            "month": cases.rng.choice(bank("en")["months"]),
        }
        yield ActivityRecord(
            source_id=f"activity-{number}",
            kind=plan["kind"],
            subject=cases.writer.fill(plan["subject"], facts),
            body=cases.writer.fill(plan["body"], facts),
            contact=sale.contact.source_id,
            account=sale.customer.account.source_id,
            actor=actors[sale.customer.account.source_id],
            at=min(at, cases.now - timedelta(hours=2)),
        )


def _enquiry(customer: Customer, product: Product, count: int, cases: Cases) -> Case:
    rng = cases.rng
    at = daytime(cases.now - timedelta(days=1.5 + 420 * rng.random() ** 1.4))
    contact = rng.choice(customer.contacts)
    agent = next(one for one in speaking(customer.language, "sales"))
    facts = {
        **customer_facts(customer, contact),
        **agent_facts(agent),
        **offer_facts(product, customer, count, customer.language),
        "eta": day(weekday(at + timedelta(days=21)), customer.language, at.year),
    }
    settled = cases.now - at > timedelta(days=45)
    outcome = rng.choices(("won", "lost", ""), (5, 3, 2))[0] if settled else ""
    return Case("lead", contact, customer, agent, at, customer.language, facts, outcome=outcome)  # type: ignore[arg-type]


def _so_far(turns: Sequence[Turn], cases: Cases) -> Sequence[Turn]:
    """Not every enquiry of the last two weeks has been answered yet."""
    fresh = cases.now - turns[0].at < timedelta(days=14)
    return turns[: cases.rng.choice((1, 2, len(turns)))] if fresh else turns


def _deal(number: int, case: Case, turns: Sequence[Turn], title: str, amount: Decimal, cases: Cases) -> DealRecord:
    last = turns[-1].at
    stage = _stage(case, turns)
    open_until = (max(last, cases.now) + timedelta(days=cases.rng.randint(10, 90))).date()
    return DealRecord(
        source_id=f"deal-{number}",
        account=case.customer.account.source_id,
        title=f"{title} for {case.customer.account.name}",
        stage=stage,
        amount=amount,
        currency=case.customer.currency,
        owner=case.agent.email,
        close_date=last.date() if stage in {"won", "lost"} else open_until,
        next_step=_next_step(stage, case, cases),
        created_at=case.at,
        updated_at=last,
    )


def _stage(case: Case, turns: Sequence[Turn]) -> DealStage:
    if case.outcome in {"won", "lost"}:
        return "won" if case.outcome == "won" else "lost"
    offer = str(case.facts["offer_total"])
    if any(turn.author and offer in turn.text for turn in turns):
        return "proposal" if turns[-1].author and offer in turns[-1].text else "negotiation"
    return "qualified" if len(turns) > 1 else "lead"


def _next_step(stage: DealStage, case: Case, cases: Cases) -> str:
    name = case.contact.name
    steps = {
        "lead": (f"Answer {name}", "Find out which standard they work under"),
        "qualified": ("Write the quotation", f"Ask Nadia about lead time, then write to {name}"),
        "proposal": (f"Ring {name} about the quotation", "Wait for purchasing, reminder next week"),
        "negotiation": ("Offer the first recalibration instead of a discount", f"Decision of {name} expected"),
        "won": ("", "Plan the installation"),
        "lost": ("", "Ask again in spring"),
    }[stage]
    return cases.rng.choice(steps)
