"""What a text hides is shown: characters that nobody sees, that turn its direction, or that a terminal would obey.

Where such a character belongs to ordinary writing (in an emoji, between letters of Arabic or Hindi) it stays.
"""

import re
import unicodedata
from collections.abc import Iterator

from gateway.visible_text import TOKEN, deceit, is_hidden

_SUSPECT = re.compile(r"[^ -~\n\t]")
_TAGS = range(0xE0020, 0xE007F)
_SELECTORS = range(0xFE00, 0xFE10)
_MORE_SELECTORS = range(0xE0100, 0xE01F0)
_FLAGS = frozenset({"gbeng", "gbsct", "gbwls"})
_BLACK_FLAG, _TAGS_END = "\U0001f3f4", "\U000e007f"
_JOINERS, _DIRECTIONS, _SOFT_HYPHEN, _BOM = "\u200c\u200d", "\u200e\u200f\u061c", "\xad", "\ufeff"
_JOINING = frozenset(
    {"ARABIC", "SYRIAC", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA"}
    | {"MALAYALAM", "SINHALA", "KHMER", "MYANMAR", "MONGOLIAN", "THAANA", "NKO", "TIBETAN"}
)
_LONGEST_WORD = 200
_FEWEST_BYTES = 4


def revealed(text: str) -> tuple[str, int]:
    """A text with what it hides written out between the gateway's brackets.

    Returns:
        The text, and how often something was hidden.
    """
    text = text.replace("\r\n", "\n")
    if not _SUSPECT.search(text):
        return text, 0
    text = text.replace("\u2028", "\n").replace("\u2029", "\n").removeprefix(_BOM)
    unseen = "".join(char for char in set(text) if is_hidden(char))
    if not unseen:
        return text, 0
    each = f"[{re.escape(unseen)}]"
    found = 0

    def shown(run: re.Match[str]) -> str:
        nonlocal found
        before, after = text[max(run.start() - 1, 0) : run.start()], text[run.end() : run.end() + 1]
        if run.group() == _SOFT_HYPHEN and before.isalpha():
            return ""
        if _is_ordinary(run.group(), before, after):
            return run.group()
        found += 1
        return f"⟦{_told(run.group())}⟧"

    # Mail pads its previews with rows of unseen characters and blanks: a row is told once.
    return re.sub(f"{each}(?:[ \xa0]{{0,3}}{each})*", shown, text), found


def mixed_words(text: str) -> tuple[str, int]:
    """A text with a remark behind each word whose letters look like others: two scripts in one word, a foreign domain.

    Returns:
        The text, and how many such words it has.
    """
    if text.isascii():
        return text, 0
    parts = list(_remarked(text))
    return "".join(parts), len(parts) // 2


def _remarked(text: str) -> Iterator[str]:
    """The text in pieces: each remark is the second of a pair, the rest of the text comes last."""
    position = 0
    for word in TOKEN.finditer(text):
        token = word.group()
        if not token.isascii() and len(token) <= _LONGEST_WORD and (said := deceit(token)):
            yield text[position : word.end()]
            yield f"⟦{said}⟧"
            position = word.end()
    yield text[position:]


def _is_ordinary(run: str, before: str, after: str) -> bool:
    if len(run) == 1 and (ord(run) in _SELECTORS or ord(run) in _MORE_SELECTORS):
        # A form of an emoji, or of a Chinese character.
        return (ord(run) in _SELECTORS and _is_symbol(before)) or unicodedata.category(before or " ") == "Lo"
    if run == _JOINERS[1] or run == f"\ufe0f{_JOINERS[1]}":
        return (_is_symbol(before) and _is_symbol(after)) or (_joins(before) and run == _JOINERS[1])
    if run == _JOINERS[0]:
        return _joins(before)
    if len(run) == 1 and run in _DIRECTIONS:
        return _is_from_the_right(before) or _is_from_the_right(after)
    return before == _BLACK_FLAG and run.endswith(_TAGS_END) and _tags(run) in _FLAGS


def _is_symbol(char: str) -> bool:
    """Whether emoji are made of it; digits, `#` and `*` are parts of keycaps."""
    return bool(char) and (unicodedata.category(char) in {"So", "Sk", "Sm"} or char in "0123456789#*‼⁉〰〽")


def _joins(char: str) -> bool:
    return bool(char) and unicodedata.name(char, "").partition(" ")[0] in _JOINING


def _is_from_the_right(char: str) -> bool:
    return bool(char) and unicodedata.bidirectional(char) in {"R", "AL"}


def _told(run: str) -> str:
    if said := _tags(run) or _selected(run):
        return f"hidden text: {said}"
    chars = "".join(run.split(" "))
    if len(chars) > 1:
        return f"{len(chars)} invisible characters"
    name = unicodedata.name(chars, "").lower()
    return f"U+{ord(chars):04X}{f': {name}' if name else ''}"


def _tags(run: str) -> str:
    """The ASCII text that is written in tag characters (Unicode 17, section 23.9)."""
    return "".join(chr(ord(char) - 0xE0000) for char in run if ord(char) in _TAGS)


def _selected(run: str) -> str:
    """The text whose bytes are written in variation selectors: no font has a use for rows of them."""
    data = bytes(_byte(ord(char)) for char in run if ord(char) in _SELECTORS or ord(char) in _MORE_SELECTORS)
    said = data.decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "�" for char in said) if len(data) >= _FEWEST_BYTES else ""


def _byte(code: int) -> int:
    return code - 0xFE00 if code in _SELECTORS else code - 0xE0100 + 16
