"""What a name was used for before, read off its entries: a key or an approval stands for one call, once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.answer import Answer, ErrorKind
from gateway.answers import failed, happened, repeated
from gateway.flow.labels import CLEAN, Label, label_from
from gateway.journal import Entry, Kind
from gateway.journal.uses import Use, uses_from


@dataclass(frozen=True)
class Earlier:
    """The one call that a name stands for.

    Args:
        name: What it goes by in the journal.
        tool: The tool that it called.
        arguments: With what, as JSON data.
        asked: With what a person was asked about it, who may have changed it since; None if nobody was.
        begun: Its intent, if it was begun.
        doubted: Whether it was put in doubt.
        end: What became of it: its outcome, or what a person said if no late outcome shows that it happened after all;
            None while nobody knows.
        erased: Whether the arguments are gone for ever; then whatever bears its name counts as the same call.
        inquired: The last entry that its client was asked something, or that it answered.
    """

    name: str
    tool: str
    arguments: dict[str, Any]
    asked: dict[str, Any] | None = None
    begun: Entry | None = None
    doubted: bool = False
    end: Entry | None = None
    erased: bool = False
    inquired: Entry | None = None

    def waits_for_client(self, now: datetime, answer: timedelta, given_up: timedelta) -> bool:
        """Whether its client may still answer what it was asked, or somebody goes on with what it answered.

        Args:
            now: The time.
            answer: How long a client has to answer.
            given_up: How long after an entry another process may still go on.
        """
        if self.inquired is None:
            return False
        asked = self.inquired.kind is Kind.INQUIRED
        return now < self.inquired.at + given_up + (answer if asked else timedelta())

    def is_of(self, tool: str, arguments: dict[str, Any]) -> bool:
        """Whether it was the same call."""
        return self.tool == tool and (self.erased or arguments in (self.arguments, self.asked))


def read_earlier(entries: Iterable[Entry]) -> Earlier | None:
    """Read what names were used for off all their entries, oldest first; None if nothing was asked or begun."""
    earlier: Earlier | None = None
    for entry in entries:
        earlier = _after(earlier, entry)
    return earlier


def _after(earlier: Earlier | None, entry: Entry) -> Earlier | None:
    body = entry.body
    if entry.kind is Kind.INTENT:
        asked = earlier.asked if earlier and earlier.name == entry.call_id else None
        return Earlier(entry.call_id, body["tool"], body.get("arguments", {}), asked, begun=entry, erased=entry.erased)
    if entry.kind is Kind.ASKED and (earlier is None or earlier.begun is None):
        arguments = body.get("arguments", {})
        return Earlier(entry.call_id, body["tool"], arguments, arguments, erased=entry.erased)
    if earlier is None or entry.call_id != earlier.name:
        return earlier
    if entry.kind in {Kind.INQUIRED, Kind.INFORMED}:
        return replace(earlier, inquired=entry)
    if entry.kind is Kind.OUTCOME and body["status"] == "in_doubt":
        return replace(earlier, doubted=True)
    if entry.kind is Kind.OUTCOME and body.get("late"):
        return replace(earlier, end=entry)
    if entry.kind in {Kind.OUTCOME, Kind.SETTLED}:
        return replace(earlier, end=earlier.end or entry)
    return earlier


@dataclass(frozen=True)
class Begun:
    """What has to be known of a begun call to find out what became of it.

    Args:
        id: What it goes by in the journal.
        tenant: Whose data it touches.
        principal: Who called, as the journal names them.
        person: The person behind the call, if any.
        agent: The agent that made the call, if any.
        tool: The tool that it called.
        effect_key: The key under which the back end was to do it; "" where the intent says none.
        keyed: Whether its caller can repeat it, by a key or an approval.
        at: When it was begun.
        arguments: With what, as JSON data; empty where that is erased.
        written: The label of what it writes.
        uses: What it used up of limits; nothing where that is erased.
    """

    id: str
    tenant: str
    principal: str
    person: str | None
    agent: str | None
    tool: str
    effect_key: str
    keyed: bool
    at: datetime
    arguments: Mapping[str, Any] = field(default_factory=dict)
    written: Label = CLEAN
    uses: tuple[Use, ...] = ()


def begun_by(intent: Entry) -> Begun:
    """Read it off an intent."""
    body = intent.body
    return Begun(
        id=intent.call_id,
        tenant=intent.tenant,
        principal=intent.principal,
        person=body.get("person"),
        agent=body.get("agent"),
        tool=body["tool"],
        effect_key=body.get("effect_key", ""),
        keyed=intent.once is not None,
        at=intent.at,
        arguments=body.get("arguments", {}),
        written=label_from(body["written"]) if "written" in body else CLEAN,
        uses=uses_from(body.get("used", ())),
    )


def answer_of(end: Entry, kept: str | None) -> Answer[Any]:
    """The answer of a call that has ended, for whoever repeats it.

    Args:
        end: Its outcome, or what a person said.
        kept: The answer that was kept of it, if any.
    """
    body = end.body
    if end.kind is Kind.SETTLED and body["happened"]:
        return happened(end.call_id, f"{body['settled_by']} looked into it and notes: {body.get('note', '(erased)')}")
    if kept is not None or body["status"] == "ok":
        return repeated(end.call_id, kept)
    why = body.get("error") or body.get("note") or f"it ended as {body['status']}"
    return failed(end.call_id, ErrorKind.NOT_DONE, f"nothing was done: {why}")
