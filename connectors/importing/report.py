"""What an import did, for people and for programs."""

from collections.abc import Iterator
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from connectors.importing.readiness import Finding, Readiness
from connectors.importing.source import printable


class Kind(StrEnum):
    """What can be imported."""

    MBOX = "mbox"
    MAILDIR = "maildir"
    EML = "eml"
    CONTACTS = "contacts"
    TICKETS = "tickets"
    KNOWLEDGE = "knowledge"


class ImportReport(BaseModel):
    """What an import did: `read` is the sum of the next five numbers.

    Args:
        duplicates: Records left out because an earlier one in the same source had the same id.
        rejected: Rows that could not become a record, or that the back end refused.
        rejects: The reject file, or None if nothing was rejected.
        notes: What was decided about the source as a whole.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    path: str
    tenant: str
    read: int
    added: int
    changed: int
    unchanged: int
    duplicates: int
    rejected: int
    rejects: str | None
    notes: list[str]
    readiness: Readiness

    def to_json(self) -> str:
        """The whole report as JSON."""
        return self.model_dump_json(indent=2)


def render(report: ImportReport) -> str:
    """Write a report for a person at a terminal: plain text, aligned, safe to print."""
    return "\n".join(printable(line) for line in _lines(report))


def _lines(report: ImportReport) -> Iterator[str]:
    readiness = report.readiness
    yield f"Imported {report.kind} from {report.path} for {report.tenant}"
    yield ""
    yield from _counts(report)
    yield ""
    yield f"Readiness: {readiness.verdict}"
    yield from _section("Duplicates", readiness.duplicates)
    yield from _section("Missing fields", readiness.missing)
    yield from _section("Stale", [readiness.stale] if readiness.stale.count else [])
    yield from _section("Also noticed", readiness.signs)
    if report.notes:
        yield ""
        yield "Notes"
        yield from (f"  {note}" for note in report.notes)


def _counts(report: ImportReport) -> Iterator[str]:
    rows = [
        ("read", report.read, ""),
        ("added", report.added, ""),
        ("changed", report.changed, ""),
        ("unchanged", report.unchanged, ""),
        ("duplicates", report.duplicates, "left out"),
        ("rejected", report.rejected, f"see {report.rejects}" if report.rejects else ""),
    ]
    width = max(len(f"{count:,}") for _, count, _ in rows)
    for name, count, remark in rows:
        yield f"  {name:<12}{count:>{width},}  {remark}".rstrip()


def _section(title: str, findings: list[Finding]) -> Iterator[str]:
    if not findings:
        return
    yield ""
    yield title
    wide = max(len(each.what) for each in findings)
    high = max(len(f"{each.count:,}") for each in findings)
    for each in findings:
        where = (
            f"  {'; '.join(each.examples)}{' …' if each.count > len(each.examples) else ''}" if each.examples else ""
        )
        yield f"  {each.what:<{wide}}  {each.count:>{high},}  {each.share:>6.1%}{where}"
