"""`remit import` and `remit sample`: fill the embedded back ends."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from connectors.embedded.database import Database
from connectors.importing import AREAS, ImportReport, Kind, import_path, render
from connectors.registry import EmbeddedBackEnds, embedded
from gateway.cli.options import Home, Tenant
from gateway.cli.progress import progress_bar
from gateway.home import make_home, utc_now
from gateway.settings import CONFIG_FILE, Settings, load_settings

SAMPLE_PRINCIPAL = "person:ana.ruiz@larkspur.example"


def import_data(
    kind: Annotated[Kind, typer.Argument(help="What PATH holds.")],
    path: Annotated[Path, typer.Argument(help="The file or folder to read.")],
    mailbox: Annotated[str | None, typer.Option(help="For mail: the address whose mail it is.")] = None,
    readers: Annotated[
        list[str], typer.Option(help="For knowledge: who may read documents that name no readers; repeatable.")
    ] = ["everyone"],  # noqa: B006 - typer reads it and never changes it
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    home: Home = None,
    tenant: Tenant = None,
) -> None:
    """Bring your own data in: mail, contacts, tickets, knowledge.

    Safe to repeat. Bad rows are skipped, counted and written to HOME/rejects with the reason. The report at the end
    says how ready the data is: duplicates, missing fields, stale records.
    """
    settings = load_settings(home=home, tenant=tenant)
    with _embedded(settings) as back_ends, progress_bar(f"importing {kind}") as progress:
        task = progress.add_task("", total=None)
        report: ImportReport = asyncio.run(
            import_path(
                kind,
                path,
                getattr(back_ends, AREAS[kind]),
                settings.tenant,
                now=utc_now(),
                rejects=settings.home / "rejects" / f"{kind}-{path.resolve().name}.jsonl",
                mailbox=mailbox,
                readers=readers,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        )
    typer.echo(report.to_json() if as_json else render(report))


def make_sample(
    seed: Annotated[int, typer.Option(help="Another seed makes another company.")] = 7,
    to_files: Annotated[
        Path | None,
        typer.Option("--to-files", help="Write mbox, CSV, JSONL and Markdown files to this folder instead."),
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option("--from-file", help="Load the records of this file instead, and print their ids as JSON."),
    ] = None,
    home: Home = None,
) -> None:
    """Make the sample company, Larkspur Instruments: accounts, orders, tickets, mail, knowledge, some hostile."""
    from connectors.sample.company import generate
    from connectors.sample.export import export
    from connectors.sample.loading import load_company

    settings = load_settings(home=home)
    if from_file:
        _load_file(from_file, settings)
        return
    company = generate(seed)
    if to_files:
        export(company, to_files)
        typer.echo(f"Larkspur Instruments as files: {to_files}")
        return
    with _embedded(settings) as back_ends, progress_bar("sample company: {task.description}") as progress:
        task = progress.add_task("", total=None)
        loaded = asyncio.run(
            load_company(
                company,
                back_ends.crm,
                back_ends.ticket,
                back_ends.email,
                back_ends.knowledge,
                progress=lambda what, done, total: progress.update(task, description=what, completed=done, total=total),
            )
        )
    config = settings.home / CONFIG_FILE
    if not config.exists():
        config.write_text(f'# Who calls over stdio.\nprincipal = "{SAMPLE_PRINCIPAL}"\n', "utf-8")
    typer.echo(
        f"Larkspur Instruments is in {settings.home}: {loaded.added} records added, {loaded.unchanged} unchanged"
    )


def _load_file(path: Path, settings: Settings) -> None:
    from connectors.sample.company import TENANT
    from connectors.sample.given import load_given, read_company

    company = read_company(path)
    make_home(settings)
    database = Database(settings.company_database)
    try:
        ids = asyncio.run(load_given(company, embedded(database, settings.outbox), database, TENANT))
    finally:
        database.close()
    typer.echo(json.dumps(ids))


@contextmanager
def _embedded(settings: Settings) -> Iterator[EmbeddedBackEnds]:
    make_home(settings)
    database = Database(settings.company_database)
    try:
        yield embedded(database, settings.outbox)
    finally:
        database.close()
