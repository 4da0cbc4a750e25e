"""The `remit` command. Every subcommand is a function in a module of this folder."""

import os
import sys
from importlib.metadata import entry_points

import typer
from sqlalchemy.exc import SQLAlchemyError

from connectors.embedded.engine import reason
from connectors.errors import ConnectorError
from gateway.cli import approvals, check, data, decide, diff, doubts, journal, policy_test, prove, serve, tokens, tools
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
_RUN, _POLICY, _RECORD = "Run it", "Write and prove policy", "Answer and audit"
app.command("serve", rich_help_panel=_RUN)(serve.serve)
app.add_typer(tokens.app, name="token", rich_help_panel=_RUN)
app.command("sample", rich_help_panel=_RUN)(data.make_sample)
app.command("import", rich_help_panel=_RUN)(data.import_data)
app.command("tools", rich_help_panel=_POLICY)(tools.show_tools)
app.command("decide", rich_help_panel=_POLICY)(decide.decide)
app.command("check", rich_help_panel=_POLICY)(check.check)
app.command("test", rich_help_panel=_POLICY)(policy_test.run_tests)
app.command("diff", rich_help_panel=_POLICY)(diff.diff)
app.command("prove", rich_help_panel=_POLICY)(prove.prove)
app.add_typer(approvals.app, name="approvals", rich_help_panel=_RECORD)
app.add_typer(doubts.app, name="doubts", rich_help_panel=_RECORD)
app.add_typer(journal.app, name="journal", rich_help_panel=_RECORD)
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
    except SQLAlchemyError as error:
        typer.echo(f"the database cannot be used: {reason(error)}; are --home or REMIT_DATABASE_URL right?", err=True)
        sys.exit(1)
    except OSError as error:
        typer.echo(f"a file cannot be used: {error}; do --home and its files exist, and may you write there?", err=True)
        sys.exit(1)
