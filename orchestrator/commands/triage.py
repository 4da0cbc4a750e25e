"""`remit run triage` and `remit demo`: triage of what is open, and the same shown on a sample company."""

import os
from pathlib import Path
from typing import Annotated

import typer

SHIPPED_POLICIES = Path(__file__).parents[2] / "policies"


def run_triage(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many items at most.")] = 25,
    url: Annotated[
        str, typer.Option(envvar="REMIT_URL", help="The gateway's MCP endpoint.")
    ] = "http://127.0.0.1:8900/mcp",
    token: Annotated[
        str, typer.Option(envvar="REMIT_TOKEN", help="Token from `remit token create`; better given as REMIT_TOKEN.")
    ] = "",
    grant_token: Annotated[
        str,
        typer.Option(
            envvar="REMIT_GRANT_TOKEN",
            help="Token from `remit token create --may-grant`: then each item's calls are narrowed to what it needs.",
        ),
    ] = "",
    command: Annotated[
        str, typer.Option(help="Start this gateway and talk to it over stdio instead, such as 'remit serve --stdio'.")
    ] = "",
    mailbox: Annotated[
        str, typer.Option(help="Whose unread mail to take as well; '' for tickets only.")
    ] = "support@larkspur.example",
    model: Annotated[
        str,
        typer.Option(envvar="REMIT_MODEL", help="`openai:NAME`, `anthropic:NAME`, `stand-in`; else by the keys set."),
    ] = "",
    requests: Annotated[int, typer.Option(min=1, max=100, help="Model requests per item.")] = 10,
    tool_calls: Annotated[int, typer.Option(min=1, max=200, help="Calls to the gateway per item.")] = 16,
    tokens: Annotated[int, typer.Option(min=1_000, help="Tokens per item, in and out.")] = 80_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON report per item and nothing else.")] = False,
) -> None:
    """Triage new tickets and unread mail: intent, customer, evidence, a prepared answer or an escalation.

    Each item is a run: what was broken off or has been answered goes on when triage is run again. A reply is sent only
    as far as its stage goes, and shipped is a draft. Ends with code 1 if the gateway or the model cannot be used, or if
    an item failed.
    """
    import anyio

    from orchestrator.commands.opening import plainly
    from orchestrator.gateway_client import connect
    from orchestrator.grants import Issuer
    from orchestrator.models.choosing import choose_model
    from orchestrator.settings import load_settings, taken_apart
    from orchestrator.workflows.triage.batch import Limits
    from orchestrator.workflows.triage.command import Setup, triage_all

    issuer = Issuer(url, grant_token) if grant_token and not command else None
    with plainly():
        gateway = connect(url=url, token=token, command=taken_apart(command) or None)
        setup = Setup(gateway, load_settings().database_url, choose_model(model, os.environ), issuer)
        limits = Limits(requests, tool_calls, tokens)
        complete = anyio.run(triage_all, setup, mailbox, limit, limits, as_json)
    raise typer.Exit(0 if complete else 1)


def demo(
    home: Annotated[Path, typer.Option(help="Folder for the demo's data; an earlier demo in it is wiped.")] = Path(
        ".remit/demo"
    ),
    policies: Annotated[Path, typer.Option(help="Folder of policy files.")] = SHIPPED_POLICIES,
    items: Annotated[int, typer.Option(min=1, max=200, help="How many items to triage.")] = 25,
    model: Annotated[str, typer.Option(envvar="REMIT_MODEL", help="As for `remit run triage`.")] = "",
) -> None:
    """Show Remit at work on a sample company: triage, a denied call, a pending approval, a blocked injection.

    Ends with code 0 only if all of it really happened.
    """
    from orchestrator.commands.opening import plainly
    from orchestrator.workflows.triage.demo import run_demo

    with plainly():
        run_demo(home, policies, items, model)
