"""A run as its workflow sees it: steps that are done once, waiting that costs nothing, and events.

A workflow is an ordinary async function. Whenever its run is taken up it begins at the top: a step that was done gives
what it gave then, so the function comes to where it was. Between its steps it must not depend on anything that may be
different then: the time, chance, the outside world all belong in steps.
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeVar, cast

import anyio
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.durable.database import is_away
from orchestrator.durable.store import Begin, Done, Fenced, Kept, Store
from orchestrator.telemetry import tell_step

T = TypeVar("T")
LARGEST_OUTPUT = 16 * 1024 * 1024
_NAME = re.compile(r"(?!.*#\d+$)[ -~]{1,120}")
_PATIENCE = (0.1, 0.4, 1.0, 2.0, 4.0, 8.0)
_within: ContextVar[str] = ContextVar("step", default="")
_gone_through: ContextVar[tuple[list[str], ...]] = ContextVar("gone_through", default=())
"""The names of the steps within what is kept as one more, of each such that is under way."""


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


class BadStep(Exception):
    """A step cannot be kept so that the run could go on from it; its text says why."""


async def while_away(do: Callable[[], Awaitable[T]]) -> T:
    """Read or write although the database may not answer for a moment: what was done would be done again otherwise.

    Raises:
        Fenced: If it still does not answer: the run is let go of, and taken up again when its lease is over.
    """
    for pause in _PATIENCE:
        try:
            return await do()
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
        await anyio.sleep(pause)
    raise Fenced("the database does not answer")


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
        self.found = self._places = len(done)
        self._named: dict[str, int] = {}
        self._claimed = time.monotonic()

    @property
    def id(self) -> str:
        """The run's id, which also names it in the gateway's journal."""
        return self.kept.id

    @property
    def tries(self) -> int:
        """How often it was put off since it last got on."""
        return self.kept.tries if len(self.done) == self.found else 0

    def now(self) -> int:
        """The time in milliseconds since 1970 as the database has it, whose clock takes runs up."""
        return self.kept.changed + round((time.monotonic() - self._claimed) * 1_000)

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
            BadStep: If its name is not one, it is within another step, or what it gives cannot be kept.
            Fenced: If the run is another worker's by now.
        """
        if not _NAME.fullmatch(name) or _within.get() == self.id:
            raise BadStep(
                f"step `{name[:120]}` has a bad name, or is within another one: then it would be numbered anew"
            )
        adapter: TypeAdapter[T] = TypeAdapter(type_)
        name, fingerprint = self._number(name), _fingerprint(given)
        if kept := self.done.get(name):
            if kept.given != fingerprint:
                raise StepChanged(f"step `{name}` of run `{self.id}` was done with other things than it is given now")
            return adapter.validate_json(kept.output)
        began, inside = time.monotonic(), _within.set(self.id)
        try:
            result = await do()
        finally:
            _within.reset(inside)
        lasted = round((time.monotonic() - began) * 1_000)
        try:
            output = adapter.dump_json(result).decode()
            # What goes on now is what would go on after a restart.
            again = adapter.validate_json(output)
        except ValueError:
            raise BadStep(f"what step `{name}` gives does not survive JSON as its type") from None
        if len(output) > LARGEST_OUTPUT:
            raise BadStep(
                f"step `{name}` gives more than {LARGEST_OUTPUT:,} letters; keep it elsewhere and give its name"
            )
        done = Done(name, kind, fingerprint, output, facts(result) if facts else {}, lasted, self._places)
        self._places += 1
        await while_away(lambda: self.store.add_step(self.id, self.kept.fence, done))
        self.done[name] = done
        tell_step(self.kept.workflow, done)
        return again

    async def note(
        self,
        name: str,
        value: T,
        type_: Any = Any,  # noqa: ANN401 - whatever pydantic takes for a type
        *,
        kind: str = "function",
        given: Any = None,  # noqa: ANN401 - JSON data
        facts: Mapping[str, Any] | None = None,
    ) -> T:
        """Keep as a step what is known already; the arguments are those of `step`."""

        async def known() -> T:
            return value

        return await self.step(name, known, type_, kind=kind, given=given, facts=lambda _: dict(facts or {}))

    async def keep(
        self,
        name: str,
        do: Callable[[], Awaitable[T]],
        type_: Any = Any,  # noqa: ANN401 - whatever pydantic takes for a type
        facts: Callable[[T], Mapping[str, Any]] = lambda _: {},
    ) -> T:
        """What several steps come to, kept as one more: once it is there, they are not gone through again.

        So what bounds them, such as time or a budget, need not be met anew when the run is taken up later.
        """
        if kept := self.done.get(self.upcoming(name)):
            for each in kept.facts.get("steps", []):  # those after it are numbered as if they had been gone through
                self._number(each)
            return await self.note(name, cast("T", None), type_)
        names = list[str]()
        outside = _gone_through.set((*_gone_through.get(), names))
        try:
            result = await do()
        finally:
            _gone_through.reset(outside)
        return await self.note(name, result, type_, facts={**facts(result), "steps": names})

    async def wait(self, name: str, event: str, *, seconds: float | None = None, why: str = "") -> Any:  # noqa: ANN401
        """Wait for an event, for hours or weeks: the run takes no memory meanwhile.

        Returns:
            What was told with the event, or None if the time was over first.
        """
        until = await self._until(name, seconds)

        async def look() -> Any:  # noqa: ANN401 - JSON data
            told, payload = await while_away(lambda: self.store.event(event))
            if not told and (until is None or self.now() < until):
                raise Parked(frozenset({event}), why or f"waits for {event}", until)
            return payload

        return await self.step(name, look, kind="event", facts=lambda _: {"event": event})

    async def sleep(self, name: str, seconds: float) -> None:
        """Go on after a time, of up to years."""
        until = await self._until(name, seconds) or 0

        async def look() -> None:
            if self.now() < until:
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
        event = f"answer:{self.id}:{self.upcoming(name)}"
        asked = {"question": question, "choices": choices, "event": event}
        await self.note(f"{name}.asked", None, kind="person", facts=asked)
        answer = await self.wait(name, event, seconds=seconds, why=f"asks a person: {question}")
        return answer or {"choice": "", "note": "", "by": ""}

    async def child(self, name: str, wanted: Begin) -> str:
        """Begin another run and wait for its end; it has an id made of this one's, so that it is begun once.

        Returns:
            Its result as JSON; empty if it was cancelled. A failed one is waited for, until it is resumed or cancelled.
        """
        mark = hashlib.sha256(f"{self.id}\n{self.upcoming(name)}".encode()).hexdigest()[:20]
        begin = replace(wanted, id=f"{wanted.workflow[:40]}-{mark}", parent=self.id)

        started, given = lambda: while_away(lambda: self.store.begin(begin)), [wanted.workflow, wanted.given]
        child = await self.step(f"{name}.begun", started, str, given=given, facts=lambda run: {"run": run})
        return str(await self.wait(name, f"ended:{child}", why=f"waits for run {child}") or "")

    async def _until(self, name: str, seconds: float | None) -> int | None:
        if seconds is None:
            return None

        async def moment() -> int:
            return self.now() + int(seconds * 1_000)

        return await self.step(f"{name}.until", moment, int, kind="event")

    def upcoming(self, name: str) -> str:
        """What the next step of this name is called: it is numbered if there was one before."""
        number = self._named.get(name, 0) + 1
        return name if number == 1 else f"{name}#{number}"

    def _number(self, name: str) -> str:
        numbered = self.upcoming(name)
        self._named[name] = self._named.get(name, 0) + 1
        for names in _gone_through.get():
            names.append(name)
        return numbered


def _fingerprint(given: object) -> str:
    if given is None:
        return ""
    return hashlib.sha256(json.dumps(to_jsonable_python(given), sort_keys=True).encode()).hexdigest()[:32]
