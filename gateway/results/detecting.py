"""Finds secrets and personal data in a text, however they are spaced, widened or strewn with unseen characters.

What a number is worth is judged by libraries that know the standards: python-stdnum (Luhn, IBAN), phonenumbers. The
forms of credentials are those of bc-detect-secrets, and of some issuers that it does not know.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from stdnum import iban, luhn, numdb

from gateway.policy.files.obligations import What
from gateway.visible_text import is_hidden


class Span(NamedTuple):
    """A stretch of a text, from its first character to the one after its last, and what it is."""

    start: int
    end: int
    what: What


def find(text: str, whats: Iterable[What]) -> list[Span]:
    """Find what is wanted in a text, in order and without overlaps.

    Args:
        text: The text as it was written.
        whats: What to look for; `personal` and `field` say something of whole fields and are not looked for.
    """
    plain, places = _plain(text)
    found = [Span(a, b, what) for what in whats if what in _FINDERS for a, b in _FINDERS[what](plain)]
    return [Span(places[a], places[b - 1] + 1, what) for a, b, what in _apart(found)]


def _apart(found: list[Span]) -> Iterator[Span]:
    end = 0
    for span in sorted(found, key=lambda each: (each.start, -each.end)):
        if span.start >= end:
            yield span
            end = span.end
        elif span.end > end:
            yield Span(end, span.end, span.what)
            end = span.end


def _plain(text: str) -> tuple[str, Sequence[int]]:
    """A text as it reads, in plain characters, and where each of them stands in the text as it was written."""
    plain = {char: _plain_char(char) for char in set(text)}
    if all(char == made for char, made in plain.items()):
        return text, range(len(text))
    places = [place for place, char in enumerate(text) if plain[char]]
    return "".join(plain[text[place]] for place in places), places


def _plain_char(char: str) -> str:
    if is_hidden(char) and char != "\r":
        return ""
    if char.isascii():
        return char
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    if unicodedata.category(char) == "Zs":
        return " "
    if unicodedata.category(char) == "Pd" or char == "\u2212":
        return "-"
    made = unicodedata.normalize("NFKC", char)
    return made if len(made) == 1 else char


# Payment cards: ISO/IEC 7812, by issuer: first digits and lengths.
_BETWEEN = r"[ .\-/_\n\t]{0,3}"
_DIGITS = re.compile(rf"\d(?:{_BETWEEN}\d){{12,}}")
_ISSUERS: tuple[tuple[re.Pattern[str], tuple[int, ...]], ...] = (
    (re.compile(r"4"), (16, 19)),
    (re.compile(r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"6(?:011|4[4-9]|5)"), (16, 19)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16,)),
    (re.compile(r"3(?:0[0-5]|[689])"), (14,)),
    (re.compile(r"62|81"), (16, 17, 18, 19)),
    (re.compile(r"50(?:18|20|38)|5[6-8]|6(?:304|759|76[123])"), (16, 18, 19)),
)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for run in _DIGITS.finditer(text):
        places = [run.start() + at for at, char in enumerate(run.group()) if char.isdigit()]
        digits = "".join(text[place] for place in places)
        taken = 0
        for start in range(len(digits) - 13):
            # A number begins and ends where a group of digits does: no part of a longer one.
            if start < taken or (start and places[start] == places[start - 1] + 1):
                continue
            if length := _card_length(digits, places, start):
                taken = start + length
                yield places[start], places[taken - 1] + 1


def _card_length(digits: str, places: list[int], start: int) -> int:
    for first, lengths in _ISSUERS:
        if first.match(digits, start):
            for length in lengths:
                end = start + length
                ends = end == len(digits) or (end < len(digits) and places[end] > places[end - 1] + 1)
                if ends and luhn.is_valid(digits[start:end]):
                    return length
    return 0


_IBAN = re.compile(r"(?i)(?<![A-Z0-9])[A-Z]{2}[ \-.]{0,2}\d[ \-.]?\d(?:[ \-.\n]{0,2}[A-Z0-9]){11,30}")
_PART_OF_IBAN = re.compile(r"(\d+)!")


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    while found := _IBAN.search(text, position):
        position = found.start() + 2
        places = [found.start() + at for at, char in enumerate(found.group()) if char.isalnum()]
        number = "".join(text[place] for place in places)
        length = _iban_length(number[:2].upper())
        if length and iban.is_valid(number[:length]):
            position = places[length - 1] + 1
            yield found.start(), position


@cache
def _iban_length(country: str) -> int:
    """How many characters an IBAN of a country has (the registry of ISO 13616); 0 for what is no such country."""
    _, facts = numdb.get("iban").info(country)[0]
    parts = _PART_OF_IBAN.findall(facts.get("bban", ""))
    return 4 + sum(map(int, parts)) if parts else 0


_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    return (found.span() for found in _ADDRESS.finditer(text)) if "@" in text else iter(())


_PHONE = re.compile(r"(?<!\d)(?:\+|00)[ (]{0,2}[1-9](?:[ ()./\-]{0,3}\d){6,14}(?!\d)")


def _phones(text: str) -> Iterator[tuple[int, int]]:
    """Numbers in their international form; without a country, no other is a number for sure."""
    import phonenumbers

    for found in _PHONE.finditer(text):
        written = found.group()
        try:
            number = phonenumbers.parse(f"+{written[2:]}" if written.startswith("00") else written)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number):
            yield found.span()


# Of issuers that the library does not know. Each begins where a word does and is bounded, or time would be squared.
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-ant-[A-Za-z0-9_-]{20,200}|sk-[A-Za-z0-9_-]{20,200}|glpat-[A-Za-z0-9_-]{20,60}|github_pat_[A-Za-z0-9_]{22,255}"
    r"|pypi-AgE[A-Za-z0-9_-]{50,300}|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,300}|hf_[A-Za-z0-9]{30,60}"
    r"|dop_v1_[a-f0-9]{64}|shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32}|rk_live_[A-Za-z0-9]{24,120}|sk_live_[A-Za-z0-9]{24,120}"
    r"|whsec_[A-Za-z0-9+/=]{24,100}|xapp-[A-Za-z0-9-]{20,200}|AGE-SECRET-KEY-1[A-Z0-9]{58}|\d{8,10}:AA[A-Za-z0-9_-]{33}"
    r"|eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{4,4000}\.[A-Za-z0-9_-]{0,1000})"
)
_TOKEN_HINTS = (
    *("sk-", "glpat-", "github_pat_", "pypi-", "aiza", "ya29.", "hf_", "dop_v1_", "shp", "k_live_", "whsec_"),
    *("xapp-", "age-secret-key", ":aa", "eyj"),
)
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?!-----)[\s\S]){0,20000}(?:-----END[A-Z0-9 ]{0,60}-----)?"
)
_SAID = re.compile(
    r"(?i)\b(?:pass(?:word|wort|phrase|code)|passwd|pwd|kennwort|mot de passe|contraseña|api[ _-]?key|access[ _-]?key"
    r"|secret[ _-]?key|client[ _-]?secret|(?:access|auth|bearer|refresh)[ _-]?token)"
    r"[\"']?[ \t]{0,3}(?::|=|=>|\bis\b|\blautet\b)[ \t]{0,3}[\"']?([^\s⟦]\S{3,199})"
)
_PROSE = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*[.,;:!?)\"']*")
_TRAILING = "\"'`.,;:!?)]}"


class _Form(NamedTuple):
    found: re.Pattern[str]
    hints: tuple[str, ...]
    """A text in lower case has one of them, or nothing of this form."""


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    lower = text.lower()
    for form in _forms():
        if any(hint in lower for hint in form.hints):
            yield from (found.span() for found in form.found.finditer(text))
    if not any(hint in lower for hint in ("pass", "pwd", "kennwort", "contrase", "key", "secret", "token")):
        return
    for said in _SAID.finditer(text):
        value = said.group(1).rstrip(_TRAILING)
        # A word behind `password:` is prose more often than a password.
        if value and not _PROSE.fullmatch(value):
            yield said.start(1), said.start(1) + len(value)


@cache
def _forms() -> tuple[_Form, ...]:
    # What takes long to load is loaded when it is needed.
    from detect_secrets.plugins.aws import AWSKeyDetector
    from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
    from detect_secrets.plugins.base import RegexBasedDetector
    from detect_secrets.plugins.basic_auth import BasicAuthDetector
    from detect_secrets.plugins.discord import DiscordBotTokenDetector
    from detect_secrets.plugins.github_token import GitHubTokenDetector
    from detect_secrets.plugins.mailchimp import MailchimpDetector
    from detect_secrets.plugins.npm import NpmDetector
    from detect_secrets.plugins.sendgrid import SendGridDetector
    from detect_secrets.plugins.slack import SlackDetector
    from detect_secrets.plugins.square_oauth import SquareOAuthDetector
    from detect_secrets.plugins.stripe import StripeDetector
    from detect_secrets.plugins.twilio import TwilioKeyDetector

    known: dict[type[RegexBasedDetector], tuple[str, ...]] = {
        AWSKeyDetector: ("a3t", "abia", "acca", "akia", "asia", "aws"),
        AzureStorageKeyDetector: ("==",),
        BasicAuthDetector: ("://",),
        DiscordBotTokenDetector: (".",),
        GitHubTokenDetector: ("gh",),
        MailchimpDetector: ("-us",),
        NpmDetector: ("npm", "_authtoken"),
        SendGridDetector: ("sg.",),
        SlackDetector: ("xox", "hooks.slack.com"),
        SquareOAuthDetector: ("sq0csp",),
        StripeDetector: ("k_live_",),
        TwilioKeyDetector: ("ac", "sk"),
    }
    forms = (_Form(form, hints) for detector, hints in known.items() for form in detector().denylist)
    return (_Form(_KEY_BLOCK, ("private key",)), _Form(_TOKENS, _TOKEN_HINTS), *forms)


_FINDERS: dict[What, Callable[[str], Iterator[tuple[int, int]]]] = {
    What.SECRETS: _secrets,
    What.PAYMENT_CARDS: _cards,
    What.IBANS: _ibans,
    What.ADDRESSES: _addresses,
    What.PHONES: _phones,
}
