"""What `tools/list` shows under a grant: less, and narrower. The call is checked again on its real arguments."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import mcp.types as wire

from gateway.grants.bounds import limits_of, names
from gateway.grants.grant import Grant, Value


def under_grant(grant: Grant, shown: Iterable[wire.Tool]) -> list[wire.Tool]:
    """The tools that a grant leaves of those that policy shows, with its targets and limits.

    Args:
        grant: The grant.
        shown: What the principal sees without it.
    """
    return [_narrowed(grant, tool) for tool in shown if names(grant.terms, tool.name)]


def _narrowed(grant: Grant, tool: wire.Tool) -> wire.Tool:
    words = list(_words(grant, tool.name))
    if not words:
        return tool
    targets = grant.terms.targets.get(tool.name, {})
    schema = _with_targets(tool.input_schema, targets) if targets else tool.input_schema
    description = "\n- ".join([f"{tool.description}\n\nThe grant:", *words])
    return tool.model_copy(update={"description": description, "input_schema": schema})


def _words(grant: Grant, tool: str) -> Iterator[str]:
    for argument, allowed in grant.terms.targets.get(tool, {}).items():
        yield f"`{argument}` must be {' or '.join(f'`{value}`' for value in allowed) or 'left out, so no call fits'}"
    for pattern, most in limits_of(grant.terms, tool).items():
        yield f"at most {most} calls" + ("" if pattern == tool else f" of `{pattern}` together")


def _with_targets(schema: Mapping[str, Any], targets: Mapping[str, Sequence[Value]]) -> dict[str, Any]:
    properties: dict[str, Any] = dict(schema.get("properties", {}))
    for argument, allowed in targets.items():
        # A property that policy leaves out stays out.
        if argument in properties:
            properties[argument] = _one_of(properties[argument], list(allowed))
    return {**schema, "properties": properties}


def _one_of(declared: Mapping[str, Any], allowed: list[Value]) -> dict[str, Any]:
    """A property's schema with the allowed values: whatever it says else still holds (JSON Schema 2020-12, 6.1.2)."""
    if "items" in declared:
        return {**declared, "items": _one_of(declared["items"], allowed)}
    if "enum" in declared:
        allowed = [value for value in declared["enum"] if value in allowed]
    choices = declared.get("anyOf", ())
    if any("items" in choice for choice in choices):
        return {**declared, "anyOf": [_one_of(each, allowed) if "items" in each else each for each in choices]}
    return {**declared, "enum": allowed}
