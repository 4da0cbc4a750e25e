"""What real renderers make of a text: every address that a client would fetch or follow, and every active element."""

from html.parser import HTMLParser

from markdown_it import MarkdownIt

_RENDERERS = (
    MarkdownIt("commonmark", {"html": True}),
    MarkdownIt("gfm-like", {"html": True}),
    MarkdownIt("js-default", {"html": True, "linkify": True, "typographer": True}),
)
setattr(_RENDERERS[2], "validateLink", lambda _address: True)  # noqa: B010 - some clients let every scheme through
_FROM_MARKDOWN = frozenset(
    {"p", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "br", "hr"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}
)
"""What Markdown makes of plain text: it shows, and asks nothing of anybody."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and self._leads_nowhere(given):
            return
        harmless = tag in _FROM_MARKDOWN and not (given.keys() - {"style", "class", "start"})
        if not harmless or any(word in str(given.get("style")) for word in ("url", "expression", "//")):
            self.found.append(f"<{tag} {given}>")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.found.append(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        self.found.append(f"<?{data}>")

    @staticmethod
    def _leads_nowhere(given: dict[str, str | None]) -> bool:
        """Whether a client made it of a bare name or an address of the text: nobody's data goes there by itself."""
        target = given.get("href") or ""
        name = target.removeprefix("http://")
        return given.keys() == {"href"} and (
            (target.startswith("mailto:") and "?" not in target) or (name != target and not set(name) & set("/?#"))
        )


def active(text: str) -> list[str]:
    """What of a text, rendered as Markdown or taken for HTML, would be fetched, followed or run."""
    found: list[str] = []
    for page in (*(renderer.render(text) for renderer in _RENDERERS), text):
        reader = _Reader()
        reader.feed(page)
        reader.close()
        found += reader.found
    return found
