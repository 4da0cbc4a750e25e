"""`remit approvals`: see what waits for a person, and answer it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from connectors.contract import Tool
from gateway.app import open_approvals
from gateway.approvals import Approval, NotAnswerable, State
from gateway.approvals.book import ApprovalBook, UnknownApproval
from gateway.approvals.standing import Standing, Terms
from gateway.approvals.together import by_task
from gateway.catalog import InvalidArguments
from gateway.cli.options import As, Home, Policies, Tenant, principal_named
from gateway.effect_words import effect_sentence
from gateway.flow.telling import origin_words
from gateway.home import utc_now
from gateway.policy.judge import Policy
from gateway.policy.load import load_policy
from gateway.principal import Principal
from gateway.settings import Settings, load_settings
from gateway.upstream.catalogue import known_tools
from gateway.visible_text import deceits, visible

T = TypeVar("T")

app = typer.Typer(help="See what waits for a person's yes or no, and answer it.", no_args_is_help=True)
standing_app = typer.Typer(help="Standing approvals: what further calls a yes covers.", no_args_is_help=True)
app.add_typer(standing_app, name="standing")

Seen = Annotated[
    str | None,
    typer.Option(metavar="BINDING", help="The `binding` that `show` printed: refused if it has changed since."),
]
Note = Annotated[str, typer.Option(help="A line for the record; with a no, the caller is told it.")]


@app.command("list")
def list_approvals(
    every: Annotated[bool, typer.Option("--all", help="Answered, expired and settled ones too.")] = False,
    home: Home = None,
    tenant: Tenant = None,
) -> None:
    """List what waits for an answer by task, the newest task first. A task's calls can be answered together."""
    settings = load_settings(home=home, tenant=tenant)
    approvals = asyncio.run(
        with_book(
            settings,
            lambda book: (
                book.recent(settings.tenant, utc_now()) if every else book.open(utc_now(), tenant=settings.tenant)
            ),
        )
    )
    now = utc_now()
    shown = [each for each in approvals if every or each.state(now) is State.PENDING]
    table = Table("task", "id", "state", "who asks", "tool", "why", "yes", "until")
    for number, task in enumerate(reversed(by_task(shown)), 1):
        for approval in task:
            question = approval.question
            cells = (question.id, approval.state(now), str(question.principal), question.tool, approval.ruling.reason)
            votes = f"{len(approval.votes)} of {approval.quorum}"
            until = f"{question.expires_at:%m-%d %H:%M}"
            table.add_row(str(number), *(escape(visible(cell)) for cell in cells), votes, until)
        table.add_section()
    Console().print(table)


@app.command()
def show(
    approval_ids: Annotated[list[str], typer.Argument(metavar="ID…", help="One or more questions.")],
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Show questions whole: exactly what would be done, for whom, why it is asked, and who may answer."""
    settings = load_settings(home=home, policies=policies, tenant=tenant)
    print_whole(settings, asyncio.run(with_book(settings, partial(found, settings, approval_ids))))


async def found(settings: Settings, names: Sequence[str], book: ApprovalBook) -> list[Approval]:
    """Find questions by their ids, each once.

    Raises:
        typer.BadParameter: If one of them is not there for the tenant.
    """
    approvals = []
    for name in dict.fromkeys(names):
        approval = await book.find(settings.tenant, name)
        if approval is None:
            raise typer.BadParameter(f"there is no approval `{name[:64]}`; `remit approvals list` shows them")
        approvals.append(approval)
    return approvals


def print_whole(settings: Settings, approvals: Sequence[Approval]) -> None:
    """Print everything that an answer needs, question by question."""
    tools = known_tools(settings)
    policy = load_policy(settings.policies, tools)
    for number, approval in enumerate(approvals):
        if number:
            typer.echo("")
        _print_one(approval, policy, tools)


def _print_one(approval: Approval, policy: Policy, tools: Sequence[Tool]) -> None:
    for name, value in _told(approval, policy, tools).items():
        if value:
            typer.echo(f"{name:<14}{visible(str(value))}")
    for remark in approval.remarks:
        typer.echo(visible(f"{'replied' if remark.is_reply else 'asked back':<14}{remark.by}: {remark.text}"))
    for deceit in deceits(json.dumps(approval.arguments, ensure_ascii=False).replace("\\n", " ")):
        typer.echo(f"{'look out':<14}{visible(deceit)}")
    if approval.edit:
        typer.echo("proposed      " + _json(approval.question.arguments))
    typer.echo("arguments     " + _json(approval.arguments))
    for name, origin in approval.question.flow.origins.items():
        typer.echo(visible(f"{'from':<14}{name}: {origin_words(origin, approval.question.places.get(name, ()))}"))
    if grant := approval.question.said.get("grant"):
        typer.echo("granted       " + _json(grant))
    if case := approval.question.said.get("case"):
        typer.echo("the agent says " + _json(case))


def _told(approval: Approval, policy: Policy, tools: Sequence[Tool]) -> dict[str, str]:
    question, ruling = approval.question, approval.ruling
    tenant = question.principal.tenant
    roles = sorted({line.role for line in policy.approving.approvers if line.answers_for(question.tool, tenant)})
    votes = approval.votes if approval.refusal is None else (approval.refusal,)
    tool = next((each for each in tools if each.name == question.tool), None)
    return {
        "approval": question.id,
        "effect": effect_sentence(tool, approval.arguments) if tool else "",
        "state": approval.state(utc_now()),
        "asked by": str(question.principal),
        "asked at": question.asked_at.isoformat(timespec="seconds"),
        "expires at": question.expires_at.isoformat(timespec="seconds"),
        "tool": question.tool,
        "why": ruling.reason,
        "policy": ruling.policy_version + ("" if policy.version == ruling.policy_version else " (changed since)"),
        "may answer": ", ".join(roles) or "nobody: approvers.csv names no role for this tool",
        "yes": f"{len(approval.votes)} of {approval.quorum}",
        "answered by": "; ".join(f"{vote.person} {vote.note}".strip() for vote in votes),
        "passed on": "; ".join(f"by {by} to {to}" for to, by in approval.delegates),
        "edited by": approval.edit.by if approval.edit else "",
        "withdrawn": approval.withdrawn,
        "erased": "what it is about was erased, so it is over" if question.erased else "",
        "binding": approval.binding,
    }


def _json(data: object) -> str:
    # ASCII: a homoglyph or a mark that turns text around shows as what it is.
    return json.dumps(data, indent=2).replace("\n", "\n              ")


@app.command()
def approve(
    approval_id: str,
    as_: As = None,
    note: Note = "",
    seen: Seen = None,
    edited: Annotated[
        Path | None,
        typer.Option("--arguments", metavar="FILE", help="A JSON file: say yes to these instead."),
    ] = None,
    times: Annotated[int, typer.Option(help="Also approve so many further calls like it (standing approval).")] = 0,
    hours: Annotated[float, typer.Option(min=0.01, max=24, help="For how long, with --times.")] = 8,
    run: Annotated[str | None, typer.Option(help="Only for calls that declare this run, with --times.")] = None,
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Say yes: when the caller repeats exactly this call, it runs once."""
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    terms = Terms(times, utc_now() + timedelta(hours=hours), run) if times else None
    arguments = _arguments(edited) if edited else None
    if terms and arguments is not None:
        raise typer.BadParameter("a standing approval cannot be given with --arguments: answer once, then again")

    def say(book: ApprovalBook, who: Principal, policy: Policy, now: datetime) -> Awaitable[Approval]:
        if arguments is not None:
            return book.edit(approval_id, who, policy, arguments, note, now, seen=seen)
        return book.answer(approval_id, who, policy, True, note, now, seen=seen, terms=terms)

    _say(settings, say)


def _arguments(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"`{file}` is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise typer.BadParameter(f"`{file}` must hold one JSON object: the tool's arguments")
    return read


@app.command("deny", hidden=True)
@app.command()
def refuse(
    approval_id: str,
    as_: As = None,
    note: Note = "",
    seen: Seen = None,
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Say no: the caller is told so, with the note."""
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    _say(settings, lambda book, who, policy, now: book.answer(approval_id, who, policy, False, note, now, seen=seen))


@app.command("ask")
def ask_back(
    approval_id: str,
    text: Annotated[str, typer.Argument(help="What you want to know first.")],
    as_: As = None,
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Ask the caller something first: it is told when it repeats the call, and can reply."""
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    _say(settings, lambda book, who, policy, now: book.ask_back(approval_id, who, policy, text, now))


@app.command("pass-on")
def pass_on(
    approval_id: str,
    to: Annotated[str, typer.Argument(help="A colleague, such as maya@company.example.")],
    as_: As = None,
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Let a colleague answer this one question by your right."""
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    colleague = to.removeprefix("person:")
    _say(settings, lambda book, who, policy, now: book.delegate(approval_id, who, policy, colleague, now))


@app.command("answer")
def answer_several(
    approval_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID[:BINDING]…", help="Questions; with the bindings that `show` printed, nothing is asked."
        ),
    ] = None,
    task: Annotated[str, typer.Option(metavar="ID", help="Everything that waits in the task of this question.")] = "",
    to_all: Annotated[
        bool | None, typer.Option("--approve/--refuse", help="The same answer to all; without it each is asked for.")
    ] = None,
    as_: As = None,
    note: Note = "",
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Answer several questions at once, each for itself: they are shown first, and only what was shown is answered."""
    from gateway.cli.answering_together import answer

    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    answer(settings, approval_ids or [], task, to_all, note)


@standing_app.command("list")
def list_standing(home: Home = None, tenant: Tenant = None) -> None:
    """List the standing approvals in force."""
    settings = load_settings(home=home, tenant=tenant)
    found = asyncio.run(with_book(settings, lambda book: book.standing.in_force(settings.tenant, utc_now())))
    table = Table("id", "for", "tool", "fixed", "used", "until", "given by")
    for each in found:
        cells = (each.id, str(each.principal), each.tool, json.dumps(each.fixed))
        used = f"{each.used} of {each.terms.times}"
        table.add_row(
            *(escape(visible(cell)) for cell in cells), used, f"{each.terms.until:%m-%d %H:%M}", escape(each.given_by)
        )
    Console().print(table)


@standing_app.command("end")
def end_standing(
    standing_id: str, as_: As = None, home: Home = None, policies: Policies = None, tenant: Tenant = None
) -> None:
    """Take a standing approval back."""
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)

    def say(book: ApprovalBook, who: Principal, policy: Policy, now: datetime) -> Awaitable[Standing]:
        return book.end_standing(standing_id, who, policy, now)

    _answered(settings, say)
    typer.echo(f"{standing_id} lets nothing through any more")


def _say(settings: Settings, say: Callable[[ApprovalBook, Principal, Policy, datetime], Awaitable[Approval]]) -> None:
    approval = _answered(settings, say)
    by = approval.votes[-1].person if approval.votes else approval.refusal.person if approval.refusal else ""
    votes = f" ({len(approval.votes)} of {approval.quorum} have said yes)" if approval.quorum > 1 else ""
    typer.echo(f"{approval.question.id} is {approval.state(utc_now())}{f' by {by}' if by else ''}{votes}")


def _answered(settings: Settings, say: Callable[[ApprovalBook, Principal, Policy, datetime], Awaitable[T]]) -> T:
    approver = principal_named(settings, "an answer")
    policy = load_policy(settings.policies, known_tools(settings))
    try:
        return asyncio.run(with_book(settings, lambda book: say(book, approver, policy, utc_now())))
    except (NotAnswerable, UnknownApproval) as error:
        raise typer.BadParameter(str(error)) from None
    except InvalidArguments as error:
        raise typer.BadParameter(error.message) from None


async def with_book(settings: Settings, ask: Callable[[ApprovalBook], Awaitable[T]]) -> T:
    """Open the questions of a home for one thing to ask of them."""
    async with open_approvals(settings) as book:
        return await ask(book)
