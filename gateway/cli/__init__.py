"""The `remit` command. Every subcommand is a function in a module of this folder, imported when it is wanted."""

import os
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

_RUN, _POLICY, _RECORD = "Run it", "Write and prove policy", "Answer and audit"


class _Place(NamedTuple):
    """Where a subcommand is: a module of this folder, its function, or its `app` where it has subcommands itself."""

    module: str
    name: str
    panel: str


_PLACES = {
    "serve": _Place("serve", "serve", _RUN),
    "token": _Place("tokens", "app", _RUN),
    "sample": _Place("data", "make_sample", _RUN),
    "import": _Place("data", "import_data", _RUN),
    "tools": _Place("tools", "show_tools", _POLICY),
    "decide": _Place("decide", "decide", _POLICY),
    "upstream": _Place("upstream", "app", _POLICY),
    "check": _Place("check", "check", _POLICY),
    "test": _Place("policy_test", "run_tests", _POLICY),
    "diff": _Place("diff", "diff", _POLICY),
    "prove": _Place("prove", "prove", _POLICY),
    "grant": _Place("grants", "app", _RUN),
    "approvals": _Place("approvals", "app", _RECORD),
    "doubts": _Place("doubts", "app", _RECORD),
    "journal": _Place("journal", "app", _RECORD),
    "stop": _Place("stop", "app", _RECORD),
    "resume": _Place("stop", "resume", _RECORD),
}


class _Commands(TyperGroup):
    """The subcommands in the order of who needs them: a command should not wait for what only the others import."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - as typer has it
        return [*_PLACES, *_extensions()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - as typer has it
        place = _PLACES.get(cmd_name)
        return _command(cmd_name, place) if place else _extensions().get(cmd_name)


def _command(name: str, place: _Place) -> Any:  # noqa: ANN401 - as typer has it
    found = getattr(import_module(f"gateway.cli.{place.module}"), place.name)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        alone.command(name)(found)
        found = alone
    command: Any = get_command(found)
    command.name, command.rich_help_panel = name, place.panel
    return command


@cache
def _extensions() -> dict[str, Any]:
    """The commands of other packages, by name."""
    others = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    for extension in entry_points(group="remit.commands"):
        extension.load()(others)
    return dict(get_group(others).commands) if others.registered_commands or others.registered_groups else {}


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
    from connectors.errors import ConnectorError
    from connectors.mcp_upstream.declaration import BadUpstream
    from gateway.journal import JournalUnavailable
    from gateway.policy.problem import PolicyError
    from gateway.settings import BadSettings

    if isinstance(error, BadSettings | BadUpstream | PolicyError | JournalUnavailable | ConnectorError):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        return f"the database cannot be used: {reason(error)}; are --home or REMIT_DATABASE_URL right?"
    if isinstance(error, OSError):
        return f"a file cannot be used: {error}; do --home and its files exist, and may you write there?"
    return None
