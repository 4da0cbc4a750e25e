"""Gathers what an account's summary rests on, all at the same time; counts without a model."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from orchestrator.patterns import parallel
from orchestrator.work import Work
from orchestrator.workflows import blocks
from orchestrator.workflows.account_summary.compare import Change, changes
from orchestrator.workflows.blocks import Found

_CONTACTS = 5
_PAGES = 20


class NoAccount(Exception):
    """There is no such account, or it may not be read."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was found of each kind, what was counted, and what could not be read."""

    account: Found
    parts: Mapping[str, Found]
    figures: Mapping[str, int]
    missing: list[str]
    today: date

    @property
    def read(self) -> list[Any]:
        """What evidence may come from."""
        return [self.account.raw, *(part.raw for part in self.parts.values())]

    @property
    def shown(self) -> dict[str, Any]:
        """The same for a model."""
        return {"account": self.account.shown, **{name: part.shown for name, part in self.parts.items()}}


async def gather(work: Work, account_id: str, mailbox: str, days: int) -> Gathered:
    """Look everything up at the same time.

    Raises:
        NoAccount: If the account cannot be read.
    """
    account = await blocks.look_up(work, "account", "crm_get_account", account_id=account_id)
    if not account:
        raise NoAccount(f"account `{account_id}` cannot be read; is it the id, and may the agent read it?")
    found = await blocks.look_up(work, "contacts", "crm_search_contacts", account_id=account_id, limit=_CONTACTS)
    contacts, today = found.all("contacts"), await blocks.today(work)
    look, domain = partial(blocks.look_up, work), account.raw.get("domain") or account.raw["name"]
    ways: dict[str, Callable[[], Awaitable[Found]]] = {
        "orders": partial(look, "orders", "crm_get_orders", account_id=account_id),
        "deals": partial(look, "deals", "crm_list_deals", account_id=account_id),
        "messages": partial(look, "messages", "email_search_messages", mailbox=mailbox, query=domain),
        "passages": partial(look, "passages", "knowledge_search_documents", query=str(account.raw["name"])),
    }
    for contact in contacts.raw:
        name = f"tickets {contact['id']}"
        ways[name] = partial(look, name, "ticket_search_tickets", requester_email=contact["email"])
    results = await parallel(ways)
    missing = sorted({name.partition(" ")[0] for name, each in results.items() if not each})
    parts = {name: results[name].all(name) for name in ("orders", "deals", "messages", "passages")}
    tickets = [results[name].all("tickets") for name in ways if name.startswith("tickets ")]
    raw, shown = ([each for found in tickets for each in getattr(found, kind)] for kind in ("raw", "shown"))
    parts["tickets"] = Found(raw, shown)
    return Gathered(account, parts, figures(parts, today, days), missing, today)


def figures(parts: Mapping[str, Found], today: date, days: int) -> dict[str, int]:
    """What can be counted, counted."""
    since = today - timedelta(days=days)
    orders, tickets, deals = (parts[name].raw for name in ("orders", "tickets", "deals"))
    return {
        f"Orders in {days} days": sum(_day(each["placed_at"]) >= since for each in orders),
        "Orders under way": sum(each["status"] in ("placed", "shipped") for each in orders),
        f"Tickets in {days} days": sum(_day(each["created_at"]) >= since for each in tickets),
        "Open tickets": sum(each["status"] not in ("solved", "closed") for each in tickets),
        "Open deals": sum(each["stage"] not in ("won", "lost") for each in deals),
    }


async def compared(work: Work, old: str, new: str) -> list[Change]:
    """What changed between two documents; nothing if none are named or one cannot be read."""
    if not (old and new):
        return []
    texts = await parallel({name: partial(_text, work, name, which) for name, which in (("old", old), ("new", new))})
    if not all(texts.values()):
        return []
    return await blocks.decided(work, "compare", lambda: changes(texts["old"], texts["new"]), list[Change])


async def _text(work: Work, name: str, document_id: str) -> str:
    text, offset = "", 0
    for page in range(_PAGES):
        arguments = {"document_id": document_id, "offset": offset}
        found = await blocks.look_up(work, f"document {name} {page}", "knowledge_get_document", **arguments)
        text += found.raw.get("text", "")
        offset = found.raw.get("next_offset") or 0
        if not offset:
            break
    return text


def _day(moment: object) -> date:
    return datetime.fromisoformat(str(moment)).date()
