"""The ticketing tools on a service project of Jira's.

A write puts its key into a property, of the issue or of the comment that it makes, in the same request. Before a
comment the issue is given the key as well, for `find_effect` to know where to look: Jira finds issues by properties
only among the latest. What is not found there is in doubt.
"""

from collections.abc import Mapping
from typing import Any, Final

from connectors.contract import CallContext, Output, Tool
from connectors.embedded.queries import changes
from connectors.errors import Conflict, ConnectorError, InDoubt, InvalidInput, NotFound
from connectors.ticketing.jira.declared import DeclaredJira
from connectors.ticketing.jira.reading import Desk
from connectors.ticketing.jira.records import INTERNAL, MARK, Project, ServerInfo, Transitions, User, marked
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
    UpdateTicket,
)
from connectors.vendor.api import Api
from connectors.vendor.ids import number_of
from connectors.vendor.kinds import Kind, Surroundings
from connectors.vendor.sent import Numbered

_NAME: Final = "Jira"
_MENTION: Final = "[~"
_SAYS: Final = frozenset({"ticket_add_note", "ticket_add_reply"})


class Jira:
    """Implements `connectors.ticketing.tools.Ticketing` on a service project of Jira's.

    A closed ticket takes no update and no reply, only notes. A reply leaves its ticket waiting for the requester, if
    the project's workflow has a way there.

    Args:
        declared: Which project, and how it calls things.
        surroundings: Where its credential comes from.
    """

    def __init__(self, declared: DeclaredJira, surroundings: Surroundings) -> None:
        site = declared.site(_NAME, "/rest", request_ids=("atl-traceid", "x-arequestid"), explain=_words)
        self._api = Api(site, surroundings.credentials)
        self._declared = declared
        self._desk = Desk(self._api, declared)

    async def close(self) -> None:
        await self._api.close()

    async def look(self, call: CallContext) -> str:
        server = (await self._api.read(call, "GET", "/api/2/serverInfo")).as_(ServerInfo)
        me = (await self._api.read(call, "GET", "/api/2/myself")).as_(User)
        key = self._declared.project
        gone = NotFound(f"{_NAME} has no project `{key}`, or does not show it to `{me.called}`")
        project = (await self._api.read(call, "GET", f"/api/2/project/{key}", missing=gone)).as_(Project)
        return f"{_NAME} ({server.title}), as `{me.called}`; the project `{project.key}` is there"

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        number = await self._desk.marked(call, call.key)
        if number is not None and tool.name in _SAYS:
            said = await self._desk.comments(call, number)
            number = number if any(each.key == call.key for each in said) else None
        if number is None:
            raise InDoubt(f"{_NAME} shows no trace of it")
        return await self._desk.whole(call, number)

    async def ticket_search_tickets(self, call: CallContext, args: SearchTickets) -> TicketPage:
        tickets, cursor = await self._desk.page(call, args)
        return TicketPage(tickets=tickets, next_cursor=cursor)

    async def ticket_get_ticket(self, call: CallContext, args: GetTicket) -> Ticket:
        return await self._desk.whole(call, number_of(args.ticket_id, "ticket", "ticket_id"))

    async def ticket_create_ticket(self, call: CallContext, args: CreateTicket) -> Ticket:
        _refuse_mention(args.body)
        fields = {
            "project": {"key": self._declared.project},
            "issuetype": {"name": self._declared.issue_type},
            self._declared.request_type_field: str(self._declared.request_type),
            "summary": args.subject,
            "description": args.body,
            "reporter": {"id": await self._customer(call, args.requester_name, args.requester_email)},
            "priority": {"name": self._declared.priorities.of(args.priority)[0]},
            "labels": args.tags,
        }
        asked = {"fields": fields, "properties": [marked(call.key)]}
        reply = await self._api.act(call, "POST", "/api/2/issue", json=asked)
        return await done(_NAME, self._desk.whole(call, reply.as_(Numbered).id))

    async def ticket_update_ticket(self, call: CallContext, args: UpdateTicket) -> Ticket:
        issue = await self._desk.issue(call, args.ticket_id)
        current = self._desk.summary(issue)
        refuse_closed(current.id, current.status)
        changed = changes("ticket", current, args)
        fields, status = await self._fields(call, changed), changed.get("status")
        transition = await self._way(call, issue.id, status) if status else None
        if status and transition is None:
            raise Conflict(f"{_NAME} lets nobody take ticket `{current.id}` to `{status}` from here", field="status")
        path, mark = f"/api/2/issue/{issue.id}", {"properties": [marked(call.key)]}
        gone = missing(current.id)
        if fields:
            asked = {"fields": fields, **({} if transition else mark)}
            await self._api.act(call, "PUT", path, json=asked, missing=gone)
        if transition:
            await self._take(call, path, {"transition": {"id": transition}, **mark}, alone=not fields)
        return await done(_NAME, self._desk.whole(call, issue.id))

    async def ticket_add_note(self, call: CallContext, args: AddNote) -> Ticket:
        issue = await self._desk.issue(call, args.ticket_id)
        await self._say(call, issue.id, args.body, public=False)
        return await done(_NAME, self._desk.whole(call, issue.id))

    async def ticket_add_reply(self, call: CallContext, args: AddReply) -> Ticket:
        issue = await self._desk.issue(call, args.ticket_id)
        refuse_closed(args.ticket_id, self._desk.summary(issue).status)
        await self._say(call, issue.id, args.body, public=True)
        await self._wait(call, issue.id)
        return await done(_NAME, self._desk.whole(call, issue.id))

    async def _say(self, call: CallContext, number: int, body: str, *, public: bool) -> None:
        _refuse_mention(body)
        path, mark = f"/api/2/issue/{number}", marked(call.key)
        # It does nothing but tell where to look, and may be repeated.
        await self._api.read(call, "PUT", f"{path}/properties/{MARK}", json=mark["value"])
        properties = [{"key": INTERNAL, "value": {"internal": not public}}, mark]
        await self._api.act(call, "POST", f"{path}/comment", json={"body": body, "properties": properties})

    async def _wait(self, call: CallContext, number: int) -> None:
        """After a reply, have its ticket wait; the reply is sent whatever comes of that."""
        try:
            if transition := await self._way(call, number, "pending"):
                asked = {"transition": {"id": transition}}
                await self._api.act(call, "POST", f"/api/2/issue/{number}/transitions", json=asked)
        except (InvalidInput, Conflict, NotFound):
            return
        except ConnectorError as error:
            raise InDoubt(f"{_NAME} has sent it, and does not say more: {error.message}") from error

    async def _take(self, call: CallContext, path: str, asked: Mapping[str, Any], *, alone: bool) -> None:
        """Take a ticket to another status, which it may be the last part of an update to do."""
        try:
            await self._api.act(call, "POST", f"{path}/transitions", json=asked)
        except InDoubt:
            raise
        except ConnectorError as error:
            if alone:
                raise
            told = f"{_NAME} changed the rest but not `status`: {error.message}"
            raise Conflict(told, field="status", is_untrusted=error.is_untrusted) from error

    async def _way(self, call: CallContext, number: int, status: Status) -> str | None:
        """The transition that leads from where a ticket is to a status."""
        reply = await self._api.read(call, "GET", f"/api/2/issue/{number}/transitions")
        there = set(map(str.casefold, self._declared.statuses.of(status)))
        ways = reply.as_(Transitions).transitions
        return next((each.id for each in ways if each.to.name.casefold() in there), None)

    async def _fields(self, call: CallContext, changed: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {"labels": changed["tags"]} if "tags" in changed else {}
        if "priority" in changed:
            fields["priority"] = {"name": self._declared.priorities.of(changed["priority"])[0]}
        if address := changed.get("assignee"):
            account = await self._desk.account(call, address)
            if account is None:
                raise InvalidInput(f"{_NAME} knows no colleague `{address}`", field="assignee")
            fields["assignee"] = {"id": account}
        return fields

    async def _customer(self, call: CallContext, name: str, address: str) -> str:
        """The account of a requester, who is made a customer if there is none. That can be repeated."""
        if account := await self._desk.account(call, address):
            return account
        asked = {"email": address, "displayName": name}
        return (await self._api.read(call, "POST", "/servicedeskapi/customer", json=asked)).as_(User).id


def _refuse_mention(body: str) -> None:
    if _MENTION in body:
        raise InvalidInput("jira would tell somebody who is named after `[~`; leave that out", field="body")


def _words(body: Any) -> str:  # noqa: ANN401 - JSON data
    general = [*body.get("errorMessages", []), *([body["errorMessage"]] if "errorMessage" in body else [])]
    return "; ".join([*map(str, general), *(f"{name}: {each}" for name, each in body.get("errors", {}).items())])


KIND = Kind(name="jira", area="ticket", declared=DeclaredJira, make=Jira, shows=("password", "token"))
