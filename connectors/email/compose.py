"""Writing a message: the RFC 5322 bytes of what goes out, checked by reading them back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from connectors.email.charset import visible_line
from connectors.email.mime import MAX_LINE, ParsedMessage, parse
from connectors.errors import InvalidInput

_MAX_QUOTE = 10_000
_MAX_REFERENCES = 20
_USABLE_ID = re.compile(r"[!-;=?-~]{1,250}")
# Seven bits go through every server (RFC 6152).
_SEVEN_BITS = SMTP.clone(cte_type="7bit")
_BREAKS_A_HEADER = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Outgoing:
    """A message to send. Message-IDs are without brackets; `references` is the conversation so far, oldest first.

    `quote` is what it answers, as it is set below the body.
    """

    mailbox: str
    to: Sequence[str]
    subject: str
    body: str
    cc: Sequence[str] = ()
    references: Sequence[str] = field(default=())
    quote: str = ""

    @property
    def text(self) -> str:
        """The whole text that is sent."""
        return f"{self.body}\n\n{self.quote}\n" if self.quote else self.body


def compose(outgoing: Outgoing, message_id: str, at: datetime) -> bytes:
    """Write a message as it goes over the wire.

    Args:
        outgoing: What to write.
        message_id: Its Message-ID, without brackets.
        at: Its date, with zone.

    Raises:
        InvalidInput: If a value would break out of its header.
    """
    references = [f"<{found}>" for found in outgoing.references if _USABLE_ID.fullmatch(found)]
    kept = references[:1] + references[1:][-_MAX_REFERENCES:]
    headers = {
        "From": outgoing.mailbox,
        "To": ", ".join(outgoing.to),
        "Cc": ", ".join(outgoing.cc),
        "Subject": outgoing.subject,
        "Date": format_datetime(at.astimezone(UTC)),
        "Message-ID": f"<{message_id}>",
        "In-Reply-To": "".join(kept[-1:]),
        "References": " ".join(kept),
    }
    content = EmailMessage(policy=_SEVEN_BITS)
    content.set_content(outgoing.text)
    lines = [f"{name}: {_encoded(name, value)}\r\n" for name, value in headers.items() if value]
    raw = "".join(lines).encode("ascii") + content.as_bytes()
    _check(parse(raw), outgoing, message_id)
    return raw


def _encoded(name: str, value: str) -> str:
    if found := _BREAKS_A_HEADER.search(value):
        raise InvalidInput(f"`{name}` must not contain U+{ord(found.group()):04X}", field=name.lower())
    try:
        return Header(value, header_name=name).encode(linesep="\r\n")
    except (MessageError, UnicodeError) as error:
        raise InvalidInput(
            f"`{name}` cannot be written as a mail header; use plain text", field=name.lower()
        ) from error


def _check(written: ParsedMessage, outgoing: Outgoing, message_id: str) -> None:
    """What a reader will see must be what was asked for."""
    pairs = {
        "mailbox": (written.sender_email, outgoing.mailbox),
        "to": (written.to, tuple(dict.fromkeys(outgoing.to))),
        "cc": (written.cc, tuple(dict.fromkeys(outgoing.cc))),
        "subject": ("".join(written.subject.split()), "".join(visible_line(outgoing.subject, MAX_LINE).split())),
        "message id": (written.message_id, message_id),
    }
    for name, (is_, ought) in pairs.items():
        if is_ != ought:
            raise InvalidInput(f"`{name}` would not arrive as given; use plain characters", field=name)


def reply_subject(subject: str) -> str:
    """The subject of an answer: marked with `Re:`, once, and short enough to be sent."""
    return subject if re.match(r"re\s*:", subject, re.IGNORECASE) else f"Re: {subject}"[:MAX_LINE].strip()


def quoted(original: ParsedMessage, at: datetime) -> str:
    """The original as it stands below an answer.

    Args:
        original: The message that is answered.
        at: When it was sent.
    """
    sender = f"{original.sender_name} <{original.sender_email}>".strip()
    lines = original.text[:_MAX_QUOTE].splitlines()
    return "\n".join(
        [
            f"On {at.astimezone(UTC):%Y-%m-%d at %H:%M} UTC, {sender} wrote:",
            "",
            *(f"> {line}".rstrip() for line in lines),
        ]
    )
