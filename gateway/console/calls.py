"""Why a call came out as it did: one call, whole, on one page."""

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.approvals import read_approval
from gateway.console.seeing import may_see_call, may_view
from gateway.console.visit import Visit
from gateway.journal.reading import read_whole_call
from gateway.journal.telling import tell
from gateway.policy.files.approvers import View


async def show(visit: Visit) -> Response:
    """Show the call; another tenant's, an unknown one and one that the person may not see are all the same: none."""
    call_id = visit.named
    entries = await anyio.to_thread.run_sync(read_whole_call, visit.console.database, visit.person.tenant, call_id)
    names = dict.fromkeys(entry.call_id for entry in entries)
    by_call = {name: [entry for entry in entries if entry.call_id == name] for name in names}
    approvals = [approval for each in by_call.values() if (approval := read_approval(each))]
    if not may_see_call(visit.policy, visit.person, entries, approvals):
        raise HTTPException(404)
    return visit.page(
        "call.html",
        story=tell(entries),
        call_id=call_id,
        approvals=[approval.question.id for approval in approvals],
        may_search=may_view(visit.policy, visit.person, View.JOURNAL),
    )
