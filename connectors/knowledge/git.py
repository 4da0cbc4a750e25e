"""A Git repository of documents, as of the commit that a branch names now, with a `readers.toml` in it.

Text, readers and dates are all of that one commit. Only blobs are read, never a work tree; links and submodules are
left out.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from connectors.errors import Unavailable
from connectors.importing.pages import MAX_BYTES
from connectors.importing.source import Refused, printable
from connectors.knowledge.files import MOST_DOCUMENTS, File, document, is_document, link, revision
from connectors.knowledge.git_command import Git, GitFailed
from connectors.knowledge.indexed import IndexedKnowledge
from connectors.knowledge.readers import MAX_READERS_FILE, READERS_FILE, Rules, read_rules
from connectors.knowledge.source import OwnThreads
from connectors.records import DocumentRecord
from connectors.vendor.kinds import Declared, Kind, Surroundings

T = TypeVar("T")

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_MOST_LISTED = 200_000_000
_SHOWN = 12
_LATEST = 4_102_444_800  # the year 2100: whoever makes a commit chooses its time


class GitRepository(Declared):
    """A Git repository on this machine.

    Args:
        path: Its folder: bare, or with a work tree.
        branch: The branch that is served; "" for the repository's own, its HEAD.
        folder: The folder of the documents in it, "" for all of it; `readers.toml` lies there, too.
        link: Where a reader finds a document, with `{path}` and `{commit}` in it.
        seconds: How long one command of git may take.
    """

    kind: Literal["git"] = "git"
    path: Path
    branch: Annotated[str, Field(max_length=200)] = ""
    folder: Annotated[str, Field(max_length=200, pattern=r"^([^/.:][^/:]*(/[^/.:][^/:]*)*)?$")] = ""
    link: str = "{path}@{commit}"
    seconds: float = 20.0


@dataclass(frozen=True)
class _Blob:
    id: str
    size: int


@dataclass(frozen=True)
class _Change:
    """The last commit of the branch that changed a file, and when it was made."""

    commit: str
    at: datetime


@dataclass(frozen=True)
class _Served:
    """What one commit has."""

    commit: str = ""
    rules: Rules = field(default_factory=lambda: Rules([]))
    blobs: Mapping[str, _Blob] = field(default_factory=dict)
    changes: Mapping[str, _Change] = field(default_factory=dict)

    @cached_property
    def listing(self) -> dict[str, str]:
        return {
            path: revision(f"{blob.id} {self.changes[path].commit}", self.rules.of(path))
            for path, blob in self.blobs.items()
        }


class GitSource:
    """`Source` over a repository.

    Args:
        declared: Which repository.
    """

    def __init__(self, declared: GitRepository) -> None:
        self.name = f"the repository `{declared.path.name}`"
        self._declared = declared
        self._git = Git(declared.path, declared.seconds)
        self._threads = OwnThreads(self.name, 4 * declared.seconds)
        self._served = _Served()

    async def listing(self) -> Mapping[str, str]:
        """See `Source`."""
        before = self._served
        # A look that was given up goes on in its thread: what it finds must not take the place of a later one's.
        self._served, listing = await self._do(lambda: self._follow(before))
        return listing

    async def read(self, names: list[str]) -> Mapping[str, DocumentRecord | str]:
        """See `Source`."""
        served = self._served
        return await self._do(lambda: self._read(served, names))

    async def close(self) -> None:
        """See `Source`."""
        await self._threads.close()

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await self._threads.run(work)
        except GitFailed as error:
            said = printable(str(error))
            raise Unavailable(f"{self.name} cannot be read: {said}; nothing is answered from it until then") from error

    def _follow(self, before: _Served) -> tuple[_Served, dict[str, str]]:
        # In full: a tag of the same name means nothing here.
        ref = f"refs/heads/{self._declared.branch}" if self._declared.branch else "HEAD"
        found = self._git.run(["rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"]).decode().strip()
        if not _COMMIT.fullmatch(found):
            raise GitFailed(f"`{ref}` names no commit")
        served = before if found == before.commit else self._look(found, before)
        return served, served.listing

    def _look(self, commit: str, before: _Served) -> _Served:
        blobs = self._blobs(commit)
        file = blobs.get(READERS_FILE)
        if file is None or file.size > MAX_READERS_FILE:
            raise Unavailable(f"{self.name} has no `{READERS_FILE}`, so nobody may read anything there")
        rules = read_rules(self._contents([file])[file.id], self.name)
        documents = {path: blob for path, blob in blobs.items() if is_document(path)}
        if len(documents) > MOST_DOCUMENTS:
            raise Unavailable(f"{self.name} has more than {MOST_DOCUMENTS:,} documents, too many to answer from")
        changes = self._changes(commit, before)
        return _Served(commit, rules, {path: blob for path, blob in documents.items() if path in changes}, changes)

    def _blobs(self, commit: str) -> dict[str, _Blob]:
        """The files of a commit, by their path in the served folder, without links and submodules."""
        tree = f"{commit}:{self._declared.folder}" if self._declared.folder else commit
        listed = self._git.run(["ls-tree", "-r", "-z", "-l", "--full-tree", tree], most=_MOST_LISTED)
        found = {}
        for line in listed.split(b"\0")[:-1]:
            what, _, path = line.partition(b"\t")
            mode, _kind, blob, size = what.split()
            if mode in {b"100644", b"100755"}:
                if not size.isdigit():
                    raise GitFailed(f"object `{blob.decode()}` is not there")
                found[path.decode("utf-8", "surrogateescape")] = _Blob(blob.decode(), int(size))
        return found

    def _contents(self, blobs: list[_Blob]) -> dict[str, bytes]:
        wanted = {blob.id: blob for blob in blobs}
        given = "".join(f"{id_}\n" for id_ in wanted).encode()
        most = sum(blob.size + 200 for blob in wanted.values())
        written, found = self._git.run(["cat-file", "--batch"], given, most), {}
        for id_, blob in wanted.items():
            head, _, written = written.partition(b"\n")
            if head != f"{id_} blob {blob.size}".encode():
                raise GitFailed(f"object `{id_}` is not there")
            found[id_], written = written[: blob.size], written[blob.size + 1 :]
        return found

    def _changes(self, commit: str, before: _Served) -> dict[str, _Change]:
        """When each file last changed on the branch: what is known of the commit before it, and what is new."""
        if before.commit:
            fresh, parent = self._history(f"{before.commit}..{commit}")
            if parent == before.commit:
                return {**before.changes, **fresh}
        return self._history(commit)[0]

    def _history(self, revisions: str) -> tuple[dict[str, _Change], str]:
        """The last change of each file among commits, and the parent of the first of these."""
        form = "--format=%x01%H,%ct,%P"
        quiet = ["--no-renames", "--no-ext-diff", "--no-textconv", "--no-show-signature", "--no-notes", "--no-mailmap"]
        where = ["--", f":(top,literal){self._declared.folder}"] if self._declared.folder else ["--"]
        command = [
            "log",
            "--first-parent",
            "--diff-merges=first-parent",
            "--root",
            "--name-status",
            "-z",
            *quiet,
            form,
            revisions,
            *where,
        ]
        tokens = iter(self._git.run(command, most=_MOST_LISTED).split(b"\0"))
        found: dict[str, _Change] = {}
        change, parent = None, ""
        for token in tokens:
            # What is not a commit's line is the status of a file, and the next one is the file.
            if token.startswith(b"\x01"):
                id_, at, parents = token[1:].decode().split(",")
                made = datetime.fromtimestamp(min(int(at), _LATEST) if at.isdecimal() else 0, UTC)
                change, parent = _Change(id_, made), parents.partition(" ")[0].strip()
            elif token.strip() and change:
                found.setdefault(self._within(next(tokens, b"")), change)
        return found, parent

    def _within(self, path: bytes) -> str:
        whole = path.decode("utf-8", "surrogateescape")
        return whole.removeprefix(f"{self._declared.folder}/") if self._declared.folder else whole

    def _read(self, served: _Served, paths: list[str]) -> dict[str, DocumentRecord | str]:
        small = [blob for path in paths if (blob := served.blobs[path]).size <= MAX_BYTES]
        contents = self._contents(small)
        return {path: self._document(served, path, contents) for path in paths}

    def _document(self, served: _Served, path: str, contents: Mapping[str, bytes]) -> DocumentRecord | str:
        change = served.changes[path]
        raw = contents.get(served.blobs[path].id)
        if raw is None:
            return f"file: larger than {MAX_BYTES // 1_000_000} MB"
        source = link(self._declared.link, path, change.commit[:_SHOWN])
        try:
            return document(File(path, raw, change.at, source), served.rules.of(path))
        except Refused as error:
            return str(error)


def _make(declared: GitRepository, _surroundings: Surroundings) -> IndexedKnowledge:
    return IndexedKnowledge(declared.tenant, GitSource(declared))


KIND = Kind("git", "knowledge", GitRepository, _make, shows=())
