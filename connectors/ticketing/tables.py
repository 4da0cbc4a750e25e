"""The embedded help desk's tables. Every row belongs to one tenant."""

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Index, Integer, MetaData, String, Table, Text

from connectors.embedded.columns import Moment

metadata = MetaData()

tickets = Table(
    "tickets",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("id", String(48), primary_key=True),
    Column("subject", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("priority", String(20), nullable=False),
    Column("requester_name", Text, nullable=False),
    Column("requester_email", Text, nullable=False),
    Column("assignee", Text, nullable=False, default=""),
    Column("tags", Text, nullable=False),
    Column("search", Text, nullable=False),
    Column("assignee_search", Text, nullable=False, default=""),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("version", Integer, nullable=False, default=1),
    Index("tickets_latest", "tenant", "updated_at", "id"),
    Index("tickets_requester", "tenant", "requester_email"),
)

comments = Table(
    "ticket_comments",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("id", String(48), primary_key=True),
    Column("ticket_id", String(48), nullable=False),
    Column("place", Integer, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("author", Text, nullable=False),
    Column("by_staff", Boolean, nullable=False),
    Column("body", Text, nullable=False),
    Column("search", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("from_source", Boolean, nullable=False, default=False),
    ForeignKeyConstraint(["tenant", "ticket_id"], ["tickets.tenant", "tickets.id"]),
    Index("ticket_comments_thread", "tenant", "ticket_id", "place"),
)
