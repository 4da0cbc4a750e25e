"""How an opportunity of Tryton's is changed once: the last line of its comment says under which key, and for what."""

import re
from collections.abc import Mapping

from connectors.contract import CallContext
from connectors.crm.tools import DealStage
from connectors.crm.tryton_rows import STAGES, Opportunity
from connectors.crm.tryton_rpc import Rpc
from connectors.errors import Conflict, InDoubt, InvalidInput

MODEL = "sale.opportunity"
_BUTTONS: Mapping[tuple[str, DealStage], str] = {
    ("lead", "qualified"): "opportunity",
    ("opportunity", "lead"): "lead",
    ("lead", "lost"): "lost",
    ("opportunity", "lost"): "lost",
}
_MARK = re.compile(r"\n?\[changed via Remit, (?P<mark>[0-9a-f]+)(?:, to be (?P<state>[a-z]+))?\]\Z")


async def write(rpc: Rpc, call: CallContext, row: Opportunity, values: Mapping[str, object], mark: str) -> None:
    """Change fields of an opportunity, if it is still as it was read."""
    comment = _commented(row.comment, f"[changed via Remit, {mark}]")
    await rpc.act(call, f"{MODEL}.write", [row.id], {**values, "comment": comment}, unchanged=row.stamps)


async def move(rpc: Rpc, call: CallContext, row: Opportunity, stage: DealStage, mark: str) -> None:
    """Move an opportunity to another stage by Tryton's own step, if it is still as it was read.

    A step takes no key. So the comment first says what is meant to happen, and then it does.

    Raises:
        InvalidInput: If there is no such step.
        Conflict: If it was changed meanwhile; then it is not moved.
    """
    button = _BUTTONS.get((row.state, stage))
    if not button:
        raise InvalidInput(f"Tryton does not move a deal from {STAGES[row.state]} to {stage} by hand", field="stage")
    state = next(state for state, shown in STAGES.items() if shown == stage)
    comment = _commented(row.comment, f"[changed via Remit, {mark}, to be {state}]")
    await rpc.act(call, f"{MODEL}.write", [row.id], {"comment": comment}, unchanged=row.stamps)
    now = next(iter(await rpc.search(call, MODEL, Opportunity, [["id", "=", row.id]])), None)
    if now is None or now.comment != comment or _facts(now) != _facts(row):
        raise Conflict("it was changed by somebody else; read it again, then decide", field="version")
    await rpc.act(call, f"{MODEL}.{button}", [row.id], unchanged=now.stamps)


async def changed_under(rpc: Rpc, call: CallContext, mark: str) -> Opportunity | None:
    """The opportunity that was changed under this mark, as it is now; None if there is none."""
    for row in await rpc.search(call, MODEL, Opportunity, [["comment", "like", f"%[changed via Remit, {mark}%"]]):
        found = _MARK.search(row.comment)
        if found and found["mark"] == mark:
            return row
    return None


async def was_fenced(rpc: Rpc, call: CallContext, mark: str) -> bool:
    """Whether a step that was meant to follow its mark has not been taken, and will not be.

    Raises:
        InDoubt: If nobody can say.
    """
    row = await changed_under(rpc, call, mark)
    found = _MARK.search(row.comment) if row else None
    if row is None or found is None or found["state"] in (None, row.state):
        return False
    try:
        # The step shows the time stamp that this takes away.
        values = {"comment": _MARK.sub("", row.comment)}
        await rpc.act(call, f"{MODEL}.write", [row.id], values, unchanged=row.stamps)
    except (Conflict, InvalidInput):
        raise InDoubt("Tryton changes the deal at this moment") from None
    return True


def _commented(comment: str, mark: str) -> str:
    rest = _MARK.sub("", comment)
    return f"{rest}\n{mark}" if rest else mark


def _facts(row: Opportunity) -> tuple[object, ...]:
    """What a colleague may have changed."""
    return row.party, row.description, row.state, row.amount, row.currency, row.end_date, row.employee
