"""What a grant lets through: a pure look at one call."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from connectors.contract import Sink, Tool
from gateway.grants.grant import Grant, Terms, Value
from gateway.policy.language.patterns import covers, mistake
from gateway.policy.problem import suggest


def names(terms: Terms, tool: str) -> bool:
    """Whether terms leave a tool in."""
    return terms.tools is None or any(covers(pattern, tool) for pattern in terms.tools)


def limits_of(terms: Terms, tool: str) -> Mapping[str, int]:
    """The limits that a call of a tool counts against, by pattern."""
    return {pattern: most for pattern, most in terms.limits.items() if covers(pattern, tool)}


def why_outside(grant: Grant, tool: Tool, arguments: BaseModel, made: Mapping[str, int]) -> str:
    """Why a call lies outside a grant; empty if it does not. It quotes no value: the reason stays on record.

    Args:
        grant: The grant.
        tool: The tool.
        arguments: The validated arguments.
        made: How many calls were made under the grant so far, by tool, as far as its limits look.
    """
    if not names(grant.terms, tool.name):
        return f"`{tool.name}` is not among its tools"
    for argument, allowed in grant.terms.targets.get(tool.name, {}).items():
        if not _holds(tool, argument, allowed, getattr(arguments, argument, None)):
            return f"`{argument}` has to be one of the values that it names"
    for pattern, most in limits_of(grant.terms, tool.name).items():
        if sum(count for name, count in made.items() if covers(pattern, name)) >= most:
            return f"`{pattern}` may be called {most} times, and was"
    return ""


def _holds(tool: Tool, argument: str, allowed: tuple[Value, ...], given: object) -> bool:
    wanted = [value for each in allowed if (value := in_the_tools_words(tool, argument, each)) is not None]
    if isinstance(given, list | tuple):
        # Nobody else is written to by an empty list of recipients; any other may stand for everything.
        may_be_empty = tool.sinks.get(f"{argument}[]") is Sink.RECIPIENT
        return all(item in wanted for item in given) and (bool(given) or may_be_empty)
    # What is left out may stand for everything as well.
    return given is not None and given in wanted


def in_the_tools_words(tool: Tool, argument: str, value: Value) -> object | None:
    """A value as the tool's own input reads it, an item's for a list; None if the tool would not take it.

    Addresses in another case, amounts with other digits, are then one value.
    """
    reader = _reader(tool.input, argument)
    if reader is None:
        return None
    for given in (value, [value]):
        try:
            found = reader.validate_json(json.dumps(given), strict=True)
        except ValidationError:
            continue
        if isinstance(found, list | tuple):
            return found[0] if len(found) == 1 else None
        return None if isinstance(found, BaseModel) else found
    return None


@lru_cache(maxsize=2_000)
def _reader(model: type[BaseModel], argument: str) -> TypeAdapter[Any] | None:
    info = model.model_fields.get(argument)
    if info is None:
        return None
    declared: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    return TypeAdapter(declared)


def misfits(terms: Terms, tools: Mapping[str, Tool]) -> Iterator[tuple[str, str]]:
    """What of terms fits no tool: where it stands, and what is wrong with it."""
    for place, patterns in (("tools", terms.tools or ()), ("limits", terms.limits)):
        yield from ((f"{place}.{each}", told) for each in patterns if (told := mistake(each, tools)))
    for name, arguments in terms.targets.items():
        if name not in tools:
            yield f"targets.{name}", f"unknown tool `{name}`{suggest(name, tools)}"
            continue
        for argument, allowed in arguments.items():
            yield from ((f"targets.{name}.{argument}", told) for told in _misfits_of(tools[name], argument, allowed))


def _misfits_of(tool: Tool, argument: str, allowed: tuple[Value, ...]) -> Iterator[str]:
    if argument not in tool.input.model_fields:
        yield f"`{tool.name}` takes no `{argument}`{suggest(argument, tool.input.model_fields)}"
        return
    for value in allowed:
        if in_the_tools_words(tool, argument, value) is None:
            yield f"`{tool.name}` takes no {json.dumps(value, ensure_ascii=False)[:100]} as `{argument}`"
