"""Finds the items to triage: new tickets and unread mail, read through the gateway."""

from dataclasses import dataclass, replace
from itertools import chain, count, zip_longest
from typing import Any, Literal

from orchestrator.gateway_client import Declared, Failed, GatewayClient, GatewayError, Ok

PAGE = 50


@dataclass(frozen=True, slots=True)
class Item:
    """One ticket or one conversation. `subject` is outside text."""

    kind: Literal["ticket", "email"]
    id: str
    subject: str
    read_with: tuple[str, dict[str, Any]]
    """The call that reads the whole item."""


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
    if tool == "ticket_search_tickets":
        return Item("ticket", record["id"], record["subject"], ("ticket_get_ticket", {"ticket_id": record["id"]}))
    arguments = {"mailbox": mailbox, "thread_id": record["thread_id"]}
    return Item("email", record["thread_id"], record["subject"], ("email_get_thread", arguments))
