"""Standing approvals in force: what they let through, and taking them back."""

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import Response
from structlog import get_logger

from gateway.approvals import NotAnswerable, may_answer
from gateway.approvals.book import UnknownApproval
from gateway.approvals.standing import Standing
from gateway.console.seeing import may_view
from gateway.console.visit import Visit, back_to
from gateway.policy.files.approvers import View

log = get_logger("remit.console")


@dataclass(frozen=True)
class Shown:
    """One standing approval, the question that it was given with, and whether this person may take it back."""

    standing: Standing
    question: str
    may_end: bool


async def show(visit: Visit) -> Response:
    """List those that this person may see: whose questions they may answer, or all as a viewer of the journal."""
    book = visit.console.gateway.approvals
    sees_all = may_view(visit.policy, visit.person, View.JOURNAL)
    shown = []
    for each in await book.standing.in_force(visit.person.tenant, visit.now):
        approval = await book.find(visit.person.tenant, f"apr_{each.id.partition('_')[2]}")
        may_end = bool(approval and may_answer(visit.policy, visit.person, approval.question))
        if approval and (may_end or sees_all):
            shown.append(Shown(each, approval.question.id, may_end))
    return visit.page("standing.html", shown=shown)


async def end(visit: Visit) -> Response:
    """Take one back."""
    name = visit.named
    try:
        await visit.console.gateway.approvals.end_standing(name, visit.person, visit.policy, visit.now)
    except (UnknownApproval, NotAnswerable):
        # It is over, another tenant's, or not theirs to end: nobody is told which.
        raise HTTPException(404) from None
    log.info("console_standing_ended", standing=name, person=visit.session.person)
    return back_to("/standing")
