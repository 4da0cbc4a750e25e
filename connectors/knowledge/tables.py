"""The embedded knowledge's tables: documents, who may read them, their passages, and the full-text index on these."""

from sqlalchemy import JSON, Column, Index, Integer, MetaData, String, Table, Text

from connectors.embedded.columns import Moment
from connectors.knowledge import fulltext

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

fulltext.listen(metadata)
