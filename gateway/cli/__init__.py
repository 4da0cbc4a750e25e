"""The `remit` command. Every subcommand is a function in a module of this folder, imported when it is wanted."""

import os
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from gateway.cli.starting import importing_much

_RUN, _POLICY, _RECORD = "Run it", "Write and prove policy", "Answer and audit"


class _Place(NamedTuple):
    """Where a subcommand is, and what help says of it without importing it.

    Args:
        module: The module, of this folder if it begins with a dot.
        name: Its function, or its `app` where it has subcommands itself.
        panel: Under which heading it is listed.
        told: The first sentence of its own help.
    """

    module: str
    name: str
    panel: str
    told: str


_PLACES = {
    "serve": _Place(".serve", "serve", _RUN, "Run the gateway over HTTP or stdio."),
    "doctor": _Place(
        ".doctor", "doctor", _RUN, "Examine an installation, changing nothing; exit status 1 if something is wrong."
    ),
    "backup": _Place(
        ".backup",
        "backup",
        _RUN,
        "Write everything of a home into one file, beside a running gateway, and verify the journal in it.",
    ),
    "restore": _Place(
        ".backup",
        "restore",
        _RUN,
        "Make a home from a backup, and verify its journal; what is there already is never overwritten.",
    ),
    "token": _Place(".tokens", "app", _RUN, "Make, list and revoke the bearer tokens of HTTP callers."),
    "credentials": _Place(
        ".credentials",
        "app",
        _RUN,
        "Keep what back ends show to the systems behind them: sealed, and never shown again.",
    ),
    "connect": _Place(
        ".connect",
        "connect",
        _RUN,
        "Have another system serve a tenant's tools: asks for what it needs, tries it, and writes it down.",
    ),
    "sample": _Place(
        ".data",
        "make_sample",
        _RUN,
        "Make the sample company, Larkspur Instruments: accounts, orders, tickets, mail, knowledge, some hostile.",
    ),
    "import": _Place(".data", "import_data", _RUN, "Bring your own data in: mail, contacts, tickets, knowledge."),
    "database": _Place(
        ".database",
        "app",
        _RUN,
        "See the form of the database's tables, bring it up to date, and part its users' rights.",
    ),
    "tools": _Place(
        ".tools",
        "show_tools",
        _POLICY,
        "Show the tools that a principal sees under the policy, and what the policy leaves it to do with them.",
    ),
    "decide": _Place(".decide", "decide", _POLICY, "Say what policy decides about one call, and why."),
    "upstream": _Place(
        ".upstream", "app", _POLICY, "Look at what upstream MCP servers define, and accept or refuse it."
    ),
    "check": _Place(".check", "check", _POLICY, "Check a policy folder; exit status 1 if it has errors."),
    "test": _Place(
        ".policy_test",
        "run_tests",
        _POLICY,
        "Run the policy's tests (`tests/*.yaml` in its folder) and list the rules that none of them reaches.",
    ),
    "diff": _Place(
        ".diff",
        "diff",
        _POLICY,
        "Say what changes between two policies: the rules, who may call what, and what was decided so far.",
    ),
    "prove": _Place(
        ".prove",
        "prove",
        _POLICY,
        "Prove the statements of `invariants.csv`, or show for each that fails a call that breaks it.",
    ),
    "grant": _Place(".grants", "app", _RUN, "Grant one task what it needs, and nothing more."),
    "approvals": _Place(".approvals", "app", _RECORD, "See what waits for a person's yes or no, and answer it."),
    "doubts": _Place(
        ".doubts",
        "app",
        _RECORD,
        "See which calls nobody knows the outcome of, and settle them for whoever repeats them.",
    ),
    "journal": _Place(".journal", "app", _RECORD, "Read the record of every call."),
    "stop": _Place(
        ".stop",
        "app",
        _RECORD,
        "Stop a run, an agent, a person, tools, a tenant or everything, in every process within a second.",
    ),
    "resume": _Place(
        ".stop", "resume", _RECORD, "Let go on what was stopped; whatever another stop covers too stays stopped."
    ),
}


class _Commands(TyperGroup):
    """The subcommands in the order of who needs them: a command should not wait for what only the others import."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - as typer has it
        return list(places())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - as typer has it
        place = _PLACES.get(cmd_name) or places().get(cmd_name)
        return place and TyperCommand(cmd_name, help=place.told, rich_help_panel=place.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as typer has it
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and _command(args[0], _PLACES.get(args[0]) or places()[args[0]]), rest


def _command(name: str, place: _Place) -> Any:  # noqa: ANN401 - as typer has it
    with importing_much():
        found = getattr(import_module(place.module, __name__), place.name)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        alone.command(name)(found)
        found = alone
    command: Any = get_command(found)
    command.name, command.rich_help_panel = name, place.panel
    return command


@cache
def places() -> dict[str, _Place]:
    """Where each subcommand is, also those of other packages, which an entry point names."""
    others = [extension.load() for extension in entry_points(group="remit.commands")]
    return _PLACES | {name: _Place(*told) for commands in others for name, told in commands.items()}


app = typer.Typer(
    cls=_Commands,
    name="remit",
    help="Typed tools for CRM, tickets, email and knowledge, behind policy: the model proposes, Remit disposes.",
    epilog="Start with `remit sample --home .remit`, then `remit tools --as person:ana.ruiz@larkspur.example`, "
    "then `remit serve --stdio` or `remit serve --http 127.0.0.1:8900`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.callback()(lambda: None)


def main() -> None:
    """Run the command; what the user can mend is one line on stderr and exit status 1."""
    # Whatever a command writes holds customers' data or secrets: for its owner alone.
    os.umask(0o077)
    try:
        app()
    except Exception as error:
        told = _mendable(error)
        if told is None:
            raise
        typer.echo(told, err=True)
        sys.exit(1)


def _mendable(error: Exception) -> str | None:
    """What to tell of a failure that the user can mend; None for any other."""
    from sqlalchemy.exc import SQLAlchemyError

    from connectors.embedded.engine import reason
    from connectors.embedded.schema import UnfitTables
    from connectors.errors import ConnectorError
    from connectors.toml_files import BadFile
    from gateway.credentials.book import BadCredential
    from gateway.journal import JournalUnavailable
    from gateway.policy.problem import PolicyError
    from gateway.settings import BadSettings

    mendable = BadSettings | BadFile | BadCredential | PolicyError | JournalUnavailable | ConnectorError | UnfitTables
    if isinstance(error, mendable):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        return f"the database cannot be used: {reason(error)}; are --home or REMIT_DATABASE_URL right?"
    if isinstance(error, OSError):
        return f"a file cannot be used: {error}; do --home and its files exist, and may you write there?"
    return None
