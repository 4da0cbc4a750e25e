"""Which tool a call means, and whether its arguments fit the tool's input."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from connectors.contract import Tool
from gateway.policy.judge import Policy
from gateway.principal import Principal

_MAX_PROBLEMS = 5


class UnknownTool(Exception):
    """There is no such tool for this principal, whether it is hidden or does not exist."""


class InvalidArguments(Exception):
    """The arguments do not fit the tool's input.

    Args:
        message: Says what was wrong with every field, in one line.
        field: The first field at fault, such as `to[0]`.
        problems: What was wrong with each argument, by its name.
    """

    def __init__(self, message: str, field: str, problems: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = unicode(message)
        self.field = unicode(field)
        self.problems = problems or {field: self.message}


class Tools(Mapping[str, Tool]):
    """Tools by name; all are replaced at once, so that nobody sees half of a change."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._now = {tool.name: tool for tool in tools}

    def replace(self, tools: Iterable[Tool]) -> None:
        """Have other tools from now on."""
        self._now = {tool.name: tool for tool in tools}

    def __getitem__(self, name: str) -> Tool:
        """The tool of that name."""
        return self._now[name]

    def __iter__(self) -> Iterator[str]:
        """The names, as they are at this moment."""
        return iter(self._now)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._now)


class Catalog:
    """All tools by name.

    Args:
        tools: The tools.
        withheld: Tells which of them nobody may see or call now, and why.
        offered: Tells whether a tenant's back end has a tool.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        withheld: Callable[[], Mapping[str, str]] = dict,
        offered: Callable[[str, Tool], bool] = lambda _tenant, _tool: True,
    ) -> None:
        self.tools = Tools(tools)
        self._withheld = withheld
        self._offered = offered

    def is_open(self, name: str, tenant: str) -> bool:
        """Whether there is such a tool for a tenant, and it is not withheld."""
        return name in self.tools and name not in self._withheld() and self._offered(tenant, self.tools[name])

    def find(self, policy: Policy, principal: Principal, name: str, now: datetime) -> Tool:
        """Find a tool by name.

        Raises:
            UnknownTool: If it does not exist or is hidden from this principal, without saying which.
        """
        if not self.is_open(name, principal.tenant) or not policy.shows(principal, name, now):
            raise UnknownTool
        return self.tools[name]


def unicode(text: str) -> str:
    """A caller's text as it may be written anywhere: half of a surrogate pair is shown escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def validate(tool: Tool, arguments: Mapping[str, Any]) -> BaseModel:
    """Check a call's arguments against the tool's input model.

    Raises:
        InvalidArguments: Names each wrong field and what it should be, and suggests a name for an unknown one.
    """
    try:
        # By way of JSON, so that a date or an enum is read strictly from its JSON form.
        return tool.input.model_validate_json(json.dumps(arguments, allow_nan=False, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        field = next((name for name, value in arguments.items() if not _is_unicode(value)), "")
        raise InvalidArguments(f"`{field}`: not valid Unicode: half of a surrogate pair", field) from None
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        told = "; ".join(_explain(tool, problem) for problem in problems[:_MAX_PROBLEMS])
        more = f"; and {len(problems) - _MAX_PROBLEMS} more" if len(problems) > _MAX_PROBLEMS else ""
        by_name = {_top(problem): unicode(_explain(tool, problem)) for problem in reversed(problems)}
        raise InvalidArguments(told + more, _path(problems[0]), by_name) from None
    except (ValueError, RecursionError):
        raise InvalidArguments(
            "the arguments are not valid JSON data: a number or nesting is out of range", ""
        ) from None


def _is_unicode(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _explain(tool: Tool, problem: ErrorDetails) -> str:
    path = _path(problem)
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(str(problem["loc"][-1]), tool.input.model_fields, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else f"; `{tool.name}` takes {_fields(tool)}"
        return f"`{path}`: unknown field{hint}"
    if problem["type"] == "missing":
        return f"`{path}`: missing"
    message = problem["msg"].removeprefix("Value error, ")
    told = f"{message[0].lower()}{message[1:]}"
    return f"`{path}`: {told}" if path else told


def _fields(tool: Tool) -> str:
    return ", ".join(f"`{name}`" for name in tool.input.model_fields)


def _top(problem: ErrorDetails) -> str:
    return unicode(str(problem["loc"][0])) if problem["loc"] else ""


def _path(problem: ErrorDetails) -> str:
    path = ""
    for part in problem["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:60]}" if path else part[:60]
    return path
