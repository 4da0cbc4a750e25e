"""One question on one page: everything that a person needs to answer it, and the forms to do so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.responses import Response

from connectors.contract import Tool
from gateway.approvals import Approval, State
from gateway.approvals.answering import MAX_TEXT, lines_of, obstacle
from gateway.approvals.standing import LONGEST, fixed_arguments
from gateway.approvals.together import same_task
from gateway.console.asked import Earlier, earlier_calls
from gateway.console.fields import fields_of, texts_of
from gateway.console.seeing import may_see_question, may_view
from gateway.console.shown import shown
from gateway.console.visit import Visit
from gateway.journal import Entry, read_journal
from gateway.journal.searching import Search, search_journal
from gateway.journal.telling import tell
from gateway.policy.decision import Decision
from gateway.policy.files.approvers import View


@dataclass(frozen=True)
class Checked:
    """What would come of edited arguments, before anybody says yes to them."""

    sentence: str
    decision: Decision


@dataclass(frozen=True)
class Typed:
    """What a person wrote into the page's forms and how it was received; of a first look nothing.

    Args:
        problem: Why it was not taken, in a sentence.
        form: The form it was written into: `answer`, `edit`, `ask-back` or `pass-on`.
        values: The fields of that form.
        texts: The edited arguments' texts.
        problems: What is wrong with them, by the argument's name.
        checked: What would come of them.
        status: The HTTP status.
    """

    problem: str = ""
    form: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    checked: Checked | None = None
    status: int = 200


async def show(visit: Visit) -> Response:
    """Show the question."""
    approval, tool = await found(visit)
    return await page(visit, approval, tool, Typed())


async def found(visit: Visit) -> tuple[Approval, Tool]:
    """The question that the path names; another tenant's and one that is not for this person are as if not there."""
    approval = await visit.console.gateway.approvals.find(visit.person.tenant, visit.named)
    tool = visit.console.gateway.catalog.tools.get(approval.question.tool) if approval else None
    if approval is None or tool is None or not may_see_question(visit.policy, visit.person, approval):
        raise HTTPException(404)
    return approval, tool


async def page(visit: Visit, approval: Approval, tool: Tool, typed: Typed) -> Response:
    """Show a question with whatever a person has just written into one of its forms."""
    question, arguments, person = approval.question, approval.arguments, visit.session.person
    call = await shown(visit, approval, tool)
    entries = await _entries(visit, question.id)
    is_open = call.state is State.PENDING
    return visit.page(
        "question.html",
        typed.status,
        typed=typed,
        call=call,
        approval=approval,
        question=question,
        is_open=is_open,
        # Whoever has said yes already may still ask, or say yes to something else.
        may_change=not call.obstacle or (any(vote.person == person for vote in approval.votes) and is_open),
        with_others=[] if call.obstacle else await waiting_with(visit, approval),
        earlier=await earlier_of(visit, approval),
        events=tell(entries).events,
        fields=fields_of(tool, typed.texts or texts_of(tool, arguments), typed.problems),
        standing=_most_standing(visit, approval),
        standing_hours=int(LONGEST.total_seconds() // 3_600),
        fixed=list(fixed_arguments(tool, arguments)),
        longest=MAX_TEXT,
    )


async def waiting_with(visit: Visit, approval: Approval) -> list[Approval]:
    """The other questions of the same task that wait for this person, oldest first."""
    pending = await visit.console.gateway.approvals.open(visit.now, visit.person.tenant)
    return [
        each
        for each in same_task(approval, pending)
        if each.question.id != approval.question.id
        and each.question.tool in visit.console.gateway.catalog.tools
        and not obstacle(each, visit.person, visit.policy, visit.now)
    ]


async def earlier_of(visit: Visit, approval: Approval) -> list[Earlier]:
    """What the caller of a question did before it."""
    sees_all = may_view(visit.policy, visit.person, View.JOURNAL)
    return earlier_calls(await _before(visit, approval), approval.question, visit.session.person, sees_all)


def _most_standing(visit: Visit, approval: Approval) -> int:
    """How many further calls this person's yes may cover; 0 for none."""
    lines = lines_of(visit.policy, visit.person, approval.question, visit.now)
    return max((line.standing for line in lines), default=0) if approval.quorum == 1 else 0


async def _entries(visit: Visit, name: str) -> list[Entry]:
    return await anyio.to_thread.run_sync(
        lambda: list(read_journal(visit.console.database, visit.person.tenant, call_id=name))
    )


async def _before(visit: Visit, approval: Approval) -> tuple[Entry, ...]:
    """Entries of the caller until it asked, newest first."""
    question = approval.question
    who, run = question.principal, str(question.said.get("run") or "")
    search = Search(until=question.asked_at, person=who.person or "", agent=who.agent or "", run=run)
    find = partial(search_journal, visit.console.database, who.tenant, search, most=200)
    return (await anyio.to_thread.run_sync(find)).entries
