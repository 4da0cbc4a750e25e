"""Finding entries of one tenant: by what a person knows of them, newest first, a page at a time."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from gateway.database import Database
from gateway.journal.entry import Entry
from gateway.journal.reading import ENTRIES, entries_of, readable
from gateway.journal.schema import journal

LOOKED_THROUGH = 200_000
"""How many entries one page looks through at most; what is older is found on a later page."""
_IN_BODY = ("tool", "status", "person", "agent", "run")


@dataclass(frozen=True)
class Search:
    """What entries are looked for; what is empty does not matter.

    Args:
        since: From this moment on.
        until: Before this moment.
        tool: Of this tool.
        kind: Of this kind.
        status: With this outcome.
        person: Of this person's calls.
        agent: Of this agent's calls.
        run: Of this declared run.
        rule: Decided by this rule.
        call: Of this call.
    """

    since: datetime | None = None
    until: datetime | None = None
    tool: str = ""
    kind: str = ""
    status: str = ""
    person: str = ""
    agent: str = ""
    run: str = ""
    rule: str = ""
    call: str = ""

    def is_like(self, body: Mapping[str, Any]) -> bool:
        """Whether an entry's body is what is looked for."""
        return all(body.get(name) == value for name, value in self.in_body()) and (
            not self.rule or self.rule in body.get("rules", ())
        )

    def in_body(self) -> Iterator[tuple[str, str]]:
        """What the body has to say, by name."""
        yield from ((name, value) for name in _IN_BODY if (value := getattr(self, name)))


@dataclass(frozen=True)
class Found:
    """One page.

    Args:
        entries: Newest first.
        older: The position before which the next page looks, or None at the journal's beginning.
    """

    entries: tuple[Entry, ...]
    older: int | None


def search_journal(database: Database, tenant: str, search: Search, before: int | None = None, most: int = 50) -> Found:
    """Find a tenant's entries.

    Args:
        database: Where the journal is.
        tenant: Whose.
        search: What is looked for.
        before: Only positions below this one.
        most: How many entries at most.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    with readable(database), database.at_one_moment(tenant) as connection:
        top = min(before or 2**62, newest_position(connection) + 1)
        bottom = 1 if search.call else max(top - LOOKED_THROUGH, 1)
        query = _query(tenant, search).where(journal.c.position < top, journal.c.position >= bottom)
        entries = tuple(_first(connection, query, search.is_like, most))
    lowest = entries[-1].position if len(entries) == most else bottom
    return Found(entries, lowest if lowest > 1 else None)


def newest_position(connection: Connection) -> int:
    """The position of the newest entry; 0 for an empty journal."""
    return connection.execute(select(func.max(journal.c.position))).scalar() or 0


def says(name: str, value: str) -> ColumnElement[bool]:
    """That a body says this somewhere: found as text, for a body has one spelling. Whoever must be sure looks in it.

    The database's own JSON functions fail on half of a surrogate pair, which a caller can put into a tool's name.
    """
    return journal.c.body.contains(json.dumps({name: value}, separators=(",", ":"))[1:-1], autoescape=True)


def _query(tenant: str, search: Search) -> Select[Any]:
    query = ENTRIES.where(journal.c.tenant == tenant)
    if search.since:
        query = query.where(journal.c.at >= search.since.isoformat())
    if search.until:
        query = query.where(journal.c.at < search.until.isoformat())
    if search.kind:
        query = query.where(journal.c.kind == search.kind)
    if search.call:
        query = query.where(journal.c.call_id == search.call)
    if search.rule:
        query = query.where(journal.c.body.contains(json.dumps(search.rule), autoescape=True))
    return query.where(*(says(name, value) for name, value in search.in_body())).order_by(journal.c.position.desc())


def _first(
    connection: Connection, query: Select[Any], is_like: Callable[[Mapping[str, Any]], bool], most: int
) -> Iterator[Entry]:
    found = 0
    for entry in entries_of(connection, query):
        if is_like(entry.body):
            yield entry
            found += 1
        if found == most:
            return
