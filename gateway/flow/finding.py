"""The typed values that stand in a free text, each whole.

A text comes as chunks, the stretches between its blanks, of which some are marked as perhaps holding a value; only
these and their neighbours are looked at. Every pattern is bounded in what it may try, so a text costs time in
proportion to its length, whoever wrote it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from gateway.flow.dates import read_moment
from gateway.flow.plain import compatible, disguised, folded
from gateway.flow.values import (
    Kind,
    Value,
    account,
    address,
    host,
    host_of,
    is_account,
    is_telling,
    phone,
    urls,
    written_numbers,
)

_TRAILING = ".,;:!?'\"”’)]}*_~"
_AROUND = ".,;:!?'\"“”‘’()[]{}*_~"
_ATOM = r"\w.!#$%&'*+/=?^{}~-"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_PORT_AND_PATH = r"(?::\d{1,5})?(?:[/?#]\S*)?"
_WEB = re.compile(
    rf"(?P<url>(?<![A-Za-z0-9])(?:[A-Za-z][A-Za-z0-9+.-]{{0,20}}:/{{2,}}|data:[a-z]{{1,20}}/|(?:java|vb)script:)\S+)"
    rf"|(?P<address>(?<![{_ATOM}])[{_ATOM}]{{1,64}}@(?:{_LABEL}\.){{1,8}}{_LABEL})(?!\.?[\w@-])"
    rf"|(?P<host>(?<![\w.@%-])(?:{_LABEL}\.){{1,8}}(?:[^\W\d_]{{2,24}}|xn--[\w-]{{2,50}})(?!\.?[\w@-])\.?{_PORT_AND_PATH})"
    rf"|(?P<number>(?<![\w.@%-])\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?::\d{{1,5}}[/?#]?|[/?#])\S*)",
    re.IGNORECASE,
)
# Ends of names that are files far oftener than hosts, and no top-level domains.
_FILES = """
bmp cfg conf csv css dll doc docx exe gif gz htm html ics ini jpeg jpg js json jsx log odt pdf png ppt pptx rtf sql
svg tar tsv ts tsx txt vcf wav webp xls xlsx xml yaml yml
"""
_FILE_ENDS = frozenset(_FILES.split())
_FILLERS = frozenset(("with", "the", "id", "no", "nr", "num", "number", "is", "named", "called", "ref", "#", "=", ":"))
_NOUN_AND_ID = re.compile(r"([a-z]{2,30})(?:[_-]?id)?[#:=]+(?:id[#:=]+)?([\w-]{1,64})")
_CURRENCIES = """
eur usd gbp chf pln czk sek nok dkk jpy inr aud cad € $ £ ¥ % dollars euros pounds percent
"""
_AMOUNTS = frozenset(_CURRENCIES.split())
_SIGN_OF_WEB = re.compile(r"[@:/]|\.\w|[\u2024\uff0e\uff20\ufe52]")
_TOKEN = re.compile(r"\w[\w.:/#-]*")
_DIGIT = re.compile(r"\d")
_AMERICAN = re.compile(r"\d{3}[-. ]\d{3}[-. ]\d{4}")
_PHONE_START = re.compile(r"(?:tel:)?\W*(?:[+(0]|\d{3})")
_PHONE_PART = re.compile(r"[+(]{0,2}\d[\d()./-]{0,30}")
_ACCOUNT_PART = re.compile(r"[A-Za-z0-9-]{1,34}")
_IBAN_START = re.compile("[a-z]{0,2}$|[a-z]{2}[0-9]{1,2}$|[a-z]{2}[0-9]{2}")
_MOST_PARTS = 10
"""Chunks that a telephone number or an account has at most."""
_LOOKED_BACK = 4
"""Chunks between a number and the noun before it, the noun with them."""
_LONGEST_AROUND = 250
_LONGEST = 256
_LONGEST_LINK = 8192


class Found(NamedTuple):
    """A value that stands in a text.

    Args:
        kind: What it is.
        forms: All that becomes known by it; if one of them is known, it is.
        is_active: Whether it makes somebody act: a link, an address, a telephone number, an account.
    """

    kind: Kind
    forms: tuple[Value, ...]
    is_active: bool = False


def find(chunks: Sequence[str], marked: Sequence[int]) -> Iterator[Found]:
    """The values of a text, read as it stands.

    Args:
        chunks: The text, divided at its blanks.
        marked: The positions of those that may hold a value, ascending.
    """
    taken = -1
    for at in marked:
        chunk = chunks[at]
        if at <= taken:
            continue
        if len(chunk) > _LONGEST_LINK:
            # Nobody writes such a link; whatever it is, it is only known to who has all of it.
            yield Found(Kind.URL, (Value(Kind.URL, "", chunk),), is_active=True)
            continue
        web = _in_one(chunk) if len(chunk) <= _LONGEST else tuple(_web_values(chunk))
        if web:
            yield from web
        elif len(chunk) <= _LONGEST and _DIGIT.search(chunk):
            found, more = _counted_here(chunks, at)
            taken = at + more
            yield from found


def find_hidden(chunks: Sequence[str], marked: Sequence[int]) -> Iterator[Found]:
    """The values behind simple disguises: only to know them again as an outsider's."""
    for at in marked:
        for text in disguised(chunks[at]):
            parts = text.split()
            yield from find(parts, range(len(parts)))


def find_coded(chunks: Sequence[str], marked: Sequence[int]) -> Iterator[Found]:
    """What makes somebody act and stands in a text in code alone; what a link says again in code is that link's."""
    for at in marked:
        if hidden := [each for each in find_hidden(chunks, [at]) if each.is_active]:
            links = _places(find(chunks, [at]))
            yield from (each for each in hidden if links.isdisjoint(_places([each])))


def _places(found: Iterable[Found]) -> set[Value]:
    return {host_of(form) for each in found if each.kind is Kind.URL for form in each.forms}


def find_named(chunks: Sequence[str]) -> Iterator[Found]:
    """Identifiers of letters alone with the word before them: `channel general`, and long ones with hyphens."""
    before = ""
    for chunk in chunks:
        bare = folded(chunk.strip(_AROUND).lstrip("#"))
        if 1 < len(bare) <= 64 and not bare.isdigit():
            forms = _identifiers(bare, before)
            if forms:
                yield Found(Kind.IDENTIFIER, forms)
        before = before if bare in _FILLERS or not bare else bare


@lru_cache(maxsize=1_000)
def _in_one(chunk: str) -> tuple[Found, ...]:
    """What `_web_values` gives: the same people and links stand in many texts of a run."""
    return tuple(_web_values(chunk))


def _web_values(chunk: str) -> Iterator[Found]:
    if not _SIGN_OF_WEB.search(chunk):
        return
    # In Markdown `[text](link)` is two things.
    for found in _WEB.finditer(compatible(chunk).replace("](", " ")):
        text = found[0]
        match found.lastgroup:
            case "address":
                yield Found(Kind.ADDRESS, _addresses(text), is_active=True)
            case "url":
                bare = _trimmed(text)
                yield Found(Kind.URL, tuple(Value(Kind.URL, "", each) for each in urls(bare)), is_active=True)
            case _:
                yield from _hosts(_trimmed(text))


def _addresses(text: str) -> tuple[Value, ...]:
    local, _, domain = text.rpartition("@")
    spellings = dict.fromkeys((local, local.strip("'*_~{}"), local.rpartition("=")[2]))
    return tuple(Value(Kind.ADDRESS, "", address(f"{each}@{domain}")) for each in spellings if each)


def _hosts(text: str) -> Iterator[Found]:
    if "/" in text or "?" in text or "#" in text or ":" in text:
        yield Found(Kind.URL, tuple(Value(Kind.URL, "", each) for each in urls(text)), is_active=True)
        return
    name = host(text)
    if name.rpartition(".")[2] in _FILE_ENDS:
        return
    links = tuple(Value(Kind.URL, "", each) for each in urls(text))
    yield Found(Kind.DOMAIN, (Value(Kind.DOMAIN, "", name), *links), is_active=True)


def _trimmed(text: str) -> str:
    """Without the punctuation of the sentence around it; a closing bracket stays if it was opened inside."""
    surplus = {")": text.count(")") - text.count("("), "]": text.count("]") - text.count("[")}
    end = len(text)
    while end and text[end - 1] in _TRAILING:
        char = text[end - 1]
        if char in surplus:
            if surplus[char] <= 0:
                break
            surplus[char] -= 1
        end -= 1
    return text[:end]


# --- what is counted: dates, times, accounts, telephone numbers, identifiers, amounts


def _counted_here(chunks: Sequence[str], at: int) -> tuple[Sequence[Found], int]:
    """The values that begin at a chunk with a digit, and how many more chunks belong to them."""
    first = max(0, at - _LOOKED_BACK)
    around = " ".join(chunks[first : at + _MOST_PARTS])
    if len(around) <= _LONGEST_AROUND:
        return _counted_among(around, at - first)
    found, last = _counted(chunks, at)
    return found, last - at


@lru_cache(maxsize=2_000)
def _counted_among(around: str, at: int) -> tuple[Sequence[Found], int]:
    """The same by what alone it depends on: mails are quoted, and lists show how their texts begin."""
    found, last = _counted(around.split(" "), at)
    return tuple(found), last - at


def _counted(chunks: Sequence[str], at: int) -> tuple[list[Found], int]:
    """The values that begin at a chunk with a digit, and the last chunk that belongs to them.

    What they are depends on `_LOOKED_BACK` chunks before it and `_MOST_PARTS` from it on, and on no others.
    """
    core = compatible(chunks[at].strip(_AROUND))
    if (moment := read_moment(chunks, at)) is not None:
        return [Found(Kind.DATE, tuple(Value(Kind.DATE, "", each) for each in moment.forms))], moment.last
    for read in (_account, _phone):
        if (whole := read(chunks, at)) is not None:
            return [whole[0]], whole[1]
    return list(_numbers_and_ids(chunks, at, core)), at


def _account(chunks: Sequence[str], at: int) -> tuple[Found, int] | None:
    joined, best = "", None
    for last in range(at, min(at + _MOST_PARTS, len(chunks))):
        part = chunks[last].strip(_AROUND)
        if not _ACCOUNT_PART.fullmatch(part):
            break
        joined += account(part)
        if len(joined) > 34 or not (joined.isdigit() or _IBAN_START.match(joined)):
            break
        if len(joined) >= 13 and is_account(joined):
            best = (Found(Kind.ACCOUNT, (Value(Kind.ACCOUNT, "", joined),), is_active=True), last)
        if part != chunks[last]:
            break
    return best


def _phone(chunks: Sequence[str], at: int) -> tuple[Found, int] | None:
    if not _PHONE_START.match(chunks[at]):
        return None
    parts: list[str] = []
    for last in range(at, min(at + _MOST_PARTS, len(chunks))):
        part = chunks[last].lstrip("'*_~[{").rstrip(",;:!?'*_~]}.").removeprefix("tel:")
        if not _PHONE_PART.fullmatch(part) or (parts and part[0] == "+"):
            break
        parts.append(part)
        if not chunks[last].endswith(part):
            break
    text = " ".join(parts)
    digits = phone(text.strip("()"))
    is_one = text.startswith(("+", "(")) or (text.startswith("0") and not text.isdigit()) or _AMERICAN.fullmatch(text)
    if not is_one or not 7 <= len(digits.lstrip("+")) <= 15:
        return None
    return Found(Kind.PHONE, (Value(Kind.PHONE, "", digits),), is_active=True), at + len(parts) - 1


def _numbers_and_ids(chunks: Sequence[str], at: int, core: str) -> Iterator[Found]:
    bare = folded(core).removeprefix("#")
    if joined := _NOUN_AND_ID.fullmatch(bare):
        yield Found(Kind.IDENTIFIER, _identifiers(joined[2], joined[1]))
        return
    after = folded(chunks[at + 1].strip(_AROUND)) if at + 1 < len(chunks) else ""
    if after not in _AMOUNTS and (ids := _identifiers(bare, _noun_before(chunks, at))):
        yield Found(Kind.IDENTIFIER, ids)
    if core.startswith("#"):
        return
    if numbers := written_numbers(core):
        yield Found(Kind.NUMBER, tuple(Value(Kind.NUMBER, "", each) for each in numbers))
    if len(digits := account(bare)) >= 8 and digits.isdigit():
        yield Found(Kind.ACCOUNT, (Value(Kind.ACCOUNT, "", digits),))


def _identifiers(text: str, noun: str) -> tuple[Value, ...]:
    named = (Value(Kind.IDENTIFIER, f"named:{noun.removesuffix('s')}", text),) if noun.isalpha() else ()
    telling = (Value(Kind.IDENTIFIER, "", text),) if is_telling(text) else ()
    return (*named, *telling) if _TOKEN.fullmatch(text) else ()


def _noun_before(chunks: Sequence[str], at: int) -> str:
    """The word that names what a number counts out: `file` of `file 13`, `file #13` and `file with id 13`."""
    for back in range(at - 1, max(at - _LOOKED_BACK - 1, -1), -1):
        bare = folded(chunks[back].strip(_AROUND))
        if bare in _FILLERS:
            continue
        if chunks[back].endswith((".", ",", ";", "!", "?")):
            return ""
        if bare:
            return bare
    return ""
