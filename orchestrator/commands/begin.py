"""`remit run WORKFLOW`: begins a run of any workflow, and waits for its result if it is told to."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from orchestrator.assembling import Orchestrator
from orchestrator.commands.opening import opened, unless_named
from orchestrator.commands.runs import ended, result_of
from orchestrator.commands.triage import run_triage
from orchestrator.durable.store import Kept
from orchestrator.shared_connection import SharedConnection

ANY = "WORKFLOW"


app = typer.Typer(cls=unless_named(ANY), no_args_is_help=True, help="Run a workflow against a gateway, over MCP.")
app.command("triage")(run_triage)


@app.command(ANY)
def begin(
    workflow: Annotated[str, typer.Argument(metavar="NAME", help="The workflow's name.")],
    input_: Annotated[str, typer.Option("--input", metavar="JSON|@FILE", help="What it is begun with.")] = "{}",
    run_id: Annotated[str, typer.Option("--id", help="The run's id; the same id is begun once.")] = "",
    wait: Annotated[float, typer.Option(help="Work on it here for so many seconds at most, and print its result.")] = 0,
) -> None:
    """Begin a run of a workflow; a worker takes it up."""
    with opened() as orchestrator:
        wanted = orchestrator.workflows.find(workflow).begin(_read(input_), run_id)
        run = anyio.run(orchestrator.store.begin, wanted)
        typer.echo(result_of(anyio.run(worked_on, orchestrator, run, wait)) if wait else run)


def _read(given: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(Path(given[1:]).read_text("utf-8") if given.startswith("@") else given)
    except OSError as error:
        raise ValueError(f"`{given[1:]}` cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"the input is no JSON: {error}") from None


async def worked_on(orchestrator: Orchestrator, run: str, seconds: float = math.inf, tries: float = math.inf) -> Kept:
    """A run once it has ended, see `ended`: worked on here unless a worker is faster."""
    connect = SharedConnection(orchestrator.connect)
    worker = orchestrator.worker(connect, only=run)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connect.hold)
        tasks.start_soon(worker.run)
        tasks.start_soon(orchestrator.hear_answers)
        kept = await ended(orchestrator.store, run, seconds, tries)
        tasks.cancel_scope.cancel()
    await orchestrator.models.aclose()
    return kept
