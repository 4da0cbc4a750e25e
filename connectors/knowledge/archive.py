"""An archive of mail and tickets: what was written before, found again by whom each mailbox or queue is open to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.embedded.database import Database
from connectors.errors import Unavailable
from connectors.fields import Address, Line
from connectors.knowledge.files import MOST_DOCUMENTS
from connectors.knowledge.indexed import IndexedKnowledge
from connectors.knowledge.shelves import ImportedMail, ImportedTickets, Maildir, Mbox, Shelf
from connectors.knowledge.source import OwnThreads
from connectors.records import DocumentRecord
from connectors.ticketing.tools import Tag
from connectors.vendor.kinds import Declared, Kind, Surroundings

_NAME = "the archive"


class ShelfDeclared(BaseModel):
    """A part of an archive and who may read it; one of `maildir`, `mbox`, `mailbox` and `tickets` says what it is.

    Args:
        readers: Names of groups, `everyone` for all.
        maildir: A Maildir.
        mbox: An mbox file.
        mailbox: The address of a mailbox that was imported.
        tickets: Imported tickets: those with this tag, or `*` for all. Of several shelves with a ticket the first
            counts.
        notes: Whether what staff wrote for staff alone is in it, too.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    readers: Annotated[list[Line], Field(min_length=1, max_length=50)]
    maildir: Path | None = None
    mbox: Path | None = None
    mailbox: Address | None = None
    tickets: Tag | Literal["*"] | None = None
    notes: bool = False

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if sum(each is not None for each in (self.maildir, self.mbox, self.mailbox, self.tickets)) != 1:
            raise ValueError("say one of `maildir`, `mbox`, `mailbox` and `tickets`")
        return self


class Archive(Declared):
    """An archive.

    Args:
        shelves: What it is made of.
        seconds: How long files may take for one thing.
    """

    kind: Literal["archive"] = "archive"
    shelves: Annotated[list[ShelfDeclared], Field(min_length=1, max_length=100)]
    seconds: float = 30.0


class ArchiveSource:
    """`Source` over shelves; of several that have a document by one name, the first counts.

    Args:
        shelves: What it is made of.
        threads: Where the shelves read files.
    """

    name = _NAME

    def __init__(self, shelves: list[Shelf], threads: OwnThreads) -> None:
        self._shelves = shelves
        self._threads = threads
        self._has: dict[str, Shelf] = {}

    async def listing(self) -> Mapping[str, str]:
        """See `Source`."""
        found: dict[str, str] = {}
        has: dict[str, Shelf] = {}
        for number, shelf in enumerate(self._shelves):
            for name, revision in (await shelf.listing()).items():
                if has.setdefault(name, shelf) is shelf:
                    found[name] = f"{number} {revision}"
        if len(found) > MOST_DOCUMENTS:
            raise Unavailable(f"{self.name} has more than {MOST_DOCUMENTS:,} documents, too many to answer from")
        self._has = has
        return found

    async def read(self, names: list[str]) -> Mapping[str, DocumentRecord | str]:
        """See `Source`."""
        by_shelf: dict[Shelf, list[str]] = {}
        for name in names:
            by_shelf.setdefault(self._has[name], []).append(name)
        return {name: found for shelf, some in by_shelf.items() for name, found in (await shelf.read(some)).items()}

    async def close(self) -> None:
        """See `Source`."""
        await self._threads.close()


def _shelf(declared: ShelfDeclared, number: int, tenant: str, company: Database, threads: OwnThreads) -> Shelf:
    readers = declared.readers
    if declared.maildir is not None:
        return Maildir(declared.maildir, f"{declared.maildir.name[:100]}-{number}", readers, threads)
    if declared.mbox is not None:
        return Mbox(declared.mbox, f"{declared.mbox.name[:100]}-{number}", readers, threads)
    if declared.mailbox is not None:
        return ImportedMail(company, tenant, declared.mailbox, readers)
    tag = "" if declared.tickets == "*" else declared.tickets or ""
    return ImportedTickets(company, tenant, tag, readers, with_notes=declared.notes)


def _make(declared: Archive, surroundings: Surroundings) -> IndexedKnowledge:
    threads = OwnThreads(_NAME, declared.seconds)
    shelves = [
        _shelf(each, number, declared.tenant, surroundings.company, threads)
        for number, each in enumerate(declared.shelves, 1)
    ]
    return IndexedKnowledge(declared.tenant, ArchiveSource(shelves, threads))


KIND = Kind("archive", "knowledge", Archive, _make, shows=())
