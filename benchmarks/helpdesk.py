"""A help desk at work on the sample company, for measuring what a stage of its calls costs.

A case is eight calls: find the requester's tickets, read one, look up the requester and their orders, read a
conversation of a customer, look into the knowledge, leave a note on the ticket, write to the requester. Every case has
another ticket and another conversation; requesters, orders and documents come again, as they do.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from connectors.contract import CallContext, Output, Tool
from connectors.embedded.database import Database
from connectors.registry import embedded
from connectors.sample.company import generate
from connectors.sample.loading import load_company
from gateway.catalog import validate
from gateway.gateway import Gateway, ToolCall
from gateway.principal import Principal
from gateway.settings import Settings

SUPPORT = "support@larkspur.example"
CASE = 8
"""Calls in a case."""


@dataclass(frozen=True)
class Made:
    """A call that was made: the call, its tool, its validated arguments and its result."""

    call: ToolCall
    tool: Tool
    arguments: BaseModel
    output: Output

    @property
    def size(self) -> int:
        """Characters of the result as JSON."""
        return len(json.dumps(self.output.model_dump(mode="json"), ensure_ascii=False))


async def fill(settings: Settings) -> None:
    """Put the sample company into the back ends' new database."""
    database = Database(settings.company_database)
    try:
        back_ends = embedded(database, settings.outbox)
        await load_company(generate(7), back_ends.crm, back_ends.ticket, back_ends.email, back_ends.knowledge)
    finally:
        database.close()


class HelpDesk:
    """Makes calls on the back ends of a gateway, past the gateway itself.

    Args:
        gateway: Whose back ends.
        agent: Who works there.
    """

    def __init__(self, gateway: Gateway, agent: Principal) -> None:
        self._gateway, self._agent, self._number = gateway, agent, 0

    def prepare(self, tool_name: str, **arguments: object) -> tuple[ToolCall, Tool, BaseModel]:
        """A call with its validated arguments, before it is made."""
        tool = self._gateway.catalog.tools[tool_name]
        return ToolCall(self._agent, tool_name, arguments), tool, validate(tool, arguments)

    async def make(self, call: ToolCall, tool: Tool, arguments: BaseModel) -> Made:
        """Let the back end do it."""
        self._number += 1
        context = CallContext(
            tenant=self._agent.tenant,
            actor=self._agent.name,
            key=f"{self._number}",
            now=self._gateway.now(),
            readers=self._gateway.policy.current.groups(self._agent),
        )
        output = await getattr(getattr(self._gateway.back_ends, tool.area), tool.name)(context, arguments)
        return Made(call, tool, arguments, output)

    async def _all(self, tool_name: str, items: str, **arguments: object) -> list[Any]:
        """All records that a search finds, page by page."""
        found, cursor = [], ""
        while True:
            page = (await self.make(*self.prepare(tool_name, **arguments, limit=50, cursor=cursor))).output
            found += getattr(page, items)
            cursor = page.next_cursor
            if not cursor:
                return found

    async def cases(self, count: int) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
        """The calls of so many cases, each as its tool and arguments."""
        tickets = await self._all("ticket_search_tickets", "tickets")
        mails = await self._all("email_search_messages", "messages", mailbox=SUPPORT)
        threads = list(dict.fromkeys(mail.thread_id for mail in mails))
        for ticket, thread in zip(tickets[:count], threads, strict=False):
            address = ticket.requester_email
            contacts = await self.make(*self.prepare("crm_search_contacts", query=address, limit=1))
            found = contacts.output.contacts
            about = " ".join(ticket.subject.split()[:3])
            text = (
                f"Dear {ticket.requester_name},\n\nwe have looked into “{ticket.subject}” and will come back to you by "
                f"Thursday. Your ticket is {ticket.id}; write to {SUPPORT} if anything changes, or see "
                "https://larkspur.example/help for the status of repairs and orders.\n\nKind regards\nSupport"
            )
            yield [
                ("ticket_search_tickets", {"requester_email": address, "limit": 5}),
                ("ticket_get_ticket", {"ticket_id": ticket.id}),
                ("crm_search_contacts", {"query": address, "limit": 3}),
                ("crm_get_orders", {"contact_id": found[0].id, "limit": 3} if found else {"limit": 3}),
                ("email_get_thread", {"mailbox": SUPPORT, "thread_id": thread}),
                ("knowledge_search_documents", {"query": about, "limit": 3}),
                ("ticket_add_note", {"ticket_id": ticket.id, "body": f"Asked for by {address}: {ticket.subject}."}),
                ("email_send_message", {"mailbox": SUPPORT, "to": [address], "subject": ticket.subject, "body": text}),
            ]
