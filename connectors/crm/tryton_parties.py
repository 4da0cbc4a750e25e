"""What is written at a party when it is made or changed, or when something is noted about it."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from connectors.contract import CallContext
from connectors.crm.notes import activity_of, marked
from connectors.crm.tools import Activity
from connectors.crm.tryton_rows import Party
from connectors.crm.tryton_rpc import Domain, Readable, Rpc
from connectors.errors import ConnectorError, InDoubt, Unavailable
from connectors.vendor.ids import shown

_CHANGED, _LOGGED = "remit:", "remit-log:"
_LOGS = 20
"""How many of a party's latest activities can be found again by their keys."""


class Note(Readable):
    """A note about a record."""

    FIELDS: ClassVar[tuple[str, ...]] = ("message", "create_date")

    message: str
    created: datetime = Field(alias="create_date")


class Identifier(Readable):
    """By which other systems know a party."""

    FIELDS: ClassVar[tuple[str, ...]] = ("party",)

    party: int


def mechanisms(email: str, phone: str) -> list[dict[str, str]]:
    """The ways to reach a new party."""
    return [{"type": kind, "value": value} for kind, value in (("email", email), ("phone", phone)) if value]


def reached_otherwise(row: Party, changed: Mapping[str, str]) -> Domain:
    """What to do with the ways to reach a party."""
    steps: Domain = []
    for name, kinds in (("email", ("email",)), ("phone", ("phone", "mobile"))):
        value, now = changed.get(name), row.mechanism(*kinds)
        if value is None:
            continue
        if now and value:
            steps.append(["write", [now.id], {"value": value}])
        elif now:
            steps.append(["delete", [now.id]])
        else:
            steps.append(["create", [{"type": name, "value": value}]])
    return steps


def code_of(mark: str) -> str:
    """The identifier of a party that a change leaves there."""
    return _CHANGED + mark


def marked_anew(row: Party, mark: str) -> list[Any]:
    """What to do with a party's identifiers: one of them is the mark of the last change."""
    for each in row.identifiers:
        if each.code.startswith(_CHANGED):
            return ["write", [each.id], {"code": code_of(mark)}]
    return ["create", [{"type": None, "code": code_of(mark)}]]


async def announce(rpc: Rpc, call: CallContext, row: Party, mark: str) -> None:
    """Leave word at a party that a note with this mark follows: notes can be searched for at their party alone.

    Raises:
        Unavailable: If nobody knows whether it is there: then no note follows.
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


async def logged_under(rpc: Rpc, call: CallContext, mark: str) -> Activity | None:
    """The activity that was logged under a mark; None if there is none."""
    for found in await rpc.search(call, "party.identifier", Identifier, [["code", "=", _LOGGED + mark]]):
        if activity := await logged_at(rpc, call, found.party, mark):
            return activity
    return None


async def logged_at(rpc: Rpc, call: CallContext, party: int, mark: str) -> Activity | None:
    """The activity that was logged at a party under a mark; None if there is none."""
    for note in await notes_of(rpc, call, party, ["message", "like", marked(mark)]):
        if activity := activity_of(shown("act", note.id), note.message, note.created, mark):
            return activity
    return None


async def notes_of(rpc: Rpc, call: CallContext, party: int, *which: Domain) -> list[Note]:
    """Notes at a party."""
    return await rpc.search(call, "ir.note", Note, [["resource", "=", f"party.party,{party}"], *which])
