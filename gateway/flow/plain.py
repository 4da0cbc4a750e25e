"""Spelling: what says the same (case, Unicode's compatible forms), and what only looks or decodes the same.

`folded` is safe: it makes no one value of two that a back end would tell apart. `unmasked` and `decoded` are not: a
Cyrillic `а` is another letter than a Latin one. They find an outsider's value behind a disguise and endorse none.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

# Unicode 17: Default_Ignorable_Code_Point; also the blank of Braille and the marks of annotations.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# Small letters that look like Latin ones, and signs that look like those of addresses (confusables of UTS 39, in part).
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕһӏԁԛԝвкмнтгɑοαρνυιτκχγηωεℓıǀ。｡․‐‑‒–—−∕⁄",
    "aeopcyxijshldqwbkmhtraoapvuitkxynwelil...------//",
)
_LOOKALIKE = re.compile(f"[{''.join(map(chr, _LOOKALIKES))}]")
# What joins and colours emoji hides nothing.
_EMOJI = re.compile("(?<=[\u2190-\u2bff\U0001f000-\U0001faff])[\ufe0e\ufe0f\u200d]+")
_LATIN = re.compile("[a-zA-Z]")
_DOT_IN_NAME = re.compile("(?<=[A-Za-z0-9])[。｡․](?=[A-Za-z0-9])")
_ENTITY = re.compile(r"&(?:#[xX]?[0-9a-fA-F]{1,7}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_LONGEST_DECODED = 4096
# No value contains these, and markup sets values off by them.
_ASCII_SEPARATORS = '"<>|`\\'
_SEPARATORS = f"{_ASCII_SEPARATORS}“”„‟«»‹›「」『』"


def folded(text: str) -> str:
    """Case and compatible forms (full width, ligatures) made one: NFKC and case folding (UAX 15, Unicode 5.18)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def compatible(text: str) -> str:
    """Compatible forms made one, with case kept: what a path needs."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def unmasked(text: str) -> str:
    """What a text looks like to somebody who reads it: without what is invisible, look-alike letters as Latin ones."""
    if text.isascii():
        return text.lower()
    return folded(_INVISIBLE.sub("", text)).translate(_LOOKALIKES)


def word(text: str) -> str:
    """One word for finding copies: folded, without what is invisible; in a word of mixed scripts as it looks."""
    if text.isascii():
        return text.lower()
    plain = folded(_INVISIBLE.sub("", text))
    return plain.translate(_LOOKALIKES) if _is_mixed(plain) else plain


def is_masked(text: str) -> bool:
    """Whether a text holds what a reader does not see, or look-alike letters amid Latin ones."""
    if text.isascii():
        return False
    if _INVISIBLE.search(_EMOJI.sub("", text)) or _DOT_IN_NAME.search(text):
        return True
    return bool(_LOOKALIKE.search(text)) and any(map(_is_mixed, text.split()))


def _is_mixed(chunk: str) -> bool:
    return not chunk.isascii() and bool(re.search("[ɑ-ӿԀ-ԯ]", chunk) and _LATIN.search(chunk))


def spaced(text: str) -> str:
    """A text with quotes and the marks of markup turned into blanks, and HTML's character references resolved."""
    if "&" in text:
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    for separator in _ASCII_SEPARATORS if text.isascii() else _SEPARATORS:
        text = text.replace(separator, " ")
    return text


def disguised(chunk: str) -> Iterator[str]:
    """What a stretch without blanks may stand for besides what it says: as it looks, percent-decoded, base64."""
    if len(chunk) > _LONGEST_DECODED:
        return
    if not chunk.isascii():
        yield unmasked(chunk)
    if "%" in chunk:
        yield unquote(unquote(chunk)).lower()
    if len(chunk) > 10:
        yield from _from_base64(chunk)


def _from_base64(chunk: str) -> Iterator[str]:
    found = _BASE64.fullmatch(chunk.strip(".,;:!?()[]{}'"))
    if not found:
        return
    code = found[0].rstrip("=").replace("-", "+").replace("_", "/")
    try:
        text = base64.b64decode(code + "=" * (-len(code) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return
    if text.isprintable():
        yield text.lower()
