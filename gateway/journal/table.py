"""Entries as a table for a spreadsheet (CSV, RFC 4180). For reading, not for proof."""

import csv
import io
import json
from collections.abc import Iterable, Iterator

from gateway.journal.chain import Key, Stored
from gateway.journal.entry import from_row
from gateway.visible_text import visible

_NAMED = ("person", "agent", "client", "tool", "verdict", "reason", "status", "error", "policy_version", "approval")
_NAMED_TOO = ("approver", "run", "model", "prompt")
_HEAD = ("position", "at", "tenant", "call_id", "principal", "kind", "once")
COLUMNS = (*_HEAD, *_NAMED, "rules", *_NAMED_TOO, "erased", "body", "hash")


def to_csv(entries: Iterable[tuple[Stored, Key | None]]) -> Iterator[str]:
    """Write a heading and one record for each entry, opened as far as it is not erased, without the newline."""
    yield ",".join(COLUMNS)
    for stored, key in entries:
        position, _previous, row, digest = stored
        entry = from_row(position, row, key and key.key)
        body = entry.body
        head = (position, row.at, row.tenant, row.call_id, row.principal, row.kind, row.once)
        named = [body.get(name) for name in _NAMED]
        cells = (*head, *named, " ".join(body.get("rules", [])), *(body.get(name) for name in _NAMED_TOO))
        end = ("erased" if entry.erased else "", json.dumps(body, separators=(",", ":"), sort_keys=True), digest.hex())
        yield _record([_cell(cell) for cell in (*cells, *end)])


def _cell(value: object) -> str:
    shown = visible("" if value is None else str(value))
    # A spreadsheet takes a cell that begins like this for a formula, whoever wrote it.
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def _record(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
