"""How policy names tools: by name, or by the beginning of their names followed by `*`."""

import re
from collections.abc import Collection, Iterable

from gateway.policy.problem import suggest

_PATTERN = re.compile(r"[A-Za-z0-9_]+\*?|\*")


def covers(pattern: str, tool: str) -> bool:
    """Whether a well-formed pattern covers a tool."""
    return tool.startswith(pattern[:-1]) if pattern.endswith("*") else tool == pattern


def mistake(pattern: str, tools: Collection[str]) -> str:
    """What is wrong with a pattern, given the names of all tools; empty when it covers at least one."""
    if not _PATTERN.fullmatch(pattern):
        return f"tool `{pattern}` must be a tool's name, or its beginning followed by one `*`"
    if any(covers(pattern, tool) for tool in tools):
        return ""
    if pattern.endswith("*"):
        return f"no tool matches `{pattern}`{suggest(pattern, _beginnings(tools))}"
    return f"unknown tool `{pattern}`{suggest(pattern, tools)}"


def cut_word(pattern: str) -> str:
    """What is doubtful about a pattern such as `crm_get*`: it covers `crm_getaway_…` as well, if there ever is one."""
    if not pattern.endswith("*") or pattern == "*" or pattern.endswith("_*"):
        return ""
    return f"`{pattern}` ends within a word — did you mean `{pattern[:-1]}_*`?"


def _beginnings(names: Iterable[str]) -> set[str]:
    """Every pattern that would cover something: `crm_*`, `crm_get_*`, …"""
    words = [name.split("_") for name in names]
    return {"_".join(parts[:count]) + "_*" for parts in words for count in range(1, len(parts))}
