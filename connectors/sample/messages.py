"""Messages as mail programs write them: real RFC 5322 bytes with quotes, alternatives, charsets and attachments."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.contentmanager import raw_data_manager
from email.header import Header
from email.message import EmailMessage
from email.policy import compat32
from email.utils import format_datetime, formataddr
from html import escape
from random import Random

from connectors.records import MessageRecord
from connectors.sample.attachments import Attached
from connectors.sample.words import bank, day, flowed

Person = tuple[str, str]
"""A display name and an address."""

INBOX_DAYS = 30

# The older policy keeps what is put in: headers in any charset, and the same bytes on every version of Python.
_POLICY = compat32.clone(linesep="\r\n")
_CHARSETS = {
    "pl": ("utf-8", "iso-8859-2", "windows-1250"),
    "en": ("utf-8", "us-ascii", "windows-1252"),
}
_WESTERN = ("utf-8", "utf-8", "iso-8859-1", "windows-1252", "iso-8859-15")
_FONTS = ("Calibri,sans-serif", "Arial,Helvetica,sans-serif", "Georgia,serif")
_HOURS = {"United Kingdom": 0, "Ireland": 0, "United States": -5}


@dataclass(frozen=True)
class Letter:
    """One message before it is bytes.

    Args:
        sender: Who writes.
        to: Whom to.
        subject: Without `Re:`.
        text: The writer's own words, without quotes.
        at: When.
        language: Decides charset and quoting phrase.
        country: The sender's, for the zone of the date.
        cc: Who gets a copy.
        attached: Files.
        html: An HTML body to send instead of the text.
    """

    sender: Person
    to: Person
    subject: str
    text: str
    at: datetime
    language: str = "en"
    country: str = "Germany"
    cc: tuple[Person, ...] = ()
    attached: tuple[Attached, ...] = ()
    html: str = ""


def thread(letters: Sequence[Letter], mailbox: str, now: datetime, rng: Random) -> list[MessageRecord]:
    """The messages of a conversation, each quoting the one before, filed as `mailbox` would have them.

    Args:
        letters: Oldest first.
        mailbox: Whose mail it is; what it sent goes to `sent`, what is over 30 days old to `archive`.
        now: The time of filing.
        rng: The only source of chance.
    """
    records: list[MessageRecord] = []
    ids: list[str] = []
    quote = ""
    for letter in letters:
        ids.append(_message_id(letter, rng))
        own = flowed(letter.text) if rng.random() < 0.6 else letter.text
        text = f"{own}\n\n{quote}" if quote else own
        quote = _quoted(letter, text)
        recent = now - letter.at < timedelta(days=INBOX_DAYS)
        records.append(
            MessageRecord(
                source_id=ids[-1],
                mailbox=mailbox,
                folder="sent" if letter.sender[1] == mailbox else "inbox" if recent else "archive",
                raw=_bytes(letter, text, ids, rng),
            )
        )
    return records


def _message_id(letter: Letter, rng: Random) -> str:
    token, domain = f"{rng.getrandbits(64):016x}", letter.sender[1].partition("@")[2]
    return rng.choice((f"<{token}@{domain}>", f"<{letter.at:%y%m%d}.{token[:9]}@{domain}>"))


def _quoted(letter: Letter, text: str) -> str:
    phrase = bank(letter.language)["wrote"]
    name, email = letter.sender
    intro = phrase.format(date=day(letter.at, letter.language), time=f"{letter.at:%H:%M}", name=name, email=email)
    quote = "\n".join(f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in text.split("\n"))
    return f"{intro}\n{quote}"


def _bytes(letter: Letter, text: str, ids: Sequence[str], rng: Random) -> bytes:
    charset = _charset(text + letter.subject + letter.sender[0], letter.language, rng)
    message = EmailMessage(policy=_POLICY)
    message["Date"] = format_datetime(letter.at.astimezone(_zone(letter)))
    message["From"] = formataddr(letter.sender, charset)
    message["To"] = formataddr(letter.to, "utf-8")
    if letter.cc:
        message["Cc"] = ", ".join(formataddr(person, "utf-8") for person in letter.cc)
    reply = "" if len(ids) == 1 else "AW: " if letter.language == "de" and rng.random() < 0.5 else "Re: "
    message["Subject"] = _header(reply + letter.subject, charset)
    message["Message-ID"] = ids[-1]
    if len(ids) > 1:
        message["In-Reply-To"] = ids[-2]
        message["References"] = "\r\n ".join(ids[:-1])
    _fill(message, letter, text, charset, rng)
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{ids[-1].strip('<>').partition('@')[0]}_{number}")
    return message.as_bytes()


def _fill(message: EmailMessage, letter: Letter, text: str, charset: str, rng: Random) -> None:
    encoding = "7bit" if text.isascii() and max(map(len, text.split("\n"))) < 900 else "quoted-printable"
    if encoding != "7bit" and rng.random() < 0.25:
        encoding = "base64"
    if letter.html:
        _set_html(message.set_content, letter.html)
    else:
        message.set_content(text + "\n", charset=charset, cte=encoding, content_manager=raw_data_manager)
        if rng.random() < 0.4:
            _set_html(message.add_alternative, _html(text, rng.choice(_FONTS)))
    for one in letter.attached:
        main, sub = one.media_type.split("/")
        message.add_attachment(
            one.data, maintype=main, subtype=sub, filename=one.name, content_manager=raw_data_manager
        )


def _set_html(put: Callable[..., None], html: str) -> None:
    put(html, subtype="html", charset="utf-8", cte="quoted-printable", content_manager=raw_data_manager)


def _html(text: str, font: str) -> str:
    own, _, quote = text.partition("\n>")
    body = "".join(f"<p>{escape(part).replace(chr(10), '<br>')}</p>\n" for part in own.split("\n\n"))
    if quote:
        lines = "<br>".join(escape(line.removeprefix(">").strip()) for line in f">{quote}".split("\n"))
        body += f'<blockquote style="border-left:2px solid #ccc;padding-left:8px">{lines}</blockquote>\n'
    return f'<html><body style="font-family:{font};font-size:11pt">\n{body}</body></html>\n'


def _header(text: str, charset: str) -> Header | str:
    return text if text.isascii() else Header(text, charset, maxlinelen=76)


def _charset(text: str, language: str, rng: Random) -> str:
    charset = rng.choice(_CHARSETS.get(language, _WESTERN))
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return "utf-8"
    return charset


def _zone(letter: Letter) -> timezone:
    summer = 4 <= letter.at.month <= 10
    return timezone(timedelta(hours=_HOURS.get(letter.country, 1) + summer))
