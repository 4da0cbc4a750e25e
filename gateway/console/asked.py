"""What is asked, as a person is shown it: the effect, the arguments, the letter, the case, and what went before."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from connectors.contract import Effect, Sink, Tool
from gateway.approvals import Question
from gateway.effect_words import label, recipients
from gateway.flow.telling import is_vouched, origin_words
from gateway.journal import Entry
from gateway.visible_text import deceits

_DECLARED = ("model", "prompt", "run", "client", "key")
_CASE = ("recommendation", "evidence", "confidence", "risk", "alternatives")
_LONG = 120
_MOST_EARLIER = 25


@dataclass(frozen=True)
class Argument:
    """One argument, whole.

    Args:
        label: Its name for people.
        name: Its name in the call.
        text: Its value; a list as one item a line.
        is_long: Whether it wants a block of its own.
        sink: Where the value goes out (`recipient`, `amount`, …); empty if nowhere.
        deceits: What deceives in it.
        origin: Where its value comes from; empty where nobody traced it.
        is_vouched: Whether the person or the organisation stands behind it.
    """

    label: str
    name: str
    text: str
    is_long: bool
    sink: str
    deceits: tuple[str, ...]
    origin: str = ""
    is_vouched: bool = True


@dataclass(frozen=True)
class Addressee:
    """One recipient; external if it is outside the domain that is written from."""

    role: str
    address: str
    is_external: bool


@dataclass(frozen=True)
class Letter:
    """A message as it would go out.

    Args:
        sender: From whom.
        addressees: To whom.
        subject: Its subject.
        body: What is written in it.
        quoted: What outsiders wrote and is set below it.
        problem: Why it would fail as things stand; then the rest is only what the arguments say.
    """

    sender: str
    addressees: tuple[Addressee, ...]
    subject: str
    body: str
    quoted: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Declared:
    """What the agent says about itself and its case: never checked, only recorded; and the grant it was checked for."""

    facts: tuple[tuple[str, str], ...]
    case: tuple[tuple[str, str], ...]
    granted: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Earlier:
    """A call that the same caller made before."""

    call_id: str
    at: datetime
    tool: str
    outcome: str
    is_readable: bool


def arguments_of(tool: Tool, arguments: Mapping[str, Any], question: Question | None = None) -> tuple[Argument, ...]:
    """Every argument, whole; those that were left out as well, so that nothing is guessed.

    Args:
        tool: The tool.
        arguments: The arguments.
        question: What was asked; it tells where values come from, unless somebody has changed them.
    """
    return tuple(
        _argument(tool, name, arguments[name], question) for name in tool.input.model_fields if name in arguments
    )


def _argument(tool: Tool, name: str, value: object, question: Question | None) -> Argument:
    sink = next((mark for path, mark in tool.sinks.items() if path.removesuffix("[]") == name), None)
    text = _text(value)
    is_long = len(text) > _LONG or "\n" in text
    outgoing = sink.value if sink and sink is not Sink.CONTENT else ""
    argument = Argument(label(name), name, text, is_long, outgoing, tuple(deceits(text)))
    origin = question.flow.origins.get(name) if question and question.arguments.get(name) == value else None
    if question is None or origin is None:
        return argument
    words = origin_words(origin, question.places.get(name, ()))
    return replace(argument, origin=words, is_vouched=is_vouched(origin))


def _text(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(map(_text, value))
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_text(inner)}" for name, inner in value.items())
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def letter_of(tool: Tool, arguments: Mapping[str, Any], record: Mapping[str, Any], home: str) -> Letter | None:
    """The message that a call would send or keep as a draft, if its text is among the arguments.

    Args:
        tool: The tool.
        arguments: The call's arguments.
        record: What the call acts on, such as the ticket whose requester gets the reply; empty if not readable.
        home: The domain that counts as internal when the call names no mailbox.
    """
    body, sends = arguments.get("body"), tool.effect is Effect.SEND
    if not isinstance(body, str) or not (sends or "mailbox" in arguments):
        return None
    addressees = [*_addressees(tool, arguments, home)]
    if sends and not addressees and (requester := record.get("requester_email")):
        addressees = [Addressee("to", str(requester), domain_of(str(requester)) != home)]
    sender = str(arguments.get("mailbox") or "the help desk")
    subject = str(arguments.get("subject") or record.get("subject") or "")
    return Letter(sender, tuple(addressees), subject, body)


def external(tool: Tool, arguments: Mapping[str, Any], letter: Letter | None, home: str) -> tuple[Addressee, ...]:
    """The recipients outside the organisation."""
    found = letter.addressees if letter else tuple(_addressees(tool, arguments, home))
    return tuple(each for each in found if each.is_external)


def _addressees(tool: Tool, arguments: Mapping[str, Any], home: str) -> Iterator[Addressee]:
    inside = domain_of(str(arguments.get("mailbox", ""))) or home
    for role, addresses in recipients(tool, arguments).items():
        yield from (Addressee(label(role), address, domain_of(address) != inside) for address in addresses)


def domain_of(address: str) -> str:
    """The domain of an address, or of a person's name if it is one; empty if it is none."""
    return address.rpartition("@")[2].lower() if "@" in address else ""


def declared_in(question: Question) -> Declared:
    """What the caller declared when it asked."""
    said = question.said
    facts = [(name, str(said[name])) for name in _DECLARED if said.get(name)]
    facts += [(name, _text(said[name])) for name in ("context", "cost") if said.get(name)]
    case = said.get("case")
    return Declared(
        tuple(facts), tuple(_case(case)) if isinstance(case, Mapping) else (), tuple(_granted(said.get("grant")))
    )


def _granted(grant: object) -> Iterator[tuple[str, str]]:
    """What the grant says that the call was made under: this the gateway knows itself."""
    if isinstance(grant, Mapping):
        yield "grant", str(grant.get("id", ""))
        yield from (("the person asked", text) for text in [str(grant.get("request", ""))] if text)
        for each in grant.get("delegates", ()):
            yield from (("follow what this says", f"{how}: {what}") for how, what in each.items())


def _case(case: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = [*(name for name in _CASE if name in case), *(name for name in case if name not in _CASE)]
    yield from ((label(str(name)), _text(case[name])) for name in names)


def earlier_calls(entries: Sequence[Entry], question: Question, person: str, sees_all: bool) -> list[Earlier]:
    """The calls that a caller made before, newest first.

    Args:
        entries: Entries of the tenant, newest first.
        question: Whose caller; its own entries are left out.
        person: Who looks.
        sees_all: Whether they may look at every call.
    """
    last: dict[str, Entry] = {}
    for entry in (each for each in entries if each.principal == question.principal.name):
        if question.id not in (entry.call_id, entry.body.get("approval")):
            last.setdefault(entry.call_id, entry)
    return [
        Earlier(
            entry.call_id,
            entry.at,
            str(entry.body.get("tool", "")),
            str(entry.body.get("status") or entry.kind.value),
            sees_all or entry.body.get("person") == person,
        )
        for entry in list(last.values())[:_MOST_EARLIER]
    ]
