"""Several ways at the same time: how they join, wait, and fail."""

import pytest

from orchestrator.durable.run import Parked, TryLater
from orchestrator.durable.store import Fenced
from orchestrator.patterns import parallel


async def gives(what: str) -> str:
    return what


async def fails(error: BaseException) -> str:
    raise error


async def test_the_results_come_by_name_in_the_order_of_the_ways() -> None:
    found = await parallel({"b": lambda: gives("second"), "a": lambda: gives("first")})
    assert list(found.items()) == [("b", "second"), ("a", "first")]


async def test_if_one_way_waits_all_wait_for_any_of_what_they_wait_for() -> None:
    ways = {name: lambda name=name: fails(Parked(frozenset({name}), name, 5)) for name in ("a", "b")}
    with pytest.raises(Parked) as waiting:
        await parallel({**ways, "c": lambda: gives("done")})
    assert (waiting.value.awaits, waiting.value.until) == (frozenset({"a", "b"}), 5)


@pytest.mark.parametrize("first", [True, False])
async def test_a_lost_run_is_lost_and_not_merely_failed(first: bool) -> None:
    ways = {"lost": lambda: fails(Fenced("another worker's")), "failed": lambda: fails(ValueError("broken"))}
    with pytest.raises(Fenced, match="another worker's"):
        await parallel(ways if first else dict(reversed(ways.items())))


async def test_what_fails_for_good_counts_more_than_what_does_not_answer() -> None:
    async def both() -> str:
        raise ExceptionGroup("deeper", [TryLater("away"), ValueError("broken")])

    with pytest.raises(ValueError, match="broken"):
        await parallel({"a": both})


async def test_what_one_way_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ValueError, match="broken"):
        await parallel({"a": lambda: fails(ValueError("broken")), "b": lambda: gives("done")})
