"""Reading a folder of knowledge: Markdown, HTML and plain text."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_properties import Display
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_element import HtmlElement

from connectors.email.html import html_to_text
from connectors.importing.contacts import date_of
from connectors.importing.source import (
    Accepted,
    Facts,
    Item,
    Likeness,
    Place,
    Refused,
    Source,
    UnreadableSource,
    attempt,
)
from connectors.importing.text import NOT_UTF8, signs_of, storable
from connectors.importing.timestamps import NO_ZONE, parse_moment
from connectors.records import DocumentRecord

STALE_AFTER = timedelta(days=2 * 365)
MAX_BYTES = 2_000_000

_MARKDOWN = frozenset({".md", ".markdown"})
_HTML = frozenset({".html", ".htm"})
_SUFFIXES = _MARKDOWN | _HTML | {".txt"}
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
class _Page:
    """A file's text with what it says about itself."""

    text: str
    title: str = ""
    front: dict[str, str] = field(default_factory=dict)
    signs: tuple[str, ...] = ()


def read_documents(folder: Path, readers: Sequence[str]) -> Source:
    """Open a folder of documents, with its subfolders.

    Hidden files and folders are left out, and so are links that lead out of the folder.

    Args:
        folder: Where they are.
        readers: Names of the groups that may read a document which does not name its readers itself.

    Raises:
        UnreadableSource: If it is no folder or holds no document.
    """
    if not folder.is_dir():
        raise UnreadableSource(f"`{folder.name}` is a file; expected a folder of .md, .html or .txt files")
    paths = sorted(_documents(folder.resolve()))
    if not paths:
        raise UnreadableSource(f"`{folder.name}` holds no document; expected .md, .html or .txt files in it")
    note = f"readable by {', '.join(readers)}, unless a document names its readers itself"
    return Source((_read(path, folder.resolve(), tuple(readers)) for path in paths), total=len(paths), notes=(note,))


def _documents(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(where, name)
            wanted = not name.startswith(".") and path.suffix.lower() in _SUFFIXES
            # Reading a pipe or a device could wait for ever.
            if wanted and path.is_file() and path.resolve().is_relative_to(folder):
                yield path


def _read(path: Path, folder: Path, readers: tuple[str, ...]) -> Item:
    place = Place(path.relative_to(folder).as_posix())
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raw, reason = b"", f"file: cannot be read: {(error.strerror or 'input error').lower()}"
    else:
        reason = f"file: larger than {MAX_BYTES // 1_000_000} MB" if len(raw) > MAX_BYTES else ""
    return attempt(place, raw, partial(_document, raw, path, place, readers, reason))


def _document(raw: bytes, path: Path, place: Place, readers: tuple[str, ...], reason: str) -> Accepted:
    if reason:
        raise Refused(reason)
    page = _page(raw, path.suffix.lower())
    if not page.text.strip():
        raise Refused("text: there is none")
    moment = parse_moment("updated", page.front["updated"]) if page.front.get("updated") else None
    named = page.front.get("title") or page.title
    title = " ".join((named or path.stem.replace("_", " ").replace("-", " ")).split())[:200]
    own = [name.strip() for name in page.front.get("readers", "").split(",") if name.strip()]
    record = DocumentRecord.model_validate(
        {
            "source_id": f"{path.parents[len(Path(place.file).parts) - 1].name}/{place.file}",
            "title": title,
            "text": storable(page.text),
            "source": place.file,
            "origin": page.front.get("origin") or "internal",
            "readers": own or list(readers),
            "updated_at": moment.at if moment else date_of(path),
        }
    )
    missing = (*(() if named else ("title",)), *(() if moment else ("updated",)), *(() if own else ("readers",)))
    likenesses = (
        Likeness("same title", title.casefold()),
        Likeness("same text", " ".join(page.text.casefold().split())),
    )
    no_zone = (NO_ZONE,) if moment and not moment.had_zone else ()
    signs = (*page.signs, *no_zone)
    return Accepted(record, place, Facts(missing, signs, likenesses, record.updated_at, STALE_AFTER))


def _page(raw: bytes, suffix: str) -> _Page:
    text, signs = _decoded(raw, suffix)
    signs += signs_of(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if suffix in _HTML:
        return replace(_html(text), signs=signs)
    if suffix in _MARKDOWN:
        return replace(_markdown(text), signs=signs)
    return _Page(text, signs=signs)


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


def _markdown(text: str) -> _Page:
    front: dict[str, str] = {}
    if block := _FRONT_MATTER.match(text):
        text = text[block.end() :]
        for number, line in enumerate(block["lines"].splitlines(), start=2):
            if pair := _FRONT_LINE.fullmatch(line.rstrip()):
                front[pair["key"].lower()] = pair["value"].strip().strip("\"'")
            elif line.strip() and not line.startswith(("#", " ", "\t", "-")):
                raise Refused(f"front matter: line {number} is not `key: value`: `{line[:40]}`")
    heading = _HEADING.search(text)
    return _Page(text, heading["title"] if heading else "", front)


def _html(text: str) -> _Page:
    plain = html_to_text(text, MAX_BYTES, _HEADINGS_KEPT, tells_hidden=False)
    named = {found["tag"].lower(): found["title"] for found in reversed(list(_HTML_TITLE.finditer(text[:100_000])))}
    title = html_to_text(named.get("title") or named.get("h1") or "")
    heading = _HEADING.search(plain)
    return _Page(plain, title or (heading["title"] if heading else ""))
