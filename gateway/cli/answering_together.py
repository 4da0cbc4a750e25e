"""`remit approvals answer`: several questions, shown first and then answered, each for itself."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import typer

from gateway.approvals import Approval
from gateway.approvals.answering import obstacle
from gateway.approvals.book import ApprovalBook
from gateway.approvals.together import MOST, Said, Taken, answer_together, same_task
from gateway.cli.approvals import found, print_whole, with_book
from gateway.cli.options import principal_named
from gateway.home import utc_now
from gateway.policy.judge import Policy
from gateway.policy.load import load_policy
from gateway.principal import Principal
from gateway.settings import Settings
from gateway.upstream.catalogue import known_tools

_SAYS = {"a": True, "r": False}


def answer(settings: Settings, names: Sequence[str], task: str, to_all: bool | None, note: str) -> None:
    """Answer questions, and say of each what became of it.

    Args:
        settings: Where they are, and who answers.
        names: Their ids, each perhaps with its binding after a colon.
        task: The id of one of a task's, instead of names.
        to_all: Yes or no to all; None asks for each.
        note: A line for the record, with each answer.

    Raises:
        typer.BadParameter: If it is not clear which questions are meant, or they are too many.
        typer.Exit: With 1 if an answer was not taken.
    """
    if bool(names) == bool(task):
        raise typer.BadParameter("name the questions, or with --task one of the task that is to be answered")
    approver, policy = principal_named(settings, "an answer"), _policy(settings)
    seen = {name: binding for name, _, binding in (each.partition(":") for each in names)}
    if len(seen) > MOST:
        raise typer.BadParameter(f"at most {MOST} questions are answered at once, not {len(seen)}")
    if to_all is not None and seen and all(seen.values()):
        said = [Said(name, to_all, binding) for name, binding in seen.items()]
    else:
        find = partial(_of_task, settings, task, approver, policy) if task else partial(found, settings, list(seen))
        said = _asked(settings, asyncio.run(with_book(settings, find)), seen, to_all)
    # The policy may have changed while the person was thinking.
    policy, now = _policy(settings), utc_now()
    taken = asyncio.run(with_book(settings, lambda book: answer_together(book, said, approver, policy, note, now)))
    _tell(taken, approver)


def _policy(settings: Settings) -> Policy:
    return load_policy(settings.policies, known_tools(settings))


async def _of_task(
    settings: Settings, name: str, approver: Principal, policy: Policy, book: ApprovalBook
) -> list[Approval]:
    """What waits for this person in the task of a question, at most a page of it."""
    [approval], now = await found(settings, [name], book), utc_now()
    pending = same_task(approval, await book.open(now, settings.tenant))
    mine = [each for each in pending if not obstacle(each, approver, policy, now)]
    if not mine:
        raise typer.BadParameter(f"nothing in the task of `{name[:64]}` waits for {approver.person}")
    if len(mine) > MOST:
        typer.echo(f"{MOST} of {len(mine)} that wait; answer these, then the others\n")
    return mine[:MOST]


def _asked(
    settings: Settings, approvals: Sequence[Approval], seen: Mapping[str, str], to_all: bool | None
) -> list[Said]:
    """Show the questions and have the person say yes or no to them; what is said holds for what was shown."""
    said: list[tuple[Approval, bool]] = []
    for number, approval in enumerate(approvals):
        typer.echo("\n" if number else "", nl=False)
        print_whole(settings, [approval])
        if to_all is None and (given := _one_answer(approval.question.id)) is not None:
            said.append((approval, given))
    if to_all is not None:
        typer.confirm(f"{'Approve' if to_all else 'Refuse'} {len(approvals)} in all?", abort=True)
        said = [(each, to_all) for each in approvals]
    return [Said(each.question.id, approve, seen.get(each.question.id) or each.binding) for each, approve in said]


def _one_answer(name: str) -> bool | None:
    while (given := typer.prompt(f"{name}: (a)pprove, (r)efuse or (l)eave open", default="l")) not in {*_SAYS, "l"}:
        typer.echo(f"`{given[:20]}` is none of a, r and l")
    return _SAYS.get(given)


def _tell(taken: Sequence[Taken], approver: Principal) -> None:
    for each in taken:
        done = f"{'approved' if each.said.approve else 'refused'} by {approver.person}"
        typer.echo(f"{each.said.id}: {f'not answered: {each.problem}' if each.problem else done}")
    if any(each.problem for each in taken):
        raise typer.Exit(1)
