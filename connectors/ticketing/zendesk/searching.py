"""Searches for tickets in Zendesk: what is asked, and how pages follow each other.

A search gives at most 1,000 results, so that a page starts with a condition on the time where the one before ended.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from connectors.contract import CallContext
from connectors.embedded.pages import decode_cursor, encode_cursor
from connectors.errors import Unavailable
from connectors.ticketing.tools import SearchTickets
from connectors.ticketing.zendesk.records import Found, Results
from connectors.vendor.api import Api

# In quotes everything but these is taken as it stands.
_BETWEEN_WORDS = re.compile(r'[\s"\\*]+')
_PAGE: Final = 100
_PAGES: Final = 10

Rank = tuple[datetime, int]


def wanted(args: SearchTickets) -> list[str]:
    """The conditions that a ticket is one of those that somebody looks for; of several statuses one will do."""
    conditions = [f'"{word}"' for word in _BETWEEN_WORDS.split(args.query) if word]
    if args.status:
        conditions += [f"status:{args.status}", *(["status:hold"] if args.status == "pending" else [])]
    if args.priority:
        conditions.append(f"priority:{args.priority}")
    for name, value in (("assignee", args.assignee), ("requester", args.requester_email or "")):
        if value:
            conditions.append(f"{name}:{_quoted(value)}")
    if args.tag:
        conditions.append(f"tags:{_quoted(args.tag)}")
    return conditions


async def places(
    api: Api, call: CallContext, conditions: Sequence[str], cursor: str, limit: int
) -> tuple[list[Found], str]:
    """One page of tickets by their latest change, and the cursor of the next page, "" after the last.

    Raises:
        InvalidInput: If the cursor was not made here; also whatever asking raises.
    """
    last: Rank | None = tuple(decode_cursor(cursor, (datetime, int))) if cursor else None
    until = [f"updated<={last[0]:%Y-%m-%dT%H:%M:%SZ}"] if last else []
    found: list[Found] = []
    for number in range(1, _PAGES + 1):
        results = await search(api, call, [*conditions, *until], number)
        found += [each for each in results.results if last is None or each.rank < last]
        found.sort(key=lambda each: each.rank, reverse=True)
        # Those that changed in one second come in any order, so that second must have passed.
        passed = len(found) > limit and found[-1].updated_at < found[limit - 1].updated_at
        if passed or results.next_page is None:
            taken = found[:limit]
            return taken, (encode_cursor([*taken[-1].rank]) if found[limit:] else "")
    raise Unavailable(f"{api.site.name} has too many tickets that changed at once; search for fewer")


async def search(api: Api, call: CallContext, conditions: Sequence[str], number: int = 1) -> Results:
    """One page of what Zendesk finds."""
    query = " ".join(["type:ticket", *conditions])
    order = {"sort_by": "updated_at", "sort_order": "desc"}
    asked = {"query": query, **order, "per_page": _PAGE, "page": number}
    return (await api.read(call, "GET", "/search", params=asked)).as_(Results)


def _quoted(value: str) -> str:
    return '"' + _BETWEEN_WORDS.sub(" ", value).strip() + '"'
