"""A folder of documents: Markdown, HTML and text, with a `readers.toml` that says who may read what.

Links are not followed, so nothing outside the folder is ever read, whatever somebody puts there.
"""

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from connectors.errors import Unavailable
from connectors.importing.pages import MAX_BYTES
from connectors.importing.source import Refused
from connectors.knowledge.files import MOST_DOCUMENTS, File, document, is_document, link, revision
from connectors.knowledge.indexed import IndexedKnowledge
from connectors.knowledge.readers import MAX_READERS_FILE, READERS_FILE, Rule, Rules, read_rules
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

    kind: Literal["folder"]
    path: Annotated[Path, Field(strict=False)]
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
        self._looks = count()
        self._rules = _Written(b"", Rules([]))

    async def listing(self) -> Mapping[str, str]:
        """See `Source`."""
        return await self._threads.run(self._list)

    async def read(self, names: list[str]) -> Mapping[str, DocumentRecord | str]:
        """See `Source`."""
        rules = self._rules
        return await self._threads.run(lambda: self._read_all(names, rules))

    async def close(self) -> None:
        """See `Source`."""

    def _list(self) -> Mapping[str, str]:
        with _opened(self._declared.path, os.O_DIRECTORY) as root:
            os.scandir(root).close()  # what is in it must be there to be listed
            written = self._written_rules(root)
            if written != self._rules.raw:
                self._rules = _Written(written, read_rules(written, self.name))
            rules = self._rules.rules
            files = islice(_files(root), MOST_DOCUMENTS + 1)
            found = {path: revision(self._settled(seen), rules.of(path)) for path, seen in files}
        if len(found) > MOST_DOCUMENTS:
            raise Unavailable(f"{self.name} has more than {MOST_DOCUMENTS:,} documents, too many to answer from")
        return found

    def _settled(self, seen: _Seen) -> str:
        if self._clock() - seen.changed > _SETTLED_SECONDS:
            return seen.signature
        return f"{seen.signature} {next(self._looks)}"

    def _written_rules(self, root: int) -> bytes:
        try:
            with _opened(READERS_FILE, 0, root) as file:
                return _bytes(file, MAX_READERS_FILE)
        except FileNotFoundError:
            raise Unavailable(f"{self.name} has no `{READERS_FILE}`, so nobody may read anything there") from None

    def _read_all(self, names: list[str], rules: _Written) -> dict[str, DocumentRecord | str]:
        with _opened(self._declared.path, os.O_DIRECTORY) as root:
            found = {name: self._read(root, name, rules.rules.of(name)) for name in names}
            # Somebody may have forbidden a document first and written into it then.
            if self._written_rules(root) != rules.raw:
                raise Unavailable(f"{self.name} changed its `{READERS_FILE}` at this moment; repeat the call")
        return found

    def _read(self, root: int, path: str, rule: Rule | None) -> DocumentRecord | str:
        try:
            with _descended(root, path) as file:
                found = os.fstat(file)
                raw = _bytes(file, MAX_BYTES)
            changed = datetime.fromtimestamp(found.st_mtime, UTC)
            return document(File(path, raw, changed, link(self._declared.link, path)), rule)
        except OSError as error:
            return f"file: cannot be read: {(error.strerror or 'input error').lower()}"
        except Refused as error:
            return str(error)


def _files(root: int) -> Iterator[tuple[str, _Seen]]:
    """The documents below a folder. What is in a subfolder that cannot be entered is not there."""
    for where, folders, files, folder in os.fwalk(".", dir_fd=root, follow_symlinks=False, onerror=_unless_closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = os.path.normpath(os.path.join(where, name))  # noqa: PTH118 - names relative to a descriptor
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


@contextmanager
def _opened(name: str | Path, flags: int, folder: int | None = None) -> Iterator[int]:
    """A descriptor of something in a folder; never of what a link leads to, and without waiting for a pipe."""
    following = 0 if folder is None else os.O_NOFOLLOW
    opened = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | following | flags, dir_fd=folder)
    try:
        yield opened
    finally:
        os.close(opened)


@contextmanager
def _descended(root: int, path: str) -> Iterator[int]:
    """A descriptor of a file below a folder, with no link on the way."""
    first, _, rest = path.partition("/")
    with _opened(first, os.O_DIRECTORY if rest else 0, root) as opened:
        if rest:
            with _descended(opened, rest) as file:
                yield file
        else:
            yield opened


def _bytes(file: int, most: int) -> bytes:
    """What is in a file, and one byte more than `most` if there is more."""
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise OSError("not a file")
    with open(file, "rb", closefd=False) as opened:
        return opened.read(most + 1)


def _make(declared: Folder, _surroundings: Surroundings) -> IndexedKnowledge:
    return IndexedKnowledge(declared.tenant, FolderSource(declared))


KIND = Kind("folder", "knowledge", Folder, _make)
