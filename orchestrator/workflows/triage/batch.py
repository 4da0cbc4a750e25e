"""Many runs of triage: begun for every open item, and worked on here until each has ended or waits."""

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

import anyio

from orchestrator.durable.run import Parked, Run, TryLater
from orchestrator.durable.store import ENDS, Done, Kept, State, Store
from orchestrator.durable.worker import Unfit, Worker
from orchestrator.gateway_client import Declared, GatewayClient
from orchestrator.work import Surroundings
from orchestrator.workflow import Workflows
from orchestrator.workflows.triage.items import Item, ToTriage, open_items
from orchestrator.workflows.triage.report import ItemReport, report_of
from orchestrator.workflows.triage.workflow import triage
from orchestrator.working import Working

MAX_FAILURES_IN_A_ROW = 3
PATIENCE = 3
"""How often a run is taken up while something outside does not answer, before its item counts as failed."""
_BETWEEN_LOOKS = 0.5
_OWN = re.compile(r"(triage-[0-9a-f]{10})\.\d+")
_MOST_UNFINISHED = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How far the model may go with one item; see `ToTriage`."""

    requests: int = 10
    tool_calls: int = 16
    tokens: int = 80_000


class Watching(Protocol):
    """Is told how it goes."""

    def begin(self, item: Item) -> None:
        """An item is being worked on."""

    def end(self, report: ItemReport) -> None:
        """An item's run has ended, waits, or is given up for now."""


@dataclass
class Batch:
    """Runs of triage, followed until each has ended or waits.

    Args:
        store: Where runs are kept.
        client: The gateway.
        around: What the runs work in; with an `issuer` each has a grant of its own.
        patience: See `PATIENCE`.
        run: What the ids of its runs begin with.
    """

    store: Store
    client: GatewayClient
    around: Surroundings
    patience: int = PATIENCE
    run: str = field(default_factory=lambda: f"triage-{secrets.token_hex(5)}")
    reports: list[ItemReport] = field(default_factory=list)
    trouble: str = ""
    """Why it was given up; empty if it was not."""
    _left: dict[str, Item] = field(default_factory=dict)
    _batches: set[str] = field(default_factory=set)
    _worker: Worker | None = None

    async def begin(self, mailbox: str, limit: int, limits: Limits = Limits()) -> int:
        """Begin a run for each open item that has none under way, and go on with those that were left unfinished.

        Returns:
            How many items there are to work on.

        Raises:
            GatewayError: If nothing to triage may be read.
        """
        items = await open_items(self.client, mailbox, limit, Declared(self.run, "script", "", self.run))
        await self.store.wake(await self.store.awaited("approval:"))  # they look whether they are answered
        under_way = set[tuple[str, str]]()
        for kept, batch in await self._unfinished():
            item: Item = ToTriage.model_validate_json(kept.given)
            under_way.add((item.id, item.state))
            self._batches.add(batch)
            if kept.state is not State.WAITING:
                self._left[kept.id] = item
        new = [item for item in items if (item.id, item.state) not in under_way]
        for number, item in enumerate(new, start=1):
            given = {**item.model_dump(), **asdict(limits)}
            # The batch is no run, but by its name its runs are worked on, and nothing else.
            begun = replace(triage.begin(given, f"{self.run}.{number}"), parent=self.run)
            self._left[await self.store.begin(begun)] = item
        self._batches.add(self.run)
        return len(self._left)

    async def _unfinished(self) -> list[tuple[Kept, str]]:
        """What was begun by this command and has not ended, with its batch; what else began runs has its own worker."""
        states = (State.READY, State.RUNNING, State.WAITING)
        runs = await self.store.list(states, triage.name, _MOST_UNFINISHED)
        return [(kept, own[1]) for kept in runs if (own := _OWN.fullmatch(kept.id))]

    async def work_on(self, watching: Watching) -> None:
        """Work on the runs, one at a time, until each has ended, waits for somebody, or is given up for now."""
        await self._go_on(watching)
        while self._left:  # they are put off, or another worker has them, or died while it had
            await self._look(watching)
            if self._left:
                await anyio.sleep(_BETWEEN_LOOKS)
                await self._go_on(watching)

    async def _go_on(self, watching: Watching) -> None:
        working = Working(Workflows([triage]), self.around, self._connection)

        async def work(run: Run) -> str:
            return await self._watched(run, working, watching)

        for batch in sorted(self._batches):
            if not self.trouble:
                self._worker = Worker(self.store, work, at_once=1, only=batch)
                await self._worker.run(until_idle=True)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[GatewayClient]:
        yield self.client

    async def _watched(self, run: Run, working: Working, watching: Watching) -> str:
        item = ToTriage.model_validate_json(run.kept.given)
        watching.begin(item)
        told: ItemReport | None = None
        try:
            result = await working(run)
            told = ItemReport.model_validate_json(result)
        except Parked as parked:
            told = report_of(item, run.id, run.done, waiting=parked.why)
            raise
        except (TryLater, Unfit) as error:
            if run.tries + 1 >= self.patience:
                told = report_of(item, run.id, run.done, stopped=f"put off: {error}")
            raise
        except Exception as error:
            told = report_of(item, run.id, run.done, stopped=type(error).__name__)
            raise
        finally:
            if told is not None:
                self._end(told, watching)
        return result

    async def _look(self, watching: Watching) -> None:
        """See what has become of runs that another worker has."""
        for run, item in list(self._left.items()):
            kept, done = await self.store.find(run)
            if kept.state in (*ENDS, State.WAITING):
                self._end(_told(item, kept, done), watching)

    def _end(self, report: ItemReport, watching: Watching) -> None:
        self._left.pop(report.run, None)
        self.reports.append(report)
        watching.end(report)
        last = self.reports[-MAX_FAILURES_IN_A_ROW:]
        if len(last) == MAX_FAILURES_IN_A_ROW and all(each.effect == "failed" for each in last):
            self.trouble = f"gave up after {len(last)} failed items in a row: {report.stopped}"
            self._left.clear()
            if self._worker:
                self._worker.stop()


def _told(item: Item, kept: Kept, done: dict[str, Done]) -> ItemReport:
    if kept.state is State.DONE:
        return ItemReport.model_validate_json(kept.result)
    is_waiting = kept.state is State.WAITING
    said = {"waiting" if is_waiting else "stopped": kept.why or str(kept.state)}
    return report_of(item, kept.id, done, **said)
