"""Reads tickets of one queue, with what happened to them and what was said.

What cannot be seen in the queue is not there: every request for tickets names it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.contract import CallContext
from connectors.email.html import html_to_text
from connectors.errors import Conflict, InDoubt, InvalidInput, NotFound
from connectors.ticketing.request_tracker.declared import DeclaredRequestTracker
from connectors.ticketing.request_tracker.lists import LARGEST, every, every_of, first, matching, places
from connectors.ticketing.request_tracker.query import any_of, here, wanted
from connectors.ticketing.request_tracker.records import Content, M, Member, Part, Person, Queue, Row, Transaction, User
from connectors.ticketing.told import missing
from connectors.ticketing.tools import Comment, SearchTickets, Ticket, TicketSummary
from connectors.vendor.api import Api, segment
from connectors.vendor.ids import number_of, shown
from connectors.vendor.sent import Numbered

_LONGEST_TEXT: Final = 100_000

Told = tuple[TicketSummary, list[Transaction]]
"""A ticket without its thread, and what happened to it and to those that were merged into it, oldest first."""


@dataclass(frozen=True)
class Desk:
    """The queue.

    Args:
        api: The way to Request Tracker.
        declared: Which queue, and how it calls things.
    """

    api: Api
    declared: DeclaredRequestTracker

    async def marked(self, call: CallContext) -> int:
        """The ticket that a call left its key in.

        Raises:
            InDoubt: If none shows it.
        """
        found = await self._tickets(call, Member, any_of(f"CF.{{{self.declared.fields.key}}}", [call.key]))
        if not found:
            raise InDoubt(f"{self.api.site.name} shows no trace of it")
        return max(each.id for each in found)

    async def row(self, call: CallContext, id_: str) -> Row:
        """A ticket, also one that was merged: such ones are found by conditions that name their survivor.

        Raises:
            NotFound: If it is not in the queue.
        """
        if (number := number_of(id_, "ticket", "ticket_id")) <= LARGEST:
            for row in await self._tickets(call, Row, f"id = {number}", "EffectiveId > 0"):
                return row
        raise missing(id_)

    async def writable(self, call: CallContext, id_: str) -> Row:
        """A ticket that can be written to.

        Raises:
            NotFound: If it is not in the queue.
            Conflict: If it was merged into another, which may be somebody else's.
        """
        row = await self.row(call, id_)
        if row.survivor != row.id:
            into = shown("tic", row.survivor)
            raise Conflict(f"ticket `{id_}` was merged into `{into}`; read that one", field="ticket_id")
        return row

    async def whole(self, call: CallContext, number: int) -> Ticket:
        """A ticket with its thread.

        Raises:
            NotFound: If it is not in the queue.
        """
        summary, seen = await self.one(call, number)
        messages = [each for each in seen if each.is_message]
        return Ticket(**summary.model_dump(), comments=await self._comments(call, messages))

    async def one(self, call: CallContext, number: int) -> Told:
        """A ticket without its thread.

        Raises:
            NotFound: If it is not in the queue.
        """
        if told := (await self._many(call, [number])).get(number):
            return told
        raise missing(shown("tic", number))

    async def page(self, call: CallContext, args: SearchTickets) -> tuple[list[TicketSummary], str]:
        """Tickets that somebody looks for, and the cursor of the next page."""
        conditions = [*here(self.declared), *wanted(self.declared, args)]
        page, cursor = await places(self.api, call, conditions, args.cursor, args.limit)
        found = await self._many(call, [place.id for place in page]) if page else {}
        # One that was merged, moved or deleted meanwhile is left out.
        return [found[place.id][0] for place in page if place.id in found], cursor

    async def queue(self, call: CallContext) -> Queue:
        """The queue itself.

        Raises:
            NotFound: If it is not there.
        """
        name = self.declared.queue
        for queue in await first(self.api, call, "/queues", matching(Name=name), Numbered):
            return (await self.api.read(call, "GET", f"/queue/{queue.id}")).as_(Queue)
        raise NotFound(f"{self.api.site.name} has no queue `{name}`, or does not show it")

    async def _many(self, call: CallContext, numbers: Sequence[int]) -> dict[int, Told]:
        """Tickets without their threads, those of them that are in the queue.

        What happened is read first: then a version is never newer than what it stands for.
        """
        members = await self._tickets(call, Member, any_of("EffectiveId", numbers))
        survivors = {each.id: each.survivor for each in members}
        is_ticket = {"ObjectType": "RT::Ticket"}
        history = await every_of(self.api, call, "/transactions", "ObjectId", [*survivors], Transaction, **is_ticket)
        history.sort(key=lambda each: each.id)
        told = {}
        for row in await self._tickets(call, Row, any_of("id", numbers)):
            seen = [each for each in history if survivors[each.ticket] == row.id]
            told[row.id] = self._summary(row, seen), seen
        return told

    async def colleague(self, call: CallContext, address: str) -> str:
        """The name of the one user who has an address.

        Raises:
            InvalidInput: If nobody has it, or several have.
        """
        found = await every(self.api, call, "/users", matching(EmailAddress=address), User)
        if len(found) != 1:
            raise InvalidInput(f"{self.api.site.name} knows no colleague `{address}`", field="assignee")
        return found[0].id

    async def _tickets(self, call: CallContext, model: type[M], *conditions: str) -> list[M]:
        query = " AND ".join([*here(self.declared), *conditions])
        return await every(self.api, call, "/tickets", query, model)

    def _summary(self, row: Row, seen: Sequence[Transaction]) -> TicketSummary:
        requester = row.requestors[0] if row.requestors else User(id="")
        return TicketSummary(
            id=shown("tic", row.id),
            subject=row.subject,
            status=self.declared.statuses.ours(row.status),
            priority=self.declared.priorities.ours(row.priority),
            requester_name=requester.real_name,
            requester_email=requester.address,
            assignee=row.owner.called,
            tags=row.values(self.declared.fields.tags),
            comment_count=sum(each.is_message for each in seen),
            created_at=row.created,
            updated_at=row.updated,
            version=max((each.id for each in seen), default=1),
        )

    async def _comments(self, call: CallContext, messages: Sequence[Transaction]) -> list[Comment]:
        parts = await every_of(self.api, call, "/attachments", "TransactionId", [each.id for each in messages], Part)
        texts = [part for part in parts if part.is_text]
        shown_here = [part.id for part in texts if part.length <= _LONGEST_TEXT]
        read = await every_of(self.api, call, "/attachments", "id", shown_here, Content)
        contents = {each.id: each.content for each in read}
        staff = {name for name in {each.creator.id for each in messages} if await self._is_staff(call, name)}
        by_mail = {part.transaction for part in parts if part.came_by_mail}
        return [
            Comment(
                id=shown("com", each.id),
                kind="internal" if each.type == "Comment" else "public",
                author=each.creator.called,
                # Whoever writes mail can call themselves what they like.
                by_staff=each.creator.id in staff and each.id not in by_mail,
                body=_body([part for part in texts if part.transaction == each.id], contents),
                at=each.at,
            )
            for each in messages
        ]

    async def _is_staff(self, call: CallContext, name: str) -> bool:
        if name.isdigit():  # it would be taken for a number
            return False
        try:
            return bool((await self.api.read(call, "GET", f"/user/{segment(name)}")).as_(Person).privileged)
        except NotFound:
            return False


def _body(texts: Sequence[Part], contents: Mapping[int, str]) -> str:
    """What a message says: its plain text if it has some, otherwise its HTML as a person sees it."""
    texts = [part for part in texts if part.type == "text/plain"] or texts
    for part in texts:
        if part.length > _LONGEST_TEXT:
            return f"[{part.length} bytes of text, which are too long to be shown here]"
    return "\n".join(_readable(part, contents[part.id]) for part in texts if part.id in contents)


def _readable(part: Part, content: str) -> str:
    text = html_to_text(content) if part.type == "text/html" else content
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
