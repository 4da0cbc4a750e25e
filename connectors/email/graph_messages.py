"""What of a Graph message becomes what of the contract.

Graph's ids are longer than ours may be. So an id says when the message was received, to the second, and has a digest of
Graph's id: a query for that second finds it again. A conversation's does the same with its first message.
"""

import re
from base64 import b32encode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from connectors.email import graph_wire as wire
from connectors.email.charset import visible, visible_line
from connectors.email.mime import MAX_LINE, ParsedMessage
from connectors.email.showing import UNDATED, summary
from connectors.email.tools import Folder, MessageSummary, SearchEmail

_ID = re.compile(r"(?:msg|thr)_([0-9a-v]{7})([a-z2-7]{16})")
_DIGITS = "0123456789abcdefghijklmnopqrstuv"


def shown(kind: str, at: datetime, name: str) -> str:
    """The id of a message (`msg`) or conversation (`thr`).

    Args:
        kind: Which.
        at: When the message, or the conversation's first one, was received.
        name: Graph's id.
    """
    seconds = int(at.timestamp())
    time = "".join(_DIGITS[seconds >> shift & 31] for shift in range(30, -1, -5))
    return f"{kind}_{time}{_digest(name)}"


def when_of(id_: str) -> datetime | None:
    """The second that an id names; None if it is none of these ids."""
    found = _ID.fullmatch(id_)
    return datetime.fromtimestamp(int(found[1], 32), UTC) if found else None


def is_of(id_: str, name: str) -> bool:
    """Whether an id was made of Graph's id."""
    return id_.endswith(_digest(name))


def _digest(name: str) -> str:
    return b32encode(sha256(name.encode()).digest()).decode().lower()[:16]


def moment(at: datetime) -> str:
    """A moment as it stands in a filter."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def literal(text: str) -> str:
    """A text as it stands in a filter (OData 4.01, URL conventions, section 5.1.1.14)."""
    return "'" + text.replace("'", "''") + "'"


def search_of(args: SearchEmail) -> str:
    """What is searched for, in KQL; every word is text and nothing else."""
    words = [part for word in args.query.split() for part in re.sub(r'["\\]', " ", word).split()]
    sender = [f"from:{args.sender}"] if args.sender else []
    terms = [*(f'\\"{word}\\"' for word in words), *sender]
    return '"' + " AND ".join(terms) + '"'


def filter_of(args: SearchEmail, until: str) -> str:
    """What is wanted where no words are searched for; what is sorted by comes first, as Graph demands."""
    wanted = [f"receivedDateTime le {until}" if until else "receivedDateTime ge 1900-01-01T00:00:00Z"]
    if args.unread is not None:
        wanted.append(f"isRead eq {str(not args.unread).lower()}")
    if args.sender:
        wanted.append(f"from/emailAddress/address eq {literal(args.sender)}")
    return " and ".join([*wanted, "isDraft eq false"])


def parsed(message: wire.Message) -> ParsedMessage:
    """What a list says of a message: all but its body."""
    sender = message.sender.email_address if message.sender else wire.Address()
    return ParsedMessage(
        message_id=message.internet_message_id.strip("<> "),
        in_reply_to="",
        references=(),
        sender_name=visible_line(sender.name if sender.name != sender.address else "", MAX_LINE),
        sender_email=_address(sender),
        to=_addresses(message.to_recipients),
        cc=_addresses(message.cc_recipients),
        subject=visible_line(message.subject or "", MAX_LINE),
        sent_at=message.at,
        text=visible(message.body_preview or ""),
        truncated=True,
        attachments=(),
    )


def told(message: wire.Message, known: ParsedMessage, thread_id: str, folder: Folder) -> MessageSummary:
    """A message without its body."""
    return summary(
        known,
        id_=shown("msg", message.received_date_time or UNDATED, message.id),
        thread_id=thread_id,
        folder=folder,
        unread=not message.is_read,
        at=message.at or UNDATED,
        attached=len(known.attachments) or len(message.attachments),
    )


def _address(given: wire.Address) -> str:
    return visible_line(given.address, 254).lower() if "@" in given.address else ""


def _addresses(given: Sequence[wire.Recipient]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (_address(each.email_address) for each in given))))


def encoded(raw: bytes) -> bytes:
    """A message as it is handed over: as MIME in Base64."""
    return b64encode(raw)
