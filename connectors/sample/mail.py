"""The mailboxes: customers' conversations, orders, sales, colleagues among themselves, and machines."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connectors.records import MessageRecord, OrderLineRecord
from connectors.sample.attachments import Attached, invitation, note, pdf, photo, readings, table
from connectors.sample.cases import INSTRUMENTS, Case, Cases
from connectors.sample.conversation import Turn, converse, office
from connectors.sample.facts import customer_facts, daytime, weekday
from connectors.sample.messages import Letter, Person, thread
from connectors.sample.orders import Sale, catalogue, number_for
from connectors.sample.people import DOMAIN, Colleague, colleagues, slug
from connectors.sample.tickets import subject_of
from connectors.sample.words import bank, day, money

MESSAGES = 3_000
SUPPORT: Person = ("Larkspur Support", f"support@{DOMAIN}")
SALES: Person = ("Larkspur Sales", f"sales@{DOMAIN}")
PERSONAL = ("ana.ruiz", "maya.okafor", "tom.lindqvist")

_INTERNAL_THREADS = 95
_NOTICES = 150
_SPAM = 24


def customer_mail(cases: Cases, count: int) -> Iterator[MessageRecord]:
    """Conversations with support, at least `count` messages."""
    while count > 0:
        case = cases.any()
        messages = conversation(case, converse(case, cases), SUPPORT, cases)
        count -= len(messages)
        yield from messages


def conversation(case: Case, turns: Sequence[Turn], desk: Person, cases: Cases) -> list[MessageRecord]:
    """A case's public messages as mail between the customer and one of the company's mailboxes."""
    subject, rng = subject_of(case, cases.writer), cases.rng
    customer = (case.contact.name, case.contact.email)
    others = [one for one in case.customer.contacts if one != case.contact]
    copied = rng.choice(others) if others and rng.random() < 0.15 else None
    cc = ((copied.name, copied.email),) if copied else ()
    letters = []
    for turn in (turn for turn in turns if turn.public):
        letter = Letter(customer, desk, subject, turn.text, turn.at, case.language, case.customer.account.country, cc)
        if turn.author:
            text = f"{turn.text}\n\n{_signature(turn.author, desk)}"
            letter = replace(letter, sender=desk, to=customer, text=text, country="Germany")
        first = turn is turns[0]
        letters.append(replace(letter, attached=_files(case, turn, cases, first=first)))
    return thread(letters, desk[1], cases.now, rng)


def confirmations(sales: Sequence[Sale], cases: Cases) -> Iterator[MessageRecord]:
    """One confirmation for each order, in the customer's language, with a PDF."""
    for sale in sales:
        language, contact = sale.contact.language, sale.contact
        at = sale.order.placed_at + timedelta(minutes=cases.rng.randint(4, 50))
        facts = customer_facts(sale.customer, contact) | cases.sale_facts(sale, sale.order.lines[0], at, language)
        lines = [
            f"{line.quantity} x {line.name} ({line.sku}): "
            f"{money(line.unit_price * line.quantity, sale.order.currency, language)}"
            for line in sale.order.lines
        ]
        words = bank(language)
        subject = words["confirmation"]["subject"][0].format_map(facts)
        text = words["confirmation"]["body"][0].format_map({**facts, "lines": "\n".join(lines)})
        greeting = cases.writer.write(words["staff_greeting"], facts)
        papers = pdf(f"{sale.order.number}.pdf", subject, [contact.name, sale.customer.account.name, "", *lines])
        body = f"{greeting}\n\n{text}\n\nLarkspur Instruments\nsales@{DOMAIN}"
        letter = Letter(SALES, (contact.name, contact.email), subject, body, at, language, attached=(papers,))
        yield from thread([letter], SALES[1], cases.now, cases.rng)


def colleagues_mail(cases: Cases) -> Iterator[MessageRecord]:
    """Threads between colleagues, each in the mailbox of one of them."""
    people = {one.email.partition("@")[0]: one for one in colleagues()}
    for _ in range(_INTERNAL_THREADS):
        plan = cases.writer.pick(bank("internal")["thread"])
        at = weekday(daytime(cases.now - timedelta(days=1 + 330 * cases.rng.random())))
        facts = _facts(cases, at, *cases.sold(at, plan.get("kinds", INSTRUMENTS)))
        subject = cases.writer.fill(plan["subject"], facts)
        who = [people[name] for name in plan["who"]]
        owner = next((one for one in who if one.email.partition("@")[0] in PERSONAL), who[0])
        letters = []
        for number, (author, text) in enumerate(zip(who, plan["turns"], strict=False)):
            at = office(at + timedelta(minutes=cases.rng.randint(8, 400))) if number else at
            if at >= cases.now:
                break
            reader = who[number - 1] if number else who[1]
            body = f"{cases.writer.fill(text, facts)}\n\n{author.first}"
            files = _internal_files(plan.get("attach", ""), subject, author, cases, at) if number == 0 else ()
            pair = (author.name, author.email), (reader.name, reader.email)
            letters.append(Letter(*pair, subject, body, at, attached=files))
        yield from thread(letters, owner.email, cases.now, cases.rng)


def notices(cases: Cases) -> Iterator[MessageRecord]:
    """What carriers, suppliers and newsletters send by themselves."""
    for _ in range(_NOTICES):
        plan = cases.writer.pick(bank("internal")["notice"])
        at = (cases.now - timedelta(days=2 + 400 * cases.rng.random() ** 1.5)).replace(second=0, microsecond=0)
        sale, line = cases.sold(at)
        events = plan["events"]
        if "done" in plan:
            arrived = sale.order.delivered_at
            at, events = (arrived, plan["done"]) if arrived else (sale.shipped_at + timedelta(hours=9), events)
        if at > cases.now:
            continue
        facts = _facts(cases, at, sale, line)
        facts["event"] = cases.writer.write(events, facts)
        name, address = (part.format_map(facts) for part in plan["from"])
        to = ("", f"{plan['to']}@{DOMAIN}")
        letter = Letter((name, address), to, plan["subject"].format_map(facts), plan["text"].format_map(facts), at)
        yield from thread([letter], to[1], cases.now, cases.rng)


def spam(cases: Cases, moments: Sequence[datetime]) -> Iterator[MessageRecord]:
    """Unwanted mail to support, one at each moment."""
    for at in moments:
        plan = cases.writer.pick(bank("internal")["spam"])
        name, address = plan["from"]
        letter = Letter((name, address), SUPPORT, plan["subject"], plan["text"], at)
        yield from thread([letter], SUPPORT[1], cases.now, cases.rng)


def old_spam(cases: Cases) -> Iterator[MessageRecord]:
    """Unwanted mail of the past year."""
    days = sorted(cases.rng.uniform(5, 360) for _ in range(_SPAM))
    yield from spam(cases, [(cases.now - timedelta(days=one)).replace(second=0, microsecond=0) for one in days])


def _facts(cases: Cases, at: datetime, sale: Sale, line: OrderLineRecord) -> dict[str, Any]:
    return {
        **customer_facts(sale.customer, sale.contact),
        **cases.sale_facts(sale, line, at, "en"),
        "n": cases.rng.randint(3, 24),
        "day": cases.rng.choice(("Monday", "Tuesday", "Wednesday", "Thursday")),
        "month": bank("en")["months"][at.month - 1],
        "today": day(at, "en"),
        "date": day(at + timedelta(days=cases.rng.randint(0, 9)), "en"),
        "carrier_domain": f"{slug(sale.carrier)}.example",
        "digits": number_for(f"{at}"),
    }


def _signature(author: Colleague, desk: Person) -> str:
    return f"-- \n{author.name}\nLarkspur Instruments | {desk[1]}\nhttps://www.{DOMAIN}"


def _files(case: Case, turn: Turn, cases: Cases, *, first: bool) -> tuple[Attached, ...]:
    """The files that a message speaks of, or that such a message usually carries."""
    rng, sale, line = cases.rng, case.sale, case.line
    if not sale or not line:
        offered = bool(turn.author) and str(case.facts["offer"]) in turn.text
        lines = [f"{case.facts['n']} x {case.facts['model']}", str(case.facts["offer_total"])]
        return (pdf("quotation.pdf", "Quotation", [case.customer.account.name, *lines]),) if offered else ()
    number, serial = sale.order.number, str(case.facts["serial"])
    if case.intent == "damaged" and not turn.author and serial in turn.text:
        return (photo(f"{number}-damage.png", rng),)
    if case.intent == "damaged" and first and rng.random() < 0.5:
        return tuple(photo(f"IMG_{rng.randint(1000, 9999)}.png", rng) for _ in range(rng.choice((1, 1, 2))))
    if case.intent == "trouble" and first and catalogue()[line.sku].kind == "logger":
        return (readings(f"{serial}.csv", turn.at - timedelta(days=1), rng),)
    if case.intent == "trouble" and first and catalogue()[line.sku].kind in INSTRUMENTS and rng.random() < 0.25:
        text = f"{line.name}\nS/N {serial}\nFirmware 2.1{case.facts['digit']}\nSelf test: passed\nLast adjustment: ok\n"
        return (note("selftest.txt", text),)
    if case.intent == "invoice" and (turn.author or rng.random() < 0.4):
        lines = [sale.customer.account.name, number, *(f"{one.quantity} x {one.name}" for one in sale.order.lines)]
        return (pdf(f"{sale.invoice}.pdf", f"Invoice {sale.invoice}", [*lines, f"Total {sale.total}"]),)
    if case.intent == "certificate" and turn.author:
        return (pdf(f"C-{serial}.pdf", f"Calibration certificate C-{serial}", [line.name, f"S/N {serial}"]),)
    return ()


def _internal_files(kind: str, subject: str, author: Colleague, cases: Cases, at: datetime) -> tuple[Attached, ...]:
    if kind == "ics":
        return (invitation("invitation.ics", subject, weekday(at + timedelta(days=4)).replace(hour=9), author.email),)
    if kind == "csv":
        rows = [("order", "amount", "currency", "issued_by")]
        for number, refunds in sorted(cases.refunds.items())[:12]:
            rows += [(number, str(one.amount), "", one.issued_by) for one in refunds]
        return (table("refunds.csv", rows),)
    return ()
