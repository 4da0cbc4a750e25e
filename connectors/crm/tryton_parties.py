"""What is written at a party when it is made or changed, or when something is noted about it."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from connectors.contract import CallContext
from connectors.crm.changing import done
from connectors.crm.notes import activity_of, marked
from connectors.crm.tools import Activity
from connectors.crm.tryton_rows import Identifier, Party
from connectors.crm.tryton_rpc import Readable, Rpc
from connectors.errors import ConnectorError, InDoubt, Unavailable
from connectors.vendor.ids import shown

_CHANGED, _LOGGED = "remit:", "remit-log:"
_LOGS = 20
"""How many of a party's latest activities can be found again by their keys."""
_WAYS = {"email": ("email",), "phone": ("phone", "mobile")}


class Note(Readable):
    """A note about a record."""

    message: str
    create_date: datetime


def written(row: Party | None, changed: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """What to write of the ways to reach a party, and its mark.

    Args:
        row: The party; None for a new one.
        changed: The `email` and `phone`, as far as they change.
        mark: What the key leaves: of several changes, the last one's.
    """
    values: dict[str, Any] = {}
    steps: list[Any] = []
    for name in _WAYS.keys() & changed.keys():
        ways = row.contact_mechanisms if row else []
        now = next((each.id for type_ in _WAYS[name] for each in ways if each.type == type_), None)
        if now is None:
            values[name] = changed[name]
        else:
            steps.append(["write", [now], {"value": changed[name]}] if changed[name] else ["delete", [now]])
    marks = [each.id for each in row.identifiers if each.code.startswith(_CHANGED)] if row else []
    code = {"type": None, "code": _CHANGED + mark}
    marking = ["write", marks[:1], code] if marks else ["create", [code]]
    return {**values, "contact_mechanisms": steps, "identifiers": [marking]}


async def changed_under(rpc: Rpc, call: CallContext, mark: str) -> int | None:
    """The party that was made or changed under a mark."""
    left = await rpc.search(call, "party.identifier", Identifier, [["code", "=", _CHANGED + mark]])
    return left[0].party if left else None


async def log(rpc: Rpc, call: CallContext, row: Party, text: str, mark: str) -> Activity | None:
    """Keep a note at a party.

    Word of its mark is left there before: notes can be searched for at their party alone.

    Raises:
        Unavailable: If nobody knows whether that is there: then no note follows.
    """
    known = sorted(each.id for each in row.identifiers if each.code.startswith(_LOGGED))
    try:
        await rpc.act(call, "party.identifier.create", [{"party": row.id, "type": None, "code": _LOGGED + mark}])
    except InDoubt as error:
        raise Unavailable(f"{error.message}; nothing was logged") from None
    if len(known) >= _LOGS:
        # Another call may have taken them away already.
        with suppress(ConnectorError):
            await rpc.act(call, "party.identifier.delete", known[: 1 - _LOGS])
    await rpc.act(call, "ir.note.create", [{"resource": f"party.party,{row.id}", "message": text}])
    return await done(_logged_at(rpc, call, row.id, mark))


async def logged_under(rpc: Rpc, call: CallContext, mark: str) -> Activity | None:
    """The activity that was logged under a mark; None if there is none."""
    for left in await rpc.search(call, "party.identifier", Identifier, [["code", "=", _LOGGED + mark]]):
        if activity := await _logged_at(rpc, call, left.party, mark):
            return activity
    return None


async def _logged_at(rpc: Rpc, call: CallContext, party: int, mark: str) -> Activity | None:
    wanted = [["resource", "=", f"party.party,{party}"], ["message", "like", marked(mark)]]
    for note in await rpc.search(call, "ir.note", Note, wanted):
        if activity := activity_of(shown("act", note.id), note.message, note.create_date, mark):
            return activity
    return None
