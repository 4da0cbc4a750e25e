"""`remit stage`: what steps do by themselves, what speaks for more, and changing it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import anyio
import typer

from orchestrator import promotion
from orchestrator.assembling import Orchestrator
from orchestrator.commands.opening import opened, who
from orchestrator.fence import for_terminal
from orchestrator.promotion import Act, Evidence, NoSuchAct, Stage, Standing

app = typer.Typer(no_args_is_help=True, help="See and change what workflows do by themselves.")
Name = Annotated[str, typer.Argument(metavar="WORKFLOW")]
Who = Annotated[str, typer.Option("--as", help="Who says so; by default whoever is logged in.")]
_DAY_MS = 86_400_000


@app.command("list")
def list_stages() -> None:
    """List every step that acts, with its stage."""
    with opened() as orchestrator:
        for act in promotion.acts_of(orchestrator.workflows):
            now, evidence = anyio.run(promotion.look, orchestrator.store.database, act)
            said = f"{act.workflow}  {act.step}  {now.stage} ({now.stage.rollout})  {evidence.ratings} ratings"
            typer.echo(f"{said}  {evidence.incidents} incidents  {_since(now)}")


@app.command()
def show(
    workflow: Name,
    step: Annotated[str, typer.Argument(metavar="STEP", help="Only this step.")] = "",
    days: Annotated[float, typer.Option(min=0, max=36_500, help="Only ratings of the last days; 0 for all.")] = 0,
) -> None:
    """Show what speaks for the next stage, and whether it is enough."""
    with opened() as orchestrator:
        after = int(time.time() * 1_000 - days * _DAY_MS) if days else 0
        for act in _acts(orchestrator, workflow, step or None):
            now, evidence = anyio.run(promotion.look, orchestrator.store.database, act, after)
            _, whole = anyio.run(promotion.look, orchestrator.store.database, act)
            short = promotion.short_of_rising(now.stage, whole, now.thresholds)
            typer.echo("\n".join(_told(act, now, evidence, short)))


@app.command("set")
def change(
    workflow: Name,
    step: Annotated[str, typer.Argument(metavar="STEP")],
    stage: Annotated[Stage | None, typer.Argument(help="The new stage; left out, only thresholds change.")] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    threshold: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="A threshold, as `show` names them.")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Although the evidence is not enough.")] = False,
    by: Who = "",
) -> None:
    """Raise or lower a step's stage, or change its thresholds."""
    if not reason.strip():
        raise typer.BadParameter("say why with --reason")
    changed = dict(each.partition("=")[::2] for each in threshold or ())
    with opened() as orchestrator:
        [act] = _acts(orchestrator, workflow, step)
        where = (orchestrator.store.database, act)
        now = anyio.run(promotion.set_stage, *where, stage, changed, by or who(), reason, anyway)
        typer.echo(f"{workflow} {step}: {now.stage} ({now.stage.rollout})")


@app.command("report")
def report_run(
    run: Annotated[str, typer.Argument(metavar="RUN")],
    incident: Annotated[str, typer.Option(help="What happened.")],
    act: Annotated[str, typer.Option(help="Which of the run's acts, if there are several.")] = "",
    by: Who = "",
) -> None:
    """Mark what a run did as an incident; the step's stage may fall by it."""
    with opened() as orchestrator:
        where = (orchestrator.store.database, orchestrator.workflows)
        now = anyio.run(promotion.report, *where, run, act, by or who(), incident)
        typer.echo(f"{run}: reported; the step's stage is {now.stage}, {for_terminal(now.reason, 200)}")


def _acts(orchestrator: Orchestrator, workflow: str, step: str | None) -> list[Act]:
    orchestrator.workflows.find(workflow)
    known = [act for act in promotion.acts_of(orchestrator.workflows) if act.workflow == workflow]
    found = [act for act in known if step in (None, act.step)]
    if not found:
        raise NoSuchAct(f"workflow `{workflow}` acts in {', '.join(act.step for act in known) or 'no step'}")
    return found


def _told(act: Act, now: Standing, evidence: Evidence, short: list[str]) -> Iterator[str]:
    yield f"{act.workflow} {act.step}: {now.stage} ({now.stage.rollout}), {_since(now)}"
    when = f", rated {_day(evidence.first)} to {_day(evidence.last)}" if evidence.last else ""
    yield f"  ratings     {evidence.ratings}{when}"
    for name, part, whole in (
        ("agreement", evidence.accepted, evidence.ratings),
        ("edited", evidence.edited, evidence.ratings),
        ("needed", evidence.needed, evidence.escalated),
    ):
        low, high = promotion.wilson(part, whole)
        yield f"  {name:10}  " + (f"{part} of {whole}, {low:.2f} to {high:.2f}" if whole else "nothing rated")
    yield f"  distance    {'no edit' if evidence.distance is None else f'{evidence.distance:.2f} of the words'}"
    yield f"  incidents   {evidence.incidents}"
    yield "  thresholds  " + ", ".join(f"{name}={value}" for name, value in now.thresholds.model_dump().items())
    yield f"  next stage  {'not yet: ' + '; '.join(short) if short else 'the evidence is enough'}"


def _since(now: Standing) -> str:
    told = f"{now.reason}, by {now.person} on {_day(now.at)}" if now.number else now.reason
    return for_terminal(told, 200)


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1_000, UTC):%Y-%m-%d}"
