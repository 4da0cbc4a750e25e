"""The ticketing tools on a queue of Request Tracker's.

A write leaves its key among the latest ones in a custom field of the ticket, where `find_effect` looks for it. Request
Tracker cannot be told never to do what may still be under way, so a key that is not found is in doubt.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.contract import CallContext, Output, Tool
from connectors.embedded.queries import changes
from connectors.errors import Conflict, InvalidInput, Unavailable
from connectors.ticketing.request_tracker.declared import DeclaredRequestTracker
from connectors.ticketing.request_tracker.reading import Desk
from connectors.ticketing.request_tracker.records import Row, System
from connectors.ticketing.told import done, missing, refuse_closed
from connectors.ticketing.tools import (
    AddNote,
    AddReply,
    CreateTicket,
    GetTicket,
    SearchTickets,
    Ticket,
    TicketPage,
    UpdateTicket,
)
from connectors.vendor.api import Api, Reply
from connectors.vendor.kinds import Kind, Surroundings
from connectors.vendor.quoting import in_quotes
from connectors.vendor.sent import Numbered

_NAME: Final = "Request Tracker"
_KEYS: Final = 20
"""How many of a ticket's latest writes can be found again."""


class RequestTracker:
    """Implements `connectors.ticketing.tools.Ticketing` on a queue of Request Tracker's.

    A closed ticket takes no update and no reply, only notes. A reply leaves its ticket waiting for the requester.

    Args:
        declared: Which queue, and how it calls things.
        surroundings: Where its credential comes from.
    """

    def __init__(self, declared: DeclaredRequestTracker, surroundings: Surroundings) -> None:
        site = declared.site(_NAME, "/REST/2.0", before="token ", explain=lambda body: str(body["message"]))
        self._api = Api(site, surroundings.credentials)
        self._declared = declared
        self._desk = Desk(self._api, declared)

    async def close(self) -> None:
        await self._api.close()

    async def look(self, call: CallContext) -> str:
        system = (await self._api.read(call, "GET", "/rt")).as_(System)
        name, queue = self._declared.queue, await self._desk.queue(call)
        there = {"", *(field.name for field in queue.fields)}
        for field in (self._declared.fields.key, self._declared.fields.tags):
            if field not in there:
                raise Unavailable(f"tickets of the queue `{name}` have no custom field `{field}`; add it, and show it")
        return f"{_NAME} {system.version}; the queue `{name}` and its custom fields are there"

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:  # noqa: ARG002 - the key says it all
        return await self._desk.whole(call, await self._desk.marked(call))

    async def ticket_search_tickets(self, call: CallContext, args: SearchTickets) -> TicketPage:
        tickets, cursor = await self._desk.page(call, args)
        return TicketPage(tickets=tickets, next_cursor=cursor)

    async def ticket_get_ticket(self, call: CallContext, args: GetTicket) -> Ticket:
        row = await self._desk.row(call, args.ticket_id)
        return await self._desk.whole(call, row.survivor)

    async def ticket_create_ticket(self, call: CallContext, args: CreateTicket) -> Ticket:
        asked = {
            "Queue": self._declared.queue,
            "Subject": args.subject,
            **_message(args.body),
            # Somebody who may be new there, as in a header of mail.
            "Requestor": [f"{in_quotes(args.requester_name)} <{args.requester_email}>"],
            "Priority": self._declared.priorities.of(args.priority),
            "CustomFields": self._fields(call, args.tags, None),
        }
        reply = await self._api.act(call, "POST", "/ticket", json=asked)
        return await done(_NAME, self._desk.whole(call, reply.as_(Numbered).id))

    async def ticket_update_ticket(self, call: CallContext, args: UpdateTicket) -> Ticket:
        row = await self._desk.writable(call, args.ticket_id)
        current, _ = await self._desk.one(call, row.id)
        refuse_closed(current.id, current.status)
        changed = changes("ticket", current, args)
        asked: dict[str, Any] = {"CustomFields": self._fields(call, changed.get("tags"), row)}
        if "status" in changed:
            asked["Status"] = self._declared.statuses.of(changed["status"])[0]
        if "priority" in changed:
            asked["Priority"] = self._declared.priorities.of(changed["priority"])
        if "assignee" in changed:
            asked["Owner"] = await self._desk.colleague(call, changed["assignee"])
        guard, gone = {"If-Match": f'"{args.version}"'}, missing(current.id)
        reply = await self._api.act(call, "PUT", f"/ticket/{row.id}", json=asked, headers=guard, missing=gone)
        after = await done(_NAME, self._desk.whole(call, row.id))
        _tell_undone(after, changed, reply)
        return after

    async def ticket_add_note(self, call: CallContext, args: AddNote) -> Ticket:
        row = await self._desk.writable(call, args.ticket_id)
        return await self._say(call, row, "comment", _message(args.body))

    async def ticket_add_reply(self, call: CallContext, args: AddReply) -> Ticket:
        row = await self._desk.writable(call, args.ticket_id)
        refuse_closed(args.ticket_id, self._declared.statuses.ours(row.status))
        waiting = {"Status": self._declared.statuses.pending[0]}
        return await self._say(call, row, "correspond", {**_message(args.body), **waiting})

    async def _say(self, call: CallContext, row: Row, how: str, message: Mapping[str, str]) -> Ticket:
        asked = {**message, "CustomFields": self._fields(call, None, row)}
        await self._api.act(call, "POST", f"/ticket/{row.id}/{how}", json=asked)
        return await done(_NAME, self._desk.whole(call, row.id))

    def _fields(self, call: CallContext, tags: Sequence[str] | None, row: Row | None) -> dict[str, list[str]]:
        """The custom fields that a write sets. The newest key comes first, which a field for one value keeps."""
        names = self._declared.fields
        if tags and not names.tags:
            raise InvalidInput("this help desk keeps no tags; leave them out", field="tags")
        keys = [call.key, *reversed(row.values(names.key) if row else [])][:_KEYS]
        return {names.key: keys, **({names.tags: [*tags]} if names.tags and tags is not None else {})}


def _message(body: str) -> dict[str, str]:
    # `0` counts for nothing there.
    return {"Content": "0\n" if body == "0" else body, "ContentType": "text/plain"}


def _tell_undone(after: Ticket, changed: Mapping[str, Any], reply: Reply) -> None:
    """Tell what of an update was refused: it answers that it was done all the same, and does the rest.

    Raises:
        InvalidInput: If nothing was changed.
        Conflict: If something else was.
    """
    undone = [name for name, value in changed.items() if _folded(getattr(after, name)) != _folded(value)]
    words = " ".join(str(each) for each in reply.body)[:300] if isinstance(reply.body, list) else ""
    which = ", ".join(f"`{name}`" for name in undone)
    if undone and len(undone) == len(changed):
        raise InvalidInput(f"{_NAME} does not change {which}: {words}", field=undone[0], is_untrusted=True)
    if undone:
        raise Conflict(f"{_NAME} changed the rest but not {which}: {words}", field=undone[0], is_untrusted=True)


def _folded(value: str | list[str]) -> object:
    return value.casefold() if isinstance(value, str) else sorted(set(value))


KIND = Kind("request_tracker", "ticket", DeclaredRequestTracker, RequestTracker, shows=("token", "password"))
