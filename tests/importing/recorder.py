"""A back end that only remembers what was loaded into it, and one call to import into it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from connectors.embedded.loading import LoadReport
from connectors.importing import ImportReport, Kind, Loader, import_path
from connectors.records import Record

R = TypeVar("R", bound=Record)

NOW = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
MAILBOX = "support@larkspur.example"


def accept_all(records: Sequence[Record]) -> None:
    """A back end that refuses nothing."""


@dataclass
class Recorder:
    """Keeps records by source id; `check` may raise to refuse a batch, which then leaves nothing behind."""

    check: Callable[[Sequence[Record]], None] = accept_all
    kept: dict[str, Record] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    tenants: set[str] = field(default_factory=set)

    async def load(self, tenant: str, records: Sequence[Record]) -> LoadReport:
        self.check(records)
        self.batches.append(len(records))
        self.tenants.add(tenant)
        fresh = [record for record in records if record.source_id not in self.kept]
        same = [record for record in records if self.kept.get(record.source_id) == record]
        self.kept |= {record.source_id: record for record in records}
        return LoadReport(len(fresh), len(records) - len(fresh) - len(same), len(same))

    def all(self, kind: type[R]) -> list[R]:
        return [record for record in self.kept.values() if isinstance(record, kind)]

    def one(self, kind: type[R]) -> R:
        (record,) = self.all(kind)
        return record


@dataclass
class Imported:
    """What an import came to: its report, what was loaded, and the reject file's entries."""

    report: ImportReport
    loaded: Recorder
    rejects: list[dict[str, Any]]


async def bring_in(kind: Kind, path: Path, into: Loader[Any] | None = None, **options: Any) -> Imported:
    """Import with what most tests do not care about filled in."""
    loader = Recorder() if into is None else into
    rejects = path.parent / "rejects.jsonl"
    if kind in (Kind.MBOX, Kind.MAILDIR, Kind.EML):
        options = {"mailbox": MAILBOX, **options}
    report = await import_path(kind, path, loader, "larkspur", **{"now": NOW, "rejects": rejects, **options})
    entries = [json.loads(line) for line in rejects.read_text().splitlines()] if rejects.exists() else []
    return Imported(report, loader if isinstance(loader, Recorder) else Recorder(), entries)
