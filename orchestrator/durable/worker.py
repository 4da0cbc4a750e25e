"""A worker: takes up runs that are due, works on several at once, and lets go of them when it is told to stop."""

import os
import secrets
import socket
import traceback
from dataclasses import dataclass, field
from typing import Protocol

import anyio
import anyio.abc
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from orchestrator.durable.run import Parked, Run, TryLater
from orchestrator.durable.store import MAX_TRIES, Fenced, State, Store

log = get_logger("remit.worker")

LONGEST_PAUSE = 300.0


class Unfit(Exception):
    """This worker cannot work on a run, but another one may: it does not know the workflow, or not this version."""


class Works(Protocol):
    """Does the work of a run from the top to its end; returns the result as JSON."""

    async def __call__(self, run: Run) -> str: ...


@dataclass
class Worker:
    """Works on runs until it is stopped.

    Args:
        store: The runs.
        work: Does the work of one.
        at_once: How many runs at the same time.
        lease: Seconds after which a run is taken over from a worker that does not renew.
        idle: Seconds between looks for work when there was none.
        only: The one run that it works on, and its children; empty for whatever is due.
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
    _freed: anyio.Event = field(default_factory=anyio.Event)

    def stop(self) -> None:
        """Take up nothing more: `run` ends when what is under way has come to rest."""
        self._stopping = True
        self._freed.set()

    async def run(self, *, until_idle: bool = False) -> None:
        """Work until stopped or cancelled, or until nothing is due and nothing under way."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._renew)
            while True:
                claimed = not self._stopping and await self._claim(tasks)
                if (until_idle or self._stopping) and not claimed and not self._held:
                    break
                if not claimed:
                    await self._pause()
            tasks.cancel_scope.cancel()

    async def _claim(self, tasks: anyio.abc.TaskGroup) -> bool:
        if not (free := self.at_once - len(self._held)):
            return False
        try:
            claimed = await self.store.claim(self.name, free, self.lease, self.only)
        except SQLAlchemyError as error:
            log.warning("database_unavailable", error=type(error).__name__)
            await anyio.sleep(1.0)
            return False
        for kept, done in claimed:
            scope = anyio.CancelScope()
            self._held[kept.id] = (kept.fence, scope)
            tasks.start_soon(self._work_on, Run(kept, done, self.store), scope)
        return bool(claimed)

    async def _pause(self) -> None:
        self._freed = anyio.Event()
        with anyio.move_on_after(self.idle):
            await self._freed.wait()

    async def _renew(self) -> None:
        while True:
            await anyio.sleep(self.lease / 3)
            held = {run: fence for run, (fence, _) in self._held.items()}
            try:
                still = await self.store.renew(held, self.lease)
            except SQLAlchemyError as error:
                log.warning("database_unavailable", error=type(error).__name__)
                continue
            for run in held.keys() - still:
                if run in self._held and self._held[run][0] == held[run]:
                    self._held[run][1].cancel()

    async def _work_on(self, run: Run, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await self._dispose(run)
        except Fenced:
            log.info("run_lost", run=run.id)
        except SQLAlchemyError as error:  # the lease runs out, and the run is taken up again
            log.warning("database_unavailable", run=run.id, error=type(error).__name__)
        finally:
            self._held.pop(run.id, None)
            self._freed.set()

    async def _dispose(self, run: Run) -> None:
        """Work on a run and write down how that ended."""
        fence = run.kept.fence
        try:
            result = await self.work(run)
        except Parked as parked:
            await self.store.park(run.id, fence, parked.awaits, parked.why, parked.until, run.kept.changed)
        except (TryLater, Unfit) as error:
            await self._put_off(run, str(error))
        except (Fenced, SQLAlchemyError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the run's end and not the worker's
            # Where it failed and no more: what the code had at hand there is customers' data.
            where = traceback.extract_tb(error.__traceback__)[-1]
            at = f"{where.filename}:{where.lineno}"
            log.error("run_failed", run=run.id, workflow=run.kept.workflow, error=type(error).__name__, at=at)
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
            await self.store.end(run.id, fence, State.FAILED, why=why)
        else:
            await self.store.end(run.id, fence, State.DONE, result)

    async def _put_off(self, run: Run, why: str) -> None:
        tries = run.tries + 1
        if tries > MAX_TRIES:
            await self.store.end(run.id, run.kept.fence, State.FAILED, why=f"given up after {MAX_TRIES} tries: {why}")
            return
        pause = min(LONGEST_PAUSE, 0.5 * 2 ** min(tries, 20)) * (0.5 + secrets.randbelow(500) / 1_000)
        await self.store.put_off(run.id, run.kept.fence, why, pause, tries)
