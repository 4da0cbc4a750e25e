"""The two flow stages of a call: before it is decided, where its arguments come from; after, what its result shows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from pydantic import BaseModel

from connectors.contract import Author, Confidentiality, Effect, Tool
from gateway.canonical import keyed_hash
from gateway.flow.arguments import UNTRACED, Traced, trace
from gateway.flow.labels import CLEAN, Label
from gateway.flow.ledger import Ledger, label_rows, seen_row
from gateway.flow.reading import Piece, Reading, read, record_names
from gateway.flow.run import sight_of
from gateway.flow.written import written_records
from gateway.journal.entry import Beside
from gateway.policy.judge import Policy
from gateway.policy.language.flow import FlowNeeds, Integrity

if TYPE_CHECKING:
    from gateway.gateway import Gateway, ToolCall

_OWN_DOMAINS = "company"
"""The list of `lists.csv` that names the organisation's own domains."""
_HIDDEN = re.compile("#[0-9a-f]{24}")
_LONG = 30_000
_COUNTED = frozenset({"denials", "records", "recent_calls"})
_LATELY = _COUNTED | {"has_grant", "is_intended"}
"""What is known without looking at what the run has seen."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """What a call wrote: its arguments, as Python values or as JSON data, and their label."""

    arguments: Mapping[str, Any]
    label: Label


@dataclass(frozen=True, slots=True)
class Shown:
    """What a result shows.

    Args:
        untrusted: The paths of its texts that outsiders may have written.
        beside: What is to be committed with the entry that says that it was shown.
    """

    untrusted: list[str]
    beside: tuple[Beside, ...]


async def traced(gateway: "Gateway", call: "ToolCall", policy: Policy, tool: Tool, arguments: BaseModel) -> Traced:
    """Find out where a call's arguments come from.

    Raises:
        JournalUnavailable: If what the run has seen cannot be read.
    """
    needs = policy.needs_flow(tool.name)
    if tool.effect is Effect.READ and not needs:
        return UNTRACED
    found = UNTRACED
    if tool.effect is not Effect.READ or _asks_what_was_seen(needs):
        run = await gateway.runs.of(call.principal, call.grant, gateway.now())
        own_domains = policy.lists.get(_OWN_DOMAINS, ())
        found = trace(tool, arguments.model_dump(), run, own_domains, partial(_hidden, gateway.secret))
    known = await _lately(gateway, call, needs, found.recipients)
    if call.grant:
        known |= {"has_grant": True, "is_intended": policy.intends(tool.name, call.grant.request)}
    return replace(found, flow=replace(found.flow, **known))


def _asks_what_was_seen(needs: FlowNeeds) -> bool:
    return bool(needs.origins or needs.confidentiality or needs.audience or needs.first_time or needs.run - _LATELY)


async def _lately(
    gateway: "Gateway", call: "ToolCall", needs: FlowNeeds, recipients: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """What the principal did lately, as far as rules ask about it."""
    activity, now, who = gateway.activity, gateway.now(), call.principal
    known: dict[str, Any] = {}
    if needs.first_time:
        known["first_time"] = {
            name: await activity.recipients.first_time(who, recipients.get(name, ())) for name in needs.first_time
        }
    if needs.run & _COUNTED:
        tally = await activity.of(who, now)
        scope = activity.scope(now, call.grant.id, call.grant.issued_at) if call.grant else activity.scope(now)
        known |= {"denials": tally.denials(scope), "records": tally.records(scope), "recent_calls": tally.calls(now)}
    return known


async def shown(
    gateway: "Gateway", call: "ToolCall", tool: Tool, output: Mapping[str, Any], wrote: Wrote | None = None
) -> Shown:
    """Find out what a result shows, with what is known of its records.

    Args:
        gateway: Whose ledger.
        call: Who is shown it; a repetition may belong to another run than the call that gave the result.
        tool: The tool that gave it.
        output: The result, as Python values or as JSON data.
        wrote: What the call wrote, if it did.

    Raises:
        JournalUnavailable: If what is known of its records cannot be read.
    """
    runs, tenant = gateway.runs, call.principal.tenant
    known, rows = await labelled(runs.ledger, tenant, tool, output, wrote)
    reading, place = read(tool, output, known), f"{tool.name} {call.id}"
    if sum(len(piece.value) for piece in reading.pieces if isinstance(piece.value, str)) > _LONG:
        sight = await anyio.to_thread.run_sync(sight_of, reading, place, runs.key)
    else:
        sight = sight_of(reading, place, runs.key)
    run = call.grant.run if call.grant else ""
    row = seen_row(tenant, call.principal.name, run, gateway.now(), sight)
    return Shown(reading.untrusted, (row, *rows))


def told_by_a_refusal(gateway: "Gateway", call: "ToolCall", tool: Tool, message: str) -> tuple[Beside, ...]:
    """What is to be committed with a refusal in the words of somebody else's server: whoever runs it wrote them."""
    if tool.area not in gateway.upstreams.back_ends:
        return ()
    label = Label(Integrity.ANYONE, Confidentiality.CUSTOMER)
    said = Piece("error", message, Author.OUTSIDER, is_kept=False, label=label, namespace="", record="")
    sight = sight_of(Reading((said,), ()), f"{tool.name} {call.id}", gateway.runs.key)
    run = call.grant.run if call.grant else ""
    return (seen_row(call.principal.tenant, call.principal.name, run, gateway.now(), sight),)


async def labelled(
    ledger: Ledger, tenant: str, tool: Tool, output: Mapping[str, Any], wrote: Wrote | None
) -> tuple[dict[str, Label], tuple[Beside, ...]]:
    """What is known of a result's records, and the rows that say what has to be known from now on.

    Raises:
        JournalUnavailable: If what is known cannot be read.
    """
    known = await ledger.labels(tenant, record_names(tool, output))
    if wrote is None:
        return known, ()
    # What was written before is still there: a label only rises.
    after = {name: known.get(name, CLEAN) | wrote.label for name in written_records(tool, output, wrote.arguments)}
    changed = {name: label for name, label in after.items() if label != known.get(name, CLEAN)}
    return known | changed, label_rows(tenant, changed)


@lru_cache(maxsize=20_000)
def _hidden(secret: bytes, owner: str) -> str:
    # What was read back with a record bears its hidden name already.
    return owner if _HIDDEN.fullmatch(owner) else f"#{keyed_hash(owner, secret)[:24]}"
