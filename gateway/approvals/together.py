"""What waits in one task is asked together: which questions are one task's, and answers to several of them at once.

Each of them stays a question of its own, answered by an entry of its own, bound to what was shown of it; the entries
say which others the person answered with it.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.approvals.answering import NotAnswerable
from gateway.approvals.approval import Approval, Question
from gateway.approvals.book import ApprovalBook, UnknownApproval
from gateway.journal import JournalUnavailable
from gateway.policy.judge import Policy
from gateway.principal import Principal

MOST = 10
"""How many questions are answered at once: as many as a person can look at on one page."""
_WITHOUT_A_GRANT = timedelta(hours=1)
"""How long after the first one a call still counts to its task where no grant says which task it belongs to."""


@dataclass(frozen=True)
class Said:
    """What a person says to one of several questions.

    Args:
        id: The question.
        approve: Yes or no.
        seen: The `binding` of what the person was shown; None answers whatever stands there.
    """

    id: str
    approve: bool
    seen: str | None


@dataclass(frozen=True)
class Taken:
    """What became of one of several answers.

    Args:
        said: The answer.
        problem: Why it was not taken, in a sentence; empty if it was.
    """

    said: Said
    problem: str = ""


def by_task(approvals: Iterable[Approval]) -> list[tuple[Approval, ...]]:
    """Part questions into tasks: those of one run of one caller. In each the oldest comes first.

    A run is a grant's. Without a grant it is what the same client of the same caller asked within an hour, under the
    same run if it names one: a caller's word only ever parts questions, since no two callers' are ever put together.
    """
    tasks: list[list[Approval]] = []
    newest: dict[Hashable, list[Approval]] = {}
    for approval in sorted(approvals, key=lambda each: (each.question.asked_at, each.question.id)):
        name, is_granted = _run_of(approval.question)
        task = newest.get(name)
        if task is None or not (is_granted or _is_near(task[0], approval)):
            task = newest[name] = []
            tasks.append(task)
        task.append(approval)
    return [tuple(task) for task in tasks]


def same_task(approval: Approval, waiting: Iterable[Approval]) -> tuple[Approval, ...]:
    """Those of the waiting questions that are of one task with this one, oldest first; this one if it waits itself.

    Args:
        approval: A question, which may be over.
        waiting: Questions that wait.
    """
    found = {each.question.id: each for each in waiting}
    name = approval.question.id
    task = next(task for task in by_task(({name: approval} | found).values()) if name in _names(task))
    return tuple(each for each in task if each.question.id in found)


async def answer_together(
    book: ApprovalBook, answers: Sequence[Said], approver: Principal, policy: Policy, note: str, now: datetime
) -> list[Taken]:
    """Record a person's answers to several questions, each for itself: one that is not taken stops no other.

    The refusals come first: if the journal fails on the way, what was wanted stopped is stopped.

    Args:
        book: Where the questions are.
        answers: At most `MOST`, each to another question.
        approver: Who answers.
        policy: The policy in force.
        note: A line for the record, with each answer.
        now: The time.

    Returns:
        What became of each, in the order given.
    """
    names = {each.id for each in answers}
    assert len(names) == len(answers) <= MOST  # noqa: S101 - whoever calls has read a form within these bounds
    taken: dict[str, Taken] = {}
    for each in sorted(answers, key=lambda each: each.approve):
        others = sorted(names - {each.id})
        taken[each.id] = await _answer(book, each, approver, policy, note, now, others)
    return [taken[each.id] for each in answers]


async def _answer(
    book: ApprovalBook, said: Said, approver: Principal, policy: Policy, note: str, now: datetime, others: Sequence[str]
) -> Taken:
    try:
        await book.answer(said.id, approver, policy, said.approve, note, now, seen=said.seen, together=others)
    except (NotAnswerable, UnknownApproval) as error:
        return Taken(said, str(error).removeprefix(f"{said.id}: "))
    except JournalUnavailable:
        return Taken(said, "the journal cannot be used at the moment: try again")
    return Taken(said)


def _run_of(question: Question) -> tuple[Hashable, bool]:
    """What questions of one run have in common, and whether a grant says so."""
    said, who = question.said, question.principal
    grant = said.get("grant")
    if isinstance(grant, Mapping):
        return (who, str(grant.get("id"))), True
    return (who, str(said.get("client")), str(said.get("run"))), False


def _is_near(first: Approval, approval: Approval) -> bool:
    return approval.question.asked_at <= first.question.asked_at + _WITHOUT_A_GRANT


def _names(task: Iterable[Approval]) -> set[str]:
    return {each.question.id for each in task}
