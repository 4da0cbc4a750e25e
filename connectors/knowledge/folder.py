"""A folder of documents: Markdown, HTML and text, with a `readers.toml` that says who may read what.

Links are not followed, so nothing outside the folder is ever read, whatever somebody puts there.
"""

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Literal

from connectors.errors import Unavailable
from connectors.importing.pages import MAX_BYTES
from connectors.importing.source import Refused
from connectors.knowledge.files import MOST_DOCUMENTS, File, document, is_document, link, revision
from connectors.knowledge.indexed import IndexedKnowledge
from connectors.knowledge.opening import contents, descended, opened
from connectors.knowledge.readers import MAX_READERS_FILE, READERS_FILE, Rules, read_rules
from connectors.knowledge.source import OwnThreads
from connectors.records import DocumentRecord
from connectors.vendor.kinds import Declared, Kind, Surroundings

# A file's time moves in steps, on some file systems of two seconds: what changed within the last one may change once
# more and look the same.
_SETTLED_SECONDS = 2.0


class Folder(Declared):
    """A folder of documents.

    Args:
        path: Where it is.
        link: Where a reader finds a document, with `{path}` in it.
        seconds: How long the folder may take for one thing.
    """

    kind: Literal["folder"] = "folder"
    path: Path
    link: str = "{path}"
    seconds: float = 10.0


@dataclass(frozen=True)
class _Seen:
    """A file as the system describes it."""

    signature: str
    changed: float


@dataclass(frozen=True)
class _Written:
    """The rules, and the bytes in which they are written."""

    raw: bytes
    rules: Rules


class FolderSource:
    """`Source` over a folder.

    Args:
        declared: Which folder.
        clock: Seconds since 1970, as the file system tells them.
    """

    def __init__(self, declared: Folder, clock: Callable[[], float] = time.time) -> None:
        self.name = f"the folder `{declared.path.name}`"
        self._declared = declared
        self._clock = clock
        self._threads = OwnThreads(self.name, declared.seconds)
        self._rules = _Written(b"", Rules([]))

    async def listing(self) -> Mapping[str, str]:
        """See `Source`."""
        before = self._rules
        # A look that was given up goes on in its thread: the rules that it read must not take the place of later ones.
        self._rules, found = await self._threads.run(lambda: self._list(before))
        return found

    async def read(self, names: list[str]) -> Mapping[str, DocumentRecord | str]:
        """See `Source`."""
        rules = self._rules.rules
        return await self._threads.run(lambda: self._read_all(names, rules))

    async def close(self) -> None:
        """See `Source`."""
        await self._threads.close()

    def _list(self, before: "_Written") -> tuple["_Written", Mapping[str, str]]:
        with opened(self._declared.path, os.O_DIRECTORY) as root:
            os.scandir(root).close()  # what is in it must be there to be listed
            written = self._written_rules(root)
            read = before if written == before.raw else _Written(written, read_rules(written, self.name))
            rules = read.rules
            files = islice(_files(root), MOST_DOCUMENTS + 1)
            now = self._clock()
            found = {path: revision(_revision(seen, now), rules.of(path)) for path, seen in files}
        if len(found) > MOST_DOCUMENTS:
            raise Unavailable(f"{self.name} has more than {MOST_DOCUMENTS:,} documents, too many to answer from")
        return read, found

    def _written_rules(self, root: int) -> bytes:
        try:
            with opened(READERS_FILE, 0, root) as file:
                return contents(file, MAX_READERS_FILE)
        except FileNotFoundError:
            raise Unavailable(f"{self.name} has no `{READERS_FILE}`, so nobody may read anything there") from None

    def _read_all(self, names: list[str], rules: Rules) -> dict[str, DocumentRecord | str]:
        with opened(self._declared.path, os.O_DIRECTORY) as root:
            return {name: self._read(root, name, rules) for name in names}

    def _read(self, root: int, path: str, rules: Rules) -> DocumentRecord | str:
        try:
            with descended(root, path) as file:
                found = os.fstat(file)
                raw = contents(file, MAX_BYTES)
            changed = datetime.fromtimestamp(found.st_mtime, UTC)
            return document(File(path, raw, changed, link(self._declared.link, path)), rules.of(path))
        except OSError as error:
            return f"file: cannot be read: {(error.strerror or 'input error').lower()}"
        except Refused as error:
            return str(error)


def _revision(seen: _Seen, now: float) -> str:
    """What changed a moment ago is read once more when it cannot look the same any longer after a change."""
    # In steps, so that many files that changed one after the other become settled together.
    step = now // _SETTLED_SECONDS - 1
    return f"{seen.signature} {seen.changed < step * _SETTLED_SECONDS}"


def _files(root: int) -> Iterator[tuple[str, _Seen]]:
    """The documents below a folder. What is in a subfolder that cannot be entered is not there."""
    for where, folders, files, folder in os.fwalk(".", dir_fd=root, follow_symlinks=False, onerror=_unless_closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        above = where.removeprefix(".").removeprefix("/")
        for name in files:
            path = f"{above}/{name}" if above else name
            if is_document(path) and (seen := _look(name, folder)):
                yield path, seen


def _unless_closed(error: OSError) -> None:
    if not isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError):
        raise error


def _look(name: str, folder: int) -> _Seen | None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    signature = f"{found.st_ino}.{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}"
    return _Seen(signature, max(found.st_mtime, found.st_ctime))


def _make(declared: Folder, _surroundings: Surroundings) -> IndexedKnowledge:
    return IndexedKnowledge(declared.tenant, FolderSource(declared))


KIND = Kind("folder", "knowledge", Folder, _make, shows=())
