"""What deceives in a text is named, and nothing is lost of what was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.visible_text import deceits, pieces, scripts, visible

PLAIN = [
    "hello",
    "Bücher, Köln and Straße",
    "Привет мир",
    "日本語テスト",
    "한국어 漢字",
    "mail kim@customer.example, please.",
    "e.g. version 1.2.3 costs 3.50",
    "two\nlines\tand a tab",
    "Bonjour\u00a0!",
    "a\u2009b",
]


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_of_any_language_deceives_nobody(text: str) -> None:
    assert deceits(text) == []
    assert "".join(piece.shown for piece in pieces(text)) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pay\u202egnp.exe", "changes the direction of the text: right-to-left override"),
        ("a\u2066b", "changes the direction of the text: left-to-right isolate"),
        ("a\u200fb", "changes the direction of the text: right-to-left mark"),
        ("a\u200bb", "invisible: zero width space"),
        ("a\u00adb", "invisible: soft hyphen"),
        ("a\ufeffb", "invisible: zero width no-break space"),
        ("a\u2060b", "invisible: word joiner"),
        ("a\u3164b", "invisible: hangul filler"),
        ("a\u2800b", "invisible: braille pattern blank"),
        ("a\ufe0fb", "invisible: variation selector-16"),
        ("a\U000e0041b", "invisible: tag latin capital letter a"),
        ("a\x1b[2Jb", "control character"),
        ("p\u0430ypal", "letters of Cyrillic and Latin in one word"),
        ("\uff30aypal", "letters of Fullwidth and Latin in one word"),
        ("\U0001d5bdear", "letters of Latin and Mathematical in one word"),
        ("kim@p\u0430ypal.com", "reads `p\u0430ypal.com`, is `xn--pypal-4ve.com`: Cyrillic and Latin"),
        ("kim@xn--pypal-4ve.com", "reads `p\u0430ypal.com`, is `xn--pypal-4ve.com`: Cyrillic and Latin"),
        ("see b\u00fccher.example now", "reads `b\u00fccher.example`, is `xn--bcher-kva.example`: Latin"),
        ("\u0440\u0430\u0443.example", "reads `\u0440\u0430\u0443.example`, is `xn--80a5ak.example`: Cyrillic"),
        ("k\u0456m@customer.example", "letters of Cyrillic and Latin in one word"),
    ],
)
def test_what_deceives_is_named(text: str, told: str) -> None:
    assert deceits(text) == [told]


def test_a_hidden_character_is_shown_by_its_number() -> None:
    assert [piece.shown for piece in pieces("a\u200bb")] == ["a", "U+200B", "b"]
    assert visible("a\u200b\u3164\x1b\nb\u00a0c") == "a\\u200b\\u3164\\u001b\\u000ab\\u00a0c"


def test_scripts_are_told_of_letters_only() -> None:
    assert scripts("abc 123 дом!") == {"LATIN", "CYRILLIC"}


@given(st.text())
def test_nothing_is_lost_added_or_left_hidden(text: str) -> None:
    found = list(pieces(text))
    assert "".join(piece.text for piece in found) == text
    shown = "".join(piece.shown for piece in found)
    assert visible(shown.replace("\n", "").replace("\t", "")).isprintable()
    assert not set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200b\u200e\u200f")


@given(st.text())
def test_a_terminal_gets_one_printable_line(text: str) -> None:
    assert visible(text).isprintable()
