"""What has changed of a caller's questions since it looked last: for programs that wait for many answers."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from gateway.approvals.approval import Approval, State, read_approval
from gateway.database import Database
from gateway.journal import JournalUnavailable
from gateway.journal.reading import read_calls
from gateway.journal.schema import IS_CHANGE
from gateway.principal import Principal
from gateway.sessions.sealed_id import Seal

PAGE = 100
"""At most so many events are looked at at once."""
_LONGEST_CURSOR = 500
_TEN_YEARS = 10 * 366 * 86_400
_THEIRS = f"FROM journal WHERE tenant = :tenant AND principal = :principal AND {IS_CHANGE}"
# Its words are the index's, so that both databases find by it, whoever plans the statement.
_SINCE = f"SELECT position, call_id {_THEIRS} AND position > :after ORDER BY position LIMIT {PAGE}"
_LAST = f"SELECT position {_THEIRS} ORDER BY position DESC LIMIT 1"


class UnknownCursor(Exception):
    """The cursor is not one that this caller was given."""


@dataclass(frozen=True)
class Changed:
    """A question that has changed.

    Args:
        id: The question.
        state: Where it stands now.
        asked_back: What an approver wants to know first; empty if nothing.
    """

    id: str
    state: State
    asked_back: str


class Changes:
    """The changes of everybody's questions, in the journal of one database.

    A cursor is a place in the journal, sealed: it says nothing of what others do, and is good for its caller alone.

    Args:
        database: The journal's.
        secret: Seals cursors; the same in every process on the database, and after a restart.
    """

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._seal = Seal(secret, _TEN_YEARS, b"remit changes of approvals")

    async def begin(self, principal: Principal) -> str:
        """The cursor of this moment: whatever changes from now on is found by it.

        Raises:
            JournalUnavailable: If the journal cannot be read.
        """
        found = await self._look(principal, _LAST)
        return self._sealed(principal, found[0][0] if found else 0)

    async def since(self, principal: Principal, cursor: str, now: datetime) -> tuple[list[Changed], str]:
        """The caller's questions that were answered, asked back, asked anew or withdrawn, and the next cursor.

        Args:
            principal: Who asked them.
            cursor: Which this gave last, or `begin`.
            now: The time.

        Raises:
            UnknownCursor: If it is not one of this caller's.
            JournalUnavailable: If the journal cannot be read.
        """
        after = self._opened(principal, cursor)
        found = await self._look(principal, _SINCE, after=after)
        if not found:
            return [], cursor
        ids = list(dict.fromkeys(str(call_id) for _, call_id in found))
        changed = await anyio.to_thread.run_sync(self._read, principal, ids)
        told = [Changed(each.question.id, each.state(now), each.unanswered_remark) for each in changed]
        return told, self._sealed(principal, found[-1][0])

    def _read(self, principal: Principal, ids: list[str]) -> list[Approval]:
        found = map(read_approval, read_calls(self._database, principal.tenant, ids))
        return [approval for approval in found if approval and approval.question.principal == principal]

    async def _look(self, principal: Principal, query: str, **asked: int) -> list[tuple[int, ...]]:
        whose = {"tenant": principal.tenant, "principal": principal.name}
        try:
            [found] = await self._database.looks.look(principal.tenant, (query, whose | asked))
        except SQLAlchemyError as error:
            raise JournalUnavailable("the journal cannot be read") from error
        return list(found)

    def _sealed(self, principal: Principal, position: int) -> str:
        return self._seal.closed(f"{position} {_whose(principal)}".encode())

    def _opened(self, principal: Principal, cursor: str) -> int:
        content = self._seal.content(cursor) if len(cursor) <= _LONGEST_CURSOR else None
        position, _, whose = (content or b"").decode().partition(" ")
        if whose != _whose(principal):
            raise UnknownCursor
        return int(position)


def _whose(principal: Principal) -> str:
    return sha256("\x1f".join((principal.tenant, *principal.parties)).encode()).hexdigest()[:32]
