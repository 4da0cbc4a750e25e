"""Reading entries back."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, select
from sqlalchemy.exc import SQLAlchemyError

from connectors.embedded.engine import reason
from connectors.embedded.tenancy import EveryTenant, Tenant
from gateway.database import Database
from gateway.journal.entry import Entry, JournalUnavailable, Kind, Row, from_row
from gateway.journal.schema import journal, keys

_CALLS_AT_ONCE = 500
ENTRIES = select(journal.c.position, *(journal.c[name] for name in Row._fields), keys.c.key).join(
    keys, keys.c.position == journal.c.position, isouter=True
)
"""What `entries_of` makes entries of."""


def read_journal(
    database: Database, tenant: Tenant, *, call_id: str | None = None, last: int | None = None
) -> Iterator[Entry]:
    """Yield entries, oldest first.

    Args:
        database: Where the journal is.
        tenant: Whose.
        call_id: Only the entries of this call.
        last: Otherwise only this many, the newest.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    theirs = entries_for(tenant)
    if call_id:
        yield from _entries(database, tenant, theirs.where(journal.c.call_id == call_id).order_by(journal.c.position))
    elif last is not None:
        newest = theirs.order_by(journal.c.position.desc()).limit(last).subquery()
        yield from _entries(database, tenant, select(newest).order_by(newest.c.position))
    else:
        with readable(database), database.at_one_moment(tenant) as connection:
            yield from entries_of(connection, theirs.order_by(journal.c.position))


def entries_for(tenant: Tenant) -> Select[Any]:
    """`ENTRIES` of one tenant, or of all."""
    return ENTRIES if isinstance(tenant, EveryTenant) else ENTRIES.where(journal.c.tenant == tenant)


def read_calls(database: Database, tenant: Tenant, call_ids: Sequence[str]) -> Iterator[list[Entry]]:
    """Yield the entries of each of these calls, oldest first, in the order of the names; those without are left out.

    Args:
        database: Where the journal is.
        tenant: Whose.
        call_ids: The calls.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    for start in range(0, len(call_ids), _CALLS_AT_ONCE):
        some = call_ids[start : start + _CALLS_AT_ONCE]
        found: dict[str, list[Entry]] = defaultdict(list)
        wanted = entries_for(tenant).where(journal.c.call_id.in_(some)).order_by(journal.c.position)
        for entry in _entries(database, tenant, wanted):
            found[entry.call_id].append(entry)
        yield from (found[name] for name in some if name in found)


def read_whole_call(database: Database, tenant: Tenant, call_id: str) -> list[Entry]:
    """The entries of a call with those of the calls that it goes by, oldest first; none if there is no such call.

    Args:
        database: Where the journal is.
        tenant: Whose.
        call_id: A call's id, or an approval's: a call that waits for a person is carried out under its name, one with a
            key under the key's.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    entries = list(read_journal(database, tenant, call_id=call_id)) if call_id else []
    names = {str(entry.body[name]) for entry in entries for name in ("approval", "repeats") if entry.body.get(name)}
    entries += [entry for name in names - {call_id} for entry in read_journal(database, tenant, call_id=name)]
    return sorted(entries, key=lambda entry: entry.position)


def calls_with(
    database: Database,
    kind: Kind,
    since: datetime,
    *,
    tenant: Tenant,
    principal: str | None = None,
    last: int,
) -> list[str]:
    """The ids of the calls that have an entry of a kind, newest first.

    Args:
        database: Where the journal is.
        kind: The kind.
        since: Earlier entries are left out.
        tenant: Whose.
        principal: Only this principal's, by name.
        last: At most so many.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    query = select(journal.c.call_id).where(journal.c.kind == kind, journal.c.at >= since.isoformat())
    if not isinstance(tenant, EveryTenant):
        query = query.where(journal.c.tenant == tenant)
    if principal is not None:
        query = query.where(journal.c.principal == principal)
    with readable(database), database.looking(tenant) as connection:
        return list(connection.execute(query.order_by(journal.c.position.desc()).limit(last)).scalars())


def done_since(database: Database, tenant: str, principal: str, since: datetime) -> list[Entry]:
    """The intents and ends of a principal's calls, oldest first.

    Args:
        database: Where the journal is.
        tenant: In which tenant.
        principal: Who called, by name.
        since: Earlier entries are left out.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    query = ENTRIES.where(
        journal.c.tenant == tenant,
        journal.c.principal == principal,
        journal.c.kind.in_([Kind.INTENT, Kind.OUTCOME, Kind.SETTLED]),
        journal.c.at >= since.isoformat(),
    )
    return list(_entries(database, tenant, query.order_by(journal.c.position)))


@contextmanager
def readable(database: Database) -> Iterator[None]:
    """Say of whatever fails in the database that the journal cannot be read.

    Raises:
        JournalUnavailable: If so.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise JournalUnavailable(f"no journal can be read at `{database.label}`: {reason(error)}") from error


def _entries(database: Database, tenant: Tenant, query: Select[Any]) -> Iterator[Entry]:
    with readable(database), database.looking(tenant) as connection:
        yield from entries_of(connection, query)


def entries_of(connection: Connection, query: Select[Any]) -> Iterator[Entry]:
    """Yield the entries that a query over `ENTRIES` finds, with their personal parts as far as they are not erased."""
    with connection.execute(query) as rows:
        for position, *row, key in rows:
            yield from_row(position, Row(*row), key)
