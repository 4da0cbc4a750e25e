"""What a call would do, in one sentence for whoever has to answer for it.

Every tool has a sentence, made of its title and its inputs; those whose sentence a person reads most often have their
own. Values stand in it as they are: show it with `visible_text.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from connectors.contract import Idempotency, Sink, Tool

Arguments = Mapping[str, Any]

_LONGEST = 120
_BODIES = frozenset({"body", "notes"})


def effect_sentence(tool: Tool, arguments: Arguments) -> str:
    """Say what the call would do.

    Args:
        tool: The tool.
        arguments: The validated arguments as JSON data.
    """
    own = _SENTENCES.get(tool.name)
    if own:
        return own(arguments)
    return _changes(tool, arguments) if tool.idempotency is Idempotency.VERSION else _generic(tool, arguments)


def warning(tool: Tool) -> str:
    """What is to be said of a tool's effect as such; empty for what can be taken back."""
    if "taken back" in tool.description or "undone" in tool.description:
        return "This cannot be taken back."
    return ""


def recipients(tool: Tool, arguments: Arguments) -> dict[str, list[str]]:
    """Whom the call reaches: by input field, the addresses that the tool declares to be recipients."""
    found: dict[str, list[str]] = {}
    for path, sink in tool.sinks.items():
        name = path.removesuffix("[]")
        value = arguments.get(name) if sink is Sink.RECIPIENT else None
        if value:
            found[name] = value if isinstance(value, list) else [value]
    return found


def _generic(tool: Tool, arguments: Arguments) -> str:
    told = [f"{label(name)} {_short(value)}" for name, value in arguments.items() if _is_told(name, value)]
    return f"{tool.title}: {', '.join(told)}" if told else tool.title


def _changes(tool: Tool, arguments: Arguments) -> str:
    """For tools that change a record of which they name the version."""
    names = [name for name, value in arguments.items() if value is not None and name not in {"version", "mailbox"}]
    record = next((name for name in names if name.endswith("_id")), "")
    changed = [name for name in names if name != record]
    told = [label(name) if name in _BODIES else f"{label(name)} to {_short(arguments[name])}" for name in changed]
    noun = label(record.removesuffix("_id")) or tool.title
    return f"Change {noun} {arguments.get(record, '')}: {', '.join(told) or 'nothing'}"


def label(name: str) -> str:
    """A field's name for people."""
    return name.replace("_", " ")


def _is_told(name: str, value: object) -> bool:
    return name not in _BODIES and value not in (None, "", [], {})


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"“{text}”" if isinstance(value, str) and " " in text else text


def _people(arguments: Arguments) -> str:
    to, copies = ", ".join(arguments["to"]), ", ".join(arguments.get("cc") or [])
    return f"{to}, with a copy to {copies}" if copies else to


def _send(arguments: Arguments) -> str:
    return f"Send an email from {arguments['mailbox']} to {_people(arguments)}: “{arguments['subject']}”"


def _draft(arguments: Arguments) -> str:
    return (
        f"Write a draft in {arguments['mailbox']} to {_people(arguments)}: “{arguments['subject']}”. Nothing is sent."
    )


def _send_draft(arguments: Arguments) -> str:
    where = f"from {arguments['mailbox']}"
    return f"Send the draft {arguments['draft_id']} {where}, as it stands at version {arguments['version']}"


def _answer(arguments: Arguments) -> str:
    return f"Send an answer from {arguments['mailbox']} to the sender of message {arguments['message_id']}"


def _refund(arguments: Arguments) -> str:
    why = label(arguments["reason"])
    return f"Give back {arguments['amount']} {arguments['currency']} on order {arguments['order_id']}, because: {why}"


_SENTENCES: Mapping[str, Callable[[Arguments], str]] = {
    "email_send_message": _send,
    "email_create_draft": _draft,
    "email_send_draft": _send_draft,
    "email_reply_message": _answer,
    "crm_issue_refund": _refund,
    "ticket_add_reply": lambda arguments: f"Send a reply to the requester of ticket {arguments['ticket_id']}",
    "ticket_add_note": lambda arguments: f"Add a note for colleagues to ticket {arguments['ticket_id']}",
}
