"""`remit diff`: what a change of policy changes."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.contract import Tool
from gateway.cli.options import Policies
from gateway.cli.progress import progress_bar
from gateway.database import Database
from gateway.policy.comparing.diff import Difference, differences
from gateway.policy.comparing.matrix import Cell, changed_access
from gateway.policy.comparing.revisions import NoSuchPolicy, texts_at
from gateway.policy.judge import Policy
from gateway.policy.load import policy_from_texts
from gateway.policy.problem import PolicyError, Problem
from gateway.replay import Flip, Flipped, Replay, replay
from gateway.settings import load_settings
from gateway.upstream.catalogue import known_tools

_MOST_SHOWN = 50


def diff(
    old: Annotated[str, typer.Argument(help="A folder or a git revision; `OLD..NEW` names both.")],
    new: Annotated[
        str | None, typer.Argument(help="A folder or a git revision. [default: the folder as it is]")
    ] = None,
    policies: Policies = None,
    journal: Annotated[
        Path | None, typer.Option(metavar="HOME", help="Decide everything again that this gateway's journal recorded.")
    ] = None,
    fail_on_flips: Annotated[
        bool, typer.Option("--fail-on-flips", help="Exit status 1 if any recorded decision comes out differently.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what changes between two policies: the rules, who may call what, and what was decided so far.

    Git revisions are those of the folder given by --policies.
    """
    settings = load_settings(home=journal, policies=policies)
    tools = known_tools(settings)
    before, after = _policies(old, new, settings.policies, tools)
    lines, cells = differences(before, after), changed_access(before, after, [tool.name for tool in tools])
    replayed = None
    if journal:
        with settings.open_database() as database:
            replayed = _replay(database, before, after, tools, timedelta(seconds=settings.run_window))
    if as_json:
        typer.echo(json.dumps(_as_data(before, after, lines, cells, replayed), indent=2, ensure_ascii=False))
    else:
        for line in (*_told_lines(lines), *_told_cells(cells, tools), *(_told_replay(replayed) if replayed else ())):
            typer.echo(line)
    if fail_on_flips and replayed and replayed.flips:
        raise typer.Exit(1)


def policy_named(source: str, folder: Path, tools: Sequence[Tool]) -> Policy:
    """The policy of a folder or a git revision.

    Raises:
        typer.BadParameter: If there is no such policy.
        PolicyError: If it cannot be loaded.
    """
    problems: list[Problem] = []
    try:
        return policy_from_texts(texts_at(source, folder, problems), tools, problems)
    except NoSuchPolicy as error:
        raise typer.BadParameter(str(error)) from None
    except PolicyError as error:
        raise PolicyError(replace(problem, file=f"{source}: {problem.file}") for problem in error.problems) from None


def _policies(old: str, new: str | None, folder: Path, tools: Sequence[Tool]) -> tuple[Policy, Policy]:
    if new is None and ".." in old and not Path(old).is_dir():
        old, _, new = old.partition("..")
    return policy_named(old or "HEAD", folder, tools), policy_named(new or str(folder), folder, tools)


def _replay(database: Database, old: Policy, new: Policy, tools: Sequence[Tool], window: timedelta) -> Replay:
    with progress_bar("replaying the journal") as bar:
        task = bar.add_task("", total=None)
        return replay(
            database, old, new, tools, window, lambda done, total: bar.update(task, completed=done, total=total)
        )


def _told_lines(found: tuple[Difference, ...]) -> Iterator[str]:
    yield "Rules, roles, lists, approvers and operators"
    yield from (f"  {each}" for each in found)
    if not found:
        yield "  no difference"


def _told_cells(found: tuple[Cell, ...], tools: Sequence[Tool]) -> Iterator[str]:
    effects = {tool.name: tool.effect for tool in tools}
    yield ""
    yield "Who may call what"
    for (tool, before, after), rows in _grouped(found).items():
        yield f"  {tool} ({effects[tool]}): {', '.join(rows)}"
        yield f"    was: {before}"
        yield f"    now: {after}" if after != before else "    now: the same words, with another list in them"
    if not found:
        yield "  no difference"


def _grouped(found: tuple[Cell, ...]) -> dict[tuple[str, str, str], list[str]]:
    """Rows to which the same happens, together."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for cell in found:
        groups.setdefault((cell.tool, cell.before, cell.after), []).append(cell.row)
    return groups


def _told_replay(found: Replay) -> Iterator[str]:
    yield ""
    yield f"Recorded decisions: {found.decisions} decided again, {found.flipped} come out differently"
    for flip, flipped in list(found.flips.items())[:_MOST_SHOWN]:
        way = "LOOSER" if flip.is_looser else "stricter"
        yield (
            f"  {flipped.count} × {flip.before} → {flip.after} ({way})  {flip.tool}  {flip.principal}  "
            f"{_rules(flip.rules_before)} → {_rules(flip.rules_after)}  first: {', '.join(flipped.calls)}"
        )
    if len(found.flips) > _MOST_SHOWN:
        yield f"  and {len(found.flips) - _MOST_SHOWN} more kinds: --json lists all"
    if found.aged:
        yield f"  {found.aged} were decided otherwise under the policy of their time, which is no part of this change"
    for reason, count in found.undecidable.items():
        yield f"  {count} could not be decided again: {reason}"


def _rules(ids: tuple[str, ...]) -> str:
    return "+".join(ids) or "no rule"


def _as_data(
    old: Policy, new: Policy, lines: tuple[Difference, ...], cells: tuple[Cell, ...], replayed: Replay | None
) -> dict[str, Any]:
    return {
        "old": old.version,
        "new": new.version,
        "lines": [
            {
                "what": each.what,
                "name": each.name,
                "change": each.change,
                "fields": {name: {"old": was, "new": now} for name, (was, now) in each.fields.items()},
            }
            for each in lines
        ],
        "access": [{"who": cell.row, "tool": cell.tool, "old": cell.before, "new": cell.after} for cell in cells],
        "replay": replayed
        and {
            "decisions": replayed.decisions,
            "flipped": replayed.flipped,
            "flips": [_flip_data(flip, flipped) for flip, flipped in replayed.flips.items()],
            "decided_otherwise_when_recorded": replayed.aged,
            "undecidable": dict(replayed.undecidable),
        },
    }


def _flip_data(flip: Flip, flipped: Flipped) -> dict[str, Any]:
    return {
        "old": {"verdict": flip.before, "rules": list(flip.rules_before)},
        "new": {"verdict": flip.after, "rules": list(flip.rules_after)},
        "looser": flip.is_looser,
        "tool": flip.tool,
        "principal": flip.principal,
        "count": flipped.count,
        "calls": flipped.calls,
    }
