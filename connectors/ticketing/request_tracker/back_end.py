"""The ticketing tools on a queue of Request Tracker's.

A write leaves its key among the latest ones in a custom field of the ticket, where `find_effect` looks for it. Request
Tracker cannot be told never to do what may still be under way, so a key that is not found is in doubt.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.contract import CallContext, Output, Tool
from connectors.embedded.queries import changes
from connectors.errors import Conflict, ConnectorError, InDoubt, InvalidInput, NotFound, Unavailable
from connectors.ticketing.request_tracker.declared import DeclaredRequestTracker
from connectors.ticketing.request_tracker.lists import items_of, places
from connectors.ticketing.request_tracker.query import all_of, here, wanted, where
from connectors.ticketing.request_tracker.reading import Desk, missing
from connectors.ticketing.request_tracker.records import Numbered, Queue, Row, System
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
from connectors.vendor.site import Site

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
        site = Site(
            name=_NAME,
            url=f"{declared.url}/REST/2.0",
            credential=declared.shown,
            before="token ",
            inside=declared.inside,
            explain=lambda body: str(body["message"]),
        )
        self._api = Api(site, surroundings.credentials)
        self._declared = declared
        self._desk = Desk(self._api, declared)

    async def close(self) -> None:
        await self._api.close()

    async def look(self, call: CallContext) -> str:
        system = (await self._api.read(call, "GET", "/rt")).as_(System)
        name = self._declared.queue
        listed = await self._api.read(call, "GET", "/queues", params=all_of(where("Name", "=", name)))
        if not (queues := items_of(listed, Numbered)):
            raise NotFound(f"{_NAME} has no queue `{name}`, or does not show it")
        queue = (await self._api.read(call, "GET", f"/queue/{queues[0].id}")).as_(Queue)
        there = {field.name for field in queue.fields}
        for field in filter(None, (self._declared.fields.key, self._declared.fields.tags)):
            if field not in there:
                raise Unavailable(f"tickets of the queue `{name}` have no custom field `{field}`; add it, and show it")
        return f"{_NAME} {system.version}; the queue `{name}` and its custom fields are there"

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:  # noqa: ARG002 - the key says it all
        number = await self._desk.marked(call)
        if number is None:
            raise InDoubt(f"{_NAME} shows no trace of it")
        return await self._desk.whole(call, number)

    async def ticket_search_tickets(self, call: CallContext, args: SearchTickets) -> TicketPage:
        conditions = [*here(self._declared), *wanted(self._declared, args)]
        page, cursor = await places(self._api, call, conditions, args.cursor, args.limit)
        found = await self._desk.summaries(call, [place.id for place in page])
        # One that was merged, moved or deleted meanwhile is left out.
        tickets = [found[place.id] for place in page if place.id in found]
        return TicketPage(tickets=tickets, next_cursor=cursor)

    async def ticket_get_ticket(self, call: CallContext, args: GetTicket) -> Ticket:
        return await self._desk.ticket(call, args.ticket_id)

    async def ticket_create_ticket(self, call: CallContext, args: CreateTicket) -> Ticket:
        asked = {
            "Queue": self._declared.queue,
            "Subject": args.subject,
            **_message(args.body),
            "Requestor": [_person(args.requester_name, args.requester_email)],
            "Priority": self._declared.priorities.of(args.priority),
            "CustomFields": {self._declared.fields.key: [call.key], **self._tags(args.tags)},
        }
        reply = await self._api.act(call, "POST", "/ticket", json=asked)
        return await self._done(call, reply.as_(Numbered).id)

    async def ticket_update_ticket(self, call: CallContext, args: UpdateTicket) -> Ticket:
        row = await self._desk.writable(call, args.ticket_id)
        current = (await self._desk.summaries(call, [row.id])).get(row.id)
        if current is None:
            raise missing(args.ticket_id)
        _refuse_closed(current.id, current.status)
        changed = changes("ticket", current, args)
        asked = await self._update(call, row, changed)
        guard = {"If-Match": f'"{args.version}"'}
        reply = await self._api.act(
            call, "PUT", f"/ticket/{row.id}", json=asked, headers=guard, missing=missing(current.id)
        )
        after = await self._done(call, row.id)
        _tell_undone(after, changed, reply)
        return after

    async def ticket_add_note(self, call: CallContext, args: AddNote) -> Ticket:
        row = await self._desk.writable(call, args.ticket_id)
        return await self._say(call, row, "comment", _message(args.body))

    async def ticket_add_reply(self, call: CallContext, args: AddReply) -> Ticket:
        row = await self._desk.writable(call, args.ticket_id)
        _refuse_closed(args.ticket_id, self._declared.statuses.ours(row.status))
        waiting = {"Status": self._declared.statuses.pending[0]}
        return await self._say(call, row, "correspond", {**_message(args.body), **waiting})

    async def _update(self, call: CallContext, row: Row, changed: Mapping[str, Any]) -> dict[str, Any]:
        asked: dict[str, Any] = {"CustomFields": {**self._tags(changed.get("tags")), **self._key(call, row)}}
        if "status" in changed:
            asked["Status"] = self._declared.statuses.of(changed["status"])[0]
        if "priority" in changed:
            asked["Priority"] = self._declared.priorities.of(changed["priority"])
        if address := changed.get("assignee"):
            asked["Owner"] = await self._desk.colleague(call, address)
            if asked["Owner"] is None:
                raise InvalidInput(f"{_NAME} knows no colleague `{address}`", field="assignee")
        return asked

    async def _say(self, call: CallContext, row: Row, how: str, message: Mapping[str, str]) -> Ticket:
        asked = {**message, "CustomFields": self._key(call, row)}
        await self._api.act(call, "POST", f"/ticket/{row.id}/{how}", json=asked)
        return await self._done(call, row.id)

    async def _done(self, call: CallContext, number: int) -> Ticket:
        """The ticket after a write, which was done even if the ticket cannot be read."""
        try:
            return await self._desk.whole(call, number)
        except ConnectorError as error:
            raise InDoubt(f"{_NAME} has done it, and does not show it: {error.message}") from error

    def _key(self, call: CallContext, row: Row) -> dict[str, list[str]]:
        """The newest key comes first, so that a field for one value keeps that one."""
        name = self._declared.fields.key
        return {name: [call.key, *reversed(row.values(name))][:_KEYS]}

    def _tags(self, tags: Sequence[str] | None) -> dict[str, list[str]]:
        if tags and not self._declared.fields.tags:
            raise InvalidInput("this help desk keeps no tags; leave them out", field="tags")
        return {} if tags is None or not self._declared.fields.tags else {self._declared.fields.tags: [*tags]}


def _message(body: str) -> dict[str, str]:
    # `0` counts for nothing there.
    return {"Content": "0\n" if body == "0" else body, "ContentType": "text/plain"}


def _person(name: str, address: str) -> str:
    """Somebody who may be new there: name and address, as in a header of mail."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{address}>'


def _refuse_closed(id_: str, status: str) -> None:
    if status == "closed":
        raise Conflict(f"ticket `{id_}` is closed and takes notes only; create a new ticket instead", field="ticket_id")


def _tell_undone(after: Ticket, changed: Mapping[str, Any], reply: Reply) -> None:
    """Tell what of an update was refused: it answers that it was done all the same, and does the rest.

    Raises:
        InvalidInput: If nothing was changed.
        Conflict: If something else was.
    """
    undone = [name for name, value in changed.items() if _folded(getattr(after, name)) != _folded(value)]
    if not undone:
        return
    words = " ".join(str(each) for each in reply.body)[:300] if isinstance(reply.body, list) else ""
    which = ", ".join(f"`{name}`" for name in undone)
    if len(undone) == len(changed):
        raise InvalidInput(f"{_NAME} does not change {which}: {words}", field=undone[0], is_untrusted=True)
    raise Conflict(f"{_NAME} changed the rest but not {which}: {words}", field=undone[0], is_untrusted=True)


def _folded(value: str | list[str]) -> object:
    return value.casefold() if isinstance(value, str) else sorted(set(value))


KIND = Kind(
    name="request_tracker",
    area="ticket",
    declared=DeclaredRequestTracker,
    make=RequestTracker,
    shows=("token", "password"),
)
