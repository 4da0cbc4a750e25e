"""`remit run triage`: connect, find the items, triage them on screen, sum up."""

import time
from contextlib import AbstractAsyncContextManager

import typer
from rich.console import Console

from orchestrator.gateway_client import GatewayClient, GatewayError
from orchestrator.grants import Issuer
from orchestrator.models.choosing import ChosenModel
from orchestrator.workflows.triage.batch import Batch, TooManyFailures
from orchestrator.workflows.triage.display import show_progress, show_summary
from orchestrator.workflows.triage.items import Item
from orchestrator.workflows.triage.loop import Bounds
from orchestrator.workflows.triage.report import ItemReport


async def triage_all(
    gateway: AbstractAsyncContextManager[GatewayClient],
    chosen: ChosenModel,
    mailbox: str,
    limit: int,
    bounds: Bounds,
    as_json: bool,
    issuer: Issuer | None = None,
) -> bool:
    """Triage the open items and say whether every one could be.

    Args:
        gateway: A connection that is not open yet.
        chosen: Who decides.
        mailbox: Whose unread mail to take; "" for tickets only.
        limit: How many items at most.
        bounds: How far each item may go.
        as_json: Print JSON reports on standard output, the rest on standard error.
        issuer: Where each item gets its grant; None works without grants.

    Raises:
        GatewayError: If there is no gateway to talk to, or nothing to triage may be read.
    """
    console = Console(highlight=False, stderr=as_json)
    batch, started, trouble = Batch(chosen, issuer), time.monotonic(), ""
    try:
        async with gateway as client:
            items = await batch.find(client, mailbox, limit)
            if as_json:
                await batch.work_on(client, items, _ignore, _print_json, bounds)
            else:
                await triage_on_screen(batch, client, items, bounds, console)
    except (GatewayError, TooManyFailures) as error:
        if not batch.reports:
            raise GatewayError(str(error)) from None
        trouble = str(error)
    show_summary(console, batch.reports, chosen.note, time.monotonic() - started)
    if trouble:
        console.print(f"stopped early: {trouble}", style="red", markup=False, soft_wrap=True)
    return not trouble and all(report.effect != "failed" for report in batch.reports)


async def triage_on_screen(
    batch: Batch, client: GatewayClient, items: list[Item], bounds: Bounds, console: Console
) -> None:
    """Triage items with the live display."""
    console.print(f"{batch.note} Run `{batch.run}`.", soft_wrap=True)
    with show_progress(console, len(items)) as progress:
        await batch.work_on(client, items, progress.begin, progress.end, bounds)


def _ignore(_item: Item) -> None:
    """Nobody watches."""


def _print_json(report: ItemReport) -> None:
    typer.echo(report.model_dump_json(ensure_ascii=True))
