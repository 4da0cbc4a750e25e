"""Runs in the database: begun, claimed by a worker, taken over from a dead one, parked, woken and ended.

A worker holds a run by a lease that it renews. Each time a run changes hands its fence rises, and whatever is written
for it says the fence under which it was begun: a worker that was thought dead and comes back writes nothing any more.
"""

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, bindparam, case, delete, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as insert_new

from orchestrator.durable.database import Database
from orchestrator.durable.tables import events, now_ms, runs, steps, waits

MAX_TRIES = 200
"""How often a run is put off without getting on, before it fails."""
MAX_LOSSES = 20
"""How many workers may be lost in turn with a run that does not get on, as when it kills them."""

ANYTHING = "anything"
"""Told of when nobody knows what has changed: whatever is about to wait looks once more."""


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


class UnknownRun(ValueError):
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
        parent: The run that begins it, if one does: it is cancelled with it.
    """

    workflow: str
    version: int
    given: str
    about: str = ""
    team: str = ""
    customer: str = ""
    person: str = ""
    id: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Begin):
    """A run as it is kept. Times are milliseconds since 1970, `due` is None if nothing but an event takes it up."""

    state: State
    due: int | None
    fence: int
    worker: str
    why: str
    tries: int
    losses: int
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
    place: int = 0
    at: int = 0


_LOST = "run `{}` is no longer this worker's"
# Made once: to put a statement together takes longer than to carry it out.
_HELD = (runs.c.id == bindparam("run"), runs.c.fence == bindparam("held"), runs.c.state == State.RUNNING)
_GOT_ON = update(runs).where(*_HELD).values(tries=0, losses=0, changed=now_ms())
_KEEP_STEP = insert_new(steps).values(at=now_ms()).on_conflict_do_nothing()


class Store:
    """The runs of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def begin(self, wanted: Begin) -> str:
        """Begin a run, unless one of its id was begun before; returns the id.

        Raises:
            ValueError: If a part of it is longer than it may be, or has what a database does not take.
            Fenced: If the run that begins it was cancelled.
        """
        run_id = wanted.id or f"{wanted.workflow}-{secrets.token_hex(6)}"
        values = asdict(wanted) | {"id": run_id, "about": _line(wanted.about, 200)}
        for column in runs.c:
            most = column.type.length if isinstance(column.type, String) else None
            if most and (len(part := values.get(column.name, "")) > most or "\0" in part):
                raise ValueError(f"a run's `{column.name}` has at most {most} letters, and none is NUL")

        def write(connection: Connection) -> None:
            parent = select(runs.c.state).where(runs.c.id == wanted.parent).with_for_update(read=True)
            if wanted.parent and connection.scalar(parent) == State.CANCELLED:
                raise Fenced(_LOST.format(wanted.parent))
            fresh = insert_new(runs).values(**values, state=State.READY, due=now_ms(), seed=secrets.token_hex(16))
            connection.execute(fresh.on_conflict_do_nothing())

        await self.database.run(write)
        return run_id

    async def claim(self, worker: str, most: int, lease: float, only: str = "") -> list[Kept]:
        """Take up runs that are due, or of `only` one and what it has begun; the longest due first."""
        due = select(runs.c.id).where(runs.c.due <= now_ms()).order_by(runs.c.due).limit(most)
        if only:
            family = select(literal(only).label("id")).cte("family", recursive=True)
            family = family.union(select(runs.c.id).where(runs.c.parent == family.c.id))
            due = due.where(runs.c.id.in_(select(family.c.id)))
        # Within the update it could be looked at again for each row, and then find more than `most`.
        found = due.with_for_update(skip_locked=True).cte("found")
        was_lost = case((runs.c.state == State.RUNNING, 1), else_=0)
        taken = {"state": State.RUNNING, "worker": worker, "due": _in(lease), "changed": now_ms()}
        take = (
            update(runs)
            .where(runs.c.id.in_(select(found.c.id)))
            .values(**taken, fence=runs.c.fence + 1, losses=runs.c.losses + was_lost)
            .returning(runs)
        )

        def write(connection: Connection) -> list[Kept]:
            claimed = [_kept(row) for row in connection.execute(take).mappings()]
            if claimed:
                connection.execute(delete(waits).where(waits.c.run.in_([kept.id for kept in claimed])))
            return claimed

        return await self.database.run(write)

    async def renew(self, held: dict[str, int], lease: float) -> set[str]:
        """Prolong the leases of runs, given with their fences; returns those that are still held."""
        mine = tuple_(runs.c.id, runs.c.fence).in_(list(held.items()))
        renewed = update(runs).where(mine, runs.c.state == State.RUNNING).values(due=_in(lease)).returning(runs.c.id)
        return await self.database.run(lambda connection: set(connection.scalars(renewed))) if held else set()

    async def add_step(self, run: str, fence: int, step: Done) -> None:
        """Keep a step that was done; to do so again changes nothing.

        Raises:
            Fenced: If the run is no longer held under this fence.
        """
        values = {name: getattr(step, name) for name in ("name", "place", "kind", "given", "output", "milliseconds")}
        facts = json.dumps(step.facts)

        def write(connection: Connection) -> None:
            if not connection.execute(_GOT_ON, {"run": run, "held": fence}).rowcount:
                raise Fenced(_LOST.format(run))
            connection.execute(_KEEP_STEP, {"run": run, **values, "facts": facts})

        await self.database.run(write)

    async def park(
        self, run: str, fence: int, awaits: Collection[str], why: str, until: int | None, since: int = 0
    ) -> None:
        """Put a run away until one of some events or a moment, whatever comes first.

        Args:
            run: The run.
            fence: Under which it is held.
            awaits: The events.
            why: Why it waits, for people.
            until: The moment, in milliseconds since 1970.
            since: When it last looked: an event that was told from then on takes it up at once.

        Raises:
            Fenced: If the run is no longer held under this fence.
        """
        parked = {"state": State.WAITING, "why": _line(why), "due": until, "worker": "", "tries": 0, "losses": 0}
        told = select(events.c.name).where(events.c.name.in_([*awaits, ANYTHING]), events.c.at >= since).limit(1)

        def write(connection: Connection) -> None:
            self._one_at_a_time(connection, awaits, together=ANYTHING)
            _change(connection, run, fence, **parked)
            if awaits:
                connection.execute(insert_new(waits), [{"run": run, "event": event} for event in awaits])
                if connection.scalar(told):
                    connection.execute(update(runs).where(runs.c.id == run).values(due=now_ms()))

        await self.database.run(write)

    async def end(self, run: str, fence: int, state: State, result: str = "", why: str = "") -> None:
        """Write down how a run ended.

        Raises:
            Fenced: If the run is no longer held under this fence.
        """
        ended = {"state": state, "result": result, "why": _line(why), "due": None, "worker": ""}

        def write(connection: Connection) -> None:
            _change(connection, run, fence, **ended)
            if state is not State.FAILED:  # whoever waits for a failed run waits until it was resumed or cancelled
                self._tell(connection, f"ended:{run}", result)

        await self.database.run(write)

    async def put_off(self, run: str, fence: int, why: str, seconds: float, tries: int) -> None:
        """Put a run off for a while, because something outside does not answer.

        Raises:
            Fenced: If the run is no longer held under this fence.
        """
        later = {"state": State.READY, "why": _line(why), "due": _in(seconds), "worker": ""}
        await self.database.run(lambda connection: _change(connection, run, fence, **later, tries=tries))

    async def tell(self, name: str, payload: Any = None) -> bool:  # noqa: ANN401 - JSON data
        """Tell of an event; whatever waits for it goes on, also what comes to wait for it later.

        Returns:
            False if an event of this name was told before: the first one stays.
        """
        return await self.database.run(lambda connection: self._tell(connection, name, payload))

    def _tell(self, connection: Connection, name: str, payload: Any = None) -> bool:  # noqa: ANN401 - JSON data
        self._one_at_a_time(connection, [name])
        event = insert_new(events).values(name=name, payload=json.dumps(payload), at=now_ms())
        is_new = connection.scalar(event.on_conflict_do_nothing().returning(events.c.name)) is not None
        _wake(connection, [name])
        return is_new

    def _one_at_a_time(self, connection: Connection, names: Collection[str], together: str = "") -> None:
        """Let whoever tells of an event and whoever comes to wait for it not miss each other."""
        if self.database.is_postgresql:  # SQLite has one writer anyway
            if together:
                connection.execute(select(func.pg_advisory_xact_lock_shared(func.hashtextextended(together, 0))))
            for name in sorted(names):
                connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    async def event(self, name: str) -> tuple[bool, Any]:
        """Whether an event was told, and with what."""
        query = select(events.c.payload).where(events.c.name == name)
        found = await self.database.read(lambda connection: connection.scalar(query))
        return (False, None) if found is None else (True, json.loads(found))

    async def awaited(self, prefix: str) -> list[str]:
        """The names of events that runs wait for, of those that begin so."""
        query = select(waits.c.event).distinct().where(waits.c.event.startswith(prefix, autoescape=True))
        return await self.database.read(lambda connection: list(connection.scalars(query)))

    async def keep(self, name: str, payload: Any) -> None:  # noqa: ANN401 - JSON data
        """Tell of an event that may come again: the last one counts."""

        def write(connection: Connection) -> None:
            if not self._tell(connection, name, payload):
                again = {"payload": json.dumps(payload), "at": now_ms()}
                connection.execute(update(events).where(events.c.name == name).values(again))

        await self.database.run(write)

    async def wake(self, names: Collection[str]) -> None:
        """Take up what waits for these events, to look for itself; also what is about to wait for them."""
        for name in sorted(names):
            await self.keep(name, None)

    async def wake_later(self, names: Collection[str], seconds: float) -> None:
        """Take up what waits for these events by now, in some seconds."""
        await self.database.run(lambda connection: _wake(connection, names, seconds))

    async def cancel(self, run: str, why: str) -> bool:
        """End a run from outside, with those that it has begun; what it does at this moment is still done.

        Returns:
            False if it had ended already.

        Raises:
            UnknownRun: If there is none.
        """
        ended = {"state": State.CANCELLED, "why": _line(why), "due": None, "worker": "", "fence": runs.c.fence + 1}
        # A failed run can be resumed, so that it can be given up as well.
        unended = runs.c.state.not_in((State.DONE, State.CANCELLED))

        def write(connection: Connection) -> bool:
            _must_be_there(connection, run)
            todo, cancelled = [run], list[str]()
            while todo:
                one = todo.pop()
                change = update(runs).where(runs.c.id == one, unended).values(**ended, changed=now_ms())
                if connection.execute(change).rowcount:
                    cancelled.append(one)
                # From here on it begins no other one.
                todo += connection.scalars(select(runs.c.id).where(runs.c.parent == one))
            connection.execute(delete(waits).where(waits.c.run.in_(cancelled)))
            for one in sorted(cancelled):
                self._tell(connection, f"ended:{one}", "")
            return run in cancelled

        return await self.database.run(write)

    async def resume(self, run: str) -> bool:
        """Take a run up again at once that failed, waits or was put off, with the steps that it has done.

        Returns:
            False if it is none of these.

        Raises:
            UnknownRun: If there is none.
        """
        again = {"state": State.READY, "why": "", "due": now_ms(), "tries": 0, "losses": 0, "changed": now_ms()}
        fits = runs.c.state.in_((State.FAILED, State.WAITING, State.READY))

        def write(connection: Connection) -> bool:
            _must_be_there(connection, run)
            return bool(connection.execute(update(runs).where(runs.c.id == run, fits).values(**again)).rowcount)

        return await self.database.run(write)

    async def steps(self, run: str) -> dict[str, Done]:
        """The steps that a run has done, in their order."""
        return await self.database.read(lambda connection: _steps_of(connection, run))

    async def find(self, run: str) -> tuple[Kept, dict[str, Done]]:
        """A run with its steps in the order in which they were done.

        Raises:
            UnknownRun: If there is none.
        """

        def read(connection: Connection) -> tuple[Kept, dict[str, Done]]:
            row = connection.execute(select(runs).where(runs.c.id == run)).mappings().first()
            if row is None:
                raise UnknownRun(f"there is no run `{run}`")
            return _kept(row), _steps_of(connection, run)

        return await self.database.read(read)

    async def list(self, states: Sequence[State] = (), workflow: str = "", most: int = 100) -> list[Kept]:
        """Runs, the one that changed last first."""
        query = select(runs).order_by(runs.c.changed.desc(), runs.c.id).limit(most)
        if states:
            query = query.where(runs.c.state.in_(states))
        if workflow:
            query = query.where(runs.c.workflow == workflow)
        return await self.database.read(lambda connection: [_kept(row) for row in connection.execute(query).mappings()])

    async def count(self, workflow: str = "") -> dict[State, int]:
        """How many runs stand where, of one workflow or all."""
        query = select(runs.c.state, func.count()).group_by(runs.c.state)
        query = query.where(runs.c.workflow == workflow) if workflow else query
        rows = await self.database.read(lambda connection: connection.execute(query).all())
        return {State(state): number for state, number in rows}

    async def forget(self, days: float) -> int:
        """Delete runs that ended so many days ago, with what they read and wrote; returns how many.

        What a run began stays as long as it does, and an event as long as a run that could still ask for it.
        """
        before = _in(-days * 86_400)
        stays = runs.c.state.not_in(ENDS) | (runs.c.changed >= before)
        over = (~stays, runs.c.parent.not_in(select(runs.c.id).where(stays)))
        oldest = select(func.coalesce(func.min(runs.c.begun), before)).scalar_subquery()

        def write(connection: Connection) -> int:
            forgotten = connection.execute(delete(runs).where(*over)).rowcount
            connection.execute(delete(events).where(events.c.at < before, events.c.at < oldest))
            return forgotten

        return await self.database.run(write)


def _change(connection: Connection, run: str, fence: int, **values: Any) -> None:  # noqa: ANN401 - columns
    change = update(runs).where(*_HELD).values(**values, changed=now_ms())
    if not connection.execute(change, {"run": run, "held": fence}).rowcount:
        raise Fenced(_LOST.format(run))


def _must_be_there(connection: Connection, run: str) -> None:
    if connection.scalar(select(runs.c.id).where(runs.c.id == run)) is None:
        raise UnknownRun(f"there is no run `{run}`")


def _wake(connection: Connection, names: Collection[str], seconds: float = 0) -> None:
    waiting = select(waits.c.run).where(waits.c.event.in_(names))
    would_be_later = runs.c.due.is_(None) | (runs.c.due > _in(seconds))
    fits = (runs.c.state == State.WAITING, runs.c.id.in_(waiting), would_be_later)
    connection.execute(update(runs).where(*fits).values(due=_in(seconds)))


def _in(seconds: float) -> ColumnElement[int]:
    return now_ms() + int(seconds * 1_000)


def _line(text: str, most: int = 400) -> str:
    """One line that any database takes."""
    return " ".join(text.replace("\0", "").encode(errors="replace").decode().split())[:most]


def _steps_of(connection: Connection, run: str) -> dict[str, Done]:
    wanted = select(*(steps.c[each.name] for each in fields(Done))).where(steps.c.run == run)
    rows = connection.execute(wanted.order_by(steps.c.place, steps.c.at)).mappings()
    return {row["name"]: Done(**{**row, "facts": json.loads(row["facts"])}) for row in rows}


def _kept(row: Mapping[Any, Any]) -> Kept:
    return Kept(**{**row, "state": State(row["state"])})
