"""How an activity stands in a system that has only notes: what it was, its text, who logged it."""

import re
from datetime import datetime
from typing import get_args

from connectors.crm.tools import Activity, ActivityKind, LogActivity

_HEAD = re.compile(rf"({'|'.join(kind.capitalize() for kind in get_args(ActivityKind))}): (.*)")
_LAST = re.compile(r"\[(?P<actor>.*) via Remit, (?P<mark>[0-9a-f]+), (?P<ids>[a-z0-9_ ]+)\]")


def text_of(args: LogActivity, actor: str, mark: str) -> str:
    """The text of the note for an activity.

    Args:
        args: What happened.
        actor: Who logged it.
        mark: What the key left, in hexadecimal digits.
    """
    ids = " ".join(filter(None, (args.contact_id, args.account_id)))
    last = f"[{' '.join(actor.split())} via Remit, {mark}, {ids}]"
    return "\n\n".join(filter(None, (f"{args.kind.capitalize()}: {args.subject}", args.body, last)))


def marked(mark: str) -> str:
    """The pattern for `like` that notes with this mark have."""
    return f"% via Remit, {mark}, %]"


def activity_of(id_: str, text: str, at: datetime, mark: str) -> Activity | None:
    """The activity of a note; None if the note was not made under this mark.

    Args:
        id_: The activity's id.
        text: Its text.
        at: When it was made.
        mark: What the key left.
    """
    rest, _, last = text.rpartition("\n\n")
    head, _, body = rest.partition("\n\n")
    told, by = _HEAD.fullmatch(head), _LAST.fullmatch(last)
    if not (told and by and by["mark"] == mark):
        return None
    about = {id_[:3]: id_ for id_ in by["ids"].split()}
    kind: ActivityKind = told[1].lower()  # type: ignore[assignment]
    return Activity(
        id=id_,
        kind=kind,
        subject=told[2],
        body=body,
        contact_id=about.get("con"),
        account_id=about.get("acc"),
        actor=by["actor"],
        at=at,
    )
