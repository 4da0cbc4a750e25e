"""Making a message record of a message's bytes, which are kept as they are."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from connectors.email.mime import ParsedMessage, parse
from connectors.importing.source import Accepted, Facts, Likeness, Place, Refused
from connectors.importing.text import HIDDEN
from connectors.records import MessageRecord

MAX_MESSAGE = 25_000_000
ATTACHMENTS: Final = "messages with attachments"
UNDECODABLE: Final = "text in an unknown or wrong charset, partly replaced"
RAW_HEADERS: Final = "8-bit text in headers, charset guessed"
UNREAD: Final = "unread messages"

Folder = Literal["inbox", "sent", "archive"]

_MAX_HEAD = 256_000
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(rb"^[!-9;-~]+[ \t]*:", re.MULTILINE)
_MARK = re.compile(
    rb"^(status|x-mozilla-status|x-gmail-labels)[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE | re.IGNORECASE
)
_MOZILLA_READ = 0x0001


@dataclass(frozen=True, slots=True)
class Marks:
    """What a mail program noted about a message: where it lay and whether it had been read."""

    folder: Folder = "inbox"
    unread: bool = True


def message(raw: bytes, place: Place, mailbox: str, marks: Marks) -> Accepted:
    """Make a record of one message.

    Its `source_id` is the Message-ID, or the SHA-256 of its bytes where it has none.

    Args:
        raw: The whole message.
        place: Where it stands.
        mailbox: The address that it belongs to; what that address sent goes to `sent`.
        marks: Where it lay and whether it was read.

    Raises:
        Refused: If it is too large or has no header at all.
        pydantic.ValidationError: If it cannot be named.
    """
    check_size(len(raw))
    if not _FIELD.search(head_of(raw)):
        raise Refused("header: there is none")
    parsed = parse(raw)
    folder: Folder = "sent" if parsed.sender_email == mailbox else marks.folder
    record = MessageRecord(
        source_id=parsed.message_id or f"sha256:{hashlib.sha256(raw).hexdigest()}",
        mailbox=mailbox,
        folder=folder,
        unread=marks.unread and folder == "inbox",
        raw=raw,
    )
    return Accepted(record, place, _facts(parsed, raw, record))


def check_size(size: int) -> None:
    """Refuse a message that is too large to keep, before it is read.

    Raises:
        Refused: If it is.
    """
    if size > MAX_MESSAGE:
        raise Refused(f"message: {size / 1_000_000:.0f} MB, at most {MAX_MESSAGE // 1_000_000} MB can be kept")


def head_of(raw: bytes) -> bytes:
    """The header block: everything before the first empty line."""
    start = raw[:_MAX_HEAD]
    end = _END_OF_HEAD.search(start)
    return start[: end.start()] if end else start


def marks_in(raw: bytes) -> Marks:
    """Read the marks that mail programs put in the header: `Status` (mbox), Thunderbird's, and Gmail's labels.

    A message without any mark counts as unread in the inbox, as the mbox format has it.
    """
    marks = {name.lower(): value.strip() for name, value in _MARK.findall(head_of(raw))}
    labels = {label.strip(b' "\r\n\t').lower() for label in marks.get(b"x-gmail-labels", b"").split(b",")}
    if labels - {b""}:
        folder: Folder = "sent" if b"sent" in labels else "inbox" if b"inbox" in labels else "archive"
        return Marks(folder, unread=b"unread" in labels)
    if re.fullmatch(rb"[0-9a-fA-F]{1,8}", mozilla := marks.get(b"x-mozilla-status", b"")):
        return Marks(unread=not int(mozilla, 16) & _MOZILLA_READ)
    return Marks(unread=b"R" not in marks.get(b"status", b""))


def _facts(parsed: ParsedMessage, raw: bytes, record: MessageRecord) -> Facts:
    missing = {
        "message_id": parsed.message_id,
        "date": parsed.sent_at,
        "subject": parsed.subject,
        "sender": parsed.sender_email,
    }
    alike = f"{parsed.sender_email}\n{parsed.subject.casefold()}"
    twice = Likeness("same sender and subject within a minute", alike, at=parsed.sent_at)
    return Facts(
        missing=tuple(field for field, value in missing.items() if not value),
        signs=tuple(_signs(parsed, raw, record)),
        likenesses=(twice,) if parsed.sent_at and parsed.sender_email else (),
    )


def _signs(parsed: ParsedMessage, raw: bytes, record: MessageRecord) -> Iterator[str]:
    if parsed.attachments:
        yield ATTACHMENTS
    if parsed.hidden:
        yield HIDDEN
    if record.unread:
        yield UNREAD
    if "\ufffd" in parsed.text + parsed.subject:
        yield UNDECODABLE
    if not head_of(raw).isascii():
        yield RAW_HEADERS
