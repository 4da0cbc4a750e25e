"""The answers of calls that ran once, for callers who repeat them.

Kept apart from the journal, which says that something happened: an answer holds customers' data and may be forgotten.
"""

import anyio.to_thread
from sqlalchemy import Column, MetaData, Table, Text, text

from gateway.database import Database

metadata = MetaData()
_settled = Table(
    "settled",
    metadata,
    *(
        Column(name, Text().with_variant(Text(collation="C"), "postgresql"), primary_key=True)
        for name in ("tenant", "id")
    ),
    Column("answer", Text, nullable=False),
)
_KEEP = text("INSERT INTO settled (tenant, id, answer) VALUES (:tenant, :id, :answer) ON CONFLICT DO NOTHING")
_FIND = "SELECT answer FROM settled WHERE tenant = :tenant AND id = :id"


class SettledAnswers:
    """Answers by the name of the call, in one database.

    Args:
        database: Where they are kept; the table is made if absent.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.prepare()

    async def keep(self, tenant: str, name: str, answer: str) -> None:
        """Keep an answer of a tenant, as JSON; the first one stays."""
        await anyio.to_thread.run_sync(self._keep, tenant, name, answer)

    async def find(self, tenant: str, name: str) -> str | None:
        """Find a kept answer of a tenant."""
        [found] = await self._database.looks.look(tenant, (_FIND, {"tenant": tenant, "id": name}))
        return str(found[0][0]) if found else None

    def _keep(self, tenant: str, name: str, answer: str) -> None:
        with self._database.changing(tenant) as connection:
            connection.execute(_KEEP, {"tenant": tenant, "id": name, "answer": answer})
