"""The embedded knowledge: documents in the company's database, brought there by an import."""

from collections.abc import Sequence

from connectors.contract import CallContext
from connectors.embedded.database import Database
from connectors.embedded.loading import LoadReport
from connectors.knowledge import store
from connectors.knowledge.tools import Document, GetDocument, PassagePage, SearchKnowledge
from connectors.records import DocumentRecord


class EmbeddedKnowledge:
    """`Knowledge` over the embedded database.

    Args:
        database: Where the documents are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, tenant: str, records: Sequence[DocumentRecord]) -> LoadReport:
        """Store the documents that are new or changed, all or none; of several with one source id the last counts.

        Args:
            tenant: Whose documents.
            records: In any order.
        """
        return await self._database.change(tenant, lambda connection: store.load(connection, tenant, records))

    async def knowledge_search_documents(self, call: CallContext, args: SearchKnowledge) -> PassagePage:
        return await self._database.read(call.tenant, lambda connection: store.search(connection, call, args))

    async def knowledge_get_document(self, call: CallContext, args: GetDocument) -> Document:
        return await self._database.read(call.tenant, lambda connection: store.get(connection, call, args))
