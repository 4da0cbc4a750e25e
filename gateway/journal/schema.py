"""The journal's tables, in SQLite or PostgreSQL; but for keys both refuse to change or remove what was written."""

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    text,
)

metadata = MetaData()

# Text is compared byte by byte on every database: times are compared as text.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite's own row number is an INTEGER, of up to 64 bits.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
_is_once = text("once IS NOT NULL")
IS_CHANGE = "kind IN ('answered', 'asked_back', 'rebound', 'withdrawn')"
"""What a question's caller wants to hear of, and what an index holds: both databases compare its words."""

journal = Table(
    "journal",
    metadata,
    Column("position", _NUMBER, primary_key=True, autoincrement=False),
    Column("previous", LargeBinary, nullable=False),
    *(Column(name, _TEXT, nullable=False) for name in ("call_id", "tenant", "principal", "at", "kind")),
    Column("once", _TEXT),
    Column("body", _TEXT, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("journal_call", "call_id"),
    Index("journal_run", "tenant", "principal", "kind", "at"),
    Index(
        "journal_changes",
        "tenant",
        "principal",
        "position",
        sqlite_where=text(IS_CHANGE),
        postgresql_where=text(IS_CHANGE),
    ),
    Index("journal_once", "tenant", "once", unique=True, sqlite_where=_is_once, postgresql_where=_is_once),
)

keys = Table(
    "journal_keys",
    metadata,
    # Beside the chain: what it opens is part of an entry's hash, the key is not.
    Column("position", _NUMBER, primary_key=True, autoincrement=False),
    Column("tenant", _TEXT, nullable=False),
    Column("key", LargeBinary, nullable=False),
)

checkpoints = Table(
    "journal_checkpoints",
    metadata,
    Column("size", _NUMBER, primary_key=True, autoincrement=False),
    Column("note", _TEXT, nullable=False),
)

# Beside the chain too: what entries used up of limits, for as long as it counts.
limit_uses = Table(
    "limit_uses",
    metadata,
    Column("tenant", _TEXT, primary_key=True),
    Column("used_by", _TEXT, primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Index("limit_uses_until", "until"),
)

tree = Table(
    "journal_tree",
    metadata,
    Column("one", Integer, CheckConstraint("one = 1"), primary_key=True, autoincrement=False),
    Column("size", _NUMBER, nullable=False),
    Column("subtrees", LargeBinary, nullable=False),
)

_ON_SQLITE = """
CREATE TRIGGER IF NOT EXISTS {table}_no_{action} BEFORE {action} ON {table}
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
"""
_FUNCTION_ON_POSTGRESQL = """
CREATE OR REPLACE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE integrity_constraint_violation USING MESSAGE = 'the journal is append-only'; END $$
"""
# Created anew a trigger would make every writer wait.
_ON_POSTGRESQL = """
DO $$ BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgrelid = '{table}'::regclass AND tgname = '{table}_append_only'
    ) THEN
        CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only();
    END IF;
END $$
"""


def _on_creating(dialect: str, statement: str) -> None:
    event.listen(metadata, "after_create", DDL(statement).execute_if(dialect=dialect))  # type: ignore[no-untyped-call]


_on_creating("postgresql", _FUNCTION_ON_POSTGRESQL)
for _kept in (journal.name, checkpoints.name):
    _on_creating("sqlite", _ON_SQLITE.format(table=_kept, action="update"))
    _on_creating("sqlite", _ON_SQLITE.format(table=_kept, action="delete"))
    _on_creating("postgresql", _ON_POSTGRESQL.format(table=_kept))
