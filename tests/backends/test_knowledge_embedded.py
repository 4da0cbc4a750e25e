"""The embedded knowledge passes what every knowledge back end passes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from connectors.embedded.database import Database
from connectors.knowledge import store
from connectors.knowledge.embedded import EmbeddedKnowledge
from connectors.records import DocumentRecord
from tests.backends.knowledge import TENANT, KnowledgeContract, Written


@dataclass
class EmbeddedWorld:
    database: Database
    keeps_origin: bool = True
    tells_readers: bool = True
    held: set[str] = field(default_factory=set)

    @property
    def knowledge(self) -> EmbeddedKnowledge:
        return EmbeddedKnowledge(self.database)

    async def hold(self, documents: Sequence[Written]) -> None:
        gone = self.held - {each.name for each in documents}
        await self.database.change(TENANT, lambda connection: store.forget(connection, TENANT, gone))
        await self.knowledge.load(TENANT, [_record(each) for each in documents])
        self.held = {each.name for each in documents}


def _record(written: Written) -> DocumentRecord:
    return DocumentRecord(
        source_id=written.name,
        title=written.name,
        text=written.text,
        source=f"{written.name}.md",
        origin=written.origin,
        readers=list(written.readers),
        updated_at=written.updated_at,
    )


class TestEmbeddedKnowledge(KnowledgeContract):
    @pytest.fixture
    def world(self, company_url: str) -> Iterator[EmbeddedWorld]:
        database = Database(company_url)
        yield EmbeddedWorld(database)
        database.close()
