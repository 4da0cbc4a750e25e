"""Reading tickets from CSV: a row is a ticket with its first comment, or rows with the same id are one thread.

The rows of a thread may stand anywhere in the file. A first pass notes where each id stands last, so that the second
holds no more tickets than are still waiting for a row.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from connectors.importing.source import Accepted, Item, Rejected, Source, attempt, reject
from connectors.importing.tabular import Aliases, Row, Table, open_table
from connectors.importing.tickets import TICKET, Thread, ticket

EXAMPLE = "id,subject,description,requester_email,status,priority,tags,created_at,updated_at"

# A row has one set of columns: `comment_…` ones are the comment's, the rest the ticket's.
COLUMNS: Final[Aliases] = {
    **{name: aliases for name, aliases in TICKET.items() if name != "comments"},
    "author": ("comment author", "author", "author email", "author name", "comment author email"),
    "at": ("comment created at", "commented at", "comment date", "comment created", "comment at"),
    "public": ("is public", "comment public"),
    "internal": ("private", "is private", "is internal", "internal note", "comment internal"),
    "kind": ("visibility", "comment type", "comment kind"),
    "by_staff": ("is staff", "is agent", "from agent", "comment by staff"),
    "role": ("author role", "author type"),
}
_OF_A_COMMENT = ("body", "author", "at", "public", "internal", "kind", "by_staff", "role")


def read_tickets_csv(path: Path) -> Source:
    """Open a CSV file of tickets.

    Raises:
        UnreadableSource: If it is not such a file, or has no column for id, subject and the requester's address.
    """
    table = open_table(path, COLUMNS, ("id", "subject", "requester_email"), EXAMPLE)
    last, broken = _last_rows(table)
    return Source(_tickets(table, last), total=len(last) + broken, notes=table.notes)


def _last_rows(table: Table) -> tuple[dict[bytes, int], int]:
    last: dict[bytes, int] = {}
    broken = 0
    for row in table.rows():
        if isinstance(row, Rejected) or "id" not in row.cells:
            broken += 1
        else:
            last[_digest(row.cells["id"])] = row.place.line or 0
    return last, broken


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _tickets(table: Table, last: dict[bytes, int]) -> Iterator[Item]:
    waiting: dict[str, list[Row]] = {}
    for row in table.rows():
        if isinstance(row, Rejected):
            yield row
        elif "id" not in row.cells:
            yield reject(row.place, "id: missing", row.raw)
        else:
            name = row.cells["id"]
            waiting.setdefault(name, []).append(row)
            if row.place.line == last[_digest(name)]:
                rows = waiting.pop(name)
                yield attempt(rows[0].place, rows[0].raw, partial(_ticket, rows))


def _ticket(rows: list[Row]) -> Accepted:
    first = rows[0]
    own = {name: value for name, value in first.cells.items() if name not in _OF_A_COMMENT}
    comments = []
    for row in rows:
        comment = {name: row.cells[name] for name in _OF_A_COMMENT if name in row.cells}
        if "created_at" in row.cells:
            comment.setdefault("at", row.cells["created_at"])
        if "body" in comment and comment not in comments:
            comments.append(comment)
    return ticket(Thread(own, comments, first.place))
