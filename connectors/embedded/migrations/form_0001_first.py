"""The tables as they were before their forms had numbers; every earlier database has all or some of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make what is missing."""
    op.create_table(
        "crm_accounts",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("industry", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("name_search", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_index("crm_accounts_name", "crm_accounts", ["tenant", "name_search"], if_not_exists=True)
    op.create_index("crm_accounts_newest", "crm_accounts", ["tenant", "updated_at", "id"], if_not_exists=True)
    op.create_table(
        "effects",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("tool", sa.String(length=64), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key"),
        if_not_exists=True,
    )
    op.create_table(
        "email_attachments",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=254), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_index("email_attachments_message", "email_attachments", ["tenant", "message"], if_not_exists=True)
    op.create_table(
        "email_drafts",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=254), nullable=False),
        sa.Column("mailbox", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("to", sa.JSON(), nullable=False),
        sa.Column("cc", sa.JSON(), nullable=False),
        sa.Column("in_reply_to", sa.String(length=48), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sent_as", sa.String(length=48), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_table(
        "email_mailboxes",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=254), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_table(
        "email_messages",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=254), nullable=False),
        sa.Column("mailbox", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("sender_name", sa.Text(), nullable=False),
        sa.Column("sender_email", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("snippet", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("to", sa.JSON(), nullable=False),
        sa.Column("cc", sa.JSON(), nullable=False),
        sa.Column("unread", sa.Boolean(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("attachment_count", sa.Integer(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=False),
        sa.Column("subject_key", sa.Text(), nullable=False),
        sa.Column("by_subject", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_index(
        "email_messages_message_id", "email_messages", ["tenant", "mailbox", "message_id"], if_not_exists=True
    )
    op.create_index("email_messages_newest", "email_messages", ["tenant", "mailbox", "at", "id"], if_not_exists=True)
    op.create_index("email_messages_parent", "email_messages", ["tenant", "mailbox", "parent"], if_not_exists=True)
    op.create_index(
        "email_messages_subject", "email_messages", ["tenant", "mailbox", "subject_key"], if_not_exists=True
    )
    op.create_index("email_messages_thread", "email_messages", ["tenant", "mailbox", "thread_id"], if_not_exists=True)
    op.create_table(
        "email_outbox",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=254), nullable=False),
        sa.Column("mailbox", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("recipients", sa.JSON(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_table(
        "email_raw_messages",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=254), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_table(
        "knowledge_documents",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("readers", sa.JSON(), nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_table(
        "knowledge_passages",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("document_id", sa.String(length=48), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
    op.create_index("knowledge_passages_document", "knowledge_passages", ["tenant", "document_id"], if_not_exists=True)
    op.create_table(
        "knowledge_readers",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("group", sa.String(length=200), nullable=False),
        sa.Column("document_id", sa.String(length=48), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "group", "document_id"),
        if_not_exists=True,
    )
    op.create_table(
        "loaded_records",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("source_id", sa.String(length=500), nullable=False),
        sa.Column("record_id", sa.String(length=48), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", "source_id"),
        if_not_exists=True,
    )
    op.create_table(
        "tickets",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("priority", sa.String(length=20), nullable=False),
        sa.Column("requester_name", sa.Text(), nullable=False),
        sa.Column("requester_email", sa.Text(), nullable=False),
        sa.Column("assignee", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("assignee_search", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_index("tickets_latest", "tickets", ["tenant", "updated_at", "id"], if_not_exists=True)
    op.create_index("tickets_requester", "tickets", ["tenant", "requester_email"], if_not_exists=True)
    op.create_table(
        "crm_contacts",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("account_id", sa.String(length=48), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "account_id"],
            ["crm_accounts.tenant", "crm_accounts.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint("tenant", "email", name="crm_contacts_email"),
        if_not_exists=True,
    )
    op.create_index("crm_contacts_account", "crm_contacts", ["tenant", "account_id"], if_not_exists=True)
    op.create_index("crm_contacts_newest", "crm_contacts", ["tenant", "updated_at", "id"], if_not_exists=True)
    op.create_table(
        "crm_deals",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("account_id", sa.String(length=48), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("next_step", sa.Text(), nullable=False),
        sa.Column("owner_search", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("close_date", sa.Date(), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "account_id"],
            ["crm_accounts.tenant", "crm_accounts.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_index("crm_deals_account", "crm_deals", ["tenant", "account_id"], if_not_exists=True)
    op.create_index("crm_deals_newest", "crm_deals", ["tenant", "updated_at", "id"], if_not_exists=True)
    op.create_table(
        "ticket_comments",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("ticket_id", sa.String(length=48), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("by_staff", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("from_source", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "ticket_id"],
            ["tickets.tenant", "tickets.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_index("ticket_comments_thread", "ticket_comments", ["tenant", "ticket_id", "place"], if_not_exists=True)
    op.create_table(
        "crm_activities",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.String(length=48), nullable=True),
        sa.Column("account_id", sa.String(length=48), nullable=True),
        sa.Column("at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "account_id"],
            ["crm_accounts.tenant", "crm_accounts.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "contact_id"],
            ["crm_contacts.tenant", "crm_contacts.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_table(
        "crm_orders",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("number_search", sa.Text(), nullable=False),
        sa.Column("account_id", sa.String(length=48), nullable=False),
        sa.Column("contact_id", sa.String(length=48), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("placed_at", _MOMENT, nullable=False),
        sa.Column("delivered_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "account_id"],
            ["crm_accounts.tenant", "crm_accounts.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "contact_id"],
            ["crm_contacts.tenant", "crm_contacts.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_index("crm_orders_account", "crm_orders", ["tenant", "account_id"], if_not_exists=True)
    op.create_index("crm_orders_contact", "crm_orders", ["tenant", "contact_id"], if_not_exists=True)
    op.create_index("crm_orders_newest", "crm_orders", ["tenant", "placed_at", "id"], if_not_exists=True)
    op.create_index("crm_orders_number", "crm_orders", ["tenant", "number_search"], if_not_exists=True)
    op.create_table(
        "crm_refunds",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("order_id", sa.String(length=48), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("issued_by", sa.Text(), nullable=False),
        sa.Column("issued_at", _MOMENT, nullable=False),
        sa.Column("from_source", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "order_id"],
            ["crm_orders.tenant", "crm_orders.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "id"),
        if_not_exists=True,
    )
    op.create_index("crm_refunds_order", "crm_refunds", ["tenant", "order_id"], if_not_exists=True)
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "CREATE TABLE IF NOT EXISTS knowledge_index (rowid integer PRIMARY KEY, title text NOT NULL,"
            " heading text NOT NULL, text text NOT NULL, words tsvector NOT NULL)"
        )
        op.execute("CREATE INDEX IF NOT EXISTS knowledge_index_words ON knowledge_index USING gin (words)")
    else:
        op.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS knowledge_index"
            " USING fts5(title, heading, text, tokenize = 'porter unicode61 remove_diacritics 2')"
        )
