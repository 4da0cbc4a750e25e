"""Reading a folder of knowledge: Markdown, HTML and plain text."""

import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from connectors.importing.contacts import date_of
from connectors.importing.pages import MAX_BYTES, SUFFIXES, page_of
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
from connectors.importing.text import storable
from connectors.importing.timestamps import NO_ZONE, parse_moment
from connectors.records import DocumentRecord

STALE_AFTER = timedelta(days=2 * 365)


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
            wanted = not name.startswith(".") and path.suffix.lower() in SUFFIXES
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
    page = page_of(raw, path.suffix.lower())
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
