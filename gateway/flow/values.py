"""Typed values and their normal forms: an address, a date, an amount is the same however it is written.

A value is compared whole and with its kind: `13` of a date is no identifier, an address no part of a longer one. What
cannot be read as its kind keeps its spelling, and so equals nothing that could.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from gateway.flow.plain import compatible, folded

Given = str | int | float | Decimal | date
"""A value as a field holds it."""


class Kind(StrEnum):
    """What a value is: only values of one kind are compared."""

    ADDRESS = "address"
    DOMAIN = "domain"
    URL = "url"
    NUMBER = "number"
    DATE = "date"
    PHONE = "phone"
    ACCOUNT = "account"
    IDENTIFIER = "identifier"
    TEXT = "text"


ACTIVE = frozenset({Kind.ADDRESS, Kind.DOMAIN, Kind.URL, Kind.PHONE, Kind.ACCOUNT})
"""The kinds by which a text makes somebody act: follow, write, call or pay."""


class Value(NamedTuple):
    """A value in normal form.

    Args:
        kind: What it is.
        space: What an identifier identifies (`of:file` in a field, `named:file` in text), or empty.
        text: The normal form.
    """

    kind: Kind
    space: str
    text: str


Meaning = tuple[Value, ...]
"""What must be known, all of it, for a value to be known: mostly one; a moment is known by its date and its time."""


def readings(value: Given, kind: Kind, namespace: str = "") -> tuple[Meaning, ...]:
    """All that a field's value may mean; if one of them is known, the value is.

    Args:
        value: As the field holds it.
        kind: What the field declares.
        namespace: For an identifier what it identifies.
    """
    match kind:
        case Kind.IDENTIFIER:
            return tuple((each,) for each in _identifier(folded(str(value)).strip(), namespace))
        case Kind.NUMBER:
            return tuple((Value(kind, "", each),) for each in _numbers(value))
        case Kind.DATE:
            return tuple(tuple(Value(kind, "", part) for part in parts) for parts in _moments(value))
        case Kind.URL:
            return tuple((Value(kind, "", each),) for each in urls(compatible(str(value).strip())))
        case _:
            return ((Value(kind, "", _PLAIN_FORMS[kind](str(value).strip())),),)


def forms(value: Given, kind: Kind, namespace: str = "") -> frozenset[Value]:
    """What becomes known by a field's value: no part of it, and for an identifier only in its own namespace."""
    if kind is Kind.IDENTIFIER:
        return frozenset((Value(kind, f"of:{namespace}", folded(str(value)).strip()),))
    if kind is Kind.DATE:
        return frozenset(Value(kind, "", form) for form in moment_forms(value))
    return frozenset(part for reading in readings(value, kind) for part in reading)


# --- addresses, names, URLs

_NAMED = re.compile(r"[^<>]*<([^<>]+)>")
_DEFAULT_PORTS = {"http": ":80", "https": ":443", "ftp": ":21"}
# RFC 3986, appendix B, without blanks and backslashes, about which browsers disagree.
_PARTS = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://((?:[^/?#\s\\]*@)?)(\[[0-9A-Fa-f:.]+\]|[^:/?#\s\\@\[\]]+)(:\d{0,5})?"
    r"([^?#\s\\]*)(\?[^#\s\\]*)?(#[^\s\\]*)?"
)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d")
_SCHEME = re.compile("[a-z][a-z0-9+.-]{0,20}:", re.IGNORECASE)


def address(text: str) -> str:
    """An email address: case folded, the domain in ASCII, without display name, `mailto:` and a final dot."""
    if "\n" in text or "\r" in text:
        return text
    named = _NAMED.fullmatch(text)
    bare = folded(named[1] if named else text).strip().removeprefix("mailto:")
    local, at, domain = bare.rpartition("@")
    return f"{local}@{host(domain)}" if at and local and "@" not in local else bare


def host(name: str) -> str:
    """A host's name in lower case and ASCII (IDNA 2008, UTS 46), without a final dot; as it is if it is none."""
    name = folded(name).removesuffix(".")
    return name if name.isascii() else _to_ascii(name)


@lru_cache(maxsize=1024)
def _to_ascii(name: str) -> str:
    import idna

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return name


def urls(text: str) -> tuple[str, ...]:
    """A URL's normal form (RFC 3986, section 6.2.2): two if it names no scheme, for that may mean either of two."""
    if _SCHEME.match(text) and not _HOST_AND_PORT.match(text):
        return (_url(text),)
    bare = text.lstrip("/")
    return (_url(f"https://{bare}"), _url(f"http://{bare}"))


def _url(text: str) -> str:
    parts = _PARTS.fullmatch(text)
    if parts is None:
        return text
    scheme, user, name, port, path, query, fragment = parts.groups(default="")
    scheme = scheme.lower()
    kept = "" if port in ("", ":", _DEFAULT_PORTS.get(scheme)) else port
    rest = f"{path or '/'}{query if query != '?' else ''}{fragment}"
    return f"{scheme}://{user}{host(_unescaped(name))}{kept}{_unescaped(rest)}"


def host_of(url: Value) -> Value:
    """The host of a URL in normal form, as evidence against other URLs there; it endorses none, and no domain."""
    parts = _PARTS.fullmatch(url.text)
    return Value(Kind.DOMAIN, "host", parts[3] if parts else "")


def _unescaped(text: str) -> str:
    """Percent-encoding undone where it says nothing, in capitals where it stays (RFC 3986, section 2.3)."""
    return _ESCAPE.sub(_unescape, text) if "%" in text else text


def _unescape(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return chr(code) if code in _UNRESERVED else f"%{found[1].upper()}"


# --- numbers, moments

_CURRENCY = re.compile(r"(?:[a-z]{3}|[$€£¥₹%])", re.IGNORECASE)
_SIGNED = re.compile(r"([-+−]?)(\d[\d.,'’ ]*)")
_LONGEST_NUMBER = 40
_GROUPING = re.compile("[ '’]")
_EXACT = Context(prec=50, traps=[])


def _numbers(value: Given) -> tuple[str, ...]:
    number = _EXACT.create_decimal(value.strip() if isinstance(value, str) else str(value))
    if number.is_finite():
        return (_decimal(number),)
    return written_numbers(str(value)) or (folded(str(value)),)


def written_numbers(text: str) -> tuple[str, ...]:
    """The number that a person wrote, with or without a currency; two if its separator may be either."""
    bare = _CURRENCY.sub("", folded(text), count=1).strip()
    found = _SIGNED.fullmatch(bare) if len(bare) <= _LONGEST_NUMBER else None
    if not found:
        return ()
    sign = "-" if found[1] in ("-", "−") else ""
    digits = _GROUPING.sub("", found[2])
    return tuple(_decimal(_EXACT.create_decimal(sign + each)) for each in _separated(digits))


def _separated(digits: str) -> tuple[str, ...]:
    dot, comma = digits.rfind("."), digits.rfind(",")
    if dot >= 0 and comma >= 0:
        decimal, group = (".", ",") if dot > comma else (",", ".")
        return _grouped(digits, group, decimal)
    if comma >= 0:
        return _grouped(digits, ",", "") or _grouped(digits, "", ",")
    if dot >= 0:
        return tuple(dict.fromkeys(_grouped(digits, ".", "") + _grouped(digits, "", ".")))
    return (digits,)


def _grouped(digits: str, group: str, decimal: str) -> tuple[str, ...]:
    whole, point, rest = digits.partition(decimal) if decimal else (digits, "", "")
    if group:
        head, *groups = whole.split(group)
        if not head or len(head) > 3 or any(len(each) != 3 or not each.isdigit() for each in groups):
            return ()
        whole = head + "".join(groups)
    return (f"{whole}.{rest or 0}",) if whole.isdigit() and (rest.isdigit() or not point) else ()


def _decimal(number: Decimal) -> str:
    return str(_EXACT.add(_EXACT.normalize(number), 0))


def moment_forms(value: Given) -> Iterator[str]:
    """What a date or a moment in a field makes known: a moment with a zone not as one of another zone."""
    moment = _parsed(value)
    if isinstance(moment, datetime):
        clock = moment.strftime("%Y-%m-%dT%H:%M")
        yield moment.strftime("%Y-%m-%d")
        if moment.tzinfo:
            yield f"utc {moment.astimezone(UTC):%Y-%m-%dT%H:%M}"
            yield f"wall {clock}"
        else:
            yield clock
    elif isinstance(moment, date):
        yield moment.isoformat()
    else:
        yield folded(str(value))


def _moments(value: Given) -> Iterator[tuple[str, ...]]:
    moment = _parsed(value)
    if not isinstance(moment, date):
        yield (folded(str(value)),)
        return
    day = (f"{moment:%Y-%m-%d}", f"--{moment:%m-%d}")
    if not isinstance(moment, datetime):
        yield from ((each,) for each in day)
        return
    clock = f"{moment:%Y-%m-%dT%H:%M}"
    yield (clock,)
    yield (f"utc {moment.astimezone(UTC):%Y-%m-%dT%H:%M}",) if moment.tzinfo else (f"wall {clock}",)
    yield from ((each, f"T{moment:%H:%M}") for each in day)


def _parsed(value: Given) -> date | None:
    if isinstance(value, date):
        return value
    text = folded(str(value)).strip().upper()
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    return None


# --- phones, accounts, identifiers, names

_BLANKS = re.compile(r"[\s-]")
_TOKEN = re.compile(r"\w[\w.:/#-]*")
_HYPHENED = re.compile(r"[^\W_]+(?:[_-][^\W_]+)+")
_PHONE = re.compile(r"\+?[\d\s()./-]{5,40}")


def phone(text: str) -> str:
    """A telephone number as digits, `00` before a country as `+`; as it is if it is none."""
    bare = folded(text).removeprefix("tel:")
    if not _PHONE.fullmatch(bare):
        return bare
    digits = re.sub(r"[^\d+]", "", bare.replace("(0)", ""))
    return f"+{digits[2:]}" if digits.startswith("00") else digits


def account(text: str) -> str:
    """An account's or card's number without blanks and hyphens."""
    return _BLANKS.sub("", folded(text))


def is_account(text: str) -> bool:
    """Whether this is an IBAN (ISO 13616) or a card's number (ISO 7812) by its check digits."""
    if re.fullmatch("[a-z]{2}[0-9]{2}[a-z0-9]{11,30}", text):
        return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1
    if not re.fullmatch("[0-9]{13,19}", text):
        return False
    doubled = (int(char) * (1 + at % 2) for at, char in enumerate(reversed(text)))
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


def _identifier(text: str, namespace: str) -> Iterator[Value]:
    yield Value(Kind.IDENTIFIER, f"of:{namespace}", text)
    for noun in nouns(namespace):
        yield Value(Kind.IDENTIFIER, f"named:{noun}", text)
    if is_telling(text):
        yield Value(Kind.IDENTIFIER, "", text)


def nouns(namespace: str) -> tuple[str, ...]:
    """The word for a thing of a namespace, the last of its name: `file` of `drive.file`."""
    words = re.findall("[a-z]+", namespace.lower())
    return (words[-1].removesuffix("s"),) if words else ()


def is_telling(text: str) -> bool:
    """Whether an identifier is long and mixed enough to be meant wherever it stands as a whole word."""
    has_digit = any(map(str.isdigit, text))
    if has_digit:
        return len(text) >= 6 and any(map(str.isalpha, text)) and bool(_TOKEN.fullmatch(text))
    return len(text) >= 8 and bool(_HYPHENED.fullmatch(text))


def phrase(text: str) -> str:
    """A name or title: folded, with single blanks, without quotes around it."""
    return " ".join(folded(text).split()).strip("\"'“”„‘’‚«»‹›`")


_PLAIN_FORMS = {
    Kind.ADDRESS: address,
    Kind.DOMAIN: host,
    Kind.PHONE: phone,
    Kind.ACCOUNT: account,
    Kind.TEXT: phrase,
}
