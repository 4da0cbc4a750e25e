"""The embedded knowledge's tables: documents, who may read them, their passages and SQLite's full-text index on these.

The index folds case and accents and knows English word stems. Its `rowid` is the passage's id.
"""

from sqlalchemy import JSON, Column, Connection, Index, Integer, MetaData, String, Table, Text, column, event, table

from connectors.embedded.columns import Moment

metadata = MetaData()

documents = Table(
    "knowledge_documents",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("id", String(48), primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("title", "text", "source", "origin")),
    Column("readers", JSON, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("digest", String(64), nullable=False),
)

readers = Table(
    "knowledge_readers",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("group", String(200), primary_key=True),
    Column("document_id", String(48), primary_key=True),
)

passages = Table(
    "knowledge_passages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant", String(100), nullable=False),
    Column("document_id", String(48), nullable=False),
    Column("position", Integer, nullable=False),
    Index("knowledge_passages_document", "tenant", "document_id"),
)

index = table("knowledge_index", *map(column, ("rowid", "title", "heading", "text")))


@event.listens_for(metadata, "after_create")
def _create_index(_target: MetaData, connection: Connection, **_: object) -> None:
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE IF NOT EXISTS knowledge_index"
        " USING fts5(title, heading, text, tokenize = 'porter unicode61 remove_diacritics 2')"
    )
