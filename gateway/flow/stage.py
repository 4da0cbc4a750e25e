"""The two flow stages of a call: before it is decided, where its arguments come from; after, what its result shows."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from pydantic import BaseModel

from connectors.contract import Author, Confidentiality, Effect, Tool
from gateway.answer import ERROR, Answer
from gateway.canonical import keyed_hash
from gateway.flow.arguments import UNTRACED, Traced, named_records, trace
from gateway.flow.audience import HIDDEN
from gateway.flow.labels import CLEAN, Label
from gateway.flow.ledger import Ledger, Sight, label_rows, seen_row
from gateway.flow.reading import NOBODY, Alike, Reading, nameless, read, survey
from gateway.flow.run import sight_of
from gateway.flow.size import is_larger
from gateway.flow.unfinished import Unfinished
from gateway.flow.written import plain, texts, written_records
from gateway.journal.entry import Beside
from gateway.policy.judge import Policy
from gateway.policy.language.flow import FlowNeeds, Integrity

if TYPE_CHECKING:
    from gateway.gateway import Gateway, ToolCall

_OWN_DOMAINS = "company"
"""The list of `lists.csv` that names the organisation's own domains."""
_HIDDEN = re.compile(f"{HIDDEN}[0-9a-f]{{24}}")
_LONG, _LONG_ARGUMENTS = 30_000, 4_000
"""From how much on a result and arguments are looked through beside the event loop."""
_COUNTED = frozenset({"denials", "records", "recent_calls"})
_TEXT = "content[].text"
"""Where the texts of an upstream server's tool stand."""
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
        level: How confidential it is, by the label that is kept for the run.
        beside: What is to be committed with the entry that says that it was shown.
    """

    untrusted: list[str]
    level: Confidentiality
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
        found = await _found(gateway, call, policy, tool, arguments.model_dump())
    lately = await _lately(gateway, call, needs, found.recipients)
    if call.grant:
        lately |= {"has_grant": True, "is_intended": policy.intends(tool.name, call.grant.request)}
    return replace(found, flow=replace(found.flow, **lately))


async def _found(
    gateway: "Gateway", call: "ToolCall", policy: Policy, tool: Tool, arguments: Mapping[str, Any]
) -> Traced:
    own_domains, runs = policy.lists.get(_OWN_DOMAINS, ()), gateway.runs
    named = named_records(tool, arguments)
    async with runs.of(call.principal, call.grant, gateway.now(), named) as (run, known):
        # Whoever acts on a record lets out what was written into it, read or not: a draft that another run made.
        of_call = replace(run, label=reduce(or_, known.values(), run.label)) if known else run
        given = (tool, arguments, of_call, own_domains, partial(_hidden, gateway.secret))
        if is_larger(arguments, _LONG_ARGUMENTS):
            return await anyio.to_thread.run_sync(trace, *given)
        return trace(*given)


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
    runs, tenant, tool = gateway.runs, call.principal.tenant, gateway.policy.current.labelled(tool)
    written = _written(tool, output, wrote)
    names, size = survey(tool, output)
    named = tuple(dict.fromkeys((*names, nameless(tool), *written)))
    writing, before = await runs.writing.known_after(tenant, tool.area, call.id, named)
    known, rows = _labelled(tenant, before, written, wrote)
    own_domains = gateway.policy.current.lists.get(_OWN_DOMAINS, ())
    given = (tool, output, before, known, writing, own_domains, wrote, f"{tool.name} {call.id}", runs.key)
    if size > _LONG:
        untrusted, sight = await anyio.to_thread.run_sync(_sight, *given)
    else:
        untrusted, sight = _sight(*given)
    run = call.grant.run if call.grant else ""
    row = seen_row(tenant, call.principal.name, run, gateway.now(), sight)
    return Shown(untrusted, sight.label.confidentiality, (row, *rows))


def _sight(
    tool: Tool,
    output: Mapping[str, Any],
    before: Mapping[str, Label],
    known: Mapping[str, Label],
    writing: Unfinished,
    own_domains: Collection[object],
    wrote: Wrote | None,
    place: str,
    key: bytes,
) -> tuple[list[str], Sight]:
    reading = read(tool, output, known, writing.records, writing.anywhere, own_domains)
    if wrote is None:
        return reading.untrusted, sight_of(reading, place, key)
    # What a write gives back of its own the run has known before: it vouches for nothing, and taints no more.
    echoed = frozenset(map(plain, texts(wrote.arguments))) - {""}
    found = read(tool, output, before, writing.records, writing.anywhere, own_domains)
    sight = sight_of(_without(echoed, reading), place, key)
    return reading.untrusted, replace(sight, label=_without(echoed, found).label)


def _without(echoed: Collection[str], reading: Reading) -> Reading:
    left = (
        replace(alike, values=[each for each in alike.values if plain(each) not in echoed]) for alike in reading.values
    )
    return Reading([alike for alike in left if alike.values], reading.links)


def heard(gateway: "Gateway", call: "ToolCall", answer: Answer[Any]) -> tuple[Beside, ...]:
    """What is to be committed with the entry that a caller was refused in words of an outsider; mostly nothing."""
    if answer.error is None or ERROR not in (answer.untrusted or ()):
        return ()
    label = Label(Integrity.ANYONE, Confidentiality.CUSTOMER, frozenset((NOBODY,)))
    return _heard(gateway, call, label, ERROR, (answer.error.message,))


def heard_words(gateway: "Gateway", call: "ToolCall", tool: Tool, words: Sequence[str]) -> tuple[Beside, ...]:
    """What is to be committed with the entry after which a client gets a server's words apart from a result.

    They are as confidential as the texts that the tool gives.
    """
    if not words:
        return ()
    level = gateway.policy.current.labelled(tool).confidentiality.get(_TEXT, Confidentiality.CUSTOMER)
    owners = frozenset((NOBODY,)) if level is Confidentiality.CUSTOMER else frozenset[str]()
    return _heard(gateway, call, Label(Integrity.ANYONE, level, owners), "words", words)


def _heard(gateway: "Gateway", call: "ToolCall", label: Label, path: str, words: Sequence[str]) -> tuple[Beside, ...]:
    said = Alike(path, Author.OUTSIDER, False, label, "", [each for each in words if each])
    sight = sight_of(Reading((said,), ()), f"{call.tool} {call.id}", gateway.runs.key)
    run = call.grant.run if call.grant else ""
    return (seen_row(call.principal.tenant, call.principal.name, run, gateway.now(), sight),)


async def labelled(
    ledger: Ledger, tenant: str, tool: Tool, output: Mapping[str, Any], wrote: Wrote
) -> tuple[Beside, ...]:
    """The rows that say from now on what is known of the records that a call wrote.

    Raises:
        JournalUnavailable: If what is known cannot be read.
    """
    written = _written(tool, output, wrote)
    return _labelled(tenant, await ledger.labels(tenant, written), written, wrote)[1]


def _labelled(
    tenant: str, before: Mapping[str, Label], written: Sequence[str], wrote: Wrote | None
) -> tuple[Mapping[str, Label], tuple[Beside, ...]]:
    """What is known of records after a call, by what was known before, and the rows that say so."""
    if wrote is None:
        return before, ()
    # What was written before is still there: a label only rises.
    after = {name: before.get(name, CLEAN) | wrote.label for name in written}
    changed = {name: label for name, label in after.items() if label != before.get(name, CLEAN)}
    return {**before, **changed}, label_rows(tenant, changed)


def _written(tool: Tool, output: Mapping[str, Any], wrote: Wrote | None) -> tuple[str, ...]:
    """Where a call wrote: as its result says, or else its arguments; or else wherever there are no names."""
    if wrote is None:
        return ()
    return written_records(tool, output, wrote.arguments) or named_records(tool, wrote.arguments) or (nameless(tool),)


@lru_cache(maxsize=20_000)
def _hidden(secret: bytes, owner: str) -> str:
    # What was read back with a record bears its hidden name already: hidden twice, nobody would know it again.
    return owner if _HIDDEN.fullmatch(owner) else f"{HIDDEN}{keyed_hash(owner, secret)[:24]}"
