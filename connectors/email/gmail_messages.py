"""What of a Gmail message becomes what of the contract."""

import html
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from connectors.email import gmail_wire as wire
from connectors.email.charset import visible_line
from connectors.email.mime import ParsedMessage, parse
from connectors.email.showing import summary
from connectors.email.tools import Folder, MessageSummary, SearchEmail
from connectors.errors import ConnectorError

UNSEEN = frozenset({"DRAFT", "TRASH", "SPAM", "CHAT"})
"""Labels of what the tools do not show."""

_IN: Mapping[Folder, str] = {"inbox": "in:inbox", "sent": "in:sent", "archive": "-in:inbox -in:sent"}
_TEXTS = {"text/plain", "text/html"}
_ID = re.compile(r"[a-z]{3}_([0-9a-f]{4,32})")


def query_of(args: SearchEmail) -> str:
    """What is searched for, in Gmail's search language; every word is text and nothing else."""
    wanted = ["-in:drafts", "-in:chats", _IN[args.folder] if args.folder else ""]
    if args.unread is not None:
        wanted.append("is:unread" if args.unread else "is:read")
    if args.sender:
        wanted.append(f"from:{args.sender}")
    words = (re.sub(r'["\\]', " ", word).split() for word in args.query.split())
    wanted += [f'"{part}"' for parts in words for part in parts]
    return " ".join(filter(None, wanted))


def own_id(id_: str, missing: ConnectorError) -> str:
    """Gmail's id of a message or conversation.

    Raises:
        ConnectorError: `missing`, if it is none of Gmail's.
    """
    found = _ID.fullmatch(id_)
    if not found:
        raise missing
    return found[1]


def version_of(message_id: str) -> int:
    """A number that changes with each change of a draft: Gmail then gives its message another id."""
    return int(message_id, 16) % (2**31 - 1) + 1


def encoded(raw: bytes, in_thread: str) -> dict[str, Any]:
    """A message as it is handed over, in a conversation if there is one."""
    message = {"raw": urlsafe_b64encode(raw).decode()}
    return message | ({"threadId": in_thread} if in_thread else {})


def decoded(message: wire.Message) -> bytes:
    """The bytes of a message that was asked for as `raw`."""
    return urlsafe_b64decode(message.raw + "=" * (-len(message.raw) % 4))


def parsed(message: wire.Message) -> ParsedMessage:
    """What is known of a message: all of it, or of a large one its headers and first words."""
    if message.raw:
        return parse(decoded(message))
    lines = (f"{each.name}: {' '.join(each.value.split())}\r\n" for each in message.payload.headers)
    # The body is not there: its headers would only mislead.
    head = "".join(line for line in lines if not line.lower().startswith("content-"))
    text = visible_line(html.unescape(message.snippet), 500)
    return replace(parse(head.encode()), text=text, truncated=True)


def told(message: wire.Message, known: ParsedMessage) -> MessageSummary:
    """A message without its body."""
    labels = set(message.label_ids)
    folder: Folder = "sent" if "SENT" in labels else "inbox" if "INBOX" in labels else "archive"
    attached = len(known.attachments) if message.raw else _attached(message.payload)
    return summary(
        known,
        id_=f"msg_{message.id}",
        thread_id=f"thr_{message.thread_id}",
        folder=folder,
        unread="UNREAD" in labels,
        at=known.sent_at or message.arrived,
        attached=attached,
    )


def _attached(part: wire.Part) -> int:
    return sum(each.mime_type not in _TEXTS or bool(each.filename) for each in _leaves(part))


def _leaves(part: wire.Part) -> Iterator[wire.Part]:
    if not part.parts or part.mime_type == "message/rfc822":
        yield part
        return
    for each in part.parts:
        yield from _leaves(each)
