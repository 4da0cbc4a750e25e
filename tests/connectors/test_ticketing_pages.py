"""Pages of tickets by their latest change, where a system only numbers its pages: whatever changes, none is missed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import CallContext
from connectors.embedded.pages import encode_cursor
from connectors.errors import InvalidInput, Unavailable
from connectors.ticketing.request_tracker import lists
from connectors.ticketing.zendesk import searching
from connectors.vendor.api import Reply
from connectors.vendor.sent import Numbered
from connectors.vendor.site import Site

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CALL = CallContext(tenant="larkspur", actor="ana@larkspur.example", key="k", now=NOON)


def _at(second: int) -> str:
    return f"{NOON + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Listing:
    """Tickets by number, each with the second of its latest change, listed as both systems do."""

    seconds: dict[int, int] = field(default_factory=dict)
    latest: int = 0
    asked: int = 0
    site = Site("Zendesk", "https://zendesk.example", "zendesk")

    async def read(self, _call: CallContext, _method: str, path: str, *, params: Mapping[str, Any]) -> Reply:
        number, size = params["page"], params["per_page"]
        self.asked += 1
        listed = sorted(self.seconds, key=lambda each: (self.seconds[each], each), reverse=True)
        if path == "/search":
            # Within a second the order is the index's own.
            listed.sort(key=lambda each: (self.seconds[each], -each), reverse=True)
            until = next((word.removeprefix("updated<=") for word in params["query"].split() if "<=" in word), "~")
            listed = [each for each in listed if _at(self.seconds[each]) <= until]
        page = listed[(number - 1) * size : number * size]
        pages = -(-len(listed) // size)
        if path == "/search":
            results = [{"id": each, "updated_at": _at(self.seconds[each])} for each in page]
            body: dict[str, Any] = {"results": results, "next_page": "more" if number < pages else None}
        else:
            items = [{"id": str(each), "LastUpdated": _at(self.seconds[each])} for each in page]
            body = {"items": items, "pages": float(pages)}
        return Reply(200, httpx.Headers(), body, Unavailable("no sense"))

    def change(self, number: int) -> None:
        self.latest += 1
        self.seconds[number] = self.latest


def a_listing(many: int, in_a_second: int) -> Listing:
    seconds = {number: number // in_a_second for number in range(1, many + 1)}
    return Listing(seconds, many)


@settings(max_examples=60, deadline=None)
@given(
    system=st.sampled_from([lists.places, searching.places]),
    many=st.integers(0, 330),
    in_a_second=st.integers(1, 40),
    limit=st.integers(1, 50),
    meanwhile=st.lists(st.lists(st.tuples(st.booleans(), st.integers(1, 330)), max_size=120), max_size=8),
)
async def test_what_does_not_change_is_met_once_whatever_else_changes_or_goes(
    system: Any, many: int, in_a_second: int, limit: int, meanwhile: list[list[tuple[bool, int]]]
) -> None:
    listing, steps = a_listing(many, in_a_second), list(meanwhile)
    touched, met, cursor, more = set[int](), list[int](), "", True
    while more:
        page, cursor = await system(listing, CALL, [], cursor, limit)
        assert len(page) <= limit
        met, more = [*met, *(place.id for place in page)], bool(cursor)
        for goes, number in steps.pop() if steps else []:
            if number in listing.seconds:
                touched.add(number)
                if goes:
                    del listing.seconds[number]
                else:
                    listing.change(number)
    unchanged = [number for number in range(many, 0, -1) if number not in touched]
    assert [number for number in met if number not in touched] == unchanged


@dataclass
class Hiding:
    """A list of Request Tracker's of which the reader may not see all, so that pages lack some."""

    seen: list[bool]
    site = Site("Request Tracker", "https://rt.example", "request_tracker")

    async def read(self, _call: CallContext, _method: str, _path: str, *, params: Mapping[str, Any]) -> Reply:
        start = (params["page"] - 1) * params["per_page"]
        numbers = range(start, min(start + params["per_page"], len(self.seen)))
        items = [{"id": number} for number in numbers if self.seen[number]]
        return Reply(200, httpx.Headers(), {"items": items, "pages": None}, Unavailable("no sense"))


@settings(max_examples=30, deadline=None)
@given(
    seen=st.lists(st.booleans(), max_size=350).filter(
        lambda seen: all(any(seen[n:][:100]) for n in range(0, len(seen), 100))
    )
)
async def test_a_list_is_read_whole_even_where_its_pages_lack_what_may_not_be_seen(seen: list[bool]) -> None:
    found = await lists.every(Hiding(seen), CALL, "/transactions", {}, Numbered)  # type: ignore[arg-type]
    assert [each.id for each in found] == [number for number, is_seen in enumerate(seen) if is_seen]


async def test_a_list_that_does_not_end_is_not_read_for_ever() -> None:
    with pytest.raises(Unavailable, match="more of it than can be read at once"):
        await lists.every(Hiding([True] * 20_000), CALL, "/transactions", {}, Numbered)  # type: ignore[arg-type]


@pytest.mark.parametrize("system", [lists.places, searching.places])
async def test_a_last_page_that_is_full_is_the_last(system: Any) -> None:
    page, cursor = await system(a_listing(100, 3), CALL, [], "", 50)
    page, cursor = await system(a_listing(100, 3), CALL, [], cursor, 50)
    assert (len(page), cursor) == (50, "")


@pytest.mark.parametrize("offset", [1_950, 2**31 - 1])
async def test_where_a_page_began_beyond_the_end_it_is_looked_for_at_the_end(offset: int) -> None:
    listing = a_listing(2_000, 3)
    cursor = encode_cursor([_at(listing.seconds[50]), 50, offset])
    listing.seconds = {number: second for number, second in listing.seconds.items() if not 100 < number <= 200}
    page, _ = await lists.places(listing, CALL, [], cursor, 20)  # type: ignore[arg-type]
    assert [place.id for place in page] == [*range(49, 29, -1)]
    assert listing.asked == 2


async def test_more_tickets_of_one_second_than_a_search_shows_are_not_walked_in_part() -> None:
    with pytest.raises(Unavailable, match="too many tickets that changed at once"):
        await searching.places(a_listing(1_200, 2_000), CALL, [], "", 50)  # type: ignore[arg-type]


@pytest.mark.parametrize("system", [lists.places, searching.places])
@pytest.mark.parametrize(
    "cursor",
    [
        *("WzEsMl0", "W10", "WyIyMDI2IiwxXQ", "WyJ4IiwxLDFd", "WyIyMDI2LTAzLTAyIiwxLC0xXQ"),
        *(encode_cursor([NOON.isoformat(), 1, offset]) for offset in (-1, 2**31)),
    ],
)
async def test_a_cursor_that_was_not_made_here_is_refused(system: Any, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="not a cursor of this tool"):
        await system(Listing(), CALL, [], cursor, 50)
