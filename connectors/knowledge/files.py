"""Making a document of a file in a folder or a repository, under the rule that says who may read it."""

import posixpath
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

from pydantic import ValidationError

from connectors.importing.pages import MAX_BYTES, SUFFIXES, page_of
from connectors.importing.source import Refused, sentence
from connectors.importing.text import storable
from connectors.importing.timestamps import parse_moment
from connectors.knowledge.readers import Rule
from connectors.knowledge.tools import Trust
from connectors.records import DocumentRecord

EVERYONE: Final = "everyone"
MOST_DOCUMENTS: Final = 100_000
"""How many documents a source may have; with more it is not answered at all, rather than in part."""

_MAX_PATH = 400
_FURTHER: Final[dict[str, int]] = {"official": 0, "internal": 1, "external": 2}


@dataclass(frozen=True)
class File:
    """A file as it was read.

    Args:
        path: Within its source, with `/`.
        raw: Its bytes; more than `MAX_BYTES` need not be there.
        changed_at: When it last changed, as its source knows it.
        source: Where a reader finds it.
    """

    path: str
    raw: bytes
    changed_at: datetime
    source: str


def is_document(path: str) -> bool:
    """Whether a file is meant to be read: Markdown, HTML or text, not hidden, and with a name that can be shown."""
    is_hidden = path.startswith(".") or "/." in path
    return not is_hidden and path.isprintable() and len(path) <= _MAX_PATH and _suffix(path) in SUFFIXES


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def revision(of: str, rule: Rule | None) -> str:
    """What changes whenever a document does, or who may read it.

    Args:
        of: What changes whenever the file does.
        rule: The rule that counts for it.
    """
    return f"{of} {rule.mark if rule else 'nobody'}"


def link(template: str, path: str, commit: str = "") -> str:
    """Where a reader finds a file: a template with `{path}` and `{commit}` filled in."""
    return template.replace("{commit}", commit).replace("{path}", quote(path, safe="/"))


def document(file: File, rule: Rule | None) -> DocumentRecord:
    """Make a document of a file. What it says of itself can only narrow what the rule says: its readers and its origin.

    Args:
        file: The file.
        rule: The rule that counts for it.

    Raises:
        Refused: If it is not served, with the reason.
    """
    if rule is None:
        raise Refused("readers: no rule names any")
    if len(file.raw) > MAX_BYTES:
        raise Refused(f"file: larger than {MAX_BYTES // 1_000_000} MB")
    path = PurePosixPath(file.path)
    page = page_of(file.raw, _suffix(file.path))
    named = page.front.get("title") or page.title or path.stem.replace("_", " ").replace("-", " ")
    moment = parse_moment("updated", page.front["updated"]) if page.front.get("updated") else None
    try:
        return DocumentRecord(
            source_id=file.path,
            title=" ".join(named.split())[:200],
            text=storable(page.text),
            source=file.source,
            origin=_origin(rule.origin, page.front.get("origin")),
            readers=_readers(rule.readers, page.front.get("readers")),
            updated_at=moment.at if moment else file.changed_at,
        )
    except ValidationError as error:
        raise Refused(sentence(error)) from error


def _origin(given: Trust, own: str | None) -> Trust:
    if own is None:
        return given
    if own not in _FURTHER:
        raise Refused(f"origin: `{own[:40]}` is none of {', '.join(_FURTHER)}")
    further: Trust = own if _FURTHER[own] > _FURTHER[given] else given  # type: ignore[assignment]
    return further


def _readers(given: list[str], own: str | None) -> list[str]:
    """The groups that both name; `everyone` stands for all of them."""
    if own is None:
        return given
    wanted = [name.strip().strip("\"'") for name in own.strip("[]").split(",") if name.strip()]
    if not wanted:
        raise Refused("readers: write them in one line, with commas between them")
    if EVERYONE in wanted:
        return given
    both = wanted if EVERYONE in given else [name for name in wanted if name in given]
    if not both:
        raise Refused("readers: nobody whom its rule names")
    return both
