"""What a file of Markdown, HTML or plain text says, and what it says of itself."""

import re
from dataclasses import dataclass, field, replace

from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_properties import Display
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_element import HtmlElement

from connectors.email.html import html_to_text
from connectors.importing.source import Refused
from connectors.importing.text import NOT_UTF8, signs_of

MAX_BYTES = 2_000_000
"""How large a file may be that is read as a document."""

_MARKDOWN = frozenset({".md", ".markdown"})
_HTML = frozenset({".html", ".htm"})
SUFFIXES = _MARKDOWN | _HTML | {".txt"}

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?P<lines>.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FRONT_LINE = re.compile(r"(?P<key>[A-Za-z][\w-]*)[ \t]*:[ \t]*(?P<value>.*)")
_HEADING = re.compile(r"^#{1,6}[ \t]+(?P<title>.+?)[ \t#]*$", re.MULTILINE)
_HTML_TITLE = re.compile(r"<(?P<tag>title|h1)\b[^>]*>(?P<title>.*?)</(?P=tag)\s*>", re.DOTALL | re.IGNORECASE)
_DECLARED_CHARSET = re.compile(rb"""<meta[^>]+charset=["']?([\w-]{2,20})""", re.IGNORECASE)
_HEADINGS_KEPT = ParserConfig(
    css={
        **CSS_PROFILES["strict"],
        **{
            f"h{depth}": HtmlElement(display=Display.block, prefix="#" * depth + " ", margin_before=1, margin_after=1)
            for depth in range(1, 7)
        },
    }
)


@dataclass(frozen=True)
class Page:
    """A file's text with what it says about itself; `front` is its front matter, names in lower case."""

    text: str
    title: str = ""
    front: dict[str, str] = field(default_factory=dict)
    signs: tuple[str, ...] = ()


def page_of(raw: bytes, suffix: str) -> Page:
    """Read a file's bytes.

    Args:
        raw: Of any encoding; what is not UTF-8 is read as the page says itself, or else as Windows-1252.
        suffix: One of `SUFFIXES`: what the file is taken for.

    Raises:
        Refused: If it holds binary data, or its front matter cannot be read.
    """
    text, signs = _decoded(raw, suffix)
    signs += signs_of(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if suffix in _HTML:
        return replace(_html(text), signs=signs)
    if suffix in _MARKDOWN:
        return replace(_markdown(text), signs=signs)
    return Page(text, signs=signs)


def _decoded(raw: bytes, suffix: str) -> tuple[str, tuple[str, ...]]:
    if b"\x00" in raw[:4096]:
        raise Refused("file: holds binary data")
    try:
        return raw.decode("utf-8-sig"), ()
    except UnicodeDecodeError:
        pass
    declared = _DECLARED_CHARSET.search(raw[:4096]) if suffix in _HTML else None
    try:
        return raw.decode(declared[1].decode() if declared else "cp1252", "replace"), () if declared else (NOT_UTF8,)
    except LookupError:
        return raw.decode("cp1252", "replace"), (NOT_UTF8,)


def _markdown(text: str) -> Page:
    front: dict[str, str] = {}
    if block := _FRONT_MATTER.match(text):
        text = text[block.end() :]
        for number, line in enumerate(block["lines"].splitlines(), start=2):
            if pair := _FRONT_LINE.fullmatch(line.rstrip()):
                front[pair["key"].lower()] = pair["value"].strip().strip("\"'")
            elif line.strip() and not line.startswith(("#", " ", "\t", "-")):
                raise Refused(f"front matter: line {number} is not `key: value`: `{line[:40]}`")
    heading = _HEADING.search(text)
    return Page(text, heading["title"] if heading else "", front)


def _html(text: str) -> Page:
    plain = html_to_text(text, MAX_BYTES, _HEADINGS_KEPT, tells_hidden=False)
    named = {found["tag"].lower(): found["title"] for found in reversed(list(_HTML_TITLE.finditer(text[:100_000])))}
    title = html_to_text(named.get("title") or named.get("h1") or "")
    heading = _HEADING.search(plain)
    return Page(plain, title or (heading["title"] if heading else ""))
