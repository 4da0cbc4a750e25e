"""Runs in the database: begun, claimed by a worker, taken over from a dead one, parked, woken and ended.

A worker holds a run by a lease that it renews. Each time a run changes hands its fence rises, and whatever is written
for it says the fence under which it was begun: a worker that was thought dead and comes back writes nothing any more.
"""

import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.durable.database import Database, is_taken
from orchestrator.durable.tables import events, now_ms, runs, steps, waits

MAX_TRIES = 200
HEARD = {"heard": True}
"""What is kept of an event that says only that something has changed, and may come again."""
ANYTHING = "heard:anything"
"""Heard of when nobody knows what has changed: whatever waits is to look for itself."""
_HEARD = json.dumps(HEARD)


class State(StrEnum):
    """Where a run stands. The last three are ends; a failed run can be resumed."""

    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDS = (State.DONE, State.FAILED, State.CANCELLED)


class Fenced(BaseException):
    """The run is no longer this worker's: it was cancelled, or another one took it over. No workflow catches it."""


class UnknownRun(Exception):
    """There is no such run."""


@dataclass(frozen=True, slots=True)
class Begin:
    """What a run is begun with.

    Args:
        workflow: The workflow's name.
        version: And version.
        given: Its input as JSON.
        about: One line for people.
        team: Whose budget it is on; empty if no team's.
        customer: Which customer it is about, if one.
        person: On whose behalf it acts, if on anyone's.
        id: The run's id; the same id is begun once. Empty makes one.
    """

    workflow: str
    version: int
    given: str
    about: str = ""
    team: str = ""
    customer: str = ""
    person: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A run as it is kept. Times are milliseconds since 1970, `due` is None if nothing but an event takes it up."""

    id: str
    workflow: str
    version: int
    given: str
    about: str
    team: str
    customer: str
    person: str
    state: State
    due: int | None
    fence: int
    worker: str
    why: str
    tries: int
    seed: str = field(repr=False)
    result: str
    begun: int
    changed: int


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was done. `given` is a fingerprint of what it was given, `facts` say more for people and measures."""

    name: str
    kind: str
    given: str
    output: str
    facts: dict[str, Any]
    milliseconds: int
    at: int = 0


class Store:
    """The runs of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def begin(self, wanted: Begin) -> str:
        """Begin a run, unless one of its id was begun before; returns the id."""
        run_id = wanted.id or f"{wanted.workflow}-{secrets.token_hex(6)}"
        values = {
            name: getattr(wanted, name) for name in ("workflow", "version", "given", "team", "customer", "person")
        }

        def write(connection: Connection) -> None:
            moment = connection.scalar(select(now_ms()))
            fresh = {"due": moment, "begun": moment, "changed": moment, "state": State.READY, "fence": 0, "tries": 0}
            empty = dict.fromkeys(("worker", "why", "result"), "")
            about = wanted.about[:200]
            connection.execute(
                insert(runs).values(id=run_id, **values, about=about, seed=secrets.token_hex(16), **fresh, **empty)
            )

        try:
            await self.database.run(write)
        except IntegrityError as error:
            if not is_taken(error):
                raise
        return run_id

    async def claim(self, worker: str, most: int, lease: float, only: str = "") -> list[tuple[Kept, dict[str, Done]]]:
        """Take up runs that are due, or `only` one and its children; the longest due first, with what each has done."""

        def write(connection: Connection) -> list[tuple[Kept, dict[str, Done]]]:
            due = select(runs.c.id).where(runs.c.due <= now_ms()).order_by(runs.c.due).limit(most)
            if only:
                due = due.where(or_(runs.c.id == only, runs.c.id.startswith(f"{only}.", autoescape=True)))
            taken = connection.execute(
                update(runs)
                .where(runs.c.id.in_(due.with_for_update(skip_locked=True).scalar_subquery()))
                .values(
                    state=State.RUNNING,
                    fence=runs.c.fence + 1,
                    worker=worker,
                    due=now_ms() + int(lease * 1_000),
                    changed=now_ms(),
                )
                .returning(runs)
            ).all()
            ids = [row.id for row in taken]
            connection.execute(delete(waits).where(waits.c.run.in_(ids)))
            done = _steps_of(connection, ids)
            return [(_kept(row), done.get(row.id, {})) for row in taken]

        return await self.database.run(write)

    async def renew(self, held: dict[str, int], lease: float) -> set[str]:
        """Prolong the leases of runs, given with their fences; returns those that are still held."""
        if not held:
            return set()

        def write(connection: Connection) -> set[str]:
            kept = connection.execute(
                update(runs)
                .where(runs.c.id.in_(held), runs.c.state == State.RUNNING)
                .values(due=now_ms() + int(lease * 1_000))
                .returning(runs.c.id, runs.c.fence)
            )
            return {row.id for row in kept if held[row.id] == row.fence}

        return await self.database.run(write)

    async def add_step(self, run: str, fence: int, step: Done) -> None:
        """Keep a step that was done.

        Raises:
            Fenced: If the run is no longer held under this fence.
        """

        def write(connection: Connection) -> None:
            _change(connection, run, fence, tries=0)
            values = {"name": step.name, "kind": step.kind, "given": step.given, "output": step.output}
            facts = json.dumps(step.facts, ensure_ascii=False)
            connection.execute(
                insert(steps).values(run=run, **values, facts=facts, milliseconds=step.milliseconds, at=now_ms())
            )

        await self.database.run(write)

    async def park(
        self, run: str, fence: int, awaits: Collection[str], why: str, until: int | None, since: int | None = None
    ) -> None:
        """Put a run away until one of some events or a moment, whatever comes first.

        Args:
            run: The run.
            fence: Under which it is held.
            awaits: The names of the events.
            why: Why it waits.
            until: When it is taken up although nothing came; None if never.
            since: When it was taken up: what was heard of since then it may not have seen. None if it has seen all.

        Raises:
            Fenced: If the run is no longer held under this fence.
        """
        parked = {"state": State.WAITING, "why": why[:400], "due": until, "worker": "", "tries": 0}

        def write(connection: Connection) -> None:
            _change(connection, run, fence, **parked)
            if awaits:
                connection.execute(insert(waits), [{"run": run, "event": event} for event in sorted(awaits)])

        await self.database.run(write)
        if awaits:
            # An event that came in between found nothing to wake.
            await self.database.run(lambda connection: _take_up_if_arrived(connection, run, awaits, since))

    async def end(self, run: str, fence: int, state: State, result: str = "", why: str = "") -> None:
        """Write down how a run ended.

        Raises:
            Fenced: If the run is no longer held under this fence.
        """
        ended = {"state": state, "result": result, "why": why[:400], "due": None, "worker": ""}

        def write(connection: Connection) -> None:
            _change(connection, run, fence, **ended)
            if state is not State.FAILED:  # whoever waits for a failed run waits until it was resumed or cancelled
                _tell_of_end(connection, run, result)

        await self.database.run(write)

    async def put_off(self, run: str, fence: int, why: str, seconds: float, tries: int) -> None:
        """Put a run off for a while, because something outside does not answer.

        Raises:
            Fenced: If the run is no longer held under this fence.
        """
        later = {"state": State.READY, "why": why[:400], "due": now_ms() + int(seconds * 1_000), "worker": ""}
        await self.database.run(lambda connection: _change(connection, run, fence, **later, tries=tries))

    async def tell(self, name: str, payload: Any = None) -> bool:  # noqa: ANN401 - JSON data
        """Tell of an event; whatever waits for it goes on, also what comes to wait for it later.

        Returns:
            False if an event of this name was told before: the first one stays.
        """

        def write(connection: Connection) -> None:
            connection.execute(insert(events).values(name=name, payload=json.dumps(payload), at=now_ms()))

        is_new = True
        try:
            await self.database.run(write)
        except IntegrityError as error:
            if not is_taken(error):
                raise
            is_new = False
        await self.database.run(lambda connection: _wake(connection, [name]))
        return is_new

    async def event(self, name: str) -> tuple[bool, Any]:
        """Whether an event was told, and with what."""

        def read(connection: Connection) -> tuple[bool, Any]:
            found = connection.scalar(select(events.c.payload).where(events.c.name == name))
            return (False, None) if found is None else (True, json.loads(found))

        return await self.database.run(read)

    async def awaited(self, prefix: str) -> list[str]:
        """The names of events that runs wait for, of those that begin so."""
        query = select(waits.c.event).distinct().where(waits.c.event.startswith(prefix, autoescape=True))
        return await self.database.run(lambda connection: list(connection.scalars(query)))

    async def keep(self, name: str, payload: Any) -> None:  # noqa: ANN401 - JSON data
        """Tell of an event that may come again: the last one counts."""
        if not await self.tell(name, payload):
            values = {"payload": json.dumps(payload), "at": now_ms()}
            again = update(events).where(events.c.name == name).values(values)
            await self.database.run(lambda connection: connection.execute(again))

    async def hear(self, name: str) -> None:
        """Take up what waits for this event, and what looked before now and comes to wait for it: to look anew."""
        await self.keep(name, HEARD)
        await self.wake([name])

    async def wake(self, names: Collection[str], later: float = 0.0) -> None:
        """Take up what waits for these events although they were not told: to look for itself, in some seconds."""
        if names:
            await self.database.run(lambda connection: _wake(connection, names, later))

    async def cancel(self, run: str, why: str) -> bool:
        """End a run from outside; what it has begun at this moment is still done, but nothing after it.

        Returns:
            False if it had ended already.

        Raises:
            UnknownRun: If there is none.
        """
        ended = {"state": State.CANCELLED, "why": why[:400], "due": None, "fence": runs.c.fence + 1}
        # A failed run can be resumed, so that it can be given up as well.
        return await self._change_from_outside(
            run, runs.c.state.not_in((State.DONE, State.CANCELLED)), ended, ends=True
        )

    async def resume(self, run: str) -> bool:
        """Take a failed or a waiting run up again at once, with the steps that it has done.

        Returns:
            False if it is neither.

        Raises:
            UnknownRun: If there is none.
        """
        again = {"state": State.READY, "why": "", "due": now_ms(), "tries": 0}
        fits = or_(runs.c.state == State.FAILED, runs.c.state == State.WAITING)
        return await self._change_from_outside(run, fits, again)

    async def _change_from_outside(self, run: str, fits: Any, values: dict[str, Any], ends: bool = False) -> bool:  # noqa: ANN401
        def write(connection: Connection) -> bool:
            if connection.scalar(select(runs.c.id).where(runs.c.id == run)) is None:
                raise UnknownRun(f"there is no run `{run}`")
            changed = connection.execute(update(runs).where(runs.c.id == run, fits).values(**values, changed=now_ms()))
            if changed.rowcount and ends:
                _tell_of_end(connection, run, "")
            return bool(changed.rowcount)

        return await self.database.run(write)

    async def find(self, run: str) -> tuple[Kept, dict[str, Done]]:
        """A run with its steps in the order in which they were done.

        Raises:
            UnknownRun: If there is none.
        """

        def read(connection: Connection) -> tuple[Kept, dict[str, Done]]:
            row = connection.execute(select(runs).where(runs.c.id == run)).first()
            if row is None:
                raise UnknownRun(f"there is no run `{run}`")
            return _kept(row), _steps_of(connection, [run]).get(run, {})

        return await self.database.run(read)

    async def list(self, states: Sequence[State] = (), workflow: str = "", most: int = 100) -> list[Kept]:
        """Runs, the one that changed last first."""
        query = select(runs).order_by(runs.c.changed.desc(), runs.c.id).limit(most)
        if states:
            query = query.where(runs.c.state.in_(states))
        if workflow:
            query = query.where(runs.c.workflow == workflow)
        return await self.database.run(lambda connection: [_kept(row) for row in connection.execute(query)])

    async def count(self) -> dict[State, int]:
        """How many runs stand where."""
        query = select(runs.c.state, func.count()).group_by(runs.c.state)
        rows = await self.database.run(lambda connection: connection.execute(query).all())
        return {State(state): number for state, number in rows}

    async def forget(self, before: int) -> int:
        """Delete runs that ended before a moment, with what they read and wrote; returns how many."""
        over = (runs.c.state.in_(ENDS), runs.c.changed < before)

        def write(connection: Connection) -> int:
            connection.execute(delete(events).where(events.c.at < before, events.c.name.not_in(select(waits.c.event))))
            return connection.execute(delete(runs).where(*over)).rowcount

        return await self.database.run(write)


def _change(connection: Connection, run: str, fence: int, **values: Any) -> None:  # noqa: ANN401 - columns
    held = (runs.c.id == run, runs.c.fence == fence, runs.c.state == State.RUNNING)
    if not connection.execute(update(runs).where(*held).values(**values, changed=now_ms())).rowcount:
        raise Fenced(f"run `{run}` is no longer this worker's")


def _tell_of_end(connection: Connection, run: str, result: str) -> None:
    connection.execute(insert(events).values(name=f"ended:{run}", payload=json.dumps(result), at=now_ms()))
    _wake(connection, [f"ended:{run}"])


def _wake(connection: Connection, names: Collection[str], later: float = 0.0) -> None:
    waiting = select(waits.c.run).where(waits.c.event.in_(names))
    due = now_ms() + int(later * 1_000)
    fits = (runs.c.state == State.WAITING, runs.c.id.in_(waiting), or_(runs.c.due.is_(None), runs.c.due > due))
    connection.execute(update(runs).where(*fits).values(due=due))


def _take_up_if_arrived(connection: Connection, run: str, awaits: Collection[str], since: int | None) -> None:
    told, heard = events.c.payload != _HEARD, events.c.payload == _HEARD
    arrived = and_(events.c.name.in_(awaits), told)
    if since is not None:
        arrived = or_(arrived, and_(events.c.name.in_([*awaits, ANYTHING]), heard, events.c.at >= since))
    if connection.scalar(select(events.c.name).where(arrived).limit(1)):
        connection.execute(update(runs).where(runs.c.id == run, runs.c.state == State.WAITING).values(due=now_ms()))


def _steps_of(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, Done]]:
    done: dict[str, dict[str, Done]] = {}
    if ids:
        for row in connection.execute(select(steps).where(steps.c.run.in_(ids)).order_by(steps.c.at)):
            fields = {name: getattr(row, name) for name in ("name", "kind", "given", "output", "milliseconds", "at")}
            done.setdefault(row.run, {})[row.name] = Done(**fields, facts=json.loads(row.facts))
    return done


def _kept(row: Row[Any]) -> Kept:
    return Kept(**{**row._mapping, "state": State(row.state)})  # noqa: SLF001 - SQLAlchemy's public name for it
