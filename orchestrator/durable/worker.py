"""A worker: takes up runs that are due, works on several at once, and lets go of them when it is told to stop."""

import os
import secrets
import socket
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from orchestrator.durable.database import is_away
from orchestrator.durable.run import Parked, Run, TryLater, any_of, while_away
from orchestrator.durable.store import MAX_LOSSES, MAX_TRIES, Fenced, Kept, State, Store
from orchestrator.telemetry import told_run

log = get_logger("remit.worker")

LONGEST_PAUSE = 300.0
_UNFIT_PAUSE = 30.0
_LETTING_GO = 5.0
_SUSPECT = 3


class Unfit(Exception):
    """This worker cannot work on a run, but another one may: it does not know the workflow, or not this version."""


Works = Callable[[Run], Awaitable[str]]
"""Does the work of a run from the top to its end; gives the result as JSON."""


@dataclass
class Worker:
    """Works on runs until it is stopped.

    Args:
        store: The runs.
        work: Does the work of one.
        at_once: How many runs at the same time.
        lease: Seconds after which a run is taken over from a worker that does not renew.
        only: Work on this run and its children alone; empty for all.
        idle: Seconds between looks for work when there was none.
    """

    store: Store
    work: Works
    at_once: int = 16
    lease: float = 15.0
    idle: float = 0.25
    only: str = ""
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}")
    _stopping: bool = False
    _held: dict[str, tuple[int, anyio.CancelScope]] = field(default_factory=dict)
    _stirred: anyio.Event = field(default_factory=anyio.Event)
    _suspects: anyio.Lock = field(default_factory=anyio.Lock)

    def stop(self) -> None:
        """Take up nothing more: `run` ends when what is under way has come to rest."""
        self._stopping = True
        self._stirred.set()

    async def run(self, *, until_idle: bool = False) -> None:
        """Work until stopped, or until nothing is due or under way; cancelled, let go of the runs at once."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._renew)
            while True:
                self._stirred = anyio.Event()
                # What is under way may begin something while nothing is found.
                is_idle, claimed = not self._held, await self._claim() if not self._stopping else []
                for kept in sorted(claimed or (), key=lambda _: secrets.randbits(16)):
                    self._take_up(kept, tasks)
                if claimed == [] and is_idle and (until_idle or self._stopping):
                    break
                if not claimed:
                    with anyio.move_on_after(self.idle):
                        await self._stirred.wait()
            tasks.cancel_scope.cancel()

    async def _claim(self) -> list[Kept] | None:
        """The runs to take up now; None if nobody knows, because the database does not answer."""
        if not (free := self.at_once - len(self._held)):
            return []
        try:
            # Others may write it down with theirs: who gives up now would hold runs that it does not know of.
            with anyio.CancelScope(shield=True):
                claimed = await self.store.claim(self.name, free, self.lease, self.only)
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker outlives it
            log.warning("runs_not_claimed", error=type(error).__name__)
            await anyio.sleep(1.0)
            return None
        return claimed

    def _take_up(self, kept: Kept, tasks: anyio.abc.TaskGroup) -> None:
        if earlier := self._held.get(kept.id):  # its lease ran out here
            earlier[1].cancel()
        self._held[kept.id] = (kept.fence, anyio.CancelScope())
        tasks.start_soon(self._work_on, kept, self._held[kept.id])

    async def _renew(self) -> None:
        while True:
            await anyio.sleep(self.lease / 3)
            held = dict(self._held)
            try:
                still = await self.store.renew({run: fence for run, (fence, _) in held.items()}, self.lease)
            except Exception as error:  # noqa: BLE001 - as above
                log.warning("leases_not_renewed", error=type(error).__name__)
                continue
            for run in held.keys() - still:
                held[run][1].cancel()

    async def _work_on(self, kept: Kept, hold: tuple[int, anyio.CancelScope]) -> None:
        try:
            with hold[1]:
                # One of those that were lost again and again may be what ends workers: the others get on before it.
                async with self._suspects if kept.losses > _SUSPECT else nullcontext():
                    await self._dispose(kept)
        except anyio.get_cancelled_exc_class():  # by whoever stops the worker, or by the workflow itself
            with anyio.move_on_after(_LETTING_GO, shield=True), suppress(Fenced, Exception):
                await self.store.put_off(kept.id, kept.fence, "its worker was stopped", 0, kept.tries + 1)
        except Fenced as error:
            log.info("run_lost", run=kept.id, why=str(error))
        except Exception as error:  # noqa: BLE001 - when the lease is over, the run is taken up again
            log.warning("run_let_go", run=kept.id, error=type(error).__name__)
        finally:
            if self._held.get(kept.id) is hold:
                del self._held[kept.id]
            self._stirred.set()

    async def _dispose(self, kept: Kept) -> None:
        """Work on a run and write down how that ended."""
        name, fence, store = kept.id, kept.fence, self.store
        if kept.losses > MAX_LOSSES or kept.tries > MAX_TRIES:
            why = f"given up: workers were lost or stopped {kept.losses + kept.tries} times while they had it"
            await while_away(lambda: store.end(name, fence, State.FAILED, why=why))
            return
        try:
            run = Run(kept, await while_away(lambda: store.steps(name)), store)
        except Exception as error:  # noqa: BLE001 - what is kept of it cannot be read
            why = _why(error)
            await while_away(lambda: store.end(name, fence, State.FAILED, why=why))
            return
        try:
            with told_run(run.kept.workflow, run.id, Parked):
                result = await self.work(run)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - sorted out below
            await self._settle(run, sorted_out(error))
        else:
            await while_away(lambda: store.end(name, fence, State.DONE, result))

    async def _settle(self, run: Run, error: BaseException) -> None:
        """Write down that a run waits, was put off or failed; raise what is none of these."""
        name, fence = run.id, run.kept.fence
        match error:
            case Parked():
                parked = (error.awaits, error.why, error.until, run.kept.changed)
                await while_away(lambda: self.store.park(name, fence, *parked))
            case Unfit():  # however long no worker is fit, it is no fault of the run
                await while_away(lambda: self.store.put_off(name, fence, str(error), _UNFIT_PAUSE, run.tries))
            case TryLater():
                await self._put_off(run, str(error))
            case SQLAlchemyError() if is_away(error):
                await self._put_off(run, "the database did not answer")
            case Exception():
                where = _where(error)
                log.error("run_failed", run=name, workflow=run.kept.workflow, error=type(error).__name__, at=where)
                await while_away(lambda: self.store.end(name, fence, State.FAILED, why=_why(error)))
            case _:
                raise error

    async def _put_off(self, run: Run, why: str) -> None:
        name, fence, tries = run.id, run.kept.fence, run.tries + 1
        if tries > MAX_TRIES:
            given_up = f"given up after {MAX_TRIES} tries: {why}"
            await while_away(lambda: self.store.end(name, fence, State.FAILED, why=given_up))
            return
        pause = min(LONGEST_PAUSE, 0.5 * 2 ** min(tries, 20)) * (0.5 + secrets.randbelow(500) / 1_000)
        await while_away(lambda: self.store.put_off(name, fence, why, pause, tries))


def sorted_out(error: BaseException) -> BaseException:
    """What counts of the errors of a workflow that does several things at the same time: they come as a group."""
    errors = list(_each(error))
    waiting = [each for each in errors if isinstance(each, Parked)]
    passing = [each for each in errors if isinstance(each, TryLater | Unfit)]
    lost = [each for each in errors if not isinstance(each, Exception | Parked)]
    failed = [each for each in errors if isinstance(each, Exception) and each not in passing]
    return next(iter([*lost, *failed, *passing]), None) or any_of(waiting)


def _each(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for part in error.exceptions:
        yield from _each(part)


def _where(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join(f"{Path(each.filename).name}:{each.lineno}" for each in frame)


def _why(error: Exception) -> str:
    """Why a run failed: in its own words only if they are ours, as others may quote what customers wrote."""
    ours = type(error).__module__.startswith(("orchestrator.", "own_workflows_"))
    return f"{type(error).__name__}: {error}" if ours else f"{type(error).__name__} at {_where(error)}"
