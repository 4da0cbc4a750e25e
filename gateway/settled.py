"""The answers of calls that ran once, for callers who repeat them.

Kept apart from the journal, which says that something happened: an answer holds customers' data and may be forgotten.
"""

import anyio.to_thread
from sqlalchemy import Column, MetaData, Table, Text, select, text

from gateway.database import Database

_metadata = MetaData()
_settled = Table("settled", _metadata, Column("id", Text, primary_key=True), Column("answer", Text, nullable=False))
_KEEP = text("INSERT INTO settled (id, answer) VALUES (:id, :answer) ON CONFLICT DO NOTHING")


class SettledAnswers:
    """Answers by the name of the call, in one database.

    Args:
        database: Where they are kept; the table is made if absent.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_metadata)

    async def keep(self, name: str, answer: str) -> None:
        """Keep an answer, as JSON; the first one stays."""
        await anyio.to_thread.run_sync(self._keep, name, answer)

    async def find(self, name: str) -> str | None:
        """Find a kept answer."""
        return await anyio.to_thread.run_sync(self._find, name)

    def _keep(self, name: str, answer: str) -> None:
        with self._database.changing() as connection:
            connection.execute(_KEEP, {"id": name, "answer": answer})

    def _find(self, name: str) -> str | None:
        with self._database.looking() as connection:
            return connection.execute(select(_settled.c.answer).where(_settled.c.id == name)).scalar()
