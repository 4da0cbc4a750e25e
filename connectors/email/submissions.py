"""What was handed over to a mail system, kept beside it, so that nothing is handed over twice.

Mail systems have no idempotency keys. So it is kept here, in one transaction and before the first byte that could take
effect, that a call is handing over; what was never kept never happened, and in the same step never will. What was kept
and is not found in the mailbox is in doubt. A draft is claimed together with the call that sends it, so that no other
call sends it as well, whatever becomes of the first.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy import Connection, delete, insert, select, update

from connectors.contract import CallContext
from connectors.embedded.database import FENCE, Database, effects, stable_id
from connectors.errors import Conflict, ConnectorError, InDoubt, Unavailable


class Handed(BaseModel):
    """What is known of an effect that was begun.

    Args:
        mailbox: Where to look for it.
        name: What finds it there: a Message-ID, or the id that the system gave it.
        draft: The draft that it sends, or "".
        claims: What no other call may have then, such as `draft/…`.
        answer: The tool's output as JSON, once it is known.
        at: When it was begun.
        thread: The system's name for its conversation, if that is needed to find it.
        unfiled: A message that was accepted for delivery and could not be put into the mailbox yet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mailbox: str
    name: str
    draft: str = ""
    claims: tuple[str, ...] = ()
    answer: str = ""
    at: AwareDatetime | None = None
    thread: str = ""
    unfiled: str = ""


class Submissions:
    """Keeps what calls hand over.

    Args:
        company: Where.
    """

    def __init__(self, company: Database) -> None:
        self._company = company

    async def begin(self, call: CallContext, tool: str, handed: Handed, *, unclaimed: Sequence[str] = ()) -> None:
        """Keep that the call goes ahead now, with all that it claims.

        Args:
            call: The call.
            tool: What it called.
            handed: What it is about to do.
            unclaimed: What no other call may have claimed either.

        Raises:
            Conflict: If it was given up before, or another call has what it claims; nothing was done.
            InDoubt: If it went ahead before.
            Unavailable: If it cannot be kept; nothing was done.
        """

        def work(connection: Connection) -> None:
            if (earlier := _kept(connection, call, call.key)) is not None:
                if earlier == FENCE:
                    raise Conflict("this call was given up before it took effect; nothing was done, its key is used up")
                raise InDoubt("this call went ahead before, and what became of it is not known")
            for claim in (*handed.claims, *unclaimed):
                _refuse_claimed(connection, call, claim)
            for claim in handed.claims:
                _keep(connection, call, claim, tool, call.key)
            _keep(connection, call, call.key, tool, handed.model_dump_json())

        await self._company.change(call.tenant, work)

    @asynccontextmanager
    async def going_ahead(
        self, call: CallContext, tool: str, handed: Handed, *, unclaimed: Sequence[str] = ()
    ) -> AsyncIterator[None]:
        """Begin, and take it back if what the block does fails without a doubt; raises what both do."""
        await self.begin(call, tool, handed, unclaimed=unclaimed)
        try:
            yield
        except InDoubt:
            raise
        except ConnectorError:
            await self.take_back(call, handed)
            raise

    async def now(self, call: CallContext, handed: Handed) -> None:
        """Keep what is known by now of an effect that was begun."""

        def work(connection: Connection) -> None:
            mine = (effects.c.tenant == call.tenant) & (effects.c.key == call.key)
            connection.execute(update(effects).where(mine).values(result=handed.model_dump_json()))

        await self._company.change(call.tenant, work)

    async def take_back(self, call: CallContext, handed: Handed) -> None:
        """Forget an effect that certainly did not happen, so that it may be tried again.

        Raises:
            InDoubt: If that cannot be kept: then it counts as begun.
        """

        def work(connection: Connection) -> None:
            mine = effects.c.key.in_((call.key, *handed.claims))
            connection.execute(delete(effects).where(effects.c.tenant == call.tenant, mine))

        try:
            await self._company.change(call.tenant, work)
        except Unavailable as error:
            raise InDoubt("it was refused, and that could not be kept") from error

    async def fence(self, call: CallContext, handed: Handed) -> None:
        """Keep that an effect did not happen after all, and never will."""

        def work(connection: Connection) -> None:
            mine = effects.c.tenant == call.tenant
            connection.execute(delete(effects).where(mine, effects.c.key.in_(handed.claims)))
            connection.execute(update(effects).where(mine, effects.c.key == call.key).values(result=FENCE))

        await self._company.change(call.tenant, work)

    async def find(self, call: CallContext, tool: str) -> Handed | None:
        """What is known of the call's effect; None if it never went ahead, and from now on never will.

        Raises:
            Unavailable: If nobody can say now.
        """

        def work(connection: Connection) -> Handed | None:
            earlier = _kept(connection, call, call.key)
            if earlier is None:
                _keep(connection, call, call.key, tool, FENCE)
            return Handed.model_validate_json(earlier) if earlier else None

        return await self._company.change(call.tenant, work)

    async def check_unclaimed(self, call: CallContext, claim: str) -> None:
        """Refuse what another call has.

        Raises:
            Conflict: If one has.
        """
        await self._company.read(call.tenant, lambda connection: _refuse_claimed(connection, call, claim))


def draft_claim(draft: str, version: int | None = None) -> str:
    """What a call claims that sends a draft, or changes one version of it."""
    return f"draft/{draft}" if version is None else f"draft/{draft}/{version}"


def sent_name(call: CallContext, mailbox: str) -> str:
    """The Message-ID of what a call sends, without brackets: it follows from the key, so that it is found again."""
    name = stable_id("remit", call.tenant, call.key).replace("_", ".")
    return f"{name}@{mailbox.rpartition('@')[2]}"


def _refuse_claimed(connection: Connection, call: CallContext, claim: str) -> None:
    holder = _kept(connection, call, claim)
    if holder is None or holder == call.key:
        return
    held = _kept(connection, call, holder)
    answer = json.loads(Handed.model_validate_json(held).answer or "{}") if held else {}
    draft = claim.split("/")[1]
    if "sent_at" in answer:
        raise Conflict(f"draft `{draft}` was sent as message `{answer['id']}`; create a new one", field="draft_id")
    raise Conflict(f"draft `{draft}` was changed or sent by another call, or may have been", field="draft_id")


def _kept(connection: Connection, call: CallContext, key: str) -> str | None:
    mine = (effects.c.tenant == call.tenant) & (effects.c.key == key)
    return connection.execute(select(effects.c.result).where(mine)).scalar()


def _keep(connection: Connection, call: CallContext, key: str, tool: str, result: str) -> None:
    row = {"tenant": call.tenant, "key": key, "tool": tool, "result": result, "at": call.now}
    connection.execute(insert(effects).values(row))
