"""`remit approvals`: see what waits for a person, and answer it."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from connectors.registry import TOOLS
from gateway.app import open_approvals, utc_now
from gateway.approval_book import UnknownApproval
from gateway.approvals import Approval, NotAnswerable, State
from gateway.cli.options import As, Home, Policies, Tenant, principal_named
from gateway.logs import visible
from gateway.policy.load import load_policy
from gateway.settings import Settings, load_settings

app = typer.Typer(help="See what waits for a person's yes or no, and answer it.", no_args_is_help=True)


@app.command("list")
def list_approvals(
    every: Annotated[bool, typer.Option("--all", help="Answered, expired and settled ones too.")] = False,
    home: Home = None,
    tenant: Tenant = None,
) -> None:
    """List what waits for an answer, newest first."""
    settings = load_settings(home=home, tenant=tenant)
    approvals = asyncio.run(_recent(settings))
    table = Table("id", "state", "who asks", "tool", "why", "until")
    for approval in approvals:
        question, state = approval.question, approval.state(utc_now())
        if every or state is State.PENDING:
            cells = (question.id, state, str(question.principal), question.tool, question.reason)
            table.add_row(*(escape(visible(cell)) for cell in cells), f"{question.expires_at:%m-%d %H:%M}")
    Console().print(table)


@app.command()
def show(approval_id: str, home: Home = None, policies: Policies = None, tenant: Tenant = None) -> None:
    """Show one question whole: exactly what would be done, for whom, why it is asked, and who may answer."""
    settings = load_settings(home=home, policies=policies, tenant=tenant)
    approval = asyncio.run(_find(settings, approval_id))
    question = approval.question
    policy = load_policy(settings.policies, TOOLS)
    roles = sorted({line.role for line in policy.approvers if line.answers_for(question.tool, settings.tenant)})
    told = {
        "approval": question.id,
        "state": approval.state(utc_now()),
        "asked by": str(question.principal),
        "asked at": question.asked_at.isoformat(timespec="seconds"),
        "expires at": question.expires_at.isoformat(timespec="seconds"),
        "tool": question.tool,
        "why": question.reason,
        "policy": question.policy_version + ("" if policy.version == question.policy_version else " (changed since)"),
        "may answer": ", ".join(roles) or "nobody: approvers.csv names no role for this tool",
        "answered by": f"{approval.answered_by} {approval.note}".strip(),
    }
    for name, value in told.items():
        if value:
            typer.echo(f"{name:<12}{visible(str(value))}")
    # ASCII: a homoglyph or a mark that turns text around shows as what it is.
    typer.echo("arguments   " + json.dumps(question.arguments, indent=2).replace("\n", "\n            "))


@app.command()
def approve(
    approval_id: str,
    as_: As = None,
    note: Annotated[str, typer.Option(help="A line for the record.")] = "",
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Say yes: when the caller repeats exactly this call, it runs once."""
    _answer(load_settings(home=home, policies=policies, tenant=tenant, principal=as_), approval_id, True, note)


@app.command()
def refuse(
    approval_id: str,
    as_: As = None,
    note: Annotated[str, typer.Option(help="The reason, told to the caller.")] = "",
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Say no: the caller is told so, with the note."""
    _answer(load_settings(home=home, policies=policies, tenant=tenant, principal=as_), approval_id, False, note)


def _answer(settings: Settings, approval_id: str, approve: bool, note: str) -> None:
    approver = principal_named(settings, "an answer")

    async def run() -> Approval:
        policy = load_policy(settings.policies, TOOLS)
        async with open_approvals(settings) as book:
            return await book.answer(approval_id, approver, policy, approve, note, utc_now())

    try:
        approval = asyncio.run(run())
    except (NotAnswerable, UnknownApproval) as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(f"{approval.question.id} is {approval.state(utc_now())} by {approval.answered_by}")


async def _recent(settings: Settings) -> list[Approval]:
    async with open_approvals(settings) as book:
        return await book.recent(settings.tenant, utc_now())


async def _find(settings: Settings, approval_id: str) -> Approval:
    async with open_approvals(settings) as book:
        approval = await book.find(approval_id)
    if approval is None or approval.question.principal.tenant != settings.tenant:
        raise typer.BadParameter(f"there is no approval `{approval_id}`; `remit approvals list` shows them")
    return approval
