"""`remit check`: every mistake in a policy folder, and everything in it that is most likely not meant."""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from connectors.contract import Tool
from gateway.policy.files.lines import read_text
from gateway.policy.judge import Policy
from gateway.policy.lint.lint import CODES, check_folder
from gateway.policy.lint.sarif import sarif
from gateway.policy.problem import Problem, Severity
from gateway.policy.proof import invariants
from gateway.policy.proof.findings import CODES as PROOF_CODES
from gateway.policy.proof.findings import check_invariants
from gateway.settings import load_settings
from gateway.upstream.catalogue import known_tools


def check(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The policy folder. [default: the one in use]")
    ] = None,
    no_prove: Annotated[bool, typer.Option("--no-prove", help="Do not prove what `invariants.csv` states.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Count warnings as errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
    as_sarif: Annotated[bool, typer.Option("--sarif", help="SARIF 2.1.0, for code hosts.")] = False,
) -> None:
    """Check a policy folder; exit status 1 if it has errors."""
    settings = load_settings()
    folder, tools = directory or settings.policies, known_tools(settings)
    policy, found = check_folder(folder, tools)
    if policy and not no_prove and (folder / invariants.FILE).exists():
        found = (*found, *_proved(folder, policy, tools))
    problems = [replace(problem, severity=Severity.ERROR) for problem in found] if strict else list(found)
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    if as_sarif:
        typer.echo(json.dumps(sarif(problems, {**CODES, **PROOF_CODES}, _uri(folder), version("remit")), indent=2))
    elif as_json:
        typer.echo(json.dumps(_report(problems, policy.version if policy else None), indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            typer.echo(f"{folder / problem.file}{str(problem).removeprefix(problem.file)}")
        warnings = len(problems) - errors
        rules = f"{len(policy.rules)} rules, " if policy else ""
        typer.echo(f"{rules}{_count(errors, 'error')}, {_count(warnings, 'warning')}", err=True)
    if errors:
        raise typer.Exit(1)


def _proved(folder: Path, policy: Policy, tools: Sequence[Tool]) -> tuple[Problem, ...]:
    unread: list[Problem] = []
    text = read_text(folder / invariants.FILE, unread)
    return (*unread, *check_invariants(policy, tools, text))


def _report(problems: list[Problem], policy_version: str | None) -> dict[str, object]:
    told = [
        {
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "severity": problem.severity,
            "code": problem.code,
            "message": problem.message,
        }
        for problem in problems
    ]
    return {"policy_version": policy_version, "problems": told}


def _uri(folder: Path) -> str:
    """Relative to the current folder if it lies inside, else a `file:` URI."""
    full, here = folder.resolve(), Path.cwd()
    return quote(full.relative_to(here).as_posix()) if full.is_relative_to(here) else full.as_uri()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
