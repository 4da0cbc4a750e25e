"""Loading records in bulk and repeatably: what was loaded before, under which id, and whether it changed since.

A record counts as the same if what would be stored for it (with its references resolved) is what its source gave the
last time. So a repeated load writes nothing, and also leaves alone what people changed in the meantime.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, Connection, MetaData, RowMapping, Select, String, Table, bindparam, select

from connectors.embedded.database import stable_id
from connectors.embedded.loading import LoadReport
from connectors.errors import InvalidInput
from connectors.records import Record

R = TypeVar("R", bound=Record)
Row = dict[str, Any]
Assign = Callable[[Sequence[R], Mapping[str, str]], Mapping[str, str]]

_CHUNK = 5_000

metadata = MetaData()
_loaded = Table(
    "loaded_records",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("kind", String(64), primary_key=True),
    Column("source_id", String(500), primary_key=True),
    Column("record_id", String(48), nullable=False),
    Column("digest", String(64), nullable=False),
)


@dataclass(frozen=True)
class Parts(Generic[R]):
    """Rows that belong to a record, such as a ticket's comments. Loaded ones are marked by the column `from_source`.

    Args:
        table: Their table.
        owner: Its column with the id of the record that they belong to.
        prefix: Their ids' prefix.
        rows: Makes the columns to store of a record's parts.
    """

    table: Table
    owner: str
    prefix: str
    rows: Callable[[R], list[Row]]


@dataclass(frozen=True)
class Target(Generic[R]):
    """Where one kind of record is kept.

    Args:
        table: Has the columns `tenant` and `id`, and `version` if it counts changes.
        prefix: The ids' prefix.
        row: Makes the columns to store of a record, its references resolved, without `tenant` and `id`.
        parts: The rows that belong to it, if any.
    """

    table: Table
    prefix: str
    row: Callable[[R], Row]
    parts: Parts[R] | None = None


def load_records(
    connection: Connection, tenant: str, target: Target[R], records: Sequence[R], assign: Assign[R] | None = None
) -> LoadReport:
    """Store the records that are new or changed; of several with one source id the last one counts.

    Args:
        connection: In a transaction.
        tenant: Whose records.
        target: Where to.
        records: What to load.
        assign: Chooses the ids of the given records by source id, knowing those given before; by default an id
            follows from tenant and source id.
    """
    kind, latest = target.table.name, {record.source_id: record for record in records}
    rows = {source: target.row(record) for source, record in latest.items()}
    parts = {source: target.parts.rows(record) if target.parts else [] for source, record in latest.items()}
    digests = {source: _digest(row, parts[source]) for source, row in rows.items()}
    before = _before(connection, tenant, kind, latest)
    known = {source: record_id for source, (record_id, _) in before.items()}
    fresh = [record for source, record in latest.items() if before.get(source, ("", ""))[1] != digests[source]]
    ids = assign(fresh, known) if assign else by_source(tenant, target.prefix, fresh)
    added = _put(connection, target.table, tenant, {id_: rows[source] for source, id_ in ids.items()})
    if target.parts:
        _put_parts(connection, tenant, target.parts, {source: (id_, parts[source]) for source, id_ in ids.items()})
    _remember(connection, tenant, kind, {source: (id_, digests[source]) for source, id_ in ids.items()}, known)
    return LoadReport(added=added, changed=len(fresh) - added, unchanged=len(records) - len(fresh))


def by_source(tenant: str, prefix: str, records: Iterable[Record]) -> dict[str, str]:
    """The ids that follow from tenant and source id, by source id."""
    return {record.source_id: stable_id(prefix, tenant, record.source_id) for record in records}


def loaded_ids(connection: Connection, tenant: str, kind: str, sources: Iterable[str]) -> dict[str, str]:
    """The ids of what was loaded from these sources, by source id; unknown ones are left out."""
    return {source: record_id for source, (record_id, _) in _before(connection, tenant, kind, sources).items()}


def resolve(ids: Mapping[str, str], record: Record, name: str, kind: str) -> str | None:
    """The id of what the record's field refers to, None if the field is empty.

    Raises:
        InvalidInput: If it refers to something that was not loaded.
    """
    source: str = getattr(record, name)
    if source and source not in ids:
        raise InvalidInput(
            f"{kind} `{record.source_id}` refers to the unknown {name} `{source}`; load that {name} first", field=name
        )
    return ids.get(source)


def select_among(
    connection: Connection, query: Select[Any], column: Column[Any], values: Iterable[object]
) -> Iterator[RowMapping]:
    """The query's rows whose column is one of the values, asked in chunks that any database takes."""
    wanted = list(dict.fromkeys(values))
    for start in range(0, len(wanted), _CHUNK):
        yield from connection.execute(query.where(column.in_(wanted[start : start + _CHUNK]))).mappings()


def _digest(row: Row, parts: list[Row]) -> str:
    return hashlib.sha256(json.dumps([row, parts], sort_keys=True, default=str).encode()).hexdigest()


def _before(connection: Connection, tenant: str, kind: str, sources: Iterable[str]) -> dict[str, tuple[str, str]]:
    query = select(_loaded).where(_loaded.c.tenant == tenant, _loaded.c.kind == kind)
    found = select_among(connection, query, _loaded.c.source_id, sources)
    return {row["source_id"]: (row["record_id"], row["digest"]) for row in found}


def _remember(
    connection: Connection, tenant: str, kind: str, loaded: Mapping[str, tuple[str, str]], known: Mapping[str, str]
) -> None:
    rows = [
        {"tenant": tenant, "kind": kind, "source_id": source, "record_id": record_id, "digest": digest}
        for source, (record_id, digest) in loaded.items()
    ]
    _update(connection, _loaded, [row for row in rows if row["source_id"] in known])
    _insert(connection, _loaded, [row for row in rows if row["source_id"] not in known])


def _put(connection: Connection, table: Table, tenant: str, rows: Mapping[str, Row]) -> int:
    """Update the rows that are there, insert the others, and say how many those are."""
    query = select(table.c.id).where(table.c.tenant == tenant)
    there = {row["id"] for row in select_among(connection, query, table.c.id, rows)}
    _update(connection, table, [{"tenant": tenant, "id": id_, **row} for id_, row in rows.items() if id_ in there])
    _insert(connection, table, [{"tenant": tenant, "id": id_, **row} for id_, row in rows.items() if id_ not in there])
    return len(rows) - len(there)


def _put_parts(
    connection: Connection, tenant: str, parts: Parts[R], owners: Mapping[str, tuple[str, list[Row]]]
) -> None:
    """Replace the loaded parts of the owners, by source id; what people added stays."""
    if not owners:
        return
    table = parts.table
    loaded = (table.c.tenant == tenant, table.c[parts.owner] == bindparam("owner"), table.c.from_source)
    connection.execute(table.delete().where(*loaded), [{"owner": id_} for id_, _ in owners.values()])
    given = {"tenant": tenant, "from_source": True}
    rows = [
        {**given, "id": stable_id(parts.prefix, tenant, source, str(number)), parts.owner: id_, **row}
        for source, (id_, rows) in owners.items()
        for number, row in enumerate(rows)
    ]
    _insert(connection, table, rows)


def _insert(connection: Connection, table: Table, rows: list[Row]) -> None:
    if rows:
        connection.execute(table.insert(), rows)


def _update(connection: Connection, table: Table, rows: list[Row]) -> None:
    """Give the rows with these primary keys their new values, all in one statement."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    change = table.update().where(*(table.c[key] == bindparam(f"this_{key}") for key in keys))
    if "version" in table.c:
        change = change.values(version=table.c.version + 1)
    connection.execute(change, [{f"this_{key}" if key in keys else key: row[key] for key in row} for row in rows])
