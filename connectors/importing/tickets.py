"""Making a ticket of what exports call its parts.

The readers (`tickets_csv.py`, `tickets_jsonl.py`) hand over plain fields by the names of `TICKET` and `COMMENT`; here
they get their meaning. A ticket is imported whole or not at all: one bad comment refuses its ticket.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.importing.source import Accepted, Facts, Likeness, Place, Refused
from connectors.importing.tabular import Aliases
from connectors.importing.text import signs_of, storable
from connectors.importing.timestamps import NO_ZONE, parse_moment
from connectors.records import TicketRecord

OPEN_TOO_LONG = timedelta(days=90)

TICKET: Final[Aliases] = {
    "id": (
        "ticket id",
        "number",
        "ticket number",
        "ticket",
        "key",
        "issue key",
        "case number",
        "case id",
        "ticketnummer",
    ),
    "subject": ("title", "summary", "ticket subject", "betreff", "asunto", "sujet", "objet", "oggetto", "onderwerp"),
    "body": (
        *("description", "text", "content", "message", "comment", "comment body", "first comment", "beschreibung"),
        *("descripción", "descrizione"),
    ),
    "requester_email": (
        *("requester", "email", "e mail", "customer email", "customer", "contact email", "from", "sender", "reporter"),
        *("reporter email", "requester e mail", "user email", "submitter", "submitter email", "contact"),
    ),
    "requester_name": ("customer name", "contact name", "reporter name", "user name", "name", "submitter name"),
    "assignee": ("assignee email", "assigned to", "agent", "owner", "agent email"),
    "status": ("state", "ticket status", "estado", "statut", "stato"),
    "priority": ("ticket priority", "urgency", "severity", "priorität", "prioridad", "priorité"),
    "tags": ("labels", "tag", "label", "schlagworte", "etiquetas"),
    "created_at": (
        "created",
        "created date",
        "created time",
        "opened at",
        "date created",
        "date",
        "erstellt",
        "opened",
    ),
    "updated_at": ("updated", "last updated", "modified", "modified at", "last modified", "updated time", "geändert"),
    "comments": ("messages", "thread", "replies", "conversation", "conversations"),
}
COMMENT: Final[Aliases] = {
    "body": ("text", "content", "message", "comment", "plain body", "body text", "comment body"),
    "author": ("from", "author email", "author name", "user", "sender", "comment author", "created by"),
    "at": (
        "created at",
        "created",
        "date",
        "timestamp",
        "comment created at",
        "commented at",
        "comment date",
        "time",
        "sent at",
    ),
    "public": ("is public", "comment public"),
    "internal": ("private", "is private", "is internal", "internal note", "comment internal"),
    "kind": ("visibility", "comment type", "comment kind"),
    "by_staff": ("is staff", "is agent", "staff", "from agent"),
    "role": ("author role", "author type", "user type"),
}

# What other help desks call the states and urgencies that tickets have here. Bare numbers are refused: every product
# counts them differently.
STATUSES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("new", "unopened", "neu", "nuevo", "nouveau"), "new"),
    **dict.fromkeys(
        ("open", "opened", "reopened", "active", "in progress", "in review", "todo", "to do", "offen"), "open"
    ),
    **dict.fromkeys(("abierto", "ouvert", "aperto", "escalated", "assigned"), "open"),
    **dict.fromkeys(("pending", "on hold", "hold", "onhold", "waiting", "waiting on customer", "blocked"), "pending"),
    **dict.fromkeys(
        ("waiting for customer", "waiting on third party", "awaiting reply", "snoozed", "wartend"), "pending"
    ),
    **dict.fromkeys(("solved", "resolved", "done", "fixed", "completed", "gelöst", "resuelto", "résolu"), "solved"),
    **dict.fromkeys(("closed", "archived", "cancelled", "canceled", "rejected", "duplicate", "wont fix"), "closed"),
    **dict.fromkeys(("won t fix", "geschlossen", "cerrado", "fermé", "chiuso"), "closed"),
}
PRIORITIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("low", "lowest", "minor", "trivial", "p4", "p5", "niedrig", "baja", "basse"), "low"),
    **dict.fromkeys(("normal", "medium", "moderate", "default", "none", "p3", "mittel", "media", "moyenne"), "normal"),
    **dict.fromkeys(("high", "major", "important", "p2", "hoch", "alta", "haute"), "high"),
    **dict.fromkeys(
        ("urgent", "highest", "critical", "blocker", "emergency", "p0", "p1", "dringend", "urgente"), "urgent"
    ),
}
_STAFF_ROLES = frozenset({"agent", "staff", "admin", "administrator", "employee", "operator", "support"})
_ASKED_FOR = ("requester_name", "assignee", "status", "priority", "tags", "updated_at")
_TRUE = frozenset({"true", "yes", "1", "y", "t"})
_FALSE = frozenset({"false", "no", "0", "n", "f"})
_NAMED_ADDRESS = re.compile(r"\s*(?P<name>[^<>]*?)\s*<(?P<email>[^<>\s]+)>\s*")

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Thread:
    """A ticket as read: its own fields by `TICKET`'s names, and its comments, oldest first, by `COMMENT`'s."""

    fields: Fields
    comments: Sequence[Fields]
    place: Place


def ticket(thread: Thread) -> Accepted:
    """Give a ticket's fields their meaning.

    Raises:
        Refused: If a date, status, priority or yes-or-no is none that is known.
        pydantic.ValidationError: If a field is not valid.
    """
    fields = thread.fields
    if "id" not in fields:
        raise Refused("id: missing")
    moments = _Moments()
    created = moments.read("created_at", fields.get("created_at") or _first_date(thread.comments))
    name, email = _person(fields.get("requester_email"))
    opening = [{"body": fields["body"], "at": created}] if fields.get("body") else []
    if any(_same(each.get("body"), fields.get("body")) for each in thread.comments):
        opening = []  # some exports repeat the first comment as the description
    comments = [
        _comment(each, f"comments[{number}]", moments, created, _text(fields, "requester_name") or name or email)
        for number, each in enumerate([*opening, *thread.comments])
    ]
    comments.sort(key=lambda comment: comment["at"])
    last = max((each["at"] for each in comments), default=created)
    updated = moments.read("updated_at", fields["updated_at"]) if fields.get("updated_at") else last
    record = TicketRecord.model_validate(
        {
            "source_id": _text(fields, "id"),
            "subject": " ".join(_text(fields, "subject").split()),
            "status": _mapped("status", _text(fields, "status"), STATUSES, "open"),
            "priority": _mapped("priority", _text(fields, "priority"), PRIORITIES, "normal"),
            "requester_name": _text(fields, "requester_name") or name,
            "requester_email": email,
            "assignee": _person(fields.get("assignee"))[1],
            "tags": _tags(fields.get("tags")),
            "comments": comments,
            "created_at": created,
            "updated_at": max(updated, created),
        }
    )
    texts = [record.subject, *(str(each.get("body", "")) for each in thread.comments), str(fields.get("body", ""))]
    is_open = record.status not in ("solved", "closed")
    return Accepted(
        record,
        thread.place,
        Facts(
            missing=tuple(
                each for each in _ASKED_FOR if not fields.get(each) and not (each == "requester_name" and name)
            ),
            signs=(*signs_of(*texts), *((NO_ZONE,) if moments.without_zone else ())),
            likenesses=(
                Likeness("same requester, same subject", f"{record.requester_email}\n{record.subject.casefold()}"),
            ),
            changed_at=record.updated_at,
            stale_after=OPEN_TOO_LONG if is_open else None,
        ),
    )


class _Moments:
    """Reads a ticket's dates and remembers whether one of them had no zone."""

    def __init__(self) -> None:
        self.without_zone = False

    def read(self, field: str, value: object) -> datetime:
        if isinstance(value, datetime):
            return value
        if value is None:
            raise Refused(f"{field}: missing")
        moment = parse_moment(field, value)
        self.without_zone |= not moment.had_zone
        return moment.at


def _comment(fields: Fields, path: str, moments: _Moments, created: datetime, requester: str) -> dict[str, Any]:
    name, email = _person(fields.get("author"))
    internal = _is_internal(fields, path)
    role = _text(fields, "role", path).casefold()
    # Only what the export says makes a comment the staff's: an outsider's words must not pass for a colleague's.
    by_staff = internal or role in _STAFF_ROLES or _flag(f"{path}.by_staff", fields.get("by_staff"))
    return {
        "kind": "internal" if internal else "public",
        "author": " ".join((name or email or ("unknown" if by_staff else requester)).split()),
        "by_staff": by_staff,
        "body": storable(_text(fields, "body", path)),
        "at": moments.read(f"{path}.at", fields["at"]) if fields.get("at") else created,
    }


def _is_internal(fields: Fields, path: str) -> bool:
    kind = _text(fields, "kind", path).casefold()
    declared = kind in ("internal", "private", "note", "internal note")
    return (
        declared
        or _flag(f"{path}.internal", fields.get("internal"))
        or not _flag(f"{path}.public", fields.get("public"), default=True)
    )


def _flag(field: str, value: object, *, default: bool = False) -> bool:
    text = str("" if value is None else value).strip().casefold()
    if text and text not in _TRUE | _FALSE:
        raise Refused(f"{field}: neither yes nor no: `{text[:40]}`")
    return text in _TRUE if text else default


def _text(fields: Fields, name: str, path: str = "") -> str:
    value = fields.get(name, "")
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise Refused(f"{path}{'.' if path else ''}{name}: expected text")
    return str(value)


def _mapped(field: str, value: str, table: Mapping[str, str], default: str) -> str:
    text = re.sub(r"[\W_]+", " ", value.casefold()).strip()
    if text and text not in table:
        raise Refused(
            f"{field}: unknown value `{value[:40]}`; expected one like {', '.join(sorted(set(table.values())))}"
        )
    return table[text] if text else default


def _person(value: object) -> tuple[str, str]:
    """Name and address of a person given as an address, as `Name <address>`, or as an object with both."""
    if isinstance(value, Mapping):
        return str(value.get("name") or "").strip(), str(value.get("email") or "").strip()
    text = str(value or "").strip()
    if found := _NAMED_ADDRESS.fullmatch(text):
        return found["name"].strip("\"' "), found["email"]
    return "", text


def _tags(value: object) -> list[str]:
    words = [str(each) for each in value] if isinstance(value, list) else re.split(r"[,;|\s]+", str(value or ""))
    plain = (re.sub(r"[^a-z0-9_-]+", "-", word.strip().lower()).strip("-_") for word in words)
    return list(dict.fromkeys(word for word in plain if word))


def _first_date(comments: Sequence[Fields]) -> object:
    return next((each["at"] for each in comments if each.get("at")), None)


def _same(one: object, other: object) -> bool:
    return " ".join(str(one).split()) == " ".join(str(other).split())
