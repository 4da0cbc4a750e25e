"""One call told in words: who asked what, why it was decided so, who approved, what was done and seen."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.journal.entry import Entry, Kind
from gateway.visible_text import visible

_LONGEST = 400
_GONE = "(erased)"
_UNRECORDED = "without a record of by whom: its key is gone or not the right one"
_DECLARED = ("client", "run", "model", "prompt", "key")
_TOLD = frozenset(
    {
        "positions",
        "by",
        "tool",
        "person",
        "agent",
        *_DECLARED,
        "arguments",
        "arguments_hash",
        "verdict",
        "rules",
        "reason",
    }
    | {"policy_version", "approval", "expires_at", "approved", "approver", "note", "effect", "status", "error"}
    | {"saw", "untrusted", "said", "schema_hash", "binding", "authority", "text", "to", "quorum", "edited"}
    | {"edited_by", "standing", "people", "via", "fixed", "times", "until", "use", "call"}
    | {"effect_key", "recovered", "repeats", "happened", "settled_by", "late", "grant", "stops", "subject"}
    | {"flow", "written", "places", "obligations", "redacted", "altered", "together", "back_end", "credential"}
)
_STATUSES = {
    "ok": "done",
    "failed": "failed",
    "timeout": "given up: the back end did not answer in time; nothing was changed",
    "cancelled": "given up: the caller went away",
    "in_doubt": "in doubt: nobody knows whether it happened",
    "interrupted": "interrupted: the gateway ended while it read; nothing was changed",
}
Body = Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """One entry in words.

    Args:
        position: Its place in the journal.
        at: When.
        sentence: What happened.
        details: What else is recorded of it.
    """

    position: int
    at: datetime
    sentence: str
    details: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """One call told: the facts by name, its arguments, and what happened, oldest first. Texts are as recorded."""

    facts: tuple[tuple[str, str], ...]
    arguments: tuple[tuple[str, str], ...]
    result: str
    events: tuple[Event, ...]


def tell(entries: Sequence[Entry], gone: Mapping[int, str] | None = None) -> Story:
    """Tell a call.

    Args:
        entries: The call's entries, oldest first, at least one; with those of the approval that it asked for.
        gone: Why the personal parts of an entry were erased, by position.
    """
    facts: dict[str, Any] = {}
    for entry in entries:
        facts = {**entry.body, **facts}
    first, last = entries[0], entries[-1]
    page = [
        ("call", ", ".join(dict.fromkeys(entry.call_id for entry in entries))),
        ("asked at", first.at.isoformat(sep=" ", timespec="milliseconds")),
        ("asked by", _who(facts, first)),
        *((f"{name} said" if name == "client" else name, facts[name]) for name in _DECLARED if facts.get(name)),
        ("grant", facts.get("grant")),
        ("tool", facts.get("tool")),
        ("erased", "what it was about" if any(entry.erased for entry in entries) else None),
        ("policy", facts.get("policy_version")),
    ]
    return Story(
        tuple((name, str(value)) for name, value in page if value is not None),
        tuple(_arguments(facts)),
        told_entry(last),
        tuple(_event(entry, gone) for entry in entries),
    )


def why(entries: Sequence[Entry], gone: Mapping[int, str] | None = None) -> Iterator[str]:
    """Tell a call on one page, line by line, with nothing in it that a terminal would obey.

    Args:
        entries: As for `tell`.
        gone: As for `tell`.
    """
    story = tell(entries, gone)
    arguments = [("with", f"{name} = {value}") for name, value in story.arguments]
    # The policy follows what it judged.
    before = [fact for fact in story.facts if fact[0] != "policy"]
    after = [fact for fact in story.facts if fact[0] == "policy"]
    for name, value in (*before, *arguments, *after, ("result", story.result)):
        yield f"{name:<12} {_shown(value)}"
    yield ""
    for event in story.events:
        yield f"{event.position:>8}  {event.at:%Y-%m-%d %H:%M:%S}  {_shown(event.sentence)}"
        yield from (f"{'':31}{_shown(line)}" for line in event.details)


def _event(entry: Entry, gone: Mapping[int, str] | None) -> Event:
    why_gone = "" if gone is None else f" {gone.get(entry.position, _UNRECORDED)}"
    erased = (f"what it said is erased{why_gone}",) if entry.erased else ()
    return Event(entry.position, entry.at, told_entry(entry), (*_details(entry.body), *erased))


def _who(facts: Body, entry: Entry) -> str:
    person, agent = facts.get("person"), facts.get("agent")
    who = f"{person} through the agent {agent}" if person and agent else person or agent or entry.principal
    return f"{who}, of {entry.tenant}"


def _arguments(facts: Body) -> Iterator[tuple[str, str]]:
    for name, value in (facts.get("arguments") or {}).items():
        if value not in (None, [], {}, ""):
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _details(body: Body) -> Iterator[str]:
    if body.get("reason"):
        rules = ", ".join(body.get("rules") or ["no rule"])
        yield f"by {rules} of policy {body.get('policy_version')}: {body['reason']}"
    if body.get("saw"):
        yield f"it showed {', '.join(body['saw'])}"
    if body.get("untrusted"):
        yield f"outsiders may have written {', '.join(body['untrusted'])} in what it showed"
    for part in body.get("redacted") or ():
        yield f"{part['rule']} kept back {part['what']} in {part['path']}, {part['count']} in all"
    for part in body.get("altered") or ():
        yield f"presented with care ({part['what']}, {part['count']}) in {part['path']}"
    for name, value in (body.get("edited") or {}).items():
        yield f"changed: {name} = {json.dumps(value, ensure_ascii=False)}"
    for name in sorted(body.keys() - _TOLD):
        yield f"{name} = {json.dumps(body[name], ensure_ascii=False)}"


def told_entry(entry: Entry) -> str:
    """One entry in a sentence; its texts are as recorded."""
    tell = _SENTENCES.get(entry.kind)
    return tell(entry.body) if tell else f"{entry.kind} {json.dumps(entry.body, ensure_ascii=False)}"


def _denied(body: Body) -> str:
    if body.get("approval"):
        return f"refused: the question {body['approval']} was answered with no or expired"
    return f"denied: {body.get('reason')}"


def _answered(body: Body) -> str:
    note = f", who notes: {body['note']}" if body.get("note") else ""
    authority = body.get("authority")
    right = f" (by right of {authority})" if authority not in (None, body.get("approver")) else ""
    said = "refused" if not body.get("approved") else "approved with changes" if "edited" in body else "approved"
    others = f", on one page with {', '.join(body['together'])}" if body.get("together") else ""
    return f"{said} by {body.get('approver')}{right}{others}{note}"


def _begun(body: Body) -> str:
    if body.get("standing"):
        how = f"under the standing approval {body['standing']} of {body.get('approver')}"
    else:
        how = "after a yes" if body.get("verdict") == "ask" else "allowed"
    return f"begun ({body.get('effect')}), {how}" + (
        f", as {body['edited_by']} changed it" if "edited_by" in body else ""
    )


def _standing(body: Body) -> str:
    run = f" of run {body['run']}" if body.get("run") else ""
    fixed = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in body.get("fixed", {}).items())
    what = f"{body.get('times')} more calls{run} until {_moment(body.get('until'))}"
    return f"{body.get('approver')} approved {what} with {', '.join(fixed)}"


def _granted(body: Body) -> str:
    tools = ", ".join(body.get("tools") or ["all that policy allows"])
    return f"granted until {_moment(body.get('expires_at'))}, by {body.get('by')}: {tools}"


def _repeated(body: Body) -> str:
    status = body.get("status")
    if status == "in_progress":
        return f"asked again while {body.get('repeats')} was being carried out: told to come back"
    if status == "looked_into":
        return f"asked again before the outcome of {body.get('repeats')} was known: it was looked into"
    return "asked again after it was done: the first answer was given once more"


def _moment(text: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(text)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return str(text)


def _ended(body: Body) -> str:
    status = str(body.get("status"))
    found_out = ", as was found out afterwards" if body.get("recovered") else ""
    found_out += ", though it was taken for not done" if body.get("late") else ""
    return _STATUSES.get(status, status) + found_out + (f": {body['error']}" if body.get("error") else "")


def _settled(body: Body) -> str:
    what = "it happened" if body.get("happened") else "it did not happen"
    return f"{what}, says {body.get('settled_by')}, who notes: {body.get('note')}"


def _reviewed(body: Body) -> str:
    said = "accepts" if body.get("approved") else "refuses"
    return f"{body.get('by')} {said} the tool's definition {body.get('schema_hash')}"


def _stopped(body: Body) -> str:
    until = f" until {_moment(body['until'])}" if body.get("until") else ""
    return f"{_target(body)} is stopped{until} by {body.get('by')}, because: {body.get('note', _GONE)}"


def _target(body: Body) -> str:
    return " ".join(str(body[name]) for name in ("stops", "subject", "run") if body.get(name))


def _credential(body: Body) -> str:
    kind = f" ({body['credential']})" if body.get("credential") else ""
    return str(body.get("back_end")) + (f" of {body['subject']}" if body.get("subject") else "") + kind


_SENTENCES: dict[Kind, Callable[[Body], str]] = {
    Kind.UNKNOWN_TOOL: lambda _body: "refused: this caller has no such tool",
    Kind.INVALID: lambda body: f"refused: the input was wrong: {body.get('error', _GONE)}",
    Kind.DENIED: _denied,
    Kind.PENDING: lambda body: f"not done yet: {body.get('approval')} waits for a person's answer",
    Kind.ASKED: lambda body: f"a person is asked; open until {_moment(body.get('expires_at'))}",
    Kind.ANSWERED: _answered,
    Kind.ASKED_BACK: lambda body: f"{body.get('approver')} asks back: {body.get('text', _GONE)}",
    Kind.REPLIED: lambda body: f"the caller replies: {body.get('text', _GONE)}",
    Kind.DELEGATED: lambda body: f"{body.get('approver')} passes the question on to {body.get('to')}",
    Kind.REBOUND: lambda _body: "policy changed and still asks: open again, and former answers do not count",
    Kind.WITHDRAWN: lambda body: f"policy changed and asks no more: {body.get('reason', _GONE)}",
    Kind.NOTIFIED: lambda body: f"told {', '.join(body.get('people', [_GONE]))} by {' and '.join(body.get('via', []))}",
    Kind.SHOWN: lambda body: f"{body.get('approver')} was shown the mail as it would be sent",
    Kind.STANDING: _standing,
    Kind.STANDING_USED: lambda body: f"use {body.get('use')}, by call {body.get('call')}",
    Kind.STANDING_ENDED: lambda body: f"taken back by {body.get('approver')}",
    Kind.REPEATED: _repeated,
    Kind.TURNED_AWAY: lambda body: f"turned away: {body.get('error', _GONE)}",
    Kind.INTENT: _begun,
    Kind.INQUIRED: lambda body: f"its server asks the client for {', '.join(body.get('kinds', []))}",
    Kind.INFORMED: lambda body: f"the client answers, and its server is told: {', '.join(body.get('given', []))}",
    Kind.LOGGED: lambda body: f"its server logs, and the client is told {body.get('times')} lines",
    Kind.OUTCOME: _ended,
    Kind.SETTLED: _settled,
    Kind.REVIEWED: _reviewed,
    Kind.GRANTED: _granted,
    Kind.REVOKED: lambda body: f"the grant is taken back, by {body.get('by')}",
    Kind.EXCHANGED: lambda body: (
        f"{body.get('agent')} gets a token to act for {body.get('person')}, by {body.get('by')}"
    ),
    Kind.ERASED: lambda body: f"what {len(body.get('positions', []))} ranges of entries said is erased",
    Kind.STOPPED: _stopped,
    Kind.CREDENTIAL_SET: lambda body: f"{body.get('by')} sets the credential for {_credential(body)}",
    Kind.CREDENTIAL_REMOVED: lambda body: f"{body.get('by')} removes the credential for {_credential(body)}",
    Kind.CREDENTIALS_REKEYED: lambda body: f"{body.get('by')} seals {body.get('times')} credentials under another key",
    Kind.RESUMED: lambda body: f"{_target(body)} is resumed by {body.get('by')}, because: {body.get('note', _GONE)}",
}


def _shown(value: object) -> str:
    text = visible(str(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"
