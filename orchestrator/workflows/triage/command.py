"""`remit run triage`: connect, begin a run for each item, work on them on screen, sum up."""

import os
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import typer
from rich.console import Console

from orchestrator.assembling import stand_in
from orchestrator.durable.database import Database
from orchestrator.durable.store import Store
from orchestrator.gateway_client import GatewayClient
from orchestrator.grants import Issuer
from orchestrator.models.choosing import ChosenModel, register_of
from orchestrator.work import Surroundings
from orchestrator.workflow import Workflows
from orchestrator.workflows.triage.batch import Batch, Limits
from orchestrator.workflows.triage.display import show_progress, show_summary
from orchestrator.workflows.triage.items import Item
from orchestrator.workflows.triage.report import ItemReport
from orchestrator.workflows.triage.workflow import triage


@dataclass(frozen=True)
class Setup:
    """What triage is done with.

    Args:
        gateway: A connection that is not open yet.
        database: The URL of the database that runs are kept in.
        chosen: Who decides.
        issuer: Where each item gets its grant; None works without grants.
    """

    gateway: AbstractAsyncContextManager[GatewayClient]
    database: str
    chosen: ChosenModel
    issuer: Issuer | None = None

    @property
    def note(self) -> str:
        """Who decides, and how far each item's run is narrowed."""
        has = "Each item has a grant of its own."
        return f"{self.chosen.note} {has if self.issuer else 'Items have no grants: REMIT_GRANT_TOKEN is not set.'}"

    def store(self) -> Store:
        """The runs.

        Raises:
            UnfitDatabase: If the database cannot be used.
        """
        database = Database(self.database)
        database.prepare()
        return Store(database)

    def batch(self, store: Store, client: GatewayClient) -> Batch:
        """A batch that is not begun yet."""
        from orchestrator.models.registry import Registry

        register, rules = register_of(self.chosen.label, os.environ), stand_in(Workflows([triage]))
        return Batch(store, client, Surroundings(Registry(register, store.database, rules, os.environ), self.issuer))


async def triage_all(setup: Setup, mailbox: str, limit: int, limits: Limits, as_json: bool) -> bool:
    """Triage the open items and say whether every one could be.

    Args:
        setup: What with.
        mailbox: Whose unread mail to take; "" for tickets only.
        limit: How many items at most.
        limits: How far each item may go.
        as_json: Print JSON reports on standard output, the rest on standard error.

    Raises:
        GatewayError: If there is no gateway to talk to, or nothing to triage may be read.
        UnfitDatabase: If the database cannot be used.
    """
    console, started, store = Console(highlight=False, stderr=as_json), time.monotonic(), setup.store()
    try:
        async with setup.gateway as client:
            batch = setup.batch(store, client)
            total = await batch.begin(mailbox, limit, limits)
            if as_json:
                await batch.work_on(_AsJson())
            else:
                await triage_on_screen(batch, total, setup.note, console)
    finally:
        store.database.close()
    show_summary(console, batch.reports, setup.chosen.note, time.monotonic() - started)
    if batch.trouble:
        console.print(f"stopped early: {batch.trouble}", style="red", markup=False, soft_wrap=True)
    return all(report.effect != "failed" for report in batch.reports)


async def triage_on_screen(batch: Batch, total: int, note: str, console: Console) -> None:
    """Work on a batch with the live display."""
    console.print(f"{note} Run `{batch.run}`.", soft_wrap=True)
    with show_progress(console, total) as progress:
        await batch.work_on(progress)


class _AsJson:
    def begin(self, item: Item) -> None:
        """Nobody watches."""

    def end(self, report: ItemReport) -> None:
        """Print the report in one line."""
        typer.echo(report.model_dump_json(ensure_ascii=True))
