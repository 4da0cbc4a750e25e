"""Reading messages that are files: a Maildir with its subfolders, or .eml files."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from connectors.importing.mail import Folder, Marks, check_size, marks_in, message
from connectors.importing.source import Accepted, Item, Place, Refused, Source, UnreadableSource, attempt
from connectors.importing.text import storable

_SENT = frozenset({"sent", "sent items", "sent messages", "sent mail", "gesendet", "enviados", "envoyés", "outbox"})
_INBOX = frozenset({"inbox", ""})
_SHOWN = 4_000


def read_maildir(path: Path, mailbox: str) -> Source:
    """Open a Maildir: `new`, `cur`, and subfolders such as `.Sent` (Maildir++).

    A message is read if its name carries the flag S. Subfolders other than the sent one go to the archive.

    Raises:
        UnreadableSource: If it is none.
    """
    if not path.is_dir() or not any((path / name).is_dir() for name in ("cur", "new")):
        raise UnreadableSource(f"`{path.name}` is not a Maildir; expected a folder with `cur` and `new` in it")
    found = [(file, folder) for folder, where in _folders(path) for file in _files(where)]
    if not found:
        raise UnreadableSource(f"`{path.name}` is a Maildir without any message")
    return Source(
        (_item(file, path, mailbox, _marks(file, folder)) for file, folder in found),
        total=len(found),
    )


def read_eml(path: Path, mailbox: str) -> Source:
    """Open a single message, or a folder with .eml files in it and in its subfolders.

    Raises:
        UnreadableSource: If there is no such file.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".eml" and _is_inside(file, path))
    else:
        files = [path]
    if not files:
        raise UnreadableSource(f"`{path.name}` holds no .eml file")
    root = path if path.is_dir() else path.parent
    return Source((_item(file, root, mailbox, None) for file in files), total=len(files))


def _folders(path: Path) -> Iterator[tuple[Folder, Path]]:
    yield "inbox", path
    for each in sorted(path.iterdir()):
        if each.name.startswith(".") and each.is_dir() and not each.is_symlink():
            yield _folder(each.name.removeprefix(".").casefold().removeprefix("inbox.")), each


def _folder(name: str) -> Folder:
    return "sent" if name in _SENT else "inbox" if name in _INBOX else "archive"


def _files(folder: Path) -> Iterator[Path]:
    for name in ("cur", "new"):
        if (folder / name).is_dir():
            yield from sorted(
                file for file in (folder / name).iterdir() if not file.name.startswith(".") and _is_inside(file, folder)
            )


def _is_inside(file: Path, folder: Path) -> bool:
    return file.is_file() and file.resolve().is_relative_to(folder.resolve())


def _marks(file: Path, folder: Folder) -> Marks:
    flags = file.name.rpartition(":2,")[2] if ":2," in file.name else ""
    thrown_away = "T" in flags or "D" in flags
    return Marks("archive" if thrown_away and folder == "inbox" else folder, unread="S" not in flags)


def _item(file: Path, root: Path, mailbox: str, marks: Marks | None) -> Item:
    place = Place(storable(os.fspath(file.relative_to(root))))
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            shown = opened.read(_SHOWN)
        return attempt(place, shown, partial(_message, file, size, place, mailbox, marks))
    except OSError as error:
        raised = f"file: cannot be read: {(error.strerror or 'input error').lower()}"
        return attempt(place, b"", partial(_refuse, raised))


def _message(file: Path, size: int, place: Place, mailbox: str, marks: Marks | None) -> Accepted:
    check_size(size)
    raw = file.read_bytes()
    return message(raw, place, mailbox, marks or marks_in(raw))


def _refuse(reason: str) -> Accepted:
    raise Refused(reason)
