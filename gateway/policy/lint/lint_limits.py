"""Warnings about limits: those that another one always reaches first, and what they leave uncounted."""

from collections.abc import Iterator, Mapping

from connectors.contract import Effect, Tool
from gateway.policy.files.limits import RECIPIENTS, Limit
from gateway.policy.files.lines import Line
from gateway.policy.files.roles import EVERYONE
from gateway.policy.judge import Policy
from gateway.policy.language import patterns
from gateway.policy.problem import Problem

_TOOL, _WHAT, _MOST = 3, 4, 5


def lint_limits(policy: Policy, lines: Mapping[str, Line], tools: Mapping[str, Tool]) -> Iterator[Problem]:
    """Every warning about the lines of `limits.csv`.

    Args:
        policy: The policy.
        lines: The line of each limit by its id.
        tools: All tools by name.
    """
    for limit in policy.limits:
        line = lines[limit.id]
        if message := patterns.cut_word(limit.pattern):
            yield line.warning(line.cells[_TOOL], "cut-word", message)
        if first := next((other for other in policy.limits if _is_reached_first(other, limit)), None):
            message = f"this limit is never reached: limit `{first.id}` allows {first.words}"
            yield line.warning(line.cells[_MOST], "unreached-limit", message)
        if names := _uncounted(limit, tools):
            message = (
                f"whom {' and '.join(names)} reaches is not among its arguments, so not counted: limit its calls too"
            )
            yield line.warning(line.cells[_WHAT], "uncounted-tool", message)


def _is_reached_first(other: Limit, limit: Limit) -> bool:
    """Whether one limit counts all that another counts, more of it together, for as long, and allows no more."""
    if other is limit or other.what != limit.what or other.role not in {limit.role, EVERYONE}:
        return False
    counts_all = limit.paths.keys() <= other.paths.keys() and _together(other) <= _together(limit)
    tighter = other.most <= limit.most and other.window >= limit.window
    is_same = other.most == limit.most and other.window == limit.window
    # Of two that say the same only the later one is told.
    return counts_all and tighter and not (is_same and _together(other) == _together(limit) and other.id > limit.id)


def _together(limit: Limit) -> frozenset[str]:
    return frozenset(limit.whom) - {"tenant"}


def _uncounted(limit: Limit, tools: Mapping[str, Tool]) -> list[str]:
    if limit.what != RECIPIENTS:
        return []
    covered = (tool for name, tool in tools.items() if patterns.covers(limit.pattern, name))
    return [f"`{tool.name}`" for tool in covered if tool.effect is Effect.SEND and tool.name not in limit.paths]
