"""Lists of Request Tracker's: how one is read whole, and how tickets are read a page at a time."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from connectors.contract import CallContext
from connectors.embedded.pages import decode_cursor, encode_cursor, not_a_cursor
from connectors.errors import Unavailable
from connectors.ticketing.request_tracker.records import Items, M, Place
from connectors.vendor.api import Api

LARGEST: Final = 2**31 - 1
"""The largest number of a ticket: what is larger is an error to some databases."""
_PAGE: Final = 100
"""How many items one request gives at most."""
_MOST_PAGES: Final = 100
_START: Final = datetime.max.replace(tzinfo=UTC), 0, 0
_PEOPLE: Final = {f"fields[{role}]": "EmailAddress,RealName" for role in ("Requestor", "Owner", "Creator")}
_LATEST_FIRST: Final = {"orderby": ["LastUpdated", "id"], "order": ["DESC", "DESC"]}


def matching(**wanted: str | Sequence[int]) -> str:
    """A search for anything but tickets: each field has a value, or one of some numbers."""
    conditions = [(name, "=" if isinstance(value, str) else "IN", value) for name, value in wanted.items()]
    return json.dumps([dict(zip(("field", "operator", "value"), each, strict=True)) for each in conditions])


async def every(api: Api, call: CallContext, path: str, query: str, model: type[M]) -> list[M]:
    """Every item of a list.

    Args:
        api: The way to Request Tracker.
        call: In whose name.
        path: The list's.
        query: What of it is wanted.
        model: What an item is.

    Raises:
        Unavailable: If there are too many; also whatever asking raises.
    """
    found: list[M] = []
    for number in range(1, _MOST_PAGES + 1):
        page = await _page(api, call, path, {"query": query}, model, number)
        found += page.items
        if page.is_last(number):
            return found
    raise Unavailable(f"{api.site.name} has more of it than can be read at once; ask for fewer tickets")


async def first(api: Api, call: CallContext, path: str, query: str, model: type[M]) -> list[M]:
    """The first items of a list, where there can be no more."""
    return (await _page(api, call, path, {"query": query}, model, 1)).items


async def every_of(
    api: Api, call: CallContext, path: str, field: str, numbers: Sequence[int], model: type[M], **also: str
) -> list[M]:
    """Every item of a list that has one of some numbers in a field, of which one request can name so many."""
    found: list[M] = []
    for start in range(0, len(numbers), _PAGE):
        query = matching(**{field: numbers[start : start + _PAGE]}, **also)
        # Nothing shares its id with another, so that one page has all of them.
        found += await (first if field == "id" else every)(api, call, path, query, model)
    return found


async def places(
    api: Api, call: CallContext, conditions: Sequence[str], cursor: str, limit: int
) -> tuple[list[Place], str]:
    """One page of tickets by their latest change, and the cursor of the next page, "" after the last.

    Request Tracker reads times in a query in its user's time zone, so no condition can say where a page starts. It is
    looked for near the place where the page before ended; from there tickets move as they change.

    Raises:
        InvalidInput: If the cursor was not made here; also whatever asking raises.
    """
    asked = {"query": " AND ".join(conditions), **_LATEST_FIRST}
    page_of = partial(_page, api, call, "/tickets", asked, Place)
    at, id_, offset = decode_cursor(cursor, (datetime, int, int)) if cursor else _START
    if not 0 <= offset <= LARGEST:
        raise not_a_cursor()
    last, number = (at, id_), offset // _PAGE + 1
    page = await page_of(number)
    while number > 1 and (not page.items or page.items[0].rank < last):
        number = number - 1 if page.items else min(number - 1, int(page.pages or 1))
        page = await page_of(number)
    found = [each for each in page.items if each.rank < last]
    while len(found) <= limit and not page.is_last(number):
        number += 1
        page = await page_of(number)
        found += [each for each in page.items if each.rank < last]
    taken, more = found[:limit], len(found) - limit
    ended = (number - 1) * _PAGE + len(page.items) - more - 1
    return taken, (encode_cursor([*taken[-1].rank, ended]) if more > 0 else "")


async def _page(api: Api, call: CallContext, path: str, asked: dict[str, Any], model: type[M], number: int) -> Items[M]:
    fields = ",".join(field.alias for field in model.model_fields.values() if field.alias)
    params = {**asked, "fields": fields, **_PEOPLE, "per_page": _PAGE, "page": number}
    return (await api.read(call, "GET", path, params=params)).as_(Items[model])  # type: ignore[valid-type]
