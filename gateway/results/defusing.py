"""Takes the life out of links, images and markup: whatever renders the text afterwards finds nothing to fetch or run.

A few characters without which there is no element, link or address are changed, one pass each, and nothing is parsed:
so no trick with a parser helps, no word is lost, and the cost is linear. What remains reads well and shows where a
link would have led: `![x](https://a.example/?q)` becomes `![x] (hxxps://a[.]example/?q)`.
"""

import re
from typing import NamedTuple


class _Change(NamedTuple):
    hint: str
    """A text in lower case has it, or there is nothing to change."""
    found: re.Pattern[str]
    made: str


_HOST = r"[^\s/?#\\()\[\]⟦⟧]"
_CHANGES = (
    # HTML has no element, comment or declaration without `<` before one of these (WHATWG HTML, 13.2.5.6), and
    # Markdown no autolink.
    _Change("<", re.compile(r"<(?=[A-Za-z/!?])"), "‹"),
    # A character reference stands for any of the characters that are looked for here.
    _Change("&", re.compile(r"&(?=#|[A-Za-z][A-Za-z0-9]{1,31};)"), "& "),
    # Markdown has no link, image or definition without these pairs (CommonMark 0.31, 4.7 and 6.3).
    _Change("]", re.compile(r"\](?=[(:])"), "] "),
    # Schemes that carry what they do within themselves.
    _Change("script:", re.compile(r"(?i)\b(javascript|vbscript|livescript):"), r"\1[:] "),
    _Change("data:", re.compile(r"(?i)\bdata:(?=[\w.+-]{1,64}/|[;,])"), "data[:] "),
    _Change("http", re.compile(r"(?i)\bhttp(s?)://"), r"hxxp\1://"),
    _Change("://", re.compile(r":(?<!hxxp:)(?<!hxxps:)(?=//)"), "[:]"),
    # Without a scheme: what starts with `//` or `www.`, and a name with a path behind it.
    _Change("www.", re.compile(r"(?i)\bwww\.(?=\w)"), "www[.]"),
)
_PLACES = (
    re.compile(rf"//{_HOST}+"),
    re.compile(r"(?<![\w@-])(?:[\w-]{1,63}\.){1,10}[^\W\d_]{2,24}(?=[/?#]|:\d)"),
)
_DOT = re.compile(r"\.(?![.:]|\Z)")
_LIVE = re.compile(r"[<&\]]|:|//|\.")


def inert(text: str) -> tuple[str, int]:
    """A text that no renderer of Markdown or HTML, and no client that looks for links, makes a request of.

    Returns:
        The text, and how many places were changed.
    """
    if not _LIVE.search(text):
        return text, 0
    changed, lower = 0, text.lower()
    for change in _CHANGES:
        if change.hint in lower:
            text, count = change.found.subn(change.made, text)
            changed += count
    for place in _PLACES:
        before = len(text)
        text = place.sub(_without_dots, text)
        changed += len(text) > before
    return text, changed


def _without_dots(place: re.Match[str]) -> str:
    return _DOT.sub("[.]", place.group())
