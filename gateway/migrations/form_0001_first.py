"""The tables as they were before their forms had numbers; every earlier database has all or some of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ON_SQLITE = """
CREATE TRIGGER IF NOT EXISTS {table}_no_{action} BEFORE {action} ON {table}
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
"""
_FUNCTION_ON_POSTGRESQL = """
CREATE OR REPLACE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE integrity_constraint_violation USING MESSAGE = 'the journal is append-only'; END $$
"""
_ON_POSTGRESQL = """
CREATE OR REPLACE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only()
"""


def upgrade() -> None:
    """Make what is missing."""
    op.create_table(
        "client_replies",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("left_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
    op.create_index("ix_client_replies_left_at", "client_replies", ["left_at"], if_not_exists=True)
    op.create_table(
        "console_sessions",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("hash"),
        if_not_exists=True,
    )
    op.create_table(
        "dpop_proofs",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("used_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
        if_not_exists=True,
    )
    op.create_table(
        "flow_labels",
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("record", _TEXT, nullable=False),
        sa.Column("position", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("label", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "record", "position"),
        if_not_exists=True,
    )
    op.create_table(
        "flow_seen",
        sa.Column("position", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("principal", _TEXT, nullable=False),
        sa.Column("run", _TEXT, nullable=False),
        sa.Column("at", _TEXT, nullable=False),
        sa.Column("label", _TEXT, nullable=False),
        sa.Column("links", _TEXT, nullable=False),
        sa.Column("values_seen", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        if_not_exists=True,
    )
    op.create_index("flow_seen_at", "flow_seen", ["at"], if_not_exists=True)
    op.create_index("flow_seen_of", "flow_seen", ["tenant", "principal", "position"], if_not_exists=True)
    op.create_table(
        "flow_writing",
        sa.Column("position", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("area", _TEXT, nullable=False),
        sa.Column("call_id", _TEXT, nullable=False),
        sa.Column("records", _TEXT, nullable=False),
        sa.Column("label", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("position"),
        if_not_exists=True,
    )
    op.create_index("flow_writing_in", "flow_writing", ["tenant", "area", "position"], if_not_exists=True)
    op.create_table(
        "grants",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
    op.create_table(
        "journal",
        sa.Column("position", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("call_id", _TEXT, nullable=False),
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("principal", _TEXT, nullable=False),
        sa.Column("at", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("once", _TEXT, nullable=True),
        sa.Column("body", _TEXT, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        if_not_exists=True,
    )
    op.create_index("journal_call", "journal", ["call_id"], if_not_exists=True)
    op.create_index(
        "journal_once",
        "journal",
        ["tenant", "once"],
        unique=True,
        sqlite_where=sa.text("once IS NOT NULL"),
        postgresql_where=sa.text("once IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_index("journal_run", "journal", ["tenant", "principal", "kind", "at"], if_not_exists=True)
    op.create_table(
        "journal_checkpoints",
        sa.Column("size", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("note", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("size"),
        if_not_exists=True,
    )
    op.create_table(
        "journal_keys",
        sa.Column("position", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        if_not_exists=True,
    )
    op.create_table(
        "journal_tree",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", _NUMBER, nullable=False),
        sa.Column("subtrees", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("one = 1"),
        sa.PrimaryKeyConstraint("one"),
        if_not_exists=True,
    )
    op.create_table(
        "limit_uses",
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("used_by", _TEXT, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "used_by", "at"),
        if_not_exists=True,
    )
    op.create_index("limit_uses_until", "limit_uses", ["until"], if_not_exists=True)
    op.create_table(
        "recipients_seen",
        sa.Column("position", _NUMBER, nullable=False),
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("principal", _TEXT, nullable=False),
        sa.Column("recipient", _TEXT, nullable=False),
        sa.Column("at", _TEXT, nullable=False),
        if_not_exists=True,
    )
    op.create_index("recipients_seen_at", "recipients_seen", ["at"], if_not_exists=True)
    op.create_index("recipients_seen_by", "recipients_seen", ["tenant", "principal", "recipient"], if_not_exists=True)
    op.create_table(
        "recovery",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", _NUMBER, nullable=False),
        sa.CheckConstraint("one = 1"),
        sa.PrimaryKeyConstraint("one"),
        if_not_exists=True,
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        if_not_exists=True,
    )
    op.create_table(
        "settled",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
    op.create_table(
        "stops",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("by_whom", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("until", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.Text(), nullable=True),
        sa.Column("audience", sa.Text(), server_default="mcp", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
        if_not_exists=True,
    )
    if "audience" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("tokens")}:
        op.execute("ALTER TABLE tokens ADD COLUMN audience TEXT NOT NULL DEFAULT 'mcp'")
    for table in ("journal", "journal_checkpoints"):
        _make_append_only(table)


def _make_append_only(table: str) -> None:
    if op.get_context().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(_ON_SQLITE.format(table=table, action=action))
    else:
        op.execute(_FUNCTION_ON_POSTGRESQL)
        op.execute(_ON_POSTGRESQL.format(table=table))
