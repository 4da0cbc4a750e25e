"""Reads `approvers.csv`: which role may answer what rules ask, for which tools in which tenant."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.policy.files.lines import Line, read_lines
from gateway.policy.files.roles import ANY_TENANT, EVERYONE, role_mistake, tenant_mistake
from gateway.policy.language import patterns
from gateway.policy.problem import Problem, suggest

FILE = "approvers.csv"
_COLUMNS = "approver, role, tool, tenant"


@dataclass(frozen=True, slots=True)
class Approver:
    """One line: who has the role may approve calls of the tools that the pattern covers; tenant `*` is every tenant."""

    role: str
    pattern: str
    tenant: str

    def answers_for(self, tool: str, tenant: str) -> bool:
        """Whether the line speaks of a tool in a tenant."""
        return self.tenant in (ANY_TENANT, tenant) and patterns.covers(self.pattern, tool)


def read_approvers(
    text: str, tools: Collection[str], roles: frozenset[str] | None, problems: list[Problem]
) -> tuple[Approver, ...]:
    """Read the file's text; every mistake is added to `problems`.

    Args:
        text: The text.
        tools: The names of all tools.
        roles: The roles that `roles.csv` knows, or None if it could not be read.
        problems: Where mistakes go.
    """
    found = (_approver(line, tools, roles, problems) for line in read_lines(FILE, text, problems))
    return tuple(approver for approver in found if approver)


def _approver(
    line: Line, tools: Collection[str], roles: frozenset[str] | None, problems: list[Problem]
) -> Approver | None:
    kind, *rest = line.cells
    if kind.text != "approver":
        message = f"unknown line type `{kind.text}`: lines of approvers.csv start with `approver`"
        problems.append(line.problem(kind, message))
        return None
    if len(rest) != 3:
        problems.append(line.problem(kind, f"expected 4 columns ({_COLUMNS}), found {len(line.cells)}"))
        return None
    role, pattern, tenant = rest
    mistakes = (
        (role, role_mistake(role.text) or _unknown_role(role.text, roles)),
        (pattern, patterns.mistake(pattern.text, tools)),
        (tenant, tenant_mistake(tenant.text)),
    )
    noted = [line.problem(cell, message) for cell, message in mistakes if message]
    problems.extend(noted)
    return None if noted else Approver(role.text, pattern.text, tenant.text)


def _unknown_role(role: str, roles: frozenset[str] | None) -> str:
    if role == EVERYONE:
        return f"`{EVERYONE}` cannot approve, because every agent has it too: name a role that people are given"
    if roles is None or role in roles:
        return ""
    near = suggest(role.removeprefix("role:"), (each.removeprefix("role:") for each in roles), prefix="role:")
    return f"unknown role `{role}`{near or ': roles.csv does not mention it'}"
