"""`remit test`: does the policy decide what its tests say?"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import Home
from gateway.policy.explaining.telling import told
from gateway.policy.files.limits import Limit
from gateway.policy.judge import Rule
from gateway.policy.load import load_policy
from gateway.policy.testing.cases import FOLDER, load_cases
from gateway.policy.testing.junit import junit
from gateway.policy.testing.trials import Report, Trial, run_cases
from gateway.settings import load_settings
from gateway.upstream.catalogue import known_tools

_WIDTH = 100


def run_tests(
    policies: Annotated[Path | None, typer.Argument(help="The policy folder. [default: as for `remit serve`]")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write the outcome as JUnit XML.")] = None,
    require_coverage: Annotated[
        bool, typer.Option("--require-coverage", help="Fail if there is a rule that no test reaches.")
    ] = False,
    home: Home = None,
) -> None:
    """Run the policy's tests (`tests/*.yaml` in its folder) and list the rules that none of them reaches.

    A test reaches a rule that makes its decision. Exit status: 0 passed, 1 failed or a file has a mistake.
    """
    settings = load_settings(home=home, policies=policies)
    directory, tools = settings.policies, known_tools(settings)
    policy = load_policy(directory, tools)
    report = run_cases(policy, load_cases(directory, tools))
    typer.echo("\n".join(summary(report)))
    if junit_file:
        junit_file.write_text(junit(report), "utf-8")
    if not report.trials:
        typer.echo(f"there are no tests: write {directory / FOLDER}/NAME.yaml", err=True)
    sys.exit(
        bool(
            report.failures or not report.trials or (require_coverage and (report.unreached or report.limits_unreached))
        )
    )


def summary(report: Report) -> Iterator[str]:
    """What `remit test` prints: a dot or an F for each test, each failure, and which rules were reached."""
    marks = "".join("." if trial.passed else "F" for trial in report.trials)
    yield from (marks[start : start + _WIDTH] for start in range(0, len(marks), _WIDTH))
    for trial in report.failures:
        yield from ("", *_failure(trial))
    failed = len(report.failures)
    yield ""
    yield f"{len(report.trials) - failed} passed, {failed} failed"
    yield f"{report.rules - len(report.unreached)} of {report.rules} rules made a decision"
    yield from _listed("no test reaches", report.unreached)
    yield from _listed("no test shows where it ends", report.one_sided)
    yield from _listed("no test reaches the limits", report.limits_unreached)


def _failure(trial: Trial) -> Iterator[str]:
    yield f"{trial.case.file}:{trial.case.line}: {trial.case.name}"
    yield f"  expected {trial.expected}"
    yield f"  got      {trial.actual}"
    if trial.explanation:
        yield from (f"    {line}".rstrip() for line in told(trial.explanation).splitlines())


def _listed(what: str, rules: Sequence[Rule | Limit]) -> Iterator[str]:
    if rules:
        yield f"{what}: {' '.join(rule.id for rule in rules)}"
