"""Reading a message: any bytes in, plain text and a bounded list of attachments out (RFC 5322, 2045-2049, 2231).

Mail is written by outsiders, so nothing here trusts a header, and nothing here raises: what cannot be understood is
read as well as it can be, down to showing the bytes as text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32
from email.utils import getaddresses, parsedate_to_datetime

from connectors.email.charset import decode, visible, visible_line
from connectors.email.html import html_to_text

MAX_TEXT = 200_000
MAX_LINE = 500
MAX_NAME = 120
MAX_ADDRESSES = 100
MAX_REFERENCES = 100
_MAX_HEADER = 20_000
_MAX_PARTS = 100
_MAX_DEPTH = 20

# What the standard library is known to raise on hostile headers and encodings.
_UNREADABLE = (
    MessageError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    AssertionError,
)
_ID = re.compile(r"<([^<>\s]{1,500})>")
_ADDRESS = re.compile(r"[^\s<>()\[\]\",;:@\\]+@[^\s<>()\[\]\",;:@\\]+")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}")
_NOT_IN_A_NAME = re.compile(r'[<>:"|?*]+')
_ENCODED_WORD = "=?"


class _Bounded(Compat32):
    """Cuts every header, in every part: taking a longer one apart costs the square of its length."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, value[:_MAX_HEADER]


_POLICY = _Bounded(mangle_from_=False)


@dataclass(frozen=True)
class ParsedAttachment:
    """One attachment. `index` names it within its message; text is kept as UTF-8, anything else as it came."""

    index: int
    name: str
    media_type: str
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)


@dataclass(frozen=True)
class ParsedMessage:
    """A message as its reader sees it: single lines are clean and bounded, addresses lower-cased, "" if unusable.

    `message_id`, `in_reply_to` and `references` are without brackets. `sent_at` is the `Date`, or else when the last
    server received it, or None. `text` is the plain text body, or what the HTML shows; `hidden` says whether it held
    characters that nobody sees, which are left out.
    """

    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    sender_name: str
    sender_email: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    sent_at: datetime | None
    text: str
    truncated: bool
    attachments: tuple[ParsedAttachment, ...]
    hidden: bool = False


def parse(raw: bytes) -> ParsedMessage:
    """Read the bytes of one message.

    Args:
        raw: An RFC 5322 message, or anything else.
    """
    message = _structure(raw)
    sender_name, sender_email = next(iter(_people(message, "from")), ("", ""))
    texts, attachments = _contents(message)
    given = "\n\n".join(filter(None, texts))
    text = visible(given).strip()
    return ParsedMessage(
        message_id=next(iter(_ids(message, "message-id")), "") or _bare_id(message),
        in_reply_to=next(iter(_ids(message, "in-reply-to")), ""),
        references=tuple(_ids(message, "references")[:MAX_REFERENCES]),
        sender_name=sender_name,
        sender_email=sender_email,
        to=_addresses(message, "to"),
        cc=_addresses(message, "cc"),
        subject=visible_line(_words(_header(message, "subject")), MAX_LINE),
        sent_at=date_of(_header(message, "date")) or date_of(_header(message, "received").rpartition(";")[2]),
        text=text[:MAX_TEXT],
        truncated=len(text) > MAX_TEXT,
        attachments=tuple(attachments),
        hidden=len(visible(given)) != len(given.replace("\r\n", "\n")),
    )


def _structure(raw: bytes) -> Message:
    # Nested parts cost the parser their depth times their length; no honest message needs so many.
    if raw.lower().count(b"boundary") <= _MAX_PARTS:
        try:
            return message_from_bytes(raw, policy=_POLICY)
        except _UNREADABLE:
            pass
    try:
        return BytesParser(policy=_POLICY).parsebytes(raw, headersonly=True)
    except _UNREADABLE:
        message = Message()
        message.set_payload(decode(raw))
        return message


# Headers


def _header(message: Message, name: str) -> str:
    """The first header of that name, unfolded, its 8-bit bytes decoded; "" if there is none."""
    for key, value in message.raw_items():
        if key.lower() == name:
            return decode(str(value).encode("utf-8", "surrogateescape"))
    return ""


def _words(value: str) -> str:
    """Decode the encoded words of RFC 2047."""
    if _ENCODED_WORD not in value:
        return value
    try:
        parts = decode_header(value)
    except _UNREADABLE:
        return value
    return "".join(part if isinstance(part, str) else _word(part, charset) for part, charset in parts)


def _word(part: bytes, charset: str | None) -> str:
    # Text between encoded words comes as the escapes of a codec that is no charset.
    if charset is None:
        return part.decode("raw-unicode-escape", "replace")
    return decode(part, charset.partition("*")[0])


def _people(message: Message, name: str) -> list[tuple[str, str]]:
    value = _header(message, name)
    try:
        found = [(display, address) for display, address in getaddresses([value]) if "@" in address]
    except _UNREADABLE:
        found = []
    found = found or [("", address) for address in _ADDRESS.findall(value)]
    if not found and name == "from":
        found = [(value, "")]
    return [(visible_line(_words(display), MAX_LINE), _address(address)) for display, address in found[:MAX_ADDRESSES]]


def _address(value: str) -> str:
    clean = visible_line(value, _MAX_HEADER).lower()
    return clean if len(clean) <= 254 and _ADDRESS.fullmatch(clean) else ""


def _addresses(message: Message, name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(address for _, address in _people(message, name) if address))


def _ids(message: Message, name: str) -> list[str]:
    return [visible_line(found, MAX_LINE) for found in _ID.findall(_header(message, name))]


def _bare_id(message: Message) -> str:
    found = visible_line(_header(message, "message-id"), MAX_LINE)
    return found if found and not re.search(r"[<>\s]", found) else ""


def date_of(value: str) -> datetime | None:
    """The moment that a header names, in UTC; None if it names none."""
    try:
        found = parsedate_to_datetime(value.strip()[:200])
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except _UNREADABLE:
        return None


# Body and attachments


def _contents(message: Message) -> tuple[list[str], list[ParsedAttachment]]:
    texts: list[str] = []
    attachments: list[ParsedAttachment] = []
    skipped: set[int] = set()
    for index, part in enumerate(_leaves(message, 0, skipped)):
        if index >= _MAX_PARTS:
            break
        kind = _media_type(part)
        if kind in {"text/plain", "text/html"} and not _is_attached(part):
            if id(part) not in skipped:
                text = _text(part)
                texts.append(html_to_text(text) if kind == "text/html" else text)
        else:
            attachments.append(_attachment(part, kind, index))
    return texts, attachments


def _leaves(part: Message, depth: int, skipped: set[int]) -> Iterator[Message]:
    """Every part that is not a container, in order; `skipped` gathers the texts that another one stands for."""
    children = part.get_payload()
    if depth >= _MAX_DEPTH or not isinstance(children, list) or _media_type(part) == "message/rfc822":
        yield part
        return
    leaves = [leaf for child in children if isinstance(child, Message) for leaf in _leaves(child, depth + 1, skipped)]
    if _media_type(part) == "multipart/alternative":
        plain = [leaf for leaf in leaves if _media_type(leaf) == "text/plain" and _text(leaf).strip()]
        if plain:
            skipped.update(id(leaf) for leaf in leaves if _media_type(leaf) == "text/html")
    yield from leaves


def _media_type(part: Message) -> str:
    try:
        kind = part.get_content_type()
    except _UNREADABLE:
        return "application/octet-stream"
    if kind.startswith("multipart/") and not part.is_multipart():
        return "text/plain"  # its boundaries are missing: what is there can be read all the same
    return kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"


def _is_attached(part: Message) -> bool:
    try:
        return part.get_content_disposition() == "attachment" or part.get_filename() is not None
    except _UNREADABLE:
        return True


def _text(part: Message) -> str:
    # One character takes at most four bytes.
    return decode(_bytes(part)[: 4 * MAX_TEXT + 4], _charset(part))


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except _UNREADABLE:
        return None


def _bytes(part: Message) -> bytes:
    payload = part.get_payload()
    try:
        if isinstance(payload, list):
            return b"\n".join(child.as_bytes() for child in payload if isinstance(child, Message))
        content = part.get_payload(decode=True)
        return content if isinstance(content, bytes) else b""
    except _UNREADABLE:
        return str(payload).encode("utf-8", "surrogateescape" if isinstance(payload, str) else "replace")


def _attachment(part: Message, kind: str, index: int) -> ParsedAttachment:
    content = _bytes(part)
    if kind.startswith("text/"):
        content = visible(decode(content, _charset(part))).encode()
    return ParsedAttachment(index, _name(part, index), kind, content)


def _name(part: Message, index: int) -> str:
    try:
        given = part.get_filename() or ""
    except _UNREADABLE:
        given = ""
    name = safe_name(_words(decode(given.encode("utf-8", "surrogateescape"))))
    if not name and _media_type(part) == "message/rfc822":
        name = safe_name(f"{_words(_header(_first_child(part), 'subject')) or 'message'}.eml")
    return name or f"attachment-{index}"


def _first_child(part: Message) -> Message:
    children = part.get_payload()
    return children[0] if isinstance(children, list) and children and isinstance(children[0], Message) else part


def safe_name(name: str) -> str:
    """Reduce a file name from outside to a plain one: no folder, no control characters, no leading dots; "" if empty.

    Args:
        name: The name as its sender wrote it, such as `../../etc/passwd`.
    """
    base = re.split(r"[/\\]", visible_line(name, MAX_LINE))[-1]
    base = _NOT_IN_A_NAME.sub("_", base).strip(" .")
    stem, dot, suffix = base.rpartition(".")
    if len(base) > MAX_NAME and stem and len(suffix) < 20:
        return f"{stem[: MAX_NAME - len(suffix) - 1].rstrip(' .')}{dot}{suffix}"
    return base[:MAX_NAME].rstrip(" .")
