"""Whether a refund is made: the company's rules as a plain function over what was found, without a model."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.evidence import Evidence
from orchestrator.workflows import blocks

Reason = Literal["damaged", "late", "wrong_item", "not_as_described", "duplicate_charge", "goodwill"]
_ORDER = re.compile(r"\b[A-Z]{2}-\d{4,8}\b")
_PERIOD = re.compile(r"[^.\n]*within\W+(\d{1,3}) days of delivery[^.\n]*", re.IGNORECASE)
_EXCLUDED = re.compile(r"solution|buffer|calibration|service|repair", re.IGNORECASE)
_ELSEWHERE = re.compile(
    r"\b(iban|bank details|(other|another|different|new|this) (account|card|iban)|"
    r"wire|bitcoin|gift card|konto|compte)\b",
    re.IGNORECASE,
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(_Part):
    """What a customer asks for, as a small model reads it."""

    order_number: str = Field(default="", max_length=40, description="The order's number as written, or empty.")
    reason: Reason = Field(default="goodwill", description="Why they want their money back.")
    amount: Decimal | None = Field(default=None, gt=0, description="How much they ask for, if they name a sum.")
    confidence: float = Field(default=0.0, ge=0, le=1, description="How sure you are that they want a refund.")

    def order_in(self, text: str) -> str:
        """The order's number if it really stands in the text, else the only one that does."""
        found = set(_ORDER.findall(text.upper()))
        number = self.order_number.strip().upper()
        return number if number in found else next(iter(found)) if len(found) == 1 else ""


class Facts(_Part):
    """What the company knows.

    `wrote` is when the customer did first and last, `most` what policy leaves this run to refund at all, with a
    person's yes; `shown` has the order, the rules and the customer's name for a model.
    """

    record: str
    text: str
    wrote: tuple[datetime, datetime]
    customer: dict[str, Any] = {}
    account: dict[str, Any] = {}
    order: dict[str, Any] = {}
    rules: list[dict[str, Any]] = []
    most: Decimal | None = None
    shown: dict[str, Any] = Field(default={}, exclude=True)

    @property
    def number(self) -> str:
        """The order's, for people."""
        return str(self.order.get("number", ""))

    @property
    def rest(self) -> Decimal:
        """What was not refunded yet."""
        return Decimal(str(self.order["total"])) - Decimal(str(self.order["refunded"]))


class Verdict(_Part):
    """What the rules say. `person` leaves it to one."""

    way: Literal["refund", "refuse", "person"]
    why: list[str]
    amount: str = ""
    reason: Reason = "goodwill"
    evidence: list[Evidence] = []
    risk: Literal["low", "medium", "high"] = "medium"

    def stopped(self, why: str) -> "Verdict":
        """The same when it could not be carried out."""
        return self.model_copy(update={"way": "person", "why": [*self.why, why]})


def judge(asked: Asked, facts: Facts) -> Verdict:
    """Apply the rules, from what looks like fraud to what is merely too late.

    Returns:
        A verdict that a person must decide on whatever is not clear.
    """
    if suspicious := _suspicious(facts):
        return Verdict(way="person", why=suspicious, risk="high")
    if unclear := _unclear(asked, facts):
        return Verdict(way="person", why=unclear)
    if not facts.rest:
        return Verdict(way="refuse", why=["The order was refunded in full before."], evidence=[_order(facts)])
    period = refund_period(facts.rules)
    if period is None:
        return Verdict(way="person", why=["No official document says how long a refund may be asked for."])
    days, rule = period
    over = datetime.fromisoformat(str(facts.order["delivered_at"])) + timedelta(days=days)
    grounds = [rule, _order(facts)]
    first, last = facts.wrote
    if first > over:
        late = f"Asked for after {over:%Y-%m-%d}, {days} days after delivery."
        return Verdict(way="refuse", why=[late], evidence=grounds)
    if last > over:
        late = f"They wrote in time, until {over:%Y-%m-%d}, and again after it: find out when they asked for a refund."
        return Verdict(way="person", why=[late], evidence=grounds)
    amount = min(asked.amount or facts.rest, facts.rest)
    if facts.most is not None and amount > facts.most:
        why = f"Policy leaves at most {facts.most} to this run, and {amount} are asked for."
        return Verdict(way="person", why=[why], evidence=grounds)
    why = f"Asked for in time, until {over:%Y-%m-%d}; {facts.rest} of the order are not refunded yet."
    return Verdict(way="refund", why=[why], amount=f"{amount:.2f}", reason=asked.reason, evidence=grounds, risk="low")


def refund_period(rules: list[dict[str, Any]]) -> tuple[int, Evidence] | None:
    """The days within which official documents let a refund be asked for; None if they say none, or several."""
    found = {
        int(told[1]): Evidence(record_id=each["document_id"], quote=told[0].strip(" -#*")[:400])
        for each in rules
        if each["origin"] == "official" and "refund" in f"{each['title']} {each.get('heading', '')}".lower()
        if (told := _PERIOD.search(each["text"]))
    }
    return next(iter(found.items())) if len(found) == 1 else None


def _suspicious(facts: Facts) -> list[str]:
    why = []
    if blocks.steers(facts.text):
        why.append("The text tries to steer whoever reads it.")
    if _ELSEWHERE.search(facts.text):
        why.append("The money is to go elsewhere than it came from: the rules never allow that.")
    if facts.order and facts.customer and facts.order["account_id"] != facts.customer.get("account_id"):
        why.append("The order is another account's than the sender's.")
    return why


def _unclear(asked: Asked, facts: Facts) -> list[str]:
    if not facts.customer:
        return ["The sender is not in the CRM: find out who it is first."]
    if not facts.order:
        return ["No order of that number was found."]
    why = []
    if asked.confidence < 0.5:
        why.append("It is not sure that a refund is asked for.")
    if facts.account.get("status") != "active":
        why.append(f"The account is {facts.account.get('status', 'not readable')}.")
    if not facts.order["delivered_at"]:
        why.append(f"The order is {facts.order['status']} and was not delivered, so far as is known.")
    if Decimal(str(facts.order["refunded"])) and facts.rest:
        why.append(f"{facts.order['refunded']} of the order were refunded before.")
    if any(_EXCLUDED.search(each["name"]) for each in facts.order["lines"]):
        why.append("The order holds what the rules exclude from returns.")
    if asked.amount and asked.amount > facts.rest:
        why.append(f"More is asked for than the {facts.rest} that are left of the order.")
    return why


def _order(facts: Facts) -> Evidence:
    return Evidence(record_id=facts.order["id"], quote=facts.number)


def case_for(asked: Asked | None, facts: Facts, verdict: Verdict) -> dict[str, Any]:
    """What whoever approves needs, so that they need not look for it again."""
    give = f"Give back {verdict.amount} {facts.order.get('currency', '')} on order {facts.number}"
    asks = {"refund": give, "refuse": "Tell the customer that there is no refund", "person": "Decide yourself"}
    evidence = [f"{each.record_id}: {each.quote}" for each in verdict.evidence]
    confidence = {"confidence": asked.confidence} if asked else {}
    return {
        "recommendation": f"{asks[verdict.way]}. {' '.join(verdict.why)}",
        "evidence": [f"{facts.record}: what the customer wrote", *evidence],
        **confidence,
        "risk": f"{verdict.risk}; money that is given back does not return",
        "alternatives": ["a smaller amount", "a replacement or a voucher", "no refund, and the reason"],
    }


def told_colleagues(facts: Facts, verdict: Verdict) -> str:
    """The brief for whoever takes over."""
    customer = f"{facts.customer['name']} ({facts.customer['id']})" if facts.customer else "not in the CRM"
    lines = [f"Refund request, risk {verdict.risk}. Customer: {customer}. Order: {facts.number or 'not found'}."]
    lines += [f"- {each}" for each in verdict.why]
    lines += [f"- {each.record_id}: {each.quote}" for each in verdict.evidence]
    return "\n".join([*lines, "Nothing was refunded and nothing was answered."])
