"""Every row says whose it is, and on PostgreSQL no transaction finds another tenant's."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PROTECTED = (
    "journal",
    "journal_keys",
    "tokens",
    "settled",
    "grants",
    "stops",
    "console_sessions",
    "flow_seen",
    "flow_labels",
    "flow_writing",
    "recipients_seen",
    "client_replies",
    "limit_uses",
    "dpop_proofs",
)
# A key without an entry opens nothing.
_OF_KEYS = """
INSERT INTO journal_keys_by_tenant (position, tenant, key)
SELECT journal.position, tenant, key FROM journal_keys JOIN journal ON journal.position = journal_keys.position
"""
_OF_ANSWERS = """
INSERT INTO settled_by_tenant (tenant, id, answer)
SELECT (SELECT tenant FROM journal WHERE call_id = settled.id ORDER BY position LIMIT 1), id, answer FROM settled
WHERE EXISTS (SELECT 1 FROM journal WHERE call_id = settled.id)
"""


def upgrade() -> None:
    """Add the tenants, from the journal, and protect the tables."""
    _part_keys()
    _part_answers()
    _forget_replies()
    _end_sessions()
    if op.get_context().dialect.name == "postgresql":
        for table in _PROTECTED:
            _protect(table)


def _part_keys() -> None:
    op.create_table(
        "journal_keys_by_tenant",
        sa.Column("position", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.execute(_OF_KEYS)
    _replace("journal_keys")


def _forget_replies() -> None:
    """Whose they are is not known, and they are of use for seconds."""
    op.drop_table("client_replies")
    op.create_table(
        "client_replies",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("left_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_client_replies_left_at", "client_replies", ["left_at"])


def _end_sessions() -> None:
    """Of the console: they last hours, and what they stand on is kept in another form."""
    op.drop_table("console_sessions")
    op.create_table(
        "console_sessions",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=True),
        sa.Column("issuer", sa.Text(), nullable=True),
        sa.Column("meaning", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("roles", sa.Text(), nullable=True),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.CheckConstraint("(token_id IS NULL) <> (issuer IS NULL)"),
        sa.PrimaryKeyConstraint("hash"),
        sa.UniqueConstraint("state"),
    )


def _part_answers() -> None:
    op.create_table(
        "settled_by_tenant",
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.execute(_OF_ANSWERS)
    _replace("settled")


def _replace(table: str) -> None:
    op.drop_table(table)
    op.rename_table(f"{table}_by_tenant", table)
    if op.get_context().dialect.name == "postgresql":
        op.execute(f"ALTER INDEX {table}_by_tenant_pkey RENAME TO {table}_pkey")


def _protect(table: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY own_tenant ON {table}"
        " USING (tenant = (SELECT nullif(current_setting('remit.tenant', true), '')))"
    )
    op.execute(
        f"CREATE POLICY every_tenant ON {table} USING ((SELECT current_setting('remit.every_tenant', true)) = 'on')"
    )
