"""`remit doctor`: is everything as it should be, and what to do where it is not?"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from gateway.cli.options import Home, Policies, host_and_port
from gateway.doctor.checks import CHECKS, examine
from gateway.doctor.finding import Finding, Level, wrong
from gateway.doctor.outside import address
from gateway.settings import BadSettings, Settings, load_settings

_LOOKS = {Level.OK: ("ok     ", "green"), Level.WARNING: ("warning", "yellow"), Level.WRONG: ("wrong  ", "bold red")}


def doctor(
    http: Annotated[str | None, typer.Option(help="The address to be served on, HOST:PORT: is it free?")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
    home: Home = None,
    policies: Policies = None,
) -> None:
    """Examine an installation, changing nothing; exit status 1 if something is wrong."""
    at = host_and_port(http) if http else None
    try:
        settings = load_settings(home=home, policies=policies)
    except BadSettings as error:
        found = [wrong("settings", line, "mend it: a start is refused until then") for line in str(error).splitlines()]
        _tell(found, as_json)
    else:
        found = asyncio.run(_examined(settings, at, as_json))
    if any(finding.level is Level.WRONG for finding in found):
        raise typer.Exit(1)


async def _examined(settings: Settings, at: tuple[str, int] | None, as_json: bool) -> list[Finding]:
    found = []
    async for finding in examine(settings, (*CHECKS, partial(address, *at)) if at else CHECKS):
        found.append(finding)
        if not as_json:
            _tell([finding], as_json)
    if as_json:
        _tell(found, as_json)
    return found


def _tell(found: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        counts = {level.value: sum(each.level is level for each in found) for level in Level}
        typer.echo(json.dumps({**counts, "findings": [asdict(each) for each in found]}, indent=2, ensure_ascii=False))
        return
    console = Console(soft_wrap=True, highlight=False)
    for finding in found:
        name, style = _LOOKS[finding.level]
        then = f" — {finding.next}" if finding.next else ""
        console.print(Text.assemble((name, style), f"  {finding.about}: {finding.told}{then}"))
