"""How an opportunity of Tryton's is changed once: the last line of its comment says under which key, and for what."""

import re
from collections.abc import Mapping

from connectors.contract import CallContext
from connectors.crm.tools import DealStage
from connectors.crm.tryton_rows import STAGES, Opportunity
from connectors.crm.tryton_rpc import Rpc
from connectors.errors import Conflict, InDoubt, InvalidInput

MODEL = "sale.opportunity"
_STEPS = {"lead": ("opportunity", "lost"), "opportunity": ("lead", "lost")}
"""To which states Tryton's own steps lead by hand, which have their names."""
_MARK = re.compile(r"\n?\[changed via Remit, (?P<mark>[0-9a-f]+)(?:, to be (?P<state>[a-z]+))?\]\Z")


async def write(rpc: Rpc, call: CallContext, row: Opportunity, values: Mapping[str, object], mark: str) -> str:
    """Change fields of an opportunity, if it is still as it was read; give its comment, which ends with the mark."""
    comment = "\n".join(filter(None, (_MARK.sub("", row.comment), f"[changed via Remit, {mark}]")))
    await rpc.act(call, f"{MODEL}.write", [row.id], {**values, "comment": comment}, unchanged=row.stamps)
    return comment


async def move(rpc: Rpc, call: CallContext, row: Opportunity, stage: DealStage, mark: str) -> None:
    """Move an opportunity to another stage by Tryton's own step, if it is still as it was read.

    A step takes no key. So the comment first says what is meant to happen, and then it does.

    Raises:
        InvalidInput: If there is no such step.
        Conflict: If it was changed meanwhile; then it is not moved.
    """
    step = next((step for step in _STEPS.get(row.state, ()) if STAGES[step] == stage), None)
    if step is None:
        raise InvalidInput(f"Tryton does not move a deal from {STAGES[row.state]} to {stage} by hand", field="stage")
    comment = await write(rpc, call, row, {}, f"{mark}, to be {step}")
    for now in await rpc.search(call, MODEL, Opportunity, [["id", "=", row.id]]):
        written = {"comment": comment, "stamp": now.stamp, "last_modified_at": now.last_modified_at}
        if now == row.model_copy(update=written):
            await rpc.act(call, f"{MODEL}.{step}", [row.id], unchanged=now.stamps)
            return
    raise Conflict("it was changed by somebody else; read it again, then decide", field="version")


async def changed_under(rpc: Rpc, call: CallContext, mark: str) -> tuple[Opportunity, str | None] | None:
    """The opportunity that was changed under this mark, as it is now, and the state that was meant, if one was."""
    for row in await rpc.search(call, MODEL, Opportunity, [["comment", "like", f"%[changed via Remit, {mark}%"]]):
        found = _MARK.search(row.comment)
        if found and found["mark"] == mark:
            return row, found["state"]
    return None


async def was_fenced(rpc: Rpc, call: CallContext, mark: str) -> bool:
    """Whether a step that was meant to follow its mark has not been taken, and will not be.

    Raises:
        InDoubt: If nobody can say.
    """
    row, meant = await changed_under(rpc, call, mark) or (None, None)
    if row is None or meant in (None, row.state):
        return False
    try:
        # The step shows the time stamp that this takes away.
        values = {"comment": _MARK.sub("", row.comment)}
        await rpc.act(call, f"{MODEL}.write", [row.id], values, unchanged=row.stamps)
    except (Conflict, InvalidInput):
        raise InDoubt("Tryton changes the deal at this moment") from None
    return True
