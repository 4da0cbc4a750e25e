"""Writing the journal into PostgreSQL, by psycopg alone: a batch is one transaction of two or three round trips."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql.psycopg import dialect

from connectors.embedded.engine import server_limits
from connectors.embedded.patience import PatientConnection
from connectors.embedded.tenancy import EVERY_TENANT_OPTION
from gateway.journal.chain import GENESIS, Stored
from gateway.journal.entry import SealedRow
from gateway.journal.store import Refusal, placed, refusals
from gateway.journal.uses import Counts, Place, places

# Any number will do as long as all writers agree on it; the table's own tells journals of several schemas apart.
_LOCK = 0x72656D69_00000000
# Each statement of one message sees what is committed when it begins. So the head is read as it is once the lock is
# held, and until it is released by the end of the transaction no other process reads it: the chain cannot fork.
_BEGIN = f"""
BEGIN;
SELECT pg_advisory_xact_lock({_LOCK} + 'journal'::regclass::oid::bigint);
SELECT position, hash FROM journal ORDER BY position DESC LIMIT 1
"""  # noqa: S608 - a number
_PROVE = f"""
BEGIN;
SELECT pg_advisory_xact_lock({_LOCK} + 'journal'::regclass::oid::bigint);
SELECT pg_logical_emit_message(true, 'remit', 'is this written?');
COMMIT
"""
_RECORDED = "SELECT tenant, once, call_id FROM journal WHERE tenant = ANY(%s) AND once = ANY(%s) AND once IS NOT NULL"
_INSERT = """
INSERT INTO journal (position, previous, call_id, tenant, principal, at, kind, once, body, hash)
SELECT * FROM unnest(
    %b::bigint[], %b::bytea[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
    %b::bytea[]
)
"""
_INSERT_KEYS = """
INSERT INTO journal_keys (position, tenant, key) SELECT * FROM unnest(%b::bigint[], %b::text[], %b::bytea[])
"""
_USED = """
SELECT tenant, used_by, at, amount FROM limit_uses
JOIN unnest(%s::text[], %s::text[], %s::bigint[]) AS wanted (tenant, used_by, since) USING (tenant, used_by)
WHERE at > since
"""
_ADD = """
INSERT INTO limit_uses AS kept (tenant, used_by, at, amount, until)
SELECT * FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[])
ON CONFLICT (tenant, used_by, at)
DO UPDATE SET amount = kept.amount + excluded.amount, until = greatest(kept.until, excluded.until)
"""
_RETURN = """
UPDATE limit_uses SET amount = amount + %(amount)s
WHERE tenant = %(tenant)s AND used_by = %(used_by)s AND at = %(at)s AND amount + %(amount)s >= 0
"""
# An operator who wants more than a flush to the disk is not given less.
_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
"""


class PostgresStore:
    """The end of the chain in one PostgreSQL database; a `Store`.

    Args:
        url: Where it is.
        patience: Seconds to wait for another writer, and for each answer.
    """

    def __init__(self, url: URL, patience: float) -> None:
        [_none, self._where] = dialect().create_connect_args(url)  # type: ignore[no-untyped-call]
        self._where |= server_limits(url, patience, patience) | {"application_name": "remit journal"}
        # It writes one chain for all, and each row says whose it is.
        self._where["options"] += f" {EVERY_TENANT_OPTION}"
        self._patience = patience
        self._connection: PatientConnection | None = None

    def append(self, rows: Sequence[SealedRow]) -> list[Refusal | None]:
        """Write what may be written; says for each row why not."""
        is_kept = self._connection is not None
        try:
            return _append(self._connected(), rows)
        except _LostBefore:
            self.close()
            if not is_kept:
                raise
            # The server was started anew since it was used last; nothing was written, so a new one may begin.
            return self.append(rows)
        except BaseException:
            # A connection that failed half way is not trusted again: closing it rolls back what it held.
            self.close()
            raise

    def prove_writable(self) -> None:
        """Write a message to the server's log of changes that nobody reads."""
        try:
            connection = self._connected()
            with connection.cursor() as cursor:
                cursor.execute(_PROVE)
                while cursor.nextset():
                    pass
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def _connected(self) -> PatientConnection:
        if self._connection is None:
            self._connection = PatientConnection.connect(**self._where, autocommit=True)
            # Longer than the server's own limits, which tell more.
            self._connection.patience = 2 * self._patience
            self._connection.execute(_DURABLE)
        return self._connection


class _LostBefore(psycopg.OperationalError):
    """The connection was gone before anything was written."""


def _append(connection: PatientConnection, rows: Sequence[SealedRow]) -> list[Refusal | None]:
    with connection.cursor() as cursor:
        try:
            cursor.execute(_BEGIN)
        except psycopg.OperationalError as error:
            if connection.broken:
                raise _LostBefore(str(error)) from error
            raise
        while cursor.nextset():
            pass
        head = cursor.fetchone() or (0, GENESIS)
        recorded, counts = _recorded(cursor, rows), _counts(cursor, rows)
        refused = refusals(rows, recorded, counts)
        entries, keys, beside = placed(rows, refused, *head)
        with connection.pipeline():
            if entries:
                cursor.execute(_INSERT, _columns(entries))
            if keys:
                cursor.execute(_INSERT_KEYS, [list(column) for column in zip(*keys, strict=True)])
            for (table, columns), found in beside.items():
                cursor.executemany(_insert_beside(table, columns), found)
            if counts.added:
                cursor.execute(_ADD, [list(column) for column in zip(*counts.added, strict=True)])
            for kept in counts.returned:
                cursor.execute(_RETURN, kept._asdict())
            # A commit that was called off while it waits for a standby would look like one that has arrived there.
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("COMMIT")
    return refused


@cache
def _insert_beside(table: str, columns: tuple[str, ...]) -> sql.Composed:
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(sql.Placeholder() * len(columns)),
    )


def _recorded(cursor: "psycopg.Cursor[Any]", rows: Sequence[SealedRow]) -> dict[tuple[str, str], str]:
    wanted = [(row.tenant, row.once) for row, *_ in rows if row.once is not None]
    if not wanted:
        return {}
    tenants, onces = ([*values] for values in zip(*wanted, strict=True))
    cursor.execute(_RECORDED, (list(dict.fromkeys(tenants)), onces))
    return {(tenant, once): call_id for tenant, once, call_id in cursor}


def _counts(cursor: "psycopg.Cursor[Any]", rows: Sequence[SealedRow]) -> Counts:
    wanted = places((row.tenant, uses) for row, _key, _beside, uses in rows if uses)
    if not wanted:
        return Counts({})
    tenants, hashes = ([*values] for values in zip(*wanted, strict=True))
    cursor.execute(_USED, [tenants, hashes, [*wanted.values()]])
    found: dict[Place, dict[int, int]] = defaultdict(dict)
    for tenant, used_by, at, amount in cursor:
        found[tenant, used_by][at] = amount
    return Counts(found)


def _columns(entries: Sequence[Stored]) -> list[list[Any]]:
    rows = ((place, before, *row, digest) for place, before, row, digest in entries)
    return [list(column) for column in zip(*rows, strict=True)]
