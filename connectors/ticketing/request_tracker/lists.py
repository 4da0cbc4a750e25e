"""Lists of Request Tracker's: how one is read whole, and how tickets are read a page at a time."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter

from connectors.contract import CallContext
from connectors.embedded.pages import decode_cursor, encode_cursor
from connectors.errors import InvalidInput, Unavailable
from connectors.ticketing.request_tracker.records import Place, Places
from connectors.vendor.api import Api, Reply

M = TypeVar("M", bound=BaseModel)

PAGE: Final = 100
"""How many items one request gives at most."""
_MOST_PAGES: Final = 100


async def every(
    api: Api, call: CallContext, path: str, query: Mapping[str, Any], model: type[M], at_most: int | None = None
) -> list[M]:
    """Every item of a list. A page may lack what its reader may not see, so that only an empty one is surely the last.

    Args:
        api: The way to Request Tracker.
        call: In whose name.
        path: The list's.
        query: What of it is wanted.
        model: What an item is.
        at_most: How many there can be, if that is known.

    Raises:
        Unavailable: If there are too many; also whatever asking raises.
    """
    found: list[M] = []
    for number in range(1, _MOST_PAGES + 1):
        reply = await api.read(call, "GET", path, params={**query, "per_page": PAGE, "page": number})
        items = items_of(reply, model)
        found += items
        # How many pages there are is told of some lists.
        if not items or len(found) == at_most or (reply.body.get("pages") and number >= reply.body["pages"]):
            return found
    raise Unavailable(f"{api.site.name} has more of it than can be read at once; ask for fewer tickets")


def items_of(reply: Reply, model: type[M]) -> list[M]:
    """The items of one page."""
    try:
        return TypeAdapter(list[model]).validate_python(reply.body["items"])  # type: ignore[valid-type]
    except (ValueError, LookupError, TypeError):
        raise reply.doubt from None


def chunks(numbers: Sequence[int]) -> Iterable[Sequence[int]]:
    """Numbers, as many at a time as one request can name."""
    return (numbers[start : start + PAGE] for start in range(0, len(numbers), PAGE))


async def places(
    api: Api, call: CallContext, conditions: Sequence[str], cursor: str, limit: int
) -> tuple[list[Place], str]:
    """One page of tickets by their latest change, and the cursor of the next page, "" after the last.

    Request Tracker reads times in a query in its user's time zone, so no condition can say where a page starts. It is
    looked for near the place where the page before ended; from there tickets move as they change.

    Raises:
        InvalidInput: If the cursor was not made here; also whatever asking raises.
    """
    last, offset = _position(cursor)
    number = offset // PAGE + 1
    page = await _page(api, call, conditions, number)
    while number > 1 and last and (not page.items or page.items[0].rank < last):
        number -= 1
        page = await _page(api, call, conditions, number)
    found: list[tuple[int, Place]] = []
    while True:
        start = (number - 1) * PAGE
        found += [(start + n, each) for n, each in enumerate(page.items) if last is None or each.rank < last]
        if len(found) > limit or number >= page.pages:
            break
        number += 1
        page = await _page(api, call, conditions, number)
    taken = [place for _, place in found[:limit]]
    return taken, (_cursor(*found[limit - 1]) if len(found) > limit else "")


async def _page(api: Api, call: CallContext, conditions: Sequence[str], number: int) -> Places:
    order = {"orderby": ["LastUpdated", "id"], "order": ["DESC", "DESC"]}
    asked = {"query": " AND ".join(conditions), **Place.FIELDS, **order, "per_page": PAGE, "page": number}
    return (await api.read(call, "GET", "/tickets", params=asked)).as_(Places)


def _cursor(at: int, place: Place) -> str:
    return encode_cursor([place.updated.isoformat(), place.id, at])


def _position(cursor: str) -> tuple[tuple[datetime, int] | None, int]:
    """The last ticket of the page before, and how many were before it then."""
    if not cursor:
        return None, 0
    at, id_, offset = decode_cursor(cursor, (str, int, int))
    try:
        moment = datetime.fromisoformat(str(at))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 0 <= int(offset) < 2**31:
        raise InvalidInput("not a cursor of this tool; leave `cursor` out to start from the first page", field="cursor")
    return (moment, int(id_)), int(offset)
