"""What clients replied to a process that had not asked, for the one that had."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from pydantic_core import from_json, to_json
from sqlalchemy import Column, MetaData, Table, Text, bindparam, delete, text

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database

if TYPE_CHECKING:
    from gateway.sessions.sealed_id import Seal  # and with it the whole SDK: to make tables none is needed

_KEPT = timedelta(minutes=10)
metadata = MetaData()
_replies = Table(
    "client_replies",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("id", Text, primary_key=True),
    Column("reply", Text, nullable=False),
    Column("left_at", Text, nullable=False, index=True),
)
_LEAVE = text("""
INSERT INTO client_replies (tenant, id, reply, left_at) VALUES (:tenant, :id, :reply, :at) ON CONFLICT DO NOTHING
""")
_FORGET = delete(_replies).where(_replies.c.left_at < bindparam("before"))
_mine = (_replies.c.tenant == bindparam("tenant"), _replies.c.id.in_(bindparam("ids", expanding=True)))
_TAKE = delete(_replies).where(*_mine).returning(_replies.c.reply)


class Replies:
    """The replies in one database, sealed: what a client says may be anybody's data.

    Args:
        database: Where they are kept; the table is made if absent.
        seal: Seals them.
        now: The clock.
    """

    def __init__(self, database: Database, seal: "Seal", now: Callable[[], datetime]) -> None:
        self._database = database
        self._seal = seal
        self._now = now
        database.prepare()

    async def leave(self, tenant: str, session_id: str, reply: Mapping[str, Any]) -> None:
        """Leave a JSON-RPC response of a client in a tenant's session for whoever asked; the first one counts."""
        sealed = self._seal.closed(to_json(reply))
        await anyio.to_thread.run_sync(self._leave, tenant, _name(session_id, reply["id"]), sealed)

    async def take(self, tenant: str, session_id: str, asked: Collection[int]) -> list[dict[str, Any]]:
        """Take the replies to requests of these ids in a tenant's session, once."""
        found = await anyio.to_thread.run_sync(self._take, tenant, [_name(session_id, each) for each in asked])
        contents = [self._seal.content(reply) for reply in found]
        return [from_json(content) for content in contents if content]

    def _leave(self, tenant: str, name: str, sealed: str) -> None:
        now = self._now()
        with self._database.changing(EVERY_TENANT) as connection:
            connection.execute(_FORGET, {"before": (now - _KEPT).isoformat()})
            connection.execute(_LEAVE, {"tenant": tenant, "id": name, "reply": sealed, "at": now.isoformat()})

    def _take(self, tenant: str, names: list[str]) -> list[str]:
        with self._database.changing(tenant) as connection:
            return list(connection.execute(_TAKE, {"tenant": tenant, "ids": names}).scalars())


def _name(session_id: str, request_id: int) -> str:
    return sha256(f"{request_id}\n{session_id}".encode()).hexdigest()
