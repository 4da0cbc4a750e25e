"""The embedded help desk: every ticketing tool on the company's own database."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from connectors.contract import CallContext, Output, Tool
from connectors.embedded.database import Database, stable_id
from connectors.embedded.loading import LoadReport
from connectors.embedded.queries import changes, folded, get_row, holding, newest_first, within
from connectors.embedded.sources import Parts, Row, Target, load_records
from connectors.records import TicketRecord
from connectors.ticketing.tables import comments, tickets
from connectors.ticketing.told import refuse_closed
from connectors.ticketing.tools import (
    AddNote,
    AddReply,
    Comment,
    CommentKind,
    CreateTicket,
    GetTicket,
    SearchTickets,
    Ticket,
    TicketPage,
    TicketSummary,
    UpdateTicket,
)

_thread = (comments.c.tenant == tickets.c.tenant) & (comments.c.ticket_id == tickets.c.id)
_TICKETS = select(
    *(tickets.c[name] for name in TicketSummary.model_fields if name in tickets.c),
    select(func.count())
    .select_from(comments)
    .where(_thread)
    .correlate(tickets)
    .scalar_subquery()
    .label("comment_count"),
)
_COMMENTS = select(*(comments.c[name] for name in Comment.model_fields))


class EmbeddedTicketing:
    """Implements `connectors.ticketing.tools.Ticketing` on the embedded database.

    A closed ticket takes no update and no reply, only notes. A reply leaves its ticket waiting for the requester.

    Args:
        database: Where the company's data is; missing tables are made.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, tenant: str, records: Sequence[TicketRecord]) -> LoadReport:
        """Load tickets with their threads, all or none; loading the same ones again changes nothing.

        Comments that were added here stay when a ticket is loaded anew.
        """
        target = Target(tickets, "tic", _ticket_row, Parts(comments, "ticket_id", "com", _comment_rows))
        return await self._database.change(tenant, lambda connection: load_records(connection, tenant, target, records))

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        return await self._database.find_effect(call, tool)

    async def ticket_search_tickets(self, call: CallContext, args: SearchTickets) -> TicketPage:
        wanted = {
            "status": args.status,
            "priority": args.priority,
            "assignee_search": folded(args.assignee),
            "requester_email": args.requester_email,
        }
        query = _TICKETS.where(*within(tickets, call.tenant, **wanted), *_mentioning(args.query))
        if args.tag:
            query = query.where(tickets.c.tags.contains(f" {args.tag} ", autoescape=True))

        def work(connection: Connection) -> TicketPage:
            columns = tickets.c.updated_at, tickets.c.id
            rows, cursor = newest_first(connection, query, *columns, args.cursor, args.limit)
            return TicketPage(tickets=[TicketSummary(**_fields(row)) for row in rows], next_cursor=cursor)

        return await self._database.read(call.tenant, work)

    async def ticket_get_ticket(self, call: CallContext, args: GetTicket) -> Ticket:
        return await self._database.read(call.tenant, lambda connection: _ticket(connection, call, args.ticket_id))

    async def ticket_create_ticket(self, call: CallContext, args: CreateTicket) -> Ticket:
        def work(connection: Connection) -> Ticket:
            ticket_id = stable_id("tic", call.tenant, call.key)
            row = {
                **args.model_dump(exclude={"body", "tags"}),
                "status": "new",
                "tags": _joined(args.tags),
                "search": folded(args.subject),
                "created_at": call.now,
                "updated_at": call.now,
            }
            connection.execute(tickets.insert().values(tenant=call.tenant, id=ticket_id, **row))
            _add_comment(connection, call, ticket_id, "public", args.body, place=0)
            return _ticket(connection, call, ticket_id)

        return await self._database.write(call, "ticket_create_ticket", Ticket, work)

    async def ticket_update_ticket(self, call: CallContext, args: UpdateTicket) -> Ticket:
        def work(connection: Connection) -> Ticket:
            current = _ticket(connection, call, args.ticket_id, lock=True)
            refuse_closed(current.id, current.status)
            changed = changes("ticket", current, args)
            if "tags" in changed:
                changed["tags"] = _joined(changed["tags"])
            if "assignee" in changed:
                changed["assignee_search"] = folded(changed["assignee"])
            return _change(connection, call, current, changed)

        return await self._database.write(call, "ticket_update_ticket", Ticket, work)

    async def ticket_add_note(self, call: CallContext, args: AddNote) -> Ticket:
        def work(connection: Connection) -> Ticket:
            current = _ticket(connection, call, args.ticket_id, lock=True)
            _add_comment(connection, call, current.id, "internal", args.body, place=current.comment_count)
            return _change(connection, call, current, {})

        return await self._database.write(call, "ticket_add_note", Ticket, work)

    async def ticket_add_reply(self, call: CallContext, args: AddReply) -> Ticket:
        def work(connection: Connection) -> Ticket:
            current = _ticket(connection, call, args.ticket_id, lock=True)
            refuse_closed(current.id, current.status)
            _add_comment(connection, call, current.id, "public", args.body, place=current.comment_count)
            return _change(connection, call, current, {"status": "pending"})

        return await self._database.write(call, "ticket_add_reply", Ticket, work)


def _ticket(connection: Connection, call: CallContext, ticket_id: str, *, lock: bool = False) -> Ticket:
    row = get_row(connection, _TICKETS, tickets, call.tenant, ticket_id, "ticket", lock=lock)
    thread = _COMMENTS.where(*within(comments, call.tenant, ticket_id=ticket_id))
    oldest_first = thread.order_by(comments.c.at, comments.c.place, comments.c.id)
    said = [Comment(**comment) for comment in connection.execute(oldest_first).mappings()]
    return Ticket(**_fields(row), comments=said)


def _fields(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {**row, "tags": row["tags"].split()}


def _joined(tags: Sequence[str]) -> str:
    """Tags as they are stored: each once, with a space on both sides, so that a whole one can be searched."""
    return f" {' '.join(dict.fromkeys(tags))} "


def _mentioning(query: str) -> list[ColumnElement[bool]]:
    """Conditions that every word of the query is in the subject or in some comment."""
    said = select(comments.c.id).where(_thread).correlate(tickets)
    return [
        or_(*holding(word, tickets.c.search), said.where(*holding(word, comments.c.search)).exists())
        for word in folded(query).split()
    ]


def _add_comment(
    connection: Connection, call: CallContext, ticket_id: str, kind: CommentKind, body: str, *, place: int
) -> None:
    row = {"ticket_id": ticket_id, "place": place, "kind": kind, "author": call.actor, "by_staff": True, "at": call.now}
    comment_id = stable_id("com", call.tenant, call.key)
    connection.execute(
        comments.insert().values(tenant=call.tenant, id=comment_id, body=body, search=folded(body), **row)
    )


def _change(connection: Connection, call: CallContext, current: Ticket, changed: Mapping[str, Any]) -> Ticket:
    row = {**changed, "version": tickets.c.version + 1, "updated_at": call.now}
    connection.execute(tickets.update().where(*within(tickets, call.tenant, id=current.id)).values(row))
    return _ticket(connection, call, current.id)


def _ticket_row(record: TicketRecord) -> Row:
    return {
        **record.model_dump(exclude={"source_id", "comments"}),
        "tags": _joined(record.tags),
        "search": folded(record.subject),
        "assignee_search": folded(record.assignee),
    }


def _comment_rows(record: TicketRecord) -> list[Row]:
    return [
        {**comment.model_dump(), "place": place, "search": folded(comment.body)}
        for place, comment in enumerate(record.comments)
    ]
