"""`remit runs`: see what runs do and did, answer what they ask, resume and cancel them."""

import json
import math
import time
from dataclasses import asdict
from typing import Annotated, Any

import anyio
import typer

from orchestrator.commands.opening import opened, who
from orchestrator.commands.stage import report_run
from orchestrator.commands.story import hidden, line_of, story
from orchestrator.durable.store import ENDS, Kept, State, Store
from orchestrator.work import reply_event

app = typer.Typer(no_args_is_help=True, help="See what runs do and did, answer what they ask, resume and cancel them.")
app.command("report")(report_run)
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, with all that is kept.")]


@app.command("list")
def list_runs(
    state: Annotated[list[State] | None, typer.Option(help="Only runs that stand so; may be repeated.")] = None,
    workflow: Annotated[str, typer.Option(help="Only runs of this workflow.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List runs, the one that changed last first, each with what holds it up: no worker, no such version, a person."""
    with opened() as orchestrator:
        found = anyio.run(orchestrator.store.list, state or (), workflow, limit)
        for kept in found:
            trouble = hidden(kept, orchestrator.workflows)
            typer.echo(json.dumps(_plain(kept) | {"trouble": trouble}) if as_json else line_of(kept, trouble))
        if not found and not as_json:
            typer.echo("no runs")


@app.command()
def show(
    run: RunId,
    full: Annotated[bool, typer.Option("--full", help="With what each step gave.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell a run's story: each step with model, prompt, cost, call and answer, and what it waits for since when."""
    with opened() as orchestrator:
        kept, done = anyio.run(orchestrator.store.find, run)
        trouble = hidden(kept, orchestrator.workflows)
        if as_json:
            steps = [asdict(step) | {"output": json.loads(step.output)} for step in done.values()]
            typer.echo(json.dumps(_plain(kept) | {"trouble": trouble, "steps": steps}))
        else:
            typer.echo("\n".join(story(kept, done.values(), trouble, full)))


@app.command()
def resume(run: RunId) -> None:
    """Take a run up again at once that failed, waits or was put off, with the steps that it has done."""
    with opened() as orchestrator:
        if not anyio.run(orchestrator.store.resume, run):
            raise ValueError(f"run `{run}` is worked on, or has ended and did not fail")
        typer.echo(f"{run}: is taken up again")


@app.command()
def cancel(run: RunId, why: Annotated[str, typer.Option(help="Why, for whoever looks later.")] = "") -> None:
    """End a run; what it has begun at this moment is still done, but nothing after it."""
    with opened() as orchestrator:
        if not anyio.run(orchestrator.store.cancel, run, f"cancelled by {who()}: {why}".rstrip(": ")):
            raise ValueError(f"run `{run}` had ended already")
        typer.echo(f"{run}: cancelled")


@app.command()
def answer(
    run: RunId,
    step: Annotated[str, typer.Argument(help="Which question, if the run asks several.")] = "",
    choice: Annotated[str, typer.Option(help="One of the choices, such as accept, edit or reject.")] = "",
    note: Annotated[str, typer.Option(help="What to say to it.")] = "",
    edit: Annotated[
        dict[str, Any] | None, typer.Option(parser=json.loads, metavar="JSON", help="What you changed.")
    ] = None,
) -> None:
    """Answer what a run asks a person, or what an approver asked back."""
    with opened() as orchestrator:
        told = {"choice": choice, "note": note, "by": who()} | ({"edited": edit} if edit else {})
        typer.echo(f"{run}: {anyio.run(_answer, orchestrator.store, run, step, told)}")


@app.command()
def wait(run: RunId, seconds: Annotated[float, typer.Option(min=0, help="How long at most.")] = 86_400.0) -> None:
    """Wait until a run has ended and print its result; ends with code 1 if it has none, or takes longer."""
    with opened() as orchestrator:
        typer.echo(result_of(anyio.run(ended, orchestrator.store, run, seconds)))


async def ended(store: Store, run: str, seconds: float, tries: float = math.inf) -> Kept:
    """A run once it has ended, after so many seconds, or once it was put off so often."""
    over = time.monotonic() + seconds
    while True:
        kept, _ = await store.find(run)
        if kept.state in ENDS or kept.tries >= tries or time.monotonic() > over:
            return kept
        await anyio.sleep(0.2)


def result_of(kept: Kept) -> str:
    """A run's result as JSON.

    Raises:
        ValueError: If it has none; says where the run stands.
    """
    if kept.state is not State.DONE:
        raise ValueError(f"run `{kept.id}` {kept.state}: {kept.why}")
    # Where it is printed no text in it steers the terminal.
    return json.dumps(json.loads(kept.result))


async def _answer(store: Store, run: str, step: str, told: dict[str, Any]) -> str:
    kept, done = await store.find(run)
    asked = {name.removesuffix(".asked"): each.facts for name, each in done.items() if name.endswith(".asked")}
    open_ = {name: facts for name, facts in asked.items() if name not in done}
    if kept.state in ENDS or not open_:
        raise ValueError(f"run `{run}` asks nobody anything")
    name = step or next(iter(open_))
    if name not in open_ or (len(open_) > 1 and not step):
        raise ValueError(f"there is no question in step `{step}`; there is in {', '.join(sorted(open_))}")
    facts = open_[name]
    if "event" in facts:
        if told["choice"] not in facts["choices"]:
            raise ValueError(f"step `{name}` takes one of the choices {', '.join(facts['choices'])}")
        if not await store.tell(facts["event"], told):
            raise ValueError(f"step `{name}` was answered before")
        return f"answered {told['choice']}"
    if told["choice"] or not told["note"]:
        raise ValueError(f"step `{name}` waits for approval `{facts['approval']}`: see `remit approvals`")
    if not await store.tell(reply_event(run, name, done), told["note"]):
        raise ValueError(f"step `{name}` was answered before, and the approver does not have it yet")
    await store.resume(run)
    return "the approver is answered"


def _plain(kept: Kept) -> dict[str, Any]:
    return {name: value for name, value in asdict(kept).items() if name != "seed"}
