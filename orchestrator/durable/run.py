"""A run as its workflow sees it: steps that are done once, waiting that costs nothing, and events.

A workflow is an ordinary async function. Whenever its run is taken up it begins at the top: a step that was done gives
what it gave then, so the function comes to where it was. Between its steps it must not depend on anything that may be
different then: the time, chance, the outside world all belong in steps.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from orchestrator.durable.store import Begin, Done, Kept, Store

T = TypeVar("T")


class Parked(BaseException):
    """The run waits; the worker puts it away. No workflow catches it, so it is no `Exception`.

    Args:
        awaits: The events that take it up again, each of them; empty if only time does.
        why: Why it waits, for people.
        until: When it is taken up although nothing came, in milliseconds since 1970; None if never.
    """

    def __init__(self, awaits: frozenset[str], why: str, until: int | None = None) -> None:
        super().__init__(why)
        self.awaits, self.why, self.until = awaits, why, until


def any_of(waiting: Sequence[Parked]) -> Parked:
    """What waits for several things at once: it goes on with the first."""
    names = frozenset(name for each in waiting for name in each.awaits)
    moments = [each.until for each in waiting if each.until is not None]
    return Parked(names, "; ".join(each.why for each in waiting), min(moments, default=None))


class TryLater(Exception):
    """Something outside does not answer: the run is put off and goes on from its last step, ever later."""


class StepChanged(Exception):
    """A step is given other things than when it was done: the workflow's code or something it depends on changed."""


class Run:
    """One run while a worker has it.

    Args:
        kept: The run as it was claimed.
        done: The steps that it has done, by name. `found` counts those that were done when it was claimed.
        store: Where steps are kept.
    """

    def __init__(self, kept: Kept, done: dict[str, Done], store: Store) -> None:
        self.kept = kept
        self.store = store
        self.done = done
        self.found = len(done)
        self._named: dict[str, int] = {}

    @property
    def id(self) -> str:
        """The run's id, which also names it in the gateway's journal."""
        return self.kept.id

    @property
    def tries(self) -> int:
        """How often it was put off since it last got on."""
        return self.kept.tries if len(self.done) == self.found else 0

    def unguessable(self, name: str) -> str:
        """A text that nobody else can guess, the same whenever the run is taken up."""
        return hmac.new(bytes.fromhex(self.kept.seed), name.encode(), hashlib.sha256).hexdigest()[:16]

    async def step(
        self,
        name: str,
        do: Callable[[], Awaitable[T]],
        type_: Any = Any,  # noqa: ANN401 - whatever pydantic takes for a type
        *,
        kind: str = "function",
        given: Any = None,  # noqa: ANN401 - JSON data
        facts: Callable[[T], dict[str, Any]] | None = None,
    ) -> T:
        """Do something once in the run's life, whatever happens to its worker.

        Args:
            name: Its name within the run. If it comes again, as in a loop, it is numbered; what runs at the same time
                needs names of its own.
            do: Does it. If the worker dies within, it is done again: what has an effect needs a key of its own.
            type_: The type of what it gives, which must survive JSON.
            kind: `function`, `model`, `call`, `person` or `event`.
            given: What it depends on, if a change of it must be noticed.
            facts: What else to keep of it, for people and measures.

        Raises:
            StepChanged: If it was done before with other things.
            Fenced: If the run is another worker's by now.
        """
        adapter: TypeAdapter[T] = TypeAdapter(type_)
        name, fingerprint = self._number(name), _fingerprint(given)
        if kept := self.done.get(name):
            if kept.given != fingerprint:
                raise StepChanged(f"step `{name}` of run `{self.id}` was done with other things than it is given now")
            return adapter.validate_json(kept.output)
        began = time.monotonic()
        result = await do()
        lasted = round((time.monotonic() - began) * 1_000)
        output = adapter.dump_json(result).decode()
        done = Done(name, kind, fingerprint, output, facts(result) if facts else {}, lasted)
        await self.store.add_step(self.id, self.kept.fence, done)
        self.done[name] = done
        # What goes on now is what would go on after a restart.
        return adapter.validate_json(output)

    async def wait(self, name: str, event: str, *, seconds: float | None = None, why: str = "") -> Any:  # noqa: ANN401
        """Wait for an event, for hours or weeks: the run takes no memory meanwhile.

        Returns:
            What was told with the event, or None if the time was over first.
        """
        until = await self._until(name, seconds)

        async def look() -> Any:  # noqa: ANN401 - JSON data
            told, payload = await self.store.event(event)
            if not told and (until is None or _now() < until):
                raise Parked(frozenset({event}), why or f"waits for {event}", until)
            return payload

        return await self.step(name, look, kind="event", facts=lambda _: {"event": event})

    async def sleep(self, name: str, seconds: float) -> None:
        """Go on after a time, of up to years."""
        until = await self._until(name, seconds) or 0

        async def look() -> None:
            if _now() < until:
                raise Parked(frozenset(), "sleeps", until)

        await self.step(name, look, kind="event")

    async def ask(self, name: str, question: str, choices: list[str], seconds: float | None = None) -> dict[str, Any]:
        """Pause for a person: they answer with `remit runs answer`, or on the page.

        Args:
            name: The step's name.
            question: What they are asked, with all that they need to answer.
            choices: The answers that they may give.
            seconds: How long they have; None for ever.

        Returns:
            `choice` (empty if nobody answered in time), `note`, `by`, and what they changed under `edited`.
        """
        event = f"answer:{self.id}:{name}"
        asked = {"question": question, "choices": choices, "event": event}

        async def noted() -> None:
            return None

        await self.step(f"{name}.asked", noted, kind="person", facts=lambda _: asked)
        answer = await self.wait(name, event, seconds=seconds, why=f"asks a person: {question}")
        return answer or {"choice": "", "note": "", "by": ""}

    async def child(self, name: str, wanted: Begin) -> str:
        """Begin another run; it has an id made of this one's, so that it is begun once.

        Returns:
            Its result as JSON, when it has ended; empty if it failed or was cancelled.
        """
        begin = Begin(**{**{part: getattr(wanted, part) for part in Begin.__slots__}, "id": f"{self.id}.{name}"})

        async def started() -> str:
            return await self.store.begin(begin)

        child = await self.step(f"{name}.begun", started, str)
        return str(await self.wait(name, f"ended:{child}", why=f"waits for run {child}") or "")

    async def _until(self, name: str, seconds: float | None) -> int | None:
        async def moment() -> int | None:
            return None if seconds is None else _now() + int(seconds * 1_000)

        return await self.step(f"{name}.until", moment, kind="event")

    def _number(self, name: str) -> str:
        number = self._named[name] = self._named.get(name, 0) + 1
        return name if number == 1 else f"{name}#{number}"


def _now() -> int:
    return time.time_ns() // 1_000_000


def _fingerprint(given: object) -> str:
    if given is None:
        return ""
    return hashlib.sha256(json.dumps(to_jsonable_python(given), sort_keys=True).encode()).hexdigest()[:32]
