"""The ticketing tools on Zendesk Support's API.

A write puts its key into a custom field in the same request, which Zendesk carries out whole or not at all.
`find_effect` searches for it there; a search shows what is new after some minutes, and a later write overwrites the
key, so one that is not found is in doubt. Creating shows the key as `Idempotency-Key` too.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from connectors.contract import CallContext, Output, Tool
from connectors.embedded.queries import changes
from connectors.errors import InDoubt, InvalidInput, NotFound, Unavailable
from connectors.ticketing.told import done, missing, refuse_closed
from connectors.ticketing.tools import (
    AddNote,
    AddReply,
    CreateTicket,
    GetTicket,
    SearchTickets,
    Status,
    Ticket,
    TicketPage,
    TicketSummary,
    UpdateTicket,
)
from connectors.ticketing.zendesk.records import (
    Comments,
    CommentSent,
    Created,
    FieldShown,
    Me,
    OneTicket,
    Tickets,
    User,
    by_id,
)
from connectors.ticketing.zendesk.searching import places, search, wanted
from connectors.vendor.api import Api
from connectors.vendor.ids import number_of, shown
from connectors.vendor.kinds import DeclaredSite, Kind, Surroundings, Table

_NAME: Final = "Zendesk"
_MOST_PAGES: Final = 50
_INCLUDED: Final = {"include": "users,comment_count"}
_FILLED_IN: Final = ("{{", "{%")

FieldId = Annotated[int, Field(gt=0)]


class Fields(Table):
    """The ids of custom fields of tickets: `key`, of type text, keeps what the latest write is found again by."""

    key: FieldId


class DeclaredZendesk(DeclaredSite):
    """One account. The credential is an OAuth token, or `ADDRESS/token` with an API token as its password."""

    kind: Literal["zendesk"]
    fields: Fields


class Zendesk:
    """Implements `connectors.ticketing.tools.Ticketing` on an account of Zendesk's.

    A closed ticket takes nothing more. A reply leaves its ticket waiting for the requester.

    Args:
        declared: Which account.
        surroundings: Where its credential comes from.
    """

    def __init__(self, declared: DeclaredZendesk, surroundings: Surroundings) -> None:
        names = ("x-zendesk-request-id", "x-request-id")
        site = declared.site(_NAME, "/api/v2", request_ids=names, explain=_words)
        self._api = Api(site, surroundings.credentials)
        self._key_field = declared.fields.key

    async def close(self) -> None:
        await self._api.close()

    async def look(self, call: CallContext) -> str:
        me = await self._me(call)
        if me.role not in {"agent", "admin"}:
            raise Unavailable(f"{_NAME} knows the credential as `{me.email or me.name}`, who is no agent")
        gone = NotFound(f"{_NAME} has no ticket field {self._key_field}; make one of type `text`, and name its id")
        reply = await self._api.read(call, "GET", f"/ticket_fields/{self._key_field}", missing=gone)
        field = reply.as_(FieldShown).ticket_field
        if field.type != "text" or not field.active:
            raise Unavailable(
                f"the ticket field `{field.title}` ({self._key_field}) is not an active one of type `text`"
            )
        return f"{_NAME}, as `{me.email or me.name}`; the field `{field.title}` is there"

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:  # noqa: ARG002 - the key says it all
        found = await search(self._api, call, [f'custom_field_{self._key_field}:"{call.key}"'])
        for each in found.results:
            sent = await self._sent(call, each.id)
            if sent.ticket.value(self._key_field) == call.key:
                return await self._whole(call, each.id)
        raise InDoubt(f"{_NAME} shows no trace of it")

    async def ticket_search_tickets(self, call: CallContext, args: SearchTickets) -> TicketPage:
        page, cursor = await places(self._api, call, wanted(args), args.cursor, args.limit)
        found = await self._summaries(call, [each.id for each in page])
        # One that was deleted meanwhile is left out.
        return TicketPage(tickets=[found[each.id] for each in page if each.id in found], next_cursor=cursor)

    async def ticket_get_ticket(self, call: CallContext, args: GetTicket) -> Ticket:
        return await self._whole(call, number_of(args.ticket_id, "ticket", "ticket_id"))

    async def ticket_create_ticket(self, call: CallContext, args: CreateTicket) -> Ticket:
        asked = {
            "subject": args.subject,
            "comment": _comment(args.body, public=True),
            "requester": {"name": args.requester_name, "email": args.requester_email},
            "submitter_id": (await self._me(call)).id,  # who is the author of the first comment
            "priority": args.priority,
            "tags": args.tags,
            **self._key(call),
        }
        headers = {"Idempotency-Key": call.key}
        reply = await self._api.act(call, "POST", "/tickets", json={"ticket": asked}, headers=headers)
        return await done(_NAME, self._whole(call, reply.as_(Created).ticket.id))

    async def ticket_update_ticket(self, call: CallContext, args: UpdateTicket) -> Ticket:
        current = await self._open(call, args.ticket_id)
        changed: dict[str, Any] = changes("ticket", current, args)
        if "assignee" in changed:
            changed["assignee_email"] = changed.pop("assignee")
        guard = {"safe_update": True, "updated_stamp": _stamp(args.version)}
        return await self._change(call, current, {**changed, **guard})

    async def ticket_add_note(self, call: CallContext, args: AddNote) -> Ticket:
        current = await self._open(call, args.ticket_id)
        return await self._change(call, current, {"comment": _comment(args.body, public=False)})

    async def ticket_add_reply(self, call: CallContext, args: AddReply) -> Ticket:
        current = await self._open(call, args.ticket_id)
        waiting: Status = "pending"
        return await self._change(call, current, {"comment": _comment(args.body, public=True), "status": waiting})

    async def _change(self, call: CallContext, current: TicketSummary, change: dict[str, Any]) -> Ticket:
        number = number_of(current.id, "ticket", "ticket_id")
        asked = {"ticket": {**change, **self._key(call)}}
        await self._api.act(call, "PUT", f"/tickets/{number}", json=asked, missing=missing(current.id))
        return await done(_NAME, self._whole(call, number))

    def _key(self, call: CallContext) -> dict[str, Any]:
        return {"custom_fields": [{"id": self._key_field, "value": call.key}]}

    async def _me(self, call: CallContext) -> User:
        return (await self._api.read(call, "GET", "/users/me")).as_(Me).user

    async def _sent(self, call: CallContext, number: int) -> OneTicket:
        gone = missing(shown("tic", number))
        reply = await self._api.read(call, "GET", f"/tickets/{number}", params=_INCLUDED, missing=gone)
        return reply.as_(OneTicket)

    async def _open(self, call: CallContext, id_: str) -> TicketSummary:
        """A ticket that can still be written to."""
        sent = await self._sent(call, number_of(id_, "ticket", "ticket_id"))
        ticket = sent.ticket.told(by_id(sent.users))
        refuse_closed(id_, ticket.status, takes="nothing more")
        return ticket

    async def _summaries(self, call: CallContext, numbers: Sequence[int]) -> dict[int, TicketSummary]:
        if not numbers:
            return {}
        asked = {"ids": ",".join(map(str, numbers)), **_INCLUDED}
        sent = (await self._api.read(call, "GET", "/tickets/show_many", params=asked)).as_(Tickets)
        users = by_id(sent.users)
        return {ticket.id: ticket.told(users) for ticket in sent.tickets}

    async def _whole(self, call: CallContext, number: int) -> Ticket:
        """A ticket with its thread: read before the thread, so that its version is never newer than what is told."""
        sent = await self._sent(call, number)
        comments, writers = await self._thread(call, number)
        users = by_id([*sent.users, *writers])
        told = {**sent.ticket.told(users).model_dump(), "comment_count": len(comments)}
        return Ticket(**told, comments=[comment.told(users) for comment in comments])

    async def _thread(self, call: CallContext, number: int) -> tuple[list[CommentSent], list[User]]:
        comments: list[CommentSent] = []
        users: list[User] = []
        asked: dict[str, Any] = {"include": "users", "page[size]": 100}
        for _ in range(_MOST_PAGES):
            gone = missing(shown("tic", number))
            reply = await self._api.read(call, "GET", f"/tickets/{number}/comments", params=asked, missing=gone)
            page = reply.as_(Comments)
            comments, users = [*comments, *page.comments], [*users, *page.users]
            if not page.meta.has_more or not page.meta.after_cursor:
                return sorted(comments, key=lambda each: (each.created_at, each.id)), users
            asked["page[after]"] = page.meta.after_cursor
        raise Unavailable(f"{_NAME} has more comments on the ticket than can be read at once")


def _comment(body: str, *, public: bool) -> dict[str, Any]:
    """A comment.

    Raises:
        InvalidInput: If Zendesk would fill something in, and tell the requester what only staff may see.
    """
    if any(mark in body for mark in _FILLED_IN):
        raise InvalidInput(
            "zendesk fills in what stands between `{{` or `{%` and its end; leave that out", field="body"
        )
    return {"body": body, "public": public}


def _stamp(version: int) -> str:
    return f"{datetime.fromtimestamp(version, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _words(body: Any) -> str:  # noqa: ANN401 - JSON data
    """What an error says: of each field that is wrong, or in general."""
    if details := body.get("details"):
        return "; ".join(str(each["description"]) for problems in details.values() for each in problems)
    error = body["error"]
    return str(error["message"] if isinstance(error, dict) else body.get("description") or error)


KIND = Kind(
    "zendesk",
    "ticket",
    DeclaredZendesk,
    Zendesk,
    shows=("token", "password"),
    scopes=("tickets:read", "tickets:write", "users:read", "read"),
)
