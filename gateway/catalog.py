"""Which tool a call means, and whether its arguments fit the tool's input."""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from connectors.contract import Tool
from gateway.policy.load import Policy
from gateway.principal import Principal

_MAX_PROBLEMS = 5


class UnknownTool(Exception):
    """There is no such tool for this principal, whether it is hidden or does not exist."""


class InvalidArguments(Exception):
    """The arguments do not fit the tool's input.

    Args:
        message: Says what was wrong with every field, in one line.
        field: The first field at fault, such as `to[0]`.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Catalog:
    """All tools by name. What a principal sees is asked once per policy and remembered."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}
        self._seen: dict[Principal, frozenset[str]] = {}
        self._seen_under: Policy | None = None

    def visible(self, policy: Policy, principal: Principal) -> list[Tool]:
        """The tools that a principal may be allowed or asked for, in the order of declaration."""
        names = self._visible_names(policy, principal)
        return [tool for name, tool in self.tools.items() if name in names]

    def find(self, policy: Policy, principal: Principal, name: str) -> Tool:
        """Find a tool by name.

        Raises:
            UnknownTool: If it does not exist or is hidden from this principal, without saying which.
        """
        if name not in self._visible_names(policy, principal):
            raise UnknownTool
        return self.tools[name]

    def _visible_names(self, policy: Policy, principal: Principal) -> frozenset[str]:
        if self._seen_under is not policy or len(self._seen) > 10_000:
            self._seen, self._seen_under = {}, policy
        if (names := self._seen.get(principal)) is None:
            names = self._seen[principal] = policy.visible(principal)
        return names


def validate(tool: Tool, arguments: Mapping[str, Any]) -> BaseModel:
    """Check a call's arguments against the tool's input model.

    Raises:
        InvalidArguments: Names each wrong field and what it should be, and suggests a name for an unknown one.
    """
    try:
        # By way of JSON, so that a date or an enum is read strictly from its JSON form.
        return tool.input.model_validate_json(json.dumps(arguments, allow_nan=False))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        told = "; ".join(_explain(tool, problem) for problem in problems[:_MAX_PROBLEMS])
        more = f"; and {len(problems) - _MAX_PROBLEMS} more" if len(problems) > _MAX_PROBLEMS else ""
        raise InvalidArguments(told + more, _path(problems[0])) from None
    except (ValueError, RecursionError):
        raise InvalidArguments("the arguments are not valid JSON data: a number or nesting is out of range", "") from None


def _explain(tool: Tool, problem: ErrorDetails) -> str:
    path = _path(problem)
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(str(problem["loc"][-1]), tool.input.model_fields, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else f"; `{tool.name}` takes {_fields(tool)}"
        return f"`{path}`: unknown field{hint}"
    if problem["type"] == "missing":
        return f"`{path}`: missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"`{path}`: {message[0].lower()}{message[1:]}"


def _fields(tool: Tool) -> str:
    return ", ".join(f"`{name}`" for name in tool.input.model_fields)


def _path(problem: ErrorDetails) -> str:
    path = ""
    for part in problem["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:60]}" if path else part[:60]
    return path
