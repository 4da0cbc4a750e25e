"""`remit run triage`: connect, find the items, triage them on screen, sum up."""

import time
from dataclasses import dataclass

import typer
from rich.console import Console

from orchestrator.batch import Batch, TooManyFailures
from orchestrator.display import show_progress, show_summary
from orchestrator.gateway_client import GatewayClient, GatewayError, connect
from orchestrator.models import ChosenModel
from orchestrator.report import ItemReport
from orchestrator.triage import Bounds
from orchestrator.work import Item


@dataclass(frozen=True, slots=True)
class Options:
    """What `remit run triage` was asked to do. An empty `command` means `url`, an empty `mailbox` tickets only."""

    url: str
    token: str
    command: list[str]
    mailbox: str
    limit: int
    bounds: Bounds
    as_json: bool = False


async def triage_all(options: Options, chosen: ChosenModel) -> bool:
    """Triage the open items and say whether every one could be.

    Raises:
        GatewayError: If there is no gateway to talk to, or nothing to triage may be read.
    """
    console = Console(highlight=False, stderr=options.as_json)
    batch = Batch(chosen)
    started = time.monotonic()
    trouble = ""
    try:
        async with connect(url=options.url, token=options.token, command=options.command or None) as client:
            items = await batch.find(client, options.mailbox, options.limit)
            if options.as_json:
                await batch.work_on(client, items, _ignore, _print_json, options.bounds)
            else:
                await triage_on_screen(batch, client, items, options.bounds, console)
    except (GatewayError, TooManyFailures) as error:
        if not batch.reports:
            raise GatewayError(str(error)) from None
        trouble = str(error)
    show_summary(console, batch.reports, chosen.note, time.monotonic() - started)
    if trouble:
        console.print(f"[red]stopped early:[/red] {trouble}", soft_wrap=True)
    return not trouble and all(report.effect != "failed" for report in batch.reports)


async def triage_on_screen(
    batch: Batch, client: GatewayClient, items: list[Item], bounds: Bounds, console: Console
) -> None:
    """Triage items with the live display."""
    console.print(f"{batch.chosen.note} Run `{batch.run}`.", soft_wrap=True)
    with show_progress(console, len(items)) as progress:
        await batch.work_on(client, items, progress.begin, progress.end, bounds)


def _ignore(_item: Item) -> None:
    """Nobody watches."""


def _print_json(report: ItemReport) -> None:
    typer.echo(report.model_dump_json(ensure_ascii=True))
