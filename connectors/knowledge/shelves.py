"""What an archive is made of: mail in files, and mail and tickets that were imported."""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from pydantic import ValidationError
from sqlalchemy import Connection, RowMapping, func, select

from connectors.email.mime import ParsedMessage, parse
from connectors.email.tables import messages
from connectors.embedded.database import Database
from connectors.embedded.sources import select_among
from connectors.importing.mail import MAX_MESSAGE
from connectors.importing.mbox import index_of, raw_message
from connectors.importing.source import sentence
from connectors.importing.text import storable
from connectors.knowledge.opening import contents, descended, opened
from connectors.knowledge.source import OwnThreads
from connectors.records import DocumentRecord
from connectors.ticketing.tables import comments, tickets

Read = Mapping[str, DocumentRecord | str]

_TOO_LARGE: Final = f"message: larger than {MAX_MESSAGE // 1_000_000} MB"
_UNDATED: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_KEPT: Final = frozenset({"trash", "junk", "spam", "drafts", "deleted items", "deleted messages", "papierkorb"})


class Shelf(Protocol):
    """A part of an archive; its names begin with what tells it from the others."""

    async def listing(self) -> Mapping[str, str]:
        """See `Source`."""
        ...

    async def read(self, names: list[str]) -> Read:
        """See `Source`."""
        ...


class Maildir:
    """Messages of a Maildir, each in a file that never changes, with its subfolders (Maildir++).

    What was thrown away, and drafts, are left out.

    Args:
        path: The Maildir.
        name: What tells it from other shelves.
        readers: The groups that may read it.
        threads: Where files are read.
    """

    def __init__(self, path: Path, name: str, readers: list[str], threads: OwnThreads) -> None:
        self._path, self._name, self._readers, self._threads = path, name, readers, threads
        self._files: dict[str, str] = {}

    async def listing(self) -> Mapping[str, str]:
        """See `Source`."""
        self._files = await self._threads.run(self._list)
        return dict.fromkeys(self._files, "kept")

    async def read(self, names: list[str]) -> Read:
        """See `Source`."""
        files = {name: self._files[name] for name in names}
        return await self._threads.run(lambda: dict(self._read(files)))

    def _list(self) -> dict[str, str]:
        found = {}
        with opened(self._path, os.O_DIRECTORY) as root:
            subfolders = [name for name in _names(root) if name.startswith(".") and not _is_thrown_away(name)]
            for folder in ("", *(f"{name}/" for name in subfolders)):
                for part in ("new", "cur"):
                    for file in _files(root, f"{folder}{part}", is_needed=not folder):
                        unique, _, flags = file.partition(":2,")
                        if not {"T", "D"} & set(flags):
                            found[f"{self._name}/{folder}{storable(unique)}"] = f"{folder}{part}/{file}"
        return found

    def _read(self, files: Mapping[str, str]) -> Iterator[tuple[str, DocumentRecord | str]]:
        with opened(self._path, os.O_DIRECTORY) as root:
            for name, path in files.items():
                try:
                    with descended(root, path) as file:
                        raw = contents(file, MAX_MESSAGE)
                except FileNotFoundError:
                    continue  # it was read or moved at this moment, and has another name now
                except OSError as error:
                    yield name, f"file: cannot be read: {(error.strerror or 'input error').lower()}"
                else:
                    yield name, _message(name, self._name, raw, self._readers)


class Mbox:
    """The messages of an mbox file, known by their bytes.

    Args:
        path: The file.
        name: What tells it from other shelves.
        readers: The groups that may read it.
        threads: Where the file is read.
    """

    def __init__(self, path: Path, name: str, readers: list[str], threads: OwnThreads) -> None:
        self._path, self._name, self._readers, self._threads = path, name, readers, threads
        self._signature = ""
        self._places: dict[str, tuple[int, int]] = {}

    async def listing(self) -> Mapping[str, str]:
        """See `Source`."""
        await self._threads.run(self._list)
        return dict.fromkeys(self._places, "kept")

    async def read(self, names: list[str]) -> Read:
        """See `Source`."""
        places = {name: self._places[name] for name in names}
        return await self._threads.run(lambda: dict(self._read(places)))

    def _list(self) -> None:
        with opened(self._path) as descriptor, open(descriptor, "rb", closefd=False) as file:
            found = os.fstat(descriptor)
            signature = f"{found.st_ino}.{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}"
            if signature == self._signature:
                return
            index = index_of(file)
            places = zip(index.starts, (*index.starts[1:], index.end), strict=True)
            self._places = {_named(self._name, file, start, end): (start, end) for start, end in places}
        self._signature = signature

    def _read(self, places: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, DocumentRecord | str]]:
        with opened(self._path) as descriptor, open(descriptor, "rb", closefd=False) as file:
            for name, (start, end) in places.items():
                if _named(self._name, file, start, end) != name:
                    continue  # the file was written anew at this moment
                if end - start > MAX_MESSAGE:
                    yield name, _TOO_LARGE
                else:
                    yield name, _message(name, self._name, raw_message(file, start, end), self._readers)


class ImportedMail:
    """The messages of a mailbox that were imported.

    Args:
        company: Where they are.
        tenant: Whose.
        mailbox: Its address.
        readers: The groups that may read it.
    """

    def __init__(self, company: Database, tenant: str, mailbox: str, readers: list[str]) -> None:
        self._company, self._tenant, self._mailbox, self._readers = company, tenant, mailbox, readers

    async def listing(self) -> Mapping[str, str]:
        """See `Source`."""
        query = select(messages.c.id).where(messages.c.tenant == self._tenant, messages.c.mailbox == self._mailbox)
        found = await self._company.read(self._tenant, lambda connection: connection.scalars(query).all())
        return {f"{self._mailbox}/{id_}": "kept" for id_ in found}

    async def read(self, names: list[str]) -> Read:
        """See `Source`."""
        columns = [messages.c[name] for name in ("id", "subject", "sender_name", "sender_email", "body", "at")]
        query = select(*columns).where(messages.c.tenant == self._tenant, messages.c.mailbox == self._mailbox)
        ids = [name.rpartition("/")[2] for name in names]
        rows = await self._company.read(
            self._tenant, lambda connection: list(select_among(connection, query, messages.c.id, ids))
        )
        return {name: self._document(name, row) for row in rows for name in [f"{self._mailbox}/{row['id']}"]}

    def _document(self, name: str, row: RowMapping) -> DocumentRecord | str:
        text = f"From {_person(row['sender_name'], row['sender_email'])}\n\n{row['body']}"
        return _document(name, row["subject"], text, name, row["at"], self._readers)


class ImportedTickets:
    """Imported tickets, with what requesters and staff wrote to each other.

    Args:
        company: Where they are.
        tenant: Whose.
        tag: Only those with this tag, "" for all.
        with_notes: Whether what staff wrote for staff alone is in it, too.
        readers: The groups that may read them.
    """

    def __init__(self, company: Database, tenant: str, tag: str, readers: list[str], *, with_notes: bool) -> None:
        self._company, self._tenant, self._readers = company, tenant, readers
        self._chosen = [tickets.c.tenant == tenant]
        if tag:
            self._chosen.append(tickets.c.tags.contains(f" {tag} ", autoescape=True))
        self._said = [comments.c.tenant == tenant, *([] if with_notes else [comments.c.kind == "public"])]

    async def listing(self) -> Mapping[str, str]:
        """See `Source`."""
        here = (comments.c.tenant == tickets.c.tenant) & (comments.c.ticket_id == tickets.c.id)
        query = select(tickets.c.id, tickets.c.version, tickets.c.updated_at, func.count(comments.c.id))
        query = query.outerjoin(comments, here).where(*self._chosen).group_by(*query.selected_columns[:3])
        rows = await self._company.read(self._tenant, lambda connection: connection.execute(query).all())
        return {f"ticket/{id_}": f"{version} {at.isoformat()} {count}" for id_, version, at, count in rows}

    async def read(self, names: list[str]) -> Read:
        """See `Source`."""
        ids = [name.rpartition("/")[2] for name in names]

        def work(connection: Connection) -> Read:
            query = select(tickets.c.id, tickets.c.subject, tickets.c.updated_at).where(*self._chosen)
            found = list(select_among(connection, query, tickets.c.id, ids))
            said: dict[str, list[RowMapping]] = {}
            for row in select_among(connection, select(comments).where(*self._said), comments.c.ticket_id, ids):
                said.setdefault(row["ticket_id"], []).append(row)
            return {f"ticket/{row['id']}": self._document(row, said.get(row["id"], [])) for row in found}

        return await self._company.read(self._tenant, work)

    def _document(self, row: RowMapping, said: Iterable[RowMapping]) -> DocumentRecord | str:
        ordered = sorted(said, key=lambda each: each["place"])
        text = "\n\n".join(f"{each['author']}, {each['at']:%Y-%m-%d}:\n\n{each['body']}" for each in ordered)
        name = f"ticket/{row['id']}"
        return _document(name, row["subject"], text, name, row["updated_at"], self._readers)


def _is_thrown_away(folder: str) -> bool:
    return folder.removeprefix(".").casefold().removeprefix("inbox.") in _NOT_KEPT


def _files(root: int, folder: str, *, is_needed: bool) -> list[str]:
    """The files in a folder of a Maildir; in a subfolder there need not be any."""
    try:
        with descended(root, folder) as found:
            return [name for name in _names(found) if not name.startswith(".")]
    except OSError as error:
        if is_needed or error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            raise
        return []


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as found:
        return [each.name for each in found]


def _named(shelf: str, file: BinaryIO, start: int, end: int) -> str:
    """The name of a message of an mbox file, by its bytes."""
    file.seek(start)
    return f"{shelf}/{hashlib.sha256(file.read(min(end - start, MAX_MESSAGE))).hexdigest()[:32]}"


def _message(name: str, shelf: str, raw: bytes, readers: list[str]) -> DocumentRecord | str:
    if len(raw) > MAX_MESSAGE:
        return _TOO_LARGE
    parsed: ParsedMessage = parse(raw)
    text = f"From {_person(parsed.sender_name, parsed.sender_email)}\n\n{parsed.text}"
    source = f"{shelf}: <{parsed.message_id}>" if parsed.message_id else name
    return _document(name, parsed.subject, text, source, parsed.sent_at or _UNDATED, readers)


def _person(name: str, address: str) -> str:
    return f"{name} <{address}>" if name else address or "nobody"


def _document(name: str, title: str, text: str, source: str, at: datetime, readers: list[str]) -> DocumentRecord | str:
    """What outsiders wrote is theirs, wherever it is kept."""
    fields: dict[str, Any] = {"source_id": name, "source": storable(source)[:500], "text": storable(text)}
    shown = title.strip()[:200] or "no subject"
    try:
        return DocumentRecord(**fields, title=shown, origin="external", readers=readers, updated_at=at)
    except ValidationError as error:
        return sentence(error)
