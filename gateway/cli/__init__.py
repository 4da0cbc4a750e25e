"""The `remit` command. Every subcommand is a function in a module of this folder."""

import os
import sqlite3
import sys
from importlib.metadata import entry_points

import typer

from connectors.errors import ConnectorError
from gateway.cli import approvals, check, data, decide, diff, journal, policy_test, prove, serve, tokens, tools
from gateway.journal import JournalUnavailable
from gateway.policy.problem import PolicyError
from gateway.settings import BadSettings

app = typer.Typer(
    name="remit",
    help="Typed tools for CRM, tickets, email and knowledge, behind policy: the model proposes, Remit disposes.",
    epilog="Start with `remit sample --home .remit`, then `remit tools --as person:ana.ruiz@larkspur.example`, "
    "then `remit serve --stdio` or `remit serve --http 127.0.0.1:8900`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.command("serve")(serve.serve)
app.command("check")(check.check)
app.command("tools")(tools.show_tools)
app.command("decide")(decide.decide)
app.command("test")(policy_test.run_tests)
app.command("diff")(diff.diff)
app.command("prove")(prove.prove)
app.command("import")(data.import_data)
app.command("sample")(data.make_sample)
app.add_typer(tokens.app, name="token")
app.add_typer(approvals.app, name="approvals")
app.add_typer(journal.app, name="journal")
for extension in entry_points(group="remit.commands"):
    extension.load()(app)


def main() -> None:
    """Run the command; what the user can mend is one line on stderr and exit status 1."""
    # Whatever a command writes holds customers' data or secrets: for its owner alone.
    os.umask(0o077)
    try:
        app()
    except (BadSettings, PolicyError, JournalUnavailable, ConnectorError) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except (OSError, sqlite3.Error) as error:
        typer.echo(f"a file cannot be used: {error}; do --home and its files exist, and may you write there?", err=True)
        sys.exit(1)
