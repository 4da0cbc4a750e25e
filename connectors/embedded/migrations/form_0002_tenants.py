"""On PostgreSQL no transaction finds another tenant's rows."""

from alembic import op

revision = "0002"
down_revision = "0001"

_PROTECTED = (
    "effects",
    "loaded_records",
    "crm_accounts",
    "crm_contacts",
    "crm_deals",
    "crm_orders",
    "crm_refunds",
    "crm_activities",
    "tickets",
    "ticket_comments",
    "email_mailboxes",
    "email_messages",
    "email_raw_messages",
    "email_attachments",
    "email_drafts",
    "email_outbox",
    "knowledge_documents",
    "knowledge_readers",
    "knowledge_passages",
    "knowledge_index",
)


def upgrade() -> None:
    """Protect the tables."""
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute("ALTER TABLE knowledge_index ADD COLUMN tenant varchar(100)")
    op.execute("UPDATE knowledge_index SET tenant = (SELECT tenant FROM knowledge_passages WHERE id = rowid)")
    op.execute("DELETE FROM knowledge_index WHERE tenant IS NULL")
    op.execute("ALTER TABLE knowledge_index ALTER COLUMN tenant SET NOT NULL")
    for table in _PROTECTED:
        _protect(table)


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
