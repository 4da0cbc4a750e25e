"""HTML to the text that a person sees, apart from what a page hides from people for a model alone to read."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml import etree
from lxml.html import HtmlElement, document_fromstring

from connectors.email.charset import visible

MAX_HTML = 500_000
_MAX_STYLE = 2_000
_MAX_SHEET = 50_000

_UNREAD_TAGS = frozenset(
    {"script", "style", "head", "title", "noscript", "template", "iframe", "object", "embed", "svg", "math", "select"}
)
_GONE = re.compile(
    r"display:none|mso-hide:all|(^|;)opacity:(0|0?\.0\d*)(;|!|$)|text-indent:-\d{3,}|(left|top|right|bottom):-\d{3,}"
    r"|clip:rect\(0|(^|;)(max-)?(height|width):0[a-z%]*(;|!).*overflow:hidden|overflow:hidden.*;(max-)?(height|width):0"
)
_FONT_SIZE = re.compile(r"(?:^|;)font(?:-size)?:(?:[^;]* )?(\d*\.?\d+)(px|pt|em|rem|%)?")
_VISIBILITY = re.compile(r"(?:^|;)visibility:(\w+)")
_INK = re.compile(r"(?:^|;)color:([^;]*)")
_PAPER = re.compile(r"(?:^|;)background(?:-color)?:([^;]*)")
_HEX = re.compile(r"#([0-9a-f]{6}|[0-9a-f]{3})\b")
_RGB = re.compile(r"rgba?\((\d+)[, ](\d+)[, ](\d+)")
_AT_BLOCK = re.compile(r"@[^@{};]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_CLASS_OR_ID = re.compile(r"\s*\w*([.#][\w-]+)\s*")
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*>")
_HIDDEN = re.compile(r"\[hidden text: ([^\[\]]*)\]")
_MAX_HIDDEN = 200
_TINY = 1.5  # pixels
_NEAR = 16  # of 255, in each of red, green and blue

Colour = tuple[int, int, int]
_NAMED: dict[str, Colour] = {"white": (255, 255, 255), "black": (0, 0, 0)}


@dataclass(frozen=True)
class _Look:
    """What an element's text looks like. A colour that is not understood is None and counts as seen."""

    ink: Colour | None = (0, 0, 0)
    paper: Colour | None = (255, 255, 255)
    tiny: bool = False
    unseen: bool = False

    @property
    def hides(self) -> bool:
        same = self.ink and self.paper and all(abs(a - b) <= _NEAR for a, b in zip(self.ink, self.paper, strict=True))
        return self.tiny or self.unseen or bool(same)


def html_to_text(
    html: str, limit: int = MAX_HTML, layout: ParserConfig | None = None, *, tells_hidden: bool = True
) -> str:
    """Turn HTML into readable text.

    Left out are scripts, styles, comments and other elements that are no text of the page. What CSS hides stands there
    as `[hidden text: …]`, its first 200 characters: by `display`, `visibility`, `opacity`, a tiny font, a zero box, a
    place off the page, or ink in the colour of the paper; inline or by a rule for one class or id. CSS that hides in
    other ways is not noticed.

    Args:
        html: A document or a fragment. What is no HTML at all gives "".
        limit: How many of its characters count.
        layout: How elements are set as text, if not as usual.
        tells_hidden: Whether what CSS hides is shown as hidden; else it is left out.
    """
    html = _XML_DECLARATION.sub("", html[:limit].replace("\x00", ""))
    try:
        tree = document_fromstring(html)
        _tell_the_unseen(tree, _hidden if tells_hidden else _nothing)
        return visible(Inscriptis(tree, layout).get_text()).strip()
    except (etree.LxmlError, ValueError, AssertionError, RecursionError, LookupError, TypeError, AttributeError):
        return ""


def _tell_the_unseen(tree: HtmlElement, hidden: Callable[[str | None], str | None]) -> None:
    sheet = _sheet(tree)
    looks: dict[HtmlElement, _Look] = {}
    gone: list[tuple[HtmlElement, bool]] = []
    for element in tree.iter():
        outer = looks.get(element.getparent(), _Look())
        style = _style(element, sheet) if isinstance(element.tag, str) else ""
        looks[element] = look = _look(element, style, outer)
        is_text = isinstance(element.tag, str) and element.tag not in _UNREAD_TAGS
        if not is_text or "hidden" in element.attrib or _GONE.search(style):
            gone.append((element, is_text))
        if look.hides and is_text:
            element.text = hidden(element.text)
        if outer.hides:
            element.tail = hidden(element.tail)
    for element, is_text in gone:
        told = hidden("".join(_texts(element))) if is_text else None
        if told:
            element.clear(keep_tail=True)
            element.text = told
        elif element.getparent() is not None:
            element.drop_tree()


def _texts(element: HtmlElement) -> Iterator[str]:
    """The texts in an element, but for those of elements that are no text of the page."""
    yield element.text or ""
    for inner in element.iter():
        is_text = isinstance(inner.tag, str) and not any(
            each.tag in _UNREAD_TAGS for each in (inner, inner.getparent())
        )
        if inner is not element:
            yield f"{inner.text or ''} {inner.tail or ''}" if is_text else inner.tail or ""


def _nothing(_text: str | None) -> None:
    return None


def _hidden(text: str | None) -> str | None:
    """What stands in place of a text that nobody sees: nothing for blanks, as mail pads its previews with them."""
    words = " ".join(_HIDDEN.sub(r"\1", text or "").split())
    if not any(char.isalnum() for char in words):
        return None
    more = " …" if len(words) > _MAX_HIDDEN else ""
    return f"[hidden text: {words[:_MAX_HIDDEN]}{more}]"


def _look(element: HtmlElement, style: str, outer: _Look) -> _Look:
    """What of the outer look an element changes: all of these properties are inherited or shine through."""
    look = outer
    if not isinstance(element.tag, str):
        return look
    if size := _FONT_SIZE.search(style):
        number = float(size.group(1))
        pixels = number if size.group(2) in {"px", "pt", None} else number * (0.16 if size.group(2) == "%" else 16)
        look = replace(look, tiny=pixels < _TINY)
    if seen := _VISIBILITY.search(style):
        look = replace(look, unseen=seen.group(1) in {"hidden", "collapse"})
    if (ink := _INK.search(style)) or "color" in element.attrib:
        value = ink.group(1) if ink else element.get("color").lower()
        look = replace(look, ink=look.paper if "transparent" in value else _colour(value))
    if (paper := _PAPER.search(style)) or "bgcolor" in element.attrib or "background" in element.attrib:
        value = paper.group(1) if paper else element.get("bgcolor", "image").lower()
        if not value.startswith(("transparent", "none", "inherit")):
            look = replace(look, paper=_colour(value))
    return look


def _colour(value: str) -> Colour | None:
    if found := _HEX.search(value):
        digits = found.group(1) if len(found.group(1)) == 6 else "".join(2 * digit for digit in found.group(1))
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
    if found := _RGB.search(value):
        return int(found.group(1)[:4]), int(found.group(2)[:4]), int(found.group(3)[:4])
    return _NAMED.get(value.partition("!")[0].strip())


def _style(element: HtmlElement, sheet: dict[str, str]) -> str:
    names = [f".{name}" for name in element.get("class", "").split()[:20]] + [f"#{element.get('id', '')}"]
    inline = _normal(element.get("style", ""))
    # Inline style stands first, as the first match of a property counts.
    return ";".join(filter(None, (inline, *(sheet.get(name, "") for name in names))))


def _sheet(tree: HtmlElement) -> dict[str, str]:
    """The style of each class and id, from rules outside `@media` (what only a phone hides is read elsewhere)."""
    css = _AT_BLOCK.sub("", " ".join(sheet.text or "" for sheet in tree.iter("style"))[:_MAX_SHEET])
    styles: dict[str, str] = {}
    for rule in css.split("}"):
        selectors, _, style = rule.partition("{")
        for selector in selectors.split(","):
            if found := _CLASS_OR_ID.fullmatch(selector):
                name = found.group(1)
                styles[name] = f"{_normal(style)};{styles.get(name, '')}"[:_MAX_STYLE]
    return styles


def _normal(style: str) -> str:
    """Lower case, without comments, with single blanks and none beside punctuation."""
    bare = re.sub(r"/\*[^*]*\*/", "", style[:_MAX_STYLE].lower())
    return re.sub(r" ?([:;,()!]) ?", r"\1", re.sub(r"\s+", " ", bare)).strip(" ;")
