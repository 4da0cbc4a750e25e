"""Importing: read a source record by record, load it batch by batch, keep what was wrong, and report.

An import is safe to repeat: records are known by their source's id, and loading one again changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import anyio.to_thread
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import StatementError

from connectors.embedded.loading import LoadReport
from connectors.errors import ConnectorError, InvalidInput, Unavailable
from connectors.fields import Address
from connectors.importing.contacts import read_contacts_csv
from connectors.importing.documents import read_documents
from connectors.importing.maildir import read_eml, read_maildir
from connectors.importing.mbox import read_mbox
from connectors.importing.readiness import Tally
from connectors.importing.rejects import reject_file
from connectors.importing.report import ImportReport, Kind
from connectors.importing.source import Accepted, Facts, Rejected, Source, UnreadableSource, reject
from connectors.importing.tickets_csv import read_tickets_csv
from connectors.importing.tickets_jsonl import looks_like_json, read_tickets_jsonl
from connectors.importing.vcards import looks_like_vcard, read_vcards
from connectors.records import DocumentRecord, MessageRecord, Record, TicketRecord

AREAS: Final[Mapping[Kind, str]] = {
    Kind.MBOX: "email",
    Kind.MAILDIR: "email",
    Kind.EML: "email",
    Kind.CONTACTS: "crm",
    Kind.TICKETS: "ticket",
    Kind.KNOWLEDGE: "knowledge",
}
"""Which back end a kind is loaded into."""

_BATCH_RECORDS = 200
_BATCH_CHARACTERS = 16_000_000
_FILES = frozenset({Kind.MBOX, Kind.CONTACTS, Kind.TICKETS})
_REFUSALS = (ConnectorError, ValueError, StatementError)
_R_contra = TypeVar("_R_contra", bound=Record, contravariant=True)
_ADDRESS = TypeAdapter[str](Address)


class Loader(Protocol[_R_contra]):
    """A back end that can be filled."""

    async def load(self, tenant: str, records: Sequence[_R_contra]) -> LoadReport:
        """Load all of the records or none; loading one again changes nothing."""
        ...


def nobody_listens(done: int, total: int | None) -> None:
    """The progress callback of a caller who does not listen."""


async def import_path(
    kind: Kind,
    path: Path,
    loader: Loader[Any],
    tenant: str,
    *,
    now: datetime,
    rejects: Path,
    mailbox: str | None = None,
    readers: Sequence[str] = ("everyone",),
    progress: Callable[[int, int | None], None] = nobody_listens,
) -> ImportReport:
    """Import a file or a folder.

    Args:
        kind: What it holds.
        path: Where it is.
        loader: The back end to fill; `AREAS` says which one a kind belongs to.
        tenant: Whose data it becomes.
        now: The moment of the import, with zone.
        rejects: Where to write what was rejected, as JSON Lines; replaced by every run, removed if nothing was.
        mailbox: For mail: the address that the messages belong to.
        readers: For knowledge: the groups that may read a document which does not name its readers itself.
        progress: Called from a worker thread with (done, total or None) after every record.

    Raises:
        UnreadableSource: If the path does not hold what was expected, and nothing was imported; or if reading it
            failed half way, as its message then says.
        InvalidInput: If another argument cannot be used; `field` names it.
        Unavailable: If the back end stopped answering. What was loaded until then stays; the same import may be
            repeated later.
    """
    source = await anyio.to_thread.run_sync(_open, kind, path, mailbox, tuple(readers))
    tally, loaded, ready = Tally(now), LoadReport(), set[str]()
    with reject_file(rejects) as write:
        batches = _batches(source, tally, write, progress)
        while batch := await anyio.to_thread.run_sync(_next, batches, path):
            await _load(loader, tenant, _needed(batch, ready))
            report, refused = await _load(loader, tenant, batch)
            loaded += report
            for each in refused:
                tally.refuse(was_observed=True)
                write(each)
    return ImportReport(
        kind=kind,
        path=str(path),
        tenant=tenant,
        read=tally.read,
        added=loaded.added,
        changed=loaded.changed,
        unchanged=loaded.unchanged,
        duplicates=tally.doubles,
        rejected=tally.rejected,
        rejects=str(rejects) if tally.rejected else None,
        notes=list(source.notes),
        readiness=tally.report(),
    )


def _open(kind: Kind, path: Path, mailbox: str | None, readers: Sequence[str]) -> Source:
    if not path.exists():
        raise UnreadableSource(f"`{path}` does not exist")
    if path.is_dir() and kind in _FILES:
        hint = "; a folder of mail is imported with `maildir` or `eml`" if kind is Kind.MBOX else ""
        raise UnreadableSource(f"`{path}` is a folder; expected a file of {kind}{hint}")
    if not (path.is_dir() or path.is_file()):
        raise UnreadableSource(f"`{path}` is neither a file nor a folder")
    try:
        return _read(kind, path, mailbox, readers)
    except OSError as error:
        raise UnreadableSource(f"cannot read `{path}`: {(error.strerror or 'input error').lower()}") from error


def _read(kind: Kind, path: Path, mailbox: str | None, readers: Sequence[str]) -> Source:
    match kind:
        case Kind.MBOX:
            return read_mbox(path, _address(mailbox))
        case Kind.MAILDIR:
            return read_maildir(path, _address(mailbox))
        case Kind.EML:
            return read_eml(path, _address(mailbox))
        case Kind.CONTACTS:
            return read_vcards(path) if looks_like_vcard(path) else read_contacts_csv(path)
        case Kind.TICKETS:
            return read_tickets_jsonl(path) if looks_like_json(path) else read_tickets_csv(path)
        case Kind.KNOWLEDGE:
            return read_documents(path, readers)


def _address(mailbox: str | None) -> str:
    if not mailbox:
        raise InvalidInput("say whose mail this is with `--mailbox ADDRESS`", field="mailbox")
    try:
        return _ADDRESS.validate_python(mailbox)
    except ValidationError as error:
        raise InvalidInput(f"`{mailbox[:100]}` is not an email address", field="mailbox") from error


def _batches(
    source: Source, tally: Tally, write: Callable[[Rejected], None], progress: Callable[[int, int | None], None]
) -> Iterator[list[Accepted]]:
    batch: list[Accepted] = []
    weight = 0
    for item in source.items:
        if isinstance(item, Rejected):
            tally.refuse()
            write(item)
        elif tally.observe(item):
            batch.append(item)
            weight += _weight(item.record)
        progress(tally.read, source.total)
        if len(batch) >= _BATCH_RECORDS or weight >= _BATCH_CHARACTERS:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _next(batches: Iterator[list[Accepted]], path: Path) -> list[Accepted] | None:
    try:
        return next(batches, None)
    except OSError as error:
        reason = (error.strerror or "input error").lower()
        raise UnreadableSource(f"reading `{path}` stopped: {reason}; what was loaded until then stays") from error


def _weight(record: Record) -> int:
    match record:
        case MessageRecord(raw=raw):
            return len(raw)
        case DocumentRecord(text=text):
            return len(text)
        case TicketRecord(comments=comments):
            return sum(len(comment.body) for comment in comments)
    return 0


def _needed(batch: list[Accepted], ready: set[str]) -> list[Accepted]:
    """What must be loaded before the batch and was not yet; of several spellings the first counts."""
    needed: list[Accepted] = []
    for item in batch:
        for record in item.needs:
            if record.source_id not in ready:
                ready.add(record.source_id)
                needed.append(Accepted(record, item.place, Facts()))
    return needed


async def _load(loader: Loader[Any], tenant: str, batch: list[Accepted]) -> tuple[LoadReport, list[Rejected]]:
    """Load a batch all at once; if it is refused, halve it until only the record at fault is left out."""
    if not batch:
        return LoadReport(), []
    try:
        return await loader.load(tenant, [item.record for item in batch]), []
    except Unavailable:
        raise
    except _REFUSALS as error:
        if len(batch) == 1:
            return LoadReport(), [reject(batch[0].place, f"record: {_reason(error)}", batch[0].record.source_id)]
    middle = len(batch) // 2
    first, refused_first = await _load(loader, tenant, batch[:middle])
    second, refused_second = await _load(loader, tenant, batch[middle:])
    return first + second, refused_first + refused_second


def _reason(error: Exception) -> str:
    if isinstance(error, StatementError):  # its own text shows the statement and its values
        return f"the database refused it: {str(error.orig).splitlines()[0][:200]}"
    return (str(error).splitlines() or ["refused"])[0][:200]
