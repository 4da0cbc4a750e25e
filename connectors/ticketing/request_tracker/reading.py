"""Reads tickets of one queue, with what happened to them and what was said.

What cannot be seen in the queue is not there: every request for tickets names it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.contract import CallContext
from connectors.email.html import html_to_text
from connectors.errors import Conflict, NotFound
from connectors.ticketing.request_tracker.declared import DeclaredRequestTracker
from connectors.ticketing.request_tracker.lists import chunks, every, items_of
from connectors.ticketing.request_tracker.query import all_of, any_of, here, where
from connectors.ticketing.request_tracker.records import Content, Member, Part, Person, Row, Transaction, User
from connectors.ticketing.tools import Comment, Ticket, TicketSummary
from connectors.vendor.api import Api, segment
from connectors.vendor.ids import number_of, shown

_LONGEST_TEXT: Final = 100_000
_LARGEST_NUMBER: Final = 2**31
_NOBODY: Final = "Nobody"


@dataclass(frozen=True)
class Desk:
    """The queue.

    Args:
        api: The way to Request Tracker.
        declared: Which queue, and how it calls things.
    """

    api: Api
    declared: DeclaredRequestTracker

    async def marked(self, call: CallContext) -> int | None:
        """The ticket that a call left its key in."""
        found = await self._rows(call, [any_of(f"CF.{{{self.declared.fields.key}}}", [call.key])])
        return max((row.id for row in found), default=None)

    async def ticket(self, call: CallContext, id_: str) -> Ticket:
        """A ticket with its thread; that of the survivor if it was merged.

        Raises:
            NotFound: If it is not in the queue.
        """
        row = await self._row(call, number_of(id_, "ticket", "ticket_id"))
        if row is None:
            raise missing(id_)
        return await self.whole(call, row.survivor)

    async def writable(self, call: CallContext, id_: str) -> Row:
        """A ticket that can be written to.

        Raises:
            NotFound: If it is not in the queue.
            Conflict: If it was merged into another, which may be somebody else's.
        """
        row = await self._row(call, number_of(id_, "ticket", "ticket_id"))
        if row is None:
            raise missing(id_)
        if row.survivor != row.id:
            into = shown("tic", row.survivor)
            raise Conflict(f"ticket `{id_}` was merged into `{into}`; read that one", field="ticket_id")
        return row

    async def whole(self, call: CallContext, number: int) -> Ticket:
        """A ticket with its thread.

        Raises:
            NotFound: If it is not in the queue.
        """
        for summary, seen in await self._told(call, [number]):
            messages = [each for each in seen if each.is_message]
            return Ticket(**summary.model_dump(), comments=await self._comments(call, messages))
        raise missing(shown("tic", number))

    async def summaries(self, call: CallContext, numbers: Sequence[int]) -> dict[int, TicketSummary]:
        """Tickets without their threads, those of them that are in the queue."""
        told = await self._told(call, numbers) if numbers else []
        return {number_of(summary.id, "ticket", "ticket_id"): summary for summary, _ in told}

    async def colleague(self, call: CallContext, address: str) -> str | None:
        """The name of the one user who has an address."""
        reply = await self.api.read(call, "GET", "/users", params=all_of(where("EmailAddress", "=", address)))
        found = items_of(reply, User)
        return found[0].id if len(found) == 1 else None

    async def _rows(self, call: CallContext, conditions: Sequence[str]) -> list[Row]:
        query = " AND ".join([*here(self.declared), *conditions])
        return await every(self.api, call, "/tickets", {"query": query, **Row.FIELDS}, Row)

    async def _row(self, call: CallContext, number: int) -> Row | None:
        """A ticket, also one that was merged: such ones are found by conditions that name their survivor."""
        if number >= _LARGEST_NUMBER:
            return None
        found = await self._rows(call, [f"id = {number}", "EffectiveId > 0"])
        return found[0] if found else None

    async def _told(self, call: CallContext, numbers: Sequence[int]) -> list[tuple[TicketSummary, list[Transaction]]]:
        """Tickets with what happened to them and to those that were merged into them.

        What happened is read first: then a version is never newer than what it stands for.
        """
        merged = " AND ".join([*here(self.declared), any_of("EffectiveId", numbers)])
        members = await every(self.api, call, "/tickets", {"query": merged, **Member.FIELDS}, Member)
        history = await self._history(call, [each.id for each in members])
        told = []
        for row in await self._rows(call, [any_of("id", numbers)]):
            own = {each.id for each in members if each.survivor == row.id}
            seen = [each for each in history if each.ticket in own]
            told.append((self._summary(row, seen), seen))
        return told

    async def _history(self, call: CallContext, numbers: Sequence[int]) -> list[Transaction]:
        found: list[Transaction] = []
        for chunk in chunks(numbers):
            query = all_of(where("ObjectType", "=", "RT::Ticket"), where("ObjectId", "IN", chunk))
            found += await every(self.api, call, "/transactions", {**query, **Transaction.FIELDS}, Transaction)
        return sorted(found, key=lambda each: each.id)

    def _summary(self, row: Row, seen: Sequence[Transaction]) -> TicketSummary:
        requester = row.requestors[0] if row.requestors else User(id="")
        tags = self.declared.fields.tags
        return TicketSummary(
            id=shown("tic", row.id),
            subject=row.subject,
            status=self.declared.statuses.ours(row.status),
            priority=self.declared.priorities.ours(row.priority),
            requester_name=requester.real_name,
            requester_email=requester.address,
            assignee="" if row.owner.id == _NOBODY else row.owner.address or row.owner.id,
            tags=row.values(tags) if tags else [],
            comment_count=sum(each.is_message for each in seen),
            created_at=row.created,
            updated_at=row.updated,
            version=max((each.id for each in seen), default=1),
        )

    async def _comments(self, call: CallContext, messages: Sequence[Transaction]) -> list[Comment]:
        parts = await self._parts(call, [each.id for each in messages])
        contents = await self._contents(call, parts)
        staff = {name for name in {each.creator.id for each in messages} if await self._is_staff(call, name)}
        by_mail = {part.transaction for part in parts if part.came_by_mail}
        return [
            Comment(
                id=shown("com", each.id),
                kind="internal" if each.type == "Comment" else "public",
                author=each.creator.address or each.creator.id,
                # Whoever writes mail can call themselves what they like.
                by_staff=each.creator.id in staff and each.id not in by_mail,
                body=_body([part for part in parts if part.transaction == each.id], contents),
                at=each.at,
            )
            for each in messages
        ]

    async def _parts(self, call: CallContext, transactions: Sequence[int]) -> list[Part]:
        found: list[Part] = []
        for chunk in chunks(transactions):
            query = all_of(where("TransactionId", "IN", chunk))
            found += await every(self.api, call, "/attachments", {**query, **Part.FIELDS}, Part)
        return found

    async def _contents(self, call: CallContext, parts: Iterable[Part]) -> Mapping[int, str]:
        wanted = [part.id for part in parts if part.is_text and 0 < part.length <= _LONGEST_TEXT]
        found: dict[int, str] = {}
        for chunk in chunks(wanted):
            query = {**all_of(where("id", "IN", chunk)), **Content.FIELDS}
            read = await every(self.api, call, "/attachments", query, Content, at_most=len(chunk))
            found |= {each.id: each.content for each in read}
        return found

    async def _is_staff(self, call: CallContext, name: str) -> bool:
        if name.isdigit():  # it would be taken for a number
            return False
        try:
            return bool((await self.api.read(call, "GET", f"/user/{segment(name)}")).as_(Person).privileged)
        except NotFound:
            return False


def missing(id_: str) -> NotFound:
    """What to raise where a ticket is not there."""
    return NotFound(f"there is no ticket `{id_}`; find the right id first", field="ticket_id")


def _body(parts: Sequence[Part], contents: Mapping[int, str]) -> str:
    """What a message says: its plain text if it has some, otherwise its HTML as a person sees it."""
    texts = [part for part in parts if part.is_text]
    texts = [part for part in texts if part.type == "text/plain"] or texts
    if too_long := [part for part in texts if part.length > _LONGEST_TEXT]:
        return f"[{too_long[0].length} bytes of text, which are too long to be shown here]"
    return "\n".join(_readable(part, contents[part.id]) for part in texts if part.id in contents)


def _readable(part: Part, content: str) -> str:
    text = html_to_text(content) if part.type == "text/html" else content
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
