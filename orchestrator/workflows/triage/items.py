"""The items to triage, new tickets and unread mail: found and read through the gateway."""

from dataclasses import replace
from itertools import chain, count, zip_longest
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.fence import for_terminal
from orchestrator.gateway_client import Declared, Failed, GatewayClient, GatewayError, Ok

PAGE = 50


class Item(BaseModel):
    """One ticket or one conversation.

    Args:
        kind: Which of them.
        id: Its id.
        subject: Outside text.
        mailbox: Whose mail it is; empty for a ticket.
        state: Tells its states apart: the latest message, or the ticket's version; empty if not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["ticket", "email"]
    id: str = Field(min_length=1, max_length=200)
    subject: str = ""
    mailbox: str = ""
    state: str = ""

    @property
    def read_with(self) -> tuple[str, dict[str, Any]]:
        """The call that reads the whole item."""
        if self.kind == "ticket":
            return "ticket_get_ticket", {"ticket_id": self.id}
        return "email_get_thread", {"mailbox": self.mailbox, "thread_id": self.id}

    @property
    def about(self) -> str:
        """It in one line, for people."""
        return for_terminal(f"{self.kind} {self.id}: {self.subject}", 200)


class ToTriage(Item):
    """What a run of triage is begun with: the item, on whose account, and how far the model may go.

    Args:
        team: Whose budget it is on; empty if no team's.
        customer: Which customer it is about, if that is known before.
        requests: Model requests at most.
        tool_calls: Calls that the model may make.
        tokens: Tokens at most, in and out.
    """

    team: str = ""
    customer: str = ""
    requests: int = Field(default=10, ge=1)
    tool_calls: int = Field(default=16, ge=1)
    tokens: int = Field(default=80_000, ge=1)


async def open_items(client: GatewayClient, mailbox: str, limit: int, declared: Declared) -> list[Item]:
    """List new tickets and unread conversations in turn, newest first, at most `limit`.

    Args:
        client: The gateway.
        mailbox: Whose unread mail to take; "" for tickets only.
        limit: How many items at most.
        declared: What to state about the calls; each gets its own key, beginning with this one's.

    Raises:
        GatewayError: If the caller may search neither tickets nor that mailbox.
    """
    searches: list[tuple[str, dict[str, Any]]] = [("ticket_search_tickets", {"status": "new"})]
    if mailbox:
        unread = {"mailbox": mailbox, "folder": "inbox", "unread": True}
        searches.append(("email_search_messages", unread))
    found: list[list[Item]] = []
    refusals: list[str] = []
    for tool, query in searches:
        records = await _search(client, tool, query, limit, declared)
        if isinstance(records, str):
            refusals.append(records)
        else:
            items = [_item(tool, record, mailbox) for record in records]
            found.append(list({item.id: item for item in reversed(items)}.values())[::-1])
    if not found:
        raise GatewayError(f"nothing to triage may be read: {'; '.join(refusals)}")
    return [item for item in chain.from_iterable(zip_longest(*found)) if item][:limit]


async def _search(
    client: GatewayClient, tool: str, query: dict[str, Any], limit: int, declared: Declared
) -> list[dict[str, Any]] | str:
    """Follow a search's pages until there are `limit` records; a refusal comes back as its reason."""
    records: list[dict[str, Any]] = []
    cursor = ""
    for page in count():
        arguments = {**query, "limit": PAGE, "cursor": cursor}
        answer = await client.call(tool, arguments, replace(declared, key=f"{declared.key}:{tool}:{page}"))
        if not isinstance(answer, Ok):
            return f"`{tool}`: {answer.error.message if isinstance(answer, Failed) else answer.reason}"
        records += next(part for part in answer.result.values() if isinstance(part, list))
        cursor = answer.result.get("next_cursor", "")
        if not cursor or len(records) >= limit:
            break
    return records


def _item(tool: str, record: dict[str, Any], mailbox: str) -> Item:
    subject = record["subject"]
    if tool == "ticket_search_tickets":
        return Item(kind="ticket", id=record["id"], subject=subject, state=str(record.get("version", "")))
    return Item(kind="email", id=record["thread_id"], subject=subject, mailbox=mailbox, state=record.get("id", ""))
