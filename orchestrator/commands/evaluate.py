"""`remit eval`: how well a workflow does on its cases, against an earlier result and a gate; and real runs as cases."""

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import typer
import yaml
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from orchestrator.assembling import stand_in
from orchestrator.commands.opening import opened, plainly, unless_named
from orchestrator.commands.triage import SHIPPED_POLICIES
from orchestrator.evaluation.adding import case_of
from orchestrator.evaluation.cases import BadSet, Shared, Theme, load_set, read_as
from orchestrator.evaluation.comparing import Result, Scored, breaches, compare
from orchestrator.evaluation.grading import GRADERS, grade
from orchestrator.evaluation.running import observe
from orchestrator.settings import load_settings
from orchestrator.workflow import Workflows, shipped_and_own

app = typer.Typer(
    cls=unless_named("run"), no_args_is_help=True, help="Grade a workflow on its cases: `remit eval WORKFLOW`."
)


@app.command("run")
def run(
    workflow: Annotated[str, typer.Argument(help="The workflow.")],
    against: Annotated[Path | None, typer.Option(help="An earlier result to compare with.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the result to this file, as JSON.")] = None,
    gate: Annotated[bool, typer.Option("--gate", help="End with code 1 below the set's thresholds.")] = False,
    prompts: Annotated[
        Path | None, typer.Option(help="A folder whose `prompts` are taken instead of the workflow's own.")
    ] = None,
    policies: Annotated[Path, typer.Option(help="Folder of policy files.")] = SHIPPED_POLICIES,
    only: Annotated[str, typer.Option(help="Only cases with this tag.")] = "",
) -> None:
    """Run a workflow's cases against a real gateway, with the models of REMIT_MODELS, and grade them.

    Ends with code 1 on a significant loss against an earlier result, and with --gate below a threshold.
    """
    with plainly():
        before = read_as(against, Result) if against else None
        result, shared = _evaluate(workflow, prompts, policies, only, before)
    if out:
        out.write_text(result.model_dump_json(indent=1), "utf-8")
    failed = show(Console(highlight=False), result, before) + (breaches(result, shared.gate) if gate else [])
    for line in failed:
        typer.echo(f"error: {line}", err=True)
    raise typer.Exit(1 if failed else 0)


def _evaluate(
    name: str, prompts: Path | None, policies: Path, only: str, before: Result | None
) -> tuple[Result, Shared]:
    from orchestrator.models.registry import open_registry

    settings = load_settings()
    known = shipped_and_own(settings.workflows).find(name)
    shared, cases = load_set(known.folder / "cases")
    cases = [case for case in cases if not only or only in case.tags]
    if not cases:
        raise BadSet(f"`{name}` has no case with the tag `{only}`")
    if before and (before.workflow != name or not before.cases.keys() & {case.id for case in cases}):
        raise BadSet(f"the earlier result holds none of these cases of `{name}`")
    known = replace(known, folder=prompts) if prompts else known
    with tempfile.TemporaryDirectory() as folder, Progress(console=Console(stderr=True)) as progress:
        tell = partial(progress.advance, progress.add_task(name, total=len(cases)))
        models = partial(open_registry, settings.models, stand_in=stand_in(Workflows([known])))
        seen = anyio.run(observe, known, shared, cases, models, policies, Path(folder), tell)
    labels = sorted({label for each in seen.values() for label in each.labels})
    scored: dict[str, Scored] = {}
    for case in cases:
        one, (scores, wrong) = seen[case.id], grade(shared, seen[case.id])
        scored[case.id] = Scored(tags=case.tags, state=one.state, scores=scores, wrong=wrong, taken=one.taken)
    return Result(workflow=name, version=known.version, labels=labels, cases=scored), shared


def show(console: Console, result: Result, before: Result | None) -> list[str]:
    """Print what is wrong and a table of the graders; returns in words what was significantly lost."""
    changes = compare(before, result) if before else {}
    tags = sorted({tag for case in result.cases.values() for tag in case.tags})
    table = Table("grader", "score", "change (95 %)", "lowest by tag")
    for grader in (each.__name__ for each in GRADERS):
        by_tag = {tag: mean for tag in tags if (mean := result.mean(grader, tag)) is not None}
        lowest = sorted((mean, tag) for tag, mean in by_tag.items() if mean < 1)[:4]
        change, mean = changes.get(grader), result.mean(grader)
        moved = f"{change.mean:+.3f} ({change.low:+.3f} … {change.high:+.3f})" if change else ""
        told = ", ".join(f"{tag} {value:.2f}" for value, tag in lowest)
        table.add_row(grader, "" if mean is None else f"{mean:.3f}", moved, told)
    for name, case in result.cases.items():
        for wrong in case.wrong:
            console.print(f"{name}: {wrong}", markup=False)
    console.print(table)
    console.print(
        f"{len(result.cases)} cases of {result.workflow}@{result.version}; {', '.join(result.labels)}", markup=False
    )
    return [f"`{grader}` lost {-change.mean:.3f} beyond chance" for grader, change in changes.items() if change.is_loss]


@app.command("add")
def add(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run.")],
    right: Annotated[list[str], typer.Option("--right", help="What is right, as NAME=VALUE; repeatable.")] = [],  # noqa: B006
    to: Annotated[
        Path | None, typer.Option(help="The file; by default `real.yaml` among the workflow's cases.")
    ] = None,
) -> None:
    """Make a case of a real run: its input and what it read, with fictitious people, and what a person corrected.

    Look through the file afterwards: what nobody corrected is taken for right, and texts may name what no rule finds.
    """
    with opened() as orchestrator:
        kept, steps = anyio.run(orchestrator.store.find, run_id)
        folder = orchestrator.workflows.find(kept.workflow).folder / "cases"
        shared, _ = load_set(folder)
        if wrong := [each for each in right if "=" not in each or each.partition("=")[0] not in shared.outcome]:
            raise BadSet(f"`--right {wrong[0]}` is not NAME=VALUE with a name of the set: {', '.join(shared.outcome)}")
        case = case_of(kept, steps, shared, dict(each.split("=", 1) for each in right))
        path = to or folder / "real.yaml"
        is_there = path.exists() and read_as(path, Theme)
    theme = yaml.safe_load(path.read_text("utf-8")) if is_there else {"cases": []}
    theme["cases"] = [each for each in theme["cases"] if each["id"] != case["id"]] + [case]
    path.write_text(yaml.safe_dump(theme, allow_unicode=True, sort_keys=False, width=120), "utf-8")
    typer.echo(f"{path}: case `{case['id']}`; read it before you commit it")
