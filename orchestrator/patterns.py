"""How steps are put together: route by intent, review, hand over, do at the same time, try again.

A sequence needs no piece of its own: it is one step after the other. Pausing for a person is `work.ask`, waiting for an
event `work.wait`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from orchestrator.durable.run import BadStep, Parked, StepChanged, TryLater, any_of
from orchestrator.durable.worker import sorted_out
from orchestrator.work import Work

T = TypeVar("T")
K = TypeVar("K", bound=str)


async def route(key: K, ways: Mapping[K, Callable[[], Awaitable[T]]], otherwise: Callable[[], Awaitable[T]]) -> T:
    """Go the way that belongs to a key, such as an intent; `otherwise` if there is none."""
    return await ways.get(key, otherwise)()


@dataclass(frozen=True, slots=True)
class Reviewed(Generic[T]):
    """A draft and what its last review found wrong; nothing if it passed. `rounds` counts the drafts."""

    draft: T
    wrong: list[str]
    rounds: int

    @property
    def passed(self) -> bool:
        """Whether the review found nothing."""
        return not self.wrong


async def review(
    write: Callable[[int, list[str]], Awaitable[T]],
    evaluate: Callable[[int, T], Awaitable[list[str]]],
    rounds: int = 2,
) -> Reviewed[T]:
    """Write something, have it evaluated by a rule or a second model, and write it again while it is not good.

    Args:
        write: Given the number of the round and what was wrong, writes a draft; names its steps by the round.
        evaluate: Says what is wrong with a draft.
        rounds: How often it is written at most.
    """
    wrong: list[str] = []
    for number in range(1, rounds + 1):
        draft = await write(number, wrong)
        wrong = await evaluate(number, draft)
        if not wrong:
            break
    return Reviewed(draft, wrong, number)


@dataclass(frozen=True, slots=True)
class HandOver:
    """What one specialist gives another: to whom, and what they need to know."""

    to: str
    brief: str


async def hand_over(
    first: HandOver, specialists: Mapping[str, Callable[[str, int], Awaitable[HandOver | T]]], most: int = 4
) -> T | None:
    """Let specialists work in turn, each with the brief of the one before, until one gives a result.

    Args:
        first: Who begins, with what.
        specialists: By name; each gets the brief and the number of its turn.
        most: How many turns at most.

    Returns:
        The result; None if there was none after so many turns, or it was handed to somebody unknown: then it is a
        person's.
    """
    turn = first
    for number in range(1, most + 1):
        if turn.to not in specialists:
            return None
        result = await specialists[turn.to](turn.brief, number)
        if not isinstance(result, HandOver):
            return result
        turn = result
    return None


async def parallel(ways: Mapping[str, Callable[[], Awaitable[T]]]) -> dict[str, T]:
    """Go several ways at the same time and join: all results by name.

    Each way names its own steps. If one waits, the others still come as far as they can, and the run goes on as soon as
    any of them can; if one fails, the others are broken off.
    """
    results: dict[str, T] = {}
    waiting: list[Parked] = []

    async def go(name: str, way: Callable[[], Awaitable[T]]) -> None:
        try:
            results[name] = await way()
        except Parked as parked:
            waiting.append(parked)

    try:
        async with anyio.create_task_group() as tasks:
            for name, way in ways.items():
                tasks.start_soon(go, name, way)
    except BaseExceptionGroup as group:
        raise sorted_out(group) from None
    if waiting:
        raise any_of(waiting)
    return {name: results[name] for name in ways}


async def retry(work: Work, name: str, do: Callable[[int], Awaitable[T]], *, tries: int = 3, seconds: float = 5) -> T:
    """Try something again that fails for now, with ever longer pauses that cost nothing.

    Args:
        work: The run's hands.
        name: Names its pauses.
        do: Given the number of the try, does it; names its steps by it.
        tries: How often at most.
        seconds: The first pause; each further one is twice as long.

    Raises:
        Exception: What the last try raised.
    """
    for number in range(1, tries):
        failed = f"{name}.failed{number}"
        if failed not in work.run.done:
            try:
                return await do(number)
            except (BadStep, StepChanged, TryLater):  # the next try would fare no better, or it is made anyway
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is: it is tried again
                await _note(work, failed, error)
        else:
            await _note(work, failed, None)
        await work.sleep(f"{name}.pause{number}", seconds * 2 ** (number - 1))
    return await do(tries)


async def _note(work: Work, name: str, error: Exception | None) -> None:
    told = f"{type(error).__name__}: {error}"[:300]
    await work.note(name, told, str, facts={"retry": told})
