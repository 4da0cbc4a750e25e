"""What several workflows are built of: an item is read, its customer and documents are found, an answer is checked.

Whoever wants to do it otherwise does it otherwise: each is a step or a plain function.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.evidence import Evidence
from orchestrator.fence import fence
from orchestrator.gateway_client import Ok
from orchestrator.stages import Acted, act
from orchestrator.work import Said, Work
from orchestrator.workflows.triage.rules import read_text

T = TypeVar("T")
WEEK = 7 * 86_400.0

PROMISES = {
    "refund": r"\b(refunded|refunding|will refund|reimburse|money back|credited|paid back|pay (it |you )?back)\b",
    "replacement": r"\b(replacement|(will|shall) (replace|exchange))\b",
    "compensation": r"\b(voucher|discount|compensat\w+|free of charge|goodwill)\b",
    "fault": r"\b(our fault|liable|liability|negligen\w+|admit)\b",
    "certainty": r"\b(guarantee|promise|never again|definitely|certainly)\b",
}
"""What a text promises or admits, by the words that do."""
_STEERS = (
    r"ignore (all|any|the|your|previous)|system prompt|you are now|pre-?approved|no approval (is )?(needed|required)|"
    r"(to|for) (the|any) (ai|assistant|agent|bot)\b|approval (was|has been) granted|without (asking|approval)"
)
_DENIES = r"\b(no|not|nothing|cannot|can't|unable)\b"
_CLAUSE = re.compile(r"[.!?,;:]\s+|\n+|\s[-–—]\s|\b(?:and|but|so)\b", re.IGNORECASE)
_CURRENCY = r"(?:[€$£]|\b(?:EUR|USD|GBP|CHF|euros?|dollars?|pounds?)\b)"
_AMOUNT = re.compile(
    rf"{_CURRENCY}\s*(\d[\d.,]*)|(\d[\d.,]*)\s*{_CURRENCY}|((?:\d[\d.,]*)?\d[.,]\d\d)(?!\d)", re.IGNORECASE
)


class NotReadable(Exception):
    """What a run is about may not be read, or is not there."""


class Incoming(BaseModel):
    """What a run is about: a ticket, or a conversation in a mailbox; and on whose account it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ticket_id: str = ""
    mailbox: str = ""
    thread_id: str = ""
    team: str = ""
    customer: str = ""

    @model_validator(mode="after")
    def _is_one(self) -> "Incoming":
        if bool(self.ticket_id) == bool(self.mailbox and self.thread_id):
            raise ValueError("give `ticket_id`, or `mailbox` and `thread_id`")
        return self

    @property
    def reading(self) -> tuple[str, dict[str, str]]:
        """The call that reads it."""
        if self.ticket_id:
            return "ticket_get_ticket", {"ticket_id": self.ticket_id}
        return "email_get_thread", {"mailbox": self.mailbox, "thread_id": self.thread_id}


@dataclass(frozen=True, slots=True)
class Letter:
    """An item as it was read. `shown` is for models: what outsiders wrote stands between marks in it.

    Args:
        record: The item.
        shown: The same for a model.
        sender: Who wrote last from outside; they get the answer.
        name: Their name, as they say.
        text: All that outsiders wrote in it.
        at: When they wrote first, as the gateway has it, and last.
        last: The id of what is answered: the ticket, or the message.
    """

    record: Mapping[str, Any]
    shown: Mapping[str, Any]
    sender: str
    name: str
    text: str
    at: tuple[str, str]
    last: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: `raw` for rules, and `shown` for models, with marks around what outsiders could have written."""

    raw: Any = field(default_factory=dict)
    shown: Any = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.raw)

    def all(self, part: str) -> "Found":
        """A list in it, empty if nothing was found."""
        return Found(self.raw.get(part, []), self.shown.get(part, []))

    def first(self, part: str) -> "Found":
        """The first of a list in it, nothing if there is none."""
        found = self.all(part)
        return Found(found.raw[0], found.shown[0]) if found else Found()


class Reply(BaseModel):
    """An answer to a customer, and what its statements rest on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    body: str = Field(min_length=1, max_length=6_000, description="The whole text, in the customer's language.")
    evidence: list[Evidence] = Field(max_length=8, description="What each statement in it rests on.")


async def read(work: Work, given: Incoming) -> Letter:
    """Read the item.

    Raises:
        NotReadable: If it cannot be read.
    """
    outcome = await work.call("read", *given.reading)
    if not isinstance(outcome, Ok):
        raise NotReadable(f"the item cannot be read: {outcome.status}")
    record, shown = outcome.result, fence(outcome.result, outcome.untrusted, work.mark)
    if given.ticket_id:
        said = [each for each in record["comments"] if not each["by_staff"]] or record["comments"]
        sender, name, last = record["requester_email"], record["requester_name"], record["id"]
    else:
        said = [each for each in record["messages"] if each["folder"] != "sent"] or record["messages"]
        sender, name, last = said[-1]["sender_email"], said[-1]["sender_name"], said[-1]["id"]
    text = "\n\n".join([record["subject"], *(each["body"] for each in said)])
    return Letter(record, shown, sender, name, text, (said[0]["at"], said[-1]["at"]), last)


async def look_up(work: Work, name: str, tool: str, **arguments: Any) -> Found:  # noqa: ANN401 - the tool's
    """What a reading tool gives; nothing if it is denied or fails."""
    outcome = await work.call(name, tool, arguments)
    if not isinstance(outcome, Ok):
        return Found()
    return Found(outcome.result, fence(outcome.result, outcome.untrusted, work.mark))


async def find_customer(work: Work, address: str) -> Found:
    """The contact in the CRM with an address."""
    return (await look_up(work, "customer", "crm_search_contacts", email=address, limit=1)).first("contacts")


async def find_documents(work: Work, name: str, query: str) -> Found:
    """The passages of the company's official documents that fit a query, best first."""
    found = await look_up(work, name, "knowledge_search_documents", query=query, origin="official", limit=5)
    return found.all("passages")


def steers(text: str) -> bool:
    """Whether a text talks to whoever reads it for the company as to a machine, or says that checks are not needed."""
    return read_text("", text).hostile or _has(_STEERS, text)


def overpromised(text: str, happened: Collection[str], amounts: Collection[str]) -> list[str]:
    """What a text promises, admits or puts a price on beyond what happened.

    Args:
        text: The text.
        happened: Those of `PROMISES` that are true.
        amounts: Those that may stand in it, such as `40.00`.
    """
    unkept = {name: words for name, words in PROMISES.items() if name not in happened}
    # What denies a promise stands before it in the same clause.
    wrong = [
        f"promises {name}"
        for name, words in unkept.items()
        if any(_has(words, re.split(_DENIES, each, maxsplit=1, flags=re.IGNORECASE)[0]) for each in _CLAUSE.split(text))
    ]
    named = {_cents("".join(found)): "".join(found).rstrip(".,") for found in _AMOUNT.findall(text)}
    for each in filter(None, amounts):
        named.pop(_cents(each), None)
    return wrong + [f"names the amount {each}" for each in sorted(named.values())]


async def answer(work: Work, step: str, given: Incoming, letter: Letter, body: str, said: Said, why: str = "") -> Acted:
    """Answer a customer, as far as the step's stage goes; a draft is a note on a ticket, or a draft of a mail.

    Args:
        work: The run's hands.
        step: One of the workflow's `acts`.
        given: What the run is about.
        letter: What is answered.
        body: The text.
        said: What to state about the call.
        why: Why a person decides whatever the stage; empty if none need to.
    """
    if given.ticket_id:
        draft = "ticket_add_note", {"ticket_id": given.ticket_id, "body": f"Proposed reply:\n\n{body}"}
        arguments = {"ticket_id": given.ticket_id, "body": body}
        return await act(work, step, "ticket_add_reply", arguments, draft=draft, said=said, exception=why)
    subject = str(letter.record["subject"])[:190]
    titled = subject if subject.lower().startswith("re:") else f"Re: {subject}"
    written = {"to": [letter.sender], "subject": titled, "body": body, "in_reply_to": letter.last}
    arguments = {"mailbox": given.mailbox, "message_id": letter.last, "body": body}
    drafted = "email_create_draft", {"mailbox": given.mailbox, **written}
    return await act(work, step, "email_reply_message", arguments, draft=drafted, said=said, exception=why)


def came_of(done: Acted) -> str:
    """What came of an act in a word: what a person chose, `act` if nobody was asked; `denied`, `failed` or `none`."""
    if done.outcome and not isinstance(done.outcome, Ok):
        return done.outcome.status
    return done.choice or ("act" if done.outcome else "none")


async def decided(work: Work, name: str, rule: Callable[[], T], type_: type[T]) -> T:
    """What a rule of the business says, as a step: it stays what it was, whatever the rule says later."""

    async def decide() -> T:
        return rule()

    return await work.step(name, decide, type_)


async def today(work: Work) -> date:
    """The day on which the run came here first, in UTC."""
    return await decided(work, "today", lambda: datetime.now(UTC).date(), date)


async def hand_to_person(work: Work, given: Incoming, brief: str, question: str, wait: bool = False) -> str:
    """Leave work to a person with all that they need: as a note on the ticket, and in the run.

    Args:
        work: The run's hands.
        given: What the run is about.
        brief: What they need to know.
        question: What they are asked, without customers' data: it names the step `brief` for the rest.
        wait: Whether the run waits until somebody has taken it over. Of mail it always does: a mailbox has no notes.

    Returns:
        What they said: `taken`, or `back` for the workflow; empty if nobody was waited for or answered in a week.
    """
    await decided(work, "brief", lambda: brief, str)
    if given.ticket_id:
        await work.call("brief.note", "ticket_add_note", {"ticket_id": given.ticket_id, "body": brief})
        if not wait:
            return ""
    return str(
        (await work.ask("person", f"{question}; step `brief` has everything", ["taken", "back"], WEEK))["choice"]
    )


async def sort_ticket(work: Work, given: Incoming, letter: Letter, tags: Iterable[str], **more: str) -> None:
    """Have a ticket say where it stands; mail has no such place."""
    if given.ticket_id:
        kept = sorted({*letter.record["tags"], *tags})
        update = {"ticket_id": given.ticket_id, "version": letter.record["version"], "status": "open", "tags": kept}
        await work.call("sort", "ticket_update_ticket", {**update, **more})


def _cents(amount: str) -> int:
    """An amount in hundredths, however its thousands and its fraction are set off."""
    whole, point, fraction = amount.rstrip(".,").replace(",", ".").rpartition(".")
    if not point or len(fraction) > 2:
        whole, fraction = whole + fraction, ""
    return int(whole.replace(".", "") or "0") * 100 + int(fraction.ljust(2, "0"))


def _has(words: str, text: str) -> bool:
    return re.search(words, text, re.IGNORECASE) is not None
