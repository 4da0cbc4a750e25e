"""The record that a call acts on, as it is now: read as a call of the approver's own, decided and recorded as any."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from connectors.contract import Effect, Tool
from gateway.call import call_tool
from gateway.catalog import InvalidArguments, UnknownTool, validate
from gateway.effect_words import label
from gateway.gateway import Gateway, ToolCall
from gateway.policy.decision import Verdict
from gateway.principal import Principal

CLIENT = "remit console"
# What these act on is found by an input that the reading tool does not require.
_ALSO = {"crm_issue_refund": ("crm_get_orders", ("order_id",))}


@dataclass(frozen=True)
class Record:
    """The record as it is now, or why it cannot be shown.

    Args:
        values: Its fields by name.
        problem: Why there are none, in a sentence; empty if there are.
    """

    values: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True)
class Part:
    """A stretch of a changed text: `same`, `added` or `removed`."""

    kind: str
    text: str


@dataclass(frozen=True)
class Change:
    """A field that the call would change."""

    name: str
    before: str
    after: str
    parts: tuple[Part, ...]


async def current_record(gateway: Gateway, person: Principal, tool: Tool, arguments: Mapping[str, Any]) -> Record:
    """Read the record that a call names, as a call of the person's own.

    Args:
        gateway: What the reading call passes through.
        person: Who looks.
        tool: The tool of the call that is asked about.
        arguments: Its arguments.
    """
    found = _reading(gateway, tool, arguments)
    if found is None:
        return Record({}, "no tool reads what this call acts on")
    reader, inputs = found
    try:
        facts, policy, now = validate(reader, inputs).model_dump(), gateway.policy.current, gateway.now()
        async with gateway.history.turn(person, policy.needs_history(reader.name), now) as earlier:
            decision = policy.decide(person, reader.name, facts, now, earlier)
        if decision.verdict is not Verdict.ALLOW:
            return Record({}, f"you may not read it: {decision.reason}")
        answer = await call_tool(gateway, ToolCall(person, reader.name, inputs, client=CLIENT))
    except (UnknownTool, InvalidArguments):
        return Record({}, f"you may not read it with `{reader.name}`")
    if answer.status != "ok" or answer.result is None:
        return Record({}, f"it could not be read: {answer.error.message if answer.error else answer.reason}")
    return Record(_single(answer.result.model_dump(mode="json")))


def _reading(gateway: Gateway, tool: Tool, arguments: Mapping[str, Any]) -> tuple[Tool, dict[str, Any]] | None:
    """The tool of the same area that reads one record by an id that the call has, with its inputs."""
    if tool.name in _ALSO:
        name, inputs = _ALSO[tool.name]
        return gateway.catalog.tools[name], {each: arguments[each] for each in inputs}
    for reader in gateway.catalog.tools.values():
        needed = [name for name, field in reader.input.model_fields.items() if field.is_required()]
        by_id = any(name.endswith("_id") for name in needed)
        if reader.area == tool.area and reader.effect is Effect.READ and by_id and all(map(arguments.get, needed)):
            return reader, {name: arguments[name] for name in needed}
    return None


def _single(result: dict[str, Any]) -> dict[str, Any]:
    """The one record of a page that holds one, such as the order that was asked for."""
    pages = [value for value in result.values() if isinstance(value, list)]
    if "id" not in result and len(pages) == 1 and len(pages[0]) == 1:
        only: dict[str, Any] = pages[0][0]
        return only
    return result


def changes(values: Mapping[str, Any], tool: Tool, arguments: Mapping[str, Any]) -> tuple[Change, ...]:
    """What a call would change of a record's values: inputs of the same name with another value."""
    if tool.effect is Effect.READ:
        return ()
    return tuple(_changes(values, arguments))


def _changes(values: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator[Change]:
    for name, new in arguments.items():
        if new is not None and name != "version" and name in values and _text(values[name]) != _text(new):
            before, after = _text(values[name]), _text(new)
            yield Change(label(name), before, after, tuple(_difference(before, after)))


def _text(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return "" if value is None else str(value)


def _difference(before: str, after: str) -> Iterator[Part]:
    """The difference by lines."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            yield Part("same", "".join(old[a:b]))
            continue
        if a < b:
            yield Part("removed", "".join(old[a:b]))
        if c < d:
            yield Part("added", "".join(new[c:d]))
