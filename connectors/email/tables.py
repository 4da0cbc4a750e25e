"""The embedded mailbox's tables. Every row belongs to one tenant, and a message to one mailbox."""

from sqlalchemy import JSON, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.schema import SchemaItem

from connectors.embedded.columns import Moment

metadata = MetaData()


def _table(name: str, *items: SchemaItem) -> Table:
    keys = (Column("tenant", String(100), primary_key=True), Column("id", String(254), primary_key=True))
    return Table(f"email_{name}", metadata, *keys, *items)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, default="")


mailboxes = _table("mailboxes")
"""The mailboxes that there are; `id` is the address."""

messages = _table(
    "messages",
    *map(_text, ("mailbox", "folder", "sender_name", "sender_email", "subject", "snippet", "body", "search")),
    Column("to", JSON, nullable=False),
    Column("cc", JSON, nullable=False),
    Column("unread", Boolean, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("attachment_count", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    *map(_text, ("thread_id", "message_id", "parent", "subject_key")),
    Column("by_subject", Boolean, nullable=False),
    Index("email_messages_newest", "tenant", "mailbox", "at", "id"),
    Index("email_messages_thread", "tenant", "mailbox", "thread_id"),
    Index("email_messages_message_id", "tenant", "mailbox", "message_id"),
    Index("email_messages_parent", "tenant", "mailbox", "parent"),
    Index("email_messages_subject", "tenant", "mailbox", "subject_key"),
)
"""What is listed and searched; `message_id`, `parent`, `subject_key` and `by_subject` are a `threads.Node`."""

raw_messages = _table("raw_messages", Column("raw", LargeBinary, nullable=False))
"""The bytes of each message as they came, apart from what a search reads."""

attachments = _table(
    "attachments",
    *map(_text, ("message", "name", "media_type")),
    Column("part", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Index("email_attachments_message", "tenant", "message"),
)

drafts = _table(
    "drafts",
    *map(_text, ("mailbox", "subject", "body")),
    Column("to", JSON, nullable=False),
    Column("cc", JSON, nullable=False),
    Column("in_reply_to", String(48)),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("version", Integer, nullable=False),
    Column("sent_as", String(48)),
)

outbox = _table(
    "outbox",
    *map(_text, ("mailbox", "actor", "key")),
    Column("recipients", JSON, nullable=False),
    Column("at", Moment, nullable=False),
)
"""What was handed over for delivery, by message id: who is to get it, and which call of whom did it."""
