"""What waits for an answer, and how much this person answered lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

import anyio.to_thread
from starlette.responses import Response

from gateway.approvals import Approval
from gateway.approvals.answering import obstacle
from gateway.approvals.together import by_task
from gateway.console.seeing import may_see_question
from gateway.console.visit import Visit
from gateway.effect_words import effect_sentence
from gateway.journal.counting import answers_by

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Waiting:
    """A question in the list, and what its call would do."""

    approval: Approval
    sentence: str


@dataclass(frozen=True)
class Task:
    """What waits of one task, oldest first, at least one question; together they are one item of the list."""

    calls: tuple[Waiting, ...]

    @property
    def expires_at(self) -> datetime:
        """When the first of them expires."""
        return min(each.approval.question.expires_at for each in self.calls)

    @property
    def reasons(self) -> list[str]:
        """Why a person is asked, each reason once."""
        return list(dict.fromkeys(each.approval.ruling.reason for each in self.calls))


@dataclass(frozen=True)
class Answered:
    """How much a person answered lately, and how long the questions had waited: the median."""

    hour: int
    day: int
    wait: timedelta | None


async def show(visit: Visit) -> Response:
    """Show the inbox."""
    pending = await visit.console.gateway.approvals.open(visit.now, visit.person.tenant)
    seen = [each for each in pending if may_see_question(visit.policy, visit.person, each)]
    own: list[Approval] = []
    others: list[Approval] = []
    for each in seen:
        (others if obstacle(each, visit.person, visit.policy, visit.now) else own).append(each)
    return visit.page(
        "inbox.html",
        mine=_tasks(visit, own),
        others=_tasks(visit, others),
        answered=await _answered(visit),
    )


def _tasks(visit: Visit, approvals: Sequence[Approval]) -> list[Task]:
    tools = visit.console.gateway.catalog.tools
    known = [each for each in approvals if each.question.tool in tools]
    tasks = [
        Task(tuple(Waiting(each, effect_sentence(tools[each.question.tool], each.arguments)) for each in task))
        for task in by_task(known)
    ]
    return sorted(tasks, key=lambda task: task.expires_at)


async def _answered(visit: Visit) -> Answered:
    given = await anyio.to_thread.run_sync(
        answers_by, visit.console.database, visit.person.tenant, visit.session.person, visit.now - _DAY
    )
    waits = [wait.total_seconds() for _, wait in given]
    return Answered(
        sum(at >= visit.now - _HOUR for at, _ in given), len(given), timedelta(seconds=median(waits)) if waits else None
    )
