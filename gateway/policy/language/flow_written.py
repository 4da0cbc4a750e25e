"""Data flow as it is written down: in policy tests, on the command line, and in the journal."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Any, TypeAlias

from connectors.contract import Confidentiality, Sink, Tool
from gateway.policy.language.flow import UNTOUCHED, Flow, Integrity, Origin, carries
from gateway.policy.language.flow_facts import ARGUMENT_FACTS
from gateway.policy.language.kinds import type_of_tool
from gateway.policy.problem import suggest

Mistake: TypeAlias = tuple[tuple[str, ...], str]
"""Where in what is written, and what is wrong."""


def _word(words: type[StrEnum], value: object) -> object:
    if isinstance(value, str) and value in set(words):
        return words(value)
    near = suggest(str(value), words) or f": it is one of {', '.join(words)}"
    raise ValueError(f"`{value}` is not known here{near}")


def _flag(value: object) -> object:
    if value is True or value is False:
        return value
    raise ValueError(f"`{value}` must be `true` or `false`")


def _count(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"`{value}` must be a whole number from 0")
    return value


_LEVEL = partial(_word, Confidentiality)
_OF_ARGUMENTS: Mapping[str, Callable[[object], object]] = {
    "origins": partial(_word, Origin),
    "confidentiality": _LEVEL,
    "audience": _LEVEL,
    "first_time": _flag,
}
_OF_RUN: Mapping[str, Callable[[object], object]] = {
    "integrity": partial(_word, Integrity),
    "seen": _LEVEL,
    "has_grant": _flag,
    "is_intended": _flag,
    "denials": _count,
    "records": _count,
    "recent_calls": _count,
    "customers": _count,
}
_SINKS: Mapping[str, frozenset[Sink]] = {fact.part: fact.sinks for fact in ARGUMENT_FACTS.values()}
_SAID_BY = {
    "saw_untrusted": ": say `integrity`, such as `anyone`",
    "saw_private": ": say `seen`, such as `customer`",
    "origin": ": say `origins`",
}


def flow_keys(tool: Tool | None) -> tuple[str, ...]:
    """What can be said of a call of a tool, such as `integrity` and `origins.to`."""
    return (*_OF_RUN, *(f"{part}.{name}" for part in _OF_ARGUMENTS for name in _known(part, tool) or ()))


def _known(part: str, tool: Tool | None) -> list[str] | None:
    """The arguments of which something can be said; None when that is not known."""
    if tool is None:
        return None
    return [name for name, found in type_of_tool(tool).fields.items() if found.sinks & _SINKS[part]]


def read_flow(written: Mapping[str, Any], tool: Tool | None) -> tuple[Flow, list[Mistake]]:
    """Read `{"origins": {"to": "outsider"}, "integrity": "anyone"}`; what is not said is as in `UNTOUCHED`.

    Args:
        written: What is written, as JSON data.
        tool: The tool that is called, whose sinks may be named; None when any argument may.

    Returns:
        The flow as far as it is well written, and every mistake.
    """
    found: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for name, value in written.items():
        if name in _OF_RUN:
            _note(found, name, _OF_RUN[name], value, (name,), mistakes)
        elif name not in _OF_ARGUMENTS:
            near = _SAID_BY.get(name) or suggest(name, (*_OF_ARGUMENTS, *_OF_RUN))
            mistakes.append(((name,), f"unknown fact `{name}` of data flow{near}"))
        elif not isinstance(value, Mapping):
            mistakes.append(((name,), f"`{name}` must say for each argument, such as `{name}: {{to: …}}`"))
        else:
            found[name] = _arguments(name, value, _known(name, tool), mistakes)
    return replace(UNTOUCHED, **found), mistakes


def _arguments(
    part: str, written: Mapping[str, object], known: list[str] | None, mistakes: list[Mistake]
) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in written.items():
        if known is None or name in known:
            _note(found, name, _OF_ARGUMENTS[part], value, (part, name), mistakes)
        else:
            near = suggest(name, known) or f": it can be said of {', '.join(known) or 'no argument here'}"
            mistakes.append(((part, name), f"`{part}` says nothing of `{name}`{near}"))
    return found


def _note(
    found: dict[str, object],
    name: str,
    read: Callable[[object], object],
    value: object,
    path: tuple[str, ...],
    mistakes: list[Mistake],
) -> None:
    try:
        found[name] = read(value)
    except ValueError as error:
        mistakes.append((path, str(error)))


def flow_from(told: Mapping[str, Any]) -> Flow:
    """Read back what `Flow.told` gave.

    Raises:
        ValueError: If it is anything else.
    """
    flow, mistakes = read_flow(told, None)
    if mistakes:
        path, message = mistakes[0]
        raise ValueError(f"`{'.'.join(path)}`: {message}")
    return flow


def assumed(flow: Flow, tool: Tool, args: Mapping[str, object]) -> Flow:
    """What is said of a call, and of each argument of which nothing is said what holds in a run that has seen nothing.

    Its value stands nowhere, what it tells is public, everybody may be among those whom it reaches, and nobody is new.
    """
    unsaid: Mapping[str, object] = {
        "origins": Origin.NOWHERE,
        "confidentiality": Confidentiality.PUBLIC,
        "audience": Confidentiality.PUBLIC,
        "first_time": False,
    }
    given = {part: [name for name in _known(part, tool) or () if carries(args.get(name))] for part in unsaid}
    completed: dict[str, Any] = {
        part: {**dict.fromkeys(given[part], usual), **getattr(flow, part)} for part, usual in unsaid.items()
    }
    return replace(flow, **completed)


def flow_words(flow: Flow) -> Iterator[str]:
    """`origins.to=outsider` and the like, as `parse_flow` reads it: what a run that has seen nothing differs in."""
    for name, value in flow.told().items():
        for inside, said in value.items() if isinstance(value, dict) else (("", value),):
            key = f"{name}.{inside}" if inside else name
            yield f"{key}={str(said).lower()}"


def parse_flow(words: Iterable[str], tool: Tool) -> Flow:
    """Read `origins.to=outsider`, several of them apart or joined by commas.

    Raises:
        ValueError: Says what is wrong.
    """
    written: dict[str, Any] = {}
    for word in (each.strip() for joined in words for each in joined.split(",")):
        key, sign, value = word.partition("=")
        if not sign:
            raise ValueError(f"`{word}` is not of the form `origins.to=outsider` or `integrity=anyone`")
        name, _, argument = key.partition(".")
        if argument:
            inside = written.setdefault(name, {})
            if not isinstance(inside, dict):
                raise ValueError(f"`{key}`: `{name}` is said already")
            inside[argument] = _plain(value)
        else:
            written[name] = _plain(value)
    flow, mistakes = read_flow(written, tool)
    if mistakes:
        raise ValueError("; ".join(f"`{'.'.join(path)}`: {message}" for path, message in mistakes))
    return flow


def _plain(word: str) -> object:
    return int(word) if word.isdecimal() and word.isascii() else {"true": True, "false": False}.get(word, word)
