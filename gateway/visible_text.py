"""Text that outsiders wrote, shown so that it cannot deceive whoever reads it.

A text may hold characters that nobody sees, that turn its direction around, or that look like other letters. Nothing
is removed here: what deceives is named, so that a person judges what is really there.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# Printable for Unicode, and still nothing to see (Unicode 17, Default_Ignorable_Code_Point, and the blank of Braille).
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_ORDINARY = frozenset(" \n\t")
_SELECTORS = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
# An address, or a name with a dot in it; both are looked at whole, because one letter of another script suffices.
TOKEN = re.compile(r"[^\s<>\"'`(),;:\[\]{}|\\/]+")
_NAME = re.compile(r"[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)+\.?")
# fmt: off
_SCRIPTS = frozenset({
    "LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "HEBREW", "ARABIC", "DEVANAGARI", "BENGALI", "TAMIL", "THAI", "GEORGIAN",
    "HANGUL", "HIRAGANA", "KATAKANA", "CJK", "CHEROKEE", "COPTIC", "ETHIOPIC", "KHMER", "LAO", "LISU",
    "MATHEMATICAL", "FULLWIDTH",
})
# fmt: on
# Scripts that one language writes together (Unicode Technical Standard 39, section 5.1).
_TOGETHER = (frozenset({"CJK", "HIRAGANA", "KATAKANA"}), frozenset({"CJK", "HANGUL"}))


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text, and what is to be said of it.

    Args:
        text: What was written.
        shown: What to show in its place; the text itself, or the name of an invisible character.
        note: What deceives about it, in words; empty for ordinary text.
    """

    text: str
    shown: str
    note: str = ""


def pieces(text: str) -> Iterator[Piece]:
    """Divide a text into ordinary stretches and those that deceive; together their `text` is the whole again."""
    position = 0
    for found in TOKEN.finditer(text):
        note = deceit(found.group())
        if note:
            yield from _by_character(text[position : found.start()])
            yield Piece(found.group(), "".join(each.shown for each in _by_character(found.group())), note)
            position = found.end()
    yield from _by_character(text[position:])


def deceits(text: str) -> list[str]:
    """What deceives in a text, each said once."""
    return list(dict.fromkeys(piece.note for piece in pieces(text) if piece.note))


def visible(text: str) -> str:
    """A text in one line for a terminal, with everything that it would obey, or not show, written out."""
    return "".join(char if char.isprintable() and not is_hidden(char) else _escaped(char) for char in text)


def _by_character(text: str) -> Iterator[Piece]:
    start = 0
    for position, char in enumerate(text):
        if is_hidden(char):
            if start < position:
                yield Piece(text[start:position], text[start:position])
            name = unicodedata.name(char, "").lower()
            yield Piece(char, f"U+{ord(char):04X}", f"{_kind(char)}: {name}" if name else _kind(char))
            start = position + 1
    if start < len(text):
        yield Piece(text[start:], text[start:])


def is_hidden(char: str) -> bool:
    """Whether nobody sees a character where it stands, or a terminal would obey it."""
    if char in _ORDINARY or (char.isascii() and char.isprintable()):
        return False
    # Spaces of other widths look like what they are.
    return char in _BLANK or _is_selector(char) or (not char.isprintable() and unicodedata.category(char) != "Zs")


def _is_selector(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in _SELECTORS)


def _kind(char: str) -> str:
    if unicodedata.bidirectional(char) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"} or (
        char in "\u200e\u200f\u061c"
    ):
        return "changes the direction of the text"
    return "control character" if unicodedata.category(char) == "Cc" else "invisible"


def deceit(token: str) -> str:
    """What deceives about a token's letters: several scripts in one word, or an address that is not plain ASCII."""
    bare = "".join(char for char in token if not is_hidden(char)).strip(".!?")
    name = bare.rpartition("@")[2]
    is_address = "@" in bare or _NAME.fullmatch(name)
    if is_address and (foreign := _ascii_form(name)):
        written, ascii_form = foreign
        told = _told(scripts("".join(label for label in written.split(".") if not label.isascii())))
        return f"reads `{written}`, is `{ascii_form}`: {told}"
    return "" if bare.isascii() else _mixed(bare) or _not_plain(bare)


def _mixed(word: str) -> str:
    found = scripts(word)
    plain = len(found) < 2 or any(found <= together for together in _TOGETHER)
    if plain and not found & {"MATHEMATICAL", "FULLWIDTH"}:
        return ""
    return f"letters of {_told(found)} in one word"


def _not_plain(word: str) -> str:
    """What is to be said of an address that is not plain ASCII before its `@`: letters of one script look alike too."""
    before, at, _ = word.partition("@")
    names = dict.fromkeys(unicodedata.name(char, "no name").lower() for char in before if not char.isascii())
    return f"an address with {' and '.join(names)}" if at and names else ""


def scripts(text: str) -> frozenset[str]:
    """The scripts of a text's letters, by the names that Unicode's characters begin with."""
    names = (unicodedata.name(char, "").partition(" ")[0] for char in text if char.isalpha())
    return frozenset(name for name in names if name in _SCRIPTS)


def _told(found: frozenset[str]) -> str:
    return " and ".join(sorted(name.capitalize() for name in found)) or "no script"


def _ascii_form(name: str) -> tuple[str, str] | None:
    """A domain as it reads and in its ASCII form (RFC 3492), if the two differ."""
    labels = name.split(".")
    reads, written = ".".join(map(_to_unicode, labels)), ".".join(map(_to_ascii, labels))
    return (reads, written) if reads != written else None


def _to_ascii(label: str) -> str:
    if label.isascii():
        return label
    return "xn--" + unicodedata.normalize("NFC", label).encode("punycode").decode("ascii")


def _to_unicode(label: str) -> str:
    if not label.lower().startswith("xn--") or not label.isascii():
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}"
