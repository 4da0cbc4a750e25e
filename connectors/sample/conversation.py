"""How a case goes on: who writes what, and when."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from connectors.records import RefundRecord
from connectors.sample.cases import AGENT_LIMIT, LEAD_LIMIT, Case, Cases, section
from connectors.sample.facts import daytime, weekday
from connectors.sample.people import Colleague, with_role
from connectors.sample.words import Writer, bank, opened

Voice = Literal["customer", "agent", "note", "lead"]


@dataclass(frozen=True)
class Turn:
    """One message of a conversation; `author` is None when the customer writes."""

    author: Colleague | None
    public: bool
    text: str
    at: datetime


@dataclass(frozen=True)
class Step:
    """One possible message: its phrases' key, who writes it, how often, and the step that it needs before it."""

    key: str
    voice: Voice
    chance: float = 1.0
    needs: str = ""


_USUAL = (
    Step("ask", "customer"),
    Step("note", "note", 0.3),
    Step("probe", "agent", 0.35),
    Step("detail", "customer", needs="probe"),
    Step("answer", "agent"),
    Step("again_ask", "customer", 0.12),
    Step("again_answer", "agent", needs="again_ask"),
    Step("thanks", "customer", 0.6),
)
_SCRIPTS: dict[str, tuple[Step, ...]] = {
    "refund_outside": (
        Step("outside", "customer"),
        Step("answer_refused", "agent"),
        Step("thanks_refused", "customer", 0.6),
    ),
    "complaint": (
        Step("ask", "customer"),
        Step("note", "note"),
        Step("answer", "agent"),
        Step("lead_note", "lead", 0.8),
        Step("thanks", "customer", 0.5),
    ),
    "lead": (
        Step("ask", "customer"),
        Step("note", "note", 0.2),
        Step("probe", "agent", 0.5),
        Step("detail", "customer", needs="probe"),
        Step("answer", "agent"),
        Step("haggle", "customer", 0.6),
        Step("settle", "agent", needs="haggle"),
    ),
}
_RETURN = (Step("ask", "customer"), Step("answer_return", "agent"), Step("sent", "customer", 0.7))


def converse(case: Case, cases: Cases) -> tuple[Turn, ...]:
    """Write a case's messages up to now, and keep the refund that it ends with.

    Args:
        case: The matter; the first message is the customer's.
        cases: Where the case comes from; it gets the refund.
    """
    turns: list[Turn] = []
    at = case.at
    for step in _steps(case, cases.writer):
        at = _after(at + timedelta(days=_pause(case, step)), step, cases.writer) if turns else at
        if at > cases.now - timedelta(hours=1):
            break
        turn = _turn(case, step, at, cases.writer)
        turns.append(turn)
        if step.key == "answer_paid":
            cases.refunds[str(case.facts["order"])].append(_refund(case, at))
    return tuple(turns)


def greeted(case: Case, text: str, writer: Writer, *, staff: bool = False, again: bool = False) -> str:
    """A message's text between greeting and closing, as its author would write it.

    Args:
        case: Who writes to whom, in which language.
        text: What the message says.
        writer: Source of chance and phrases.
        staff: Whether Larkspur writes rather than the customer.
        again: Whether the customer has had an answer before.
    """
    words = bank(case.language)
    greeting = words["staff_greeting" if staff else "back" if again else "greeting"]
    closing = words["staff_closing" if staff else "closing"]
    body = opened(text, case.language)
    return f"{writer.write(greeting, case.facts)}\n\n{body}\n\n{writer.write(closing, case.facts)}"


def refund_decider(case: Case) -> Colleague:
    """Who may pay the case's amount, by the refund rules."""
    if case.in_eur <= AGENT_LIMIT:
        return case.agent
    return with_role("lead" if case.in_eur <= LEAD_LIMIT else "finance")


def _steps(case: Case, writer: Writer) -> Iterator[Step]:
    script = _RETURN if case.intent == "refund" else _SCRIPTS.get(case.intent, _USUAL)
    if case.outcome == "refunded":
        large = case.in_eur > AGENT_LIMIT
        notes = (Step("note_lead", "note"), Step("lead_note", "lead")) if large else (Step("note", "note"),)
        script = (*script, *notes, Step("answer_paid", "agent"), Step("thanks", "customer", 0.6))
    elif case.intent == "lead":
        script = (*script, Step({"won": "thanks", "lost": "lost"}.get(case.outcome, ""), "customer"))
    done = {""}
    for step in script:
        if _known(step, case) and step.needs in done and (step.chance == 1 or writer.rng.random() < step.chance):
            done.add(step.key)
            yield step


def _known(step: Step, case: Case) -> bool:
    return step.key in case.facts or step.key in bank(_language(step, case)).get(section(case.intent), {})


def _language(step: Step, case: Case) -> str:
    return "en" if step.voice in {"note", "lead"} else case.language


def _turn(case: Case, step: Step, at: datetime, writer: Writer) -> Turn:
    phrases = bank(_language(step, case))[section(case.intent)]
    if step.key == "lead_note" and case.in_eur > LEAD_LIMIT and case.intent == "refund":
        phrases = bank("en")["finance"]
    ready = case.facts.get(step.key)
    text = str(ready) if ready else writer.write(phrases[step.key], case.facts)
    author = {"customer": None, "agent": case.agent, "note": case.agent, "lead": with_role("lead")}[step.voice]
    public = step.voice in {"customer", "agent"}
    if public:
        text = greeted(case, text, writer, staff=author is not None, again=at > case.at)
    return Turn(author, public, text, at)


def _pause(case: Case, step: Step) -> int:
    """Days that pass before a message, because a parcel travels and is checked first."""
    if step.key == "thanks" and case.intent in {"late", "damaged", "wrong_item", "warranty"}:
        return 5
    return 6 if step.key == "answer_paid" else 0


def _after(at: datetime, step: Step, writer: Writer) -> datetime:
    if step.voice == "customer":
        return max(at + timedelta(minutes=19), daytime(at + timedelta(minutes=writer.rng.randint(25, 3200))))
    if step.voice in {"note", "lead"}:
        return office(at + timedelta(minutes=writer.rng.randint(6, 200)))
    return office(at + timedelta(minutes=writer.rng.randint(35, 1300)))


def office(at: datetime) -> datetime:
    """The same moment, or the next one at which somebody at Larkspur works."""
    if at.hour >= 17:
        at = at.replace(hour=8) + timedelta(days=1)
    return weekday(at.replace(hour=8) if at.hour < 8 else at)


def _refund(case: Case, at: datetime) -> RefundRecord:
    by = refund_decider(case).email
    return RefundRecord(amount=case.amount, reason="goodwill", note="unused goods returned", issued_by=by, issued_at=at)
