"""Reads `approvers.csv`: who may answer what rules ask, how many must say yes, who runs an agent, looks or stops."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias

from gateway.policy.files.lines import Cell, Line, read_lines
from gateway.policy.files.roles import ANY_TENANT, EVERYONE, role_mistake, tenant_mistake, unknown_role
from gateway.policy.language import patterns
from gateway.policy.problem import Problem, suggest

FILE = "approvers.csv"
MAX_QUORUM = 10
MAX_STANDING = 100
_APPROVER = "approver, role, tool, tenant"
_OPERATOR = "operator, agent, person, tenant"
_VIEWER = "viewer, role, journal or policy, tenant"
_STOPPER = "stopper, role, tenant"
_PARTY = re.compile(r"(agent|person):[^\s:*,]\S{0,199}")
_DELAY = re.compile(r"([1-9][0-9]{0,3})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_OPTIONS = ("quorum", "after", "standing")


@dataclass(frozen=True, slots=True)
class Approver:
    """One line: who has the role may answer for calls of the tools that the pattern covers.

    Args:
        role: The role, with the prefix `role:`.
        pattern: A tool's name, or a beginning followed by `*`.
        tenant: In which tenant; `*` is every tenant.
        quorum: How many different people must say yes to a call of these tools.
        after: How long a question must have waited before this line counts: escalation.
        standing: How many further calls like it a yes may cover at most; 0 means that each call is asked about.
    """

    role: str
    pattern: str
    tenant: str
    quorum: int = 1
    after: timedelta = timedelta()
    standing: int = 0

    def answers_for(self, tool: str, tenant: str) -> bool:
        """Whether the line speaks of a tool in a tenant."""
        return self.tenant in (ANY_TENANT, tenant) and patterns.covers(self.pattern, tool)


@dataclass(frozen=True, slots=True)
class Operator:
    """One line: the person runs the agent in the tenant, so does not answer what it asks. Both with their prefix."""

    agent: str
    person: str
    tenant: str


class View(StrEnum):
    """What a viewer sees of a tenant in the console."""

    JOURNAL = "journal"
    """Every call: the journal, why each came out as it did, and what they add up to."""
    POLICY = "policy"
    """What every role may do."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """One line: who has the role may look at something in the tenant; tenant `*` is every tenant."""

    role: str
    view: View
    tenant: str

    def sees(self, view: View, tenant: str) -> bool:
        """Whether the line speaks of a view of a tenant."""
        return self.view is view and self.tenant in (ANY_TENANT, tenant)


@dataclass(frozen=True, slots=True)
class Stopper:
    """One line: who has the role may stop and resume in the console what belongs to the tenant; `*` is every tenant."""

    role: str
    tenant: str

    def stops_in(self, tenant: str) -> bool:
        """Whether the line speaks of a tenant."""
        return self.tenant in (ANY_TENANT, tenant)


@dataclass(frozen=True, slots=True)
class Approving:
    """What `approvers.csv` says, each kind of line in the order of the file."""

    approvers: tuple[Approver, ...] = ()
    operators: tuple[Operator, ...] = ()
    viewers: tuple[Viewer, ...] = ()
    stoppers: tuple[Stopper, ...] = ()


_Read: TypeAlias = Approver | Operator | Viewer | Stopper


@dataclass(frozen=True, slots=True)
class _Known:
    tools: Collection[str]
    roles: frozenset[str] | None
    subjects: frozenset[str] | None


def read_approvers(
    text: str,
    tools: Collection[str],
    roles: frozenset[str] | None,
    subjects: frozenset[str] | None,
    problems: list[Problem],
) -> Approving:
    """Read the file's text; every mistake is added to `problems`.

    Args:
        text: The text.
        tools: The names of all tools.
        roles: The roles that `roles.csv` knows, or None if it could not be read.
        subjects: The people and agents that it knows, or None if it could not be read.
        problems: Where mistakes go.
    """
    known = _Known(tools, roles, subjects)
    read = [_line(line, known, problems) for line in read_lines(FILE, text, problems)]
    return Approving(
        tuple(each for each in read if isinstance(each, Approver)),
        tuple(each for each in read if isinstance(each, Operator)),
        tuple(each for each in read if isinstance(each, Viewer)),
        tuple(each for each in read if isinstance(each, Stopper)),
    )


def _line(line: Line, known: _Known, problems: list[Problem]) -> _Read | None:
    kind = line.cells[0]
    if (reader := _READERS.get(kind.text)) is None:
        named = "`approver`, `operator`, `viewer` or `stopper`"
        near = suggest(kind.text, _READERS) or f": lines of approvers.csv start with {named}"
        problems.append(line.problem(kind, f"unknown line type `{kind.text}`{near}"))
        return None
    return reader(line, known, problems)


def _approver(line: Line, known: _Known, problems: list[Problem]) -> Approver | None:
    kind, *rest = line.cells
    if len(rest) < 3:
        problems.append(line.problem(kind, f"expected 4 columns ({_APPROVER}), found {len(line.cells)}"))
        return None
    role, pattern, tenant, *options = rest
    chosen: dict[str, str] = {}
    mistakes = [
        (role, role_mistake(role.text) or _unknown_role(role.text, known.roles, "approve")),
        (pattern, patterns.mistake(pattern.text, known.tools)),
        (tenant, tenant_mistake(tenant.text)),
        *((option, _option_mistake(option.text, chosen)) for option in options),
    ]
    if _noted(line, mistakes, problems):
        return None
    return Approver(
        role.text,
        pattern.text,
        tenant.text,
        quorum=int(chosen.get("quorum", 1)),
        after=_delay(chosen["after"]) if "after" in chosen else timedelta(),
        standing=int(chosen.get("standing", 0)),
    )


def _operator(line: Line, known: _Known, problems: list[Problem]) -> Operator | None:
    kind, *rest = line.cells
    if len(rest) != 3:
        problems.append(line.problem(kind, f"expected 4 columns ({_OPERATOR}), found {len(line.cells)}"))
        return None
    agent, person, tenant = rest
    mistakes = [
        (agent, _party_mistake(agent.text, "agent", known.subjects)),
        (person, _party_mistake(person.text, "person", known.subjects)),
        (tenant, tenant_mistake(tenant.text)),
    ]
    return None if _noted(line, mistakes, problems) else Operator(agent.text, person.text, tenant.text)


def _viewer(line: Line, known: _Known, problems: list[Problem]) -> Viewer | None:
    kind, *rest = line.cells
    if len(rest) != 3:
        problems.append(line.problem(kind, f"expected 4 columns ({_VIEWER}), found {len(line.cells)}"))
        return None
    role, view, tenant = rest
    mistakes = [
        (role, role_mistake(role.text) or _unknown_role(role.text, known.roles, "view")),
        (view, _view_mistake(view.text)),
        (tenant, tenant_mistake(tenant.text)),
    ]
    return None if _noted(line, mistakes, problems) else Viewer(role.text, View(view.text), tenant.text)


def _stopper(line: Line, known: _Known, problems: list[Problem]) -> Stopper | None:
    kind, *rest = line.cells
    if len(rest) != 2:
        problems.append(line.problem(kind, f"expected 3 columns ({_STOPPER}), found {len(line.cells)}"))
        return None
    role, tenant = rest
    mistakes = [
        (role, role_mistake(role.text) or _unknown_role(role.text, known.roles, "stop anything")),
        (tenant, tenant_mistake(tenant.text)),
    ]
    return None if _noted(line, mistakes, problems) else Stopper(role.text, tenant.text)


_READERS: dict[str, Callable[[Line, _Known, list[Problem]], _Read | None]] = {
    "approver": _approver,
    "operator": _operator,
    "viewer": _viewer,
    "stopper": _stopper,
}


def _option_mistake(text: str, chosen: dict[str, str]) -> str:
    """Take in what follows the columns of an `approver` line; what is wrong with it, empty when nothing is."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        return f"write `quorum=2`, `after=4h` or `standing=5`, not `{text}`"
    if name not in _OPTIONS:
        known = ": there are `quorum`, `after` and `standing`"
        return f"unknown option `{name}`{suggest(name, _OPTIONS) or known}"
    if name in chosen:
        return f"`{name}` is said twice"
    chosen[name] = value
    if name == "after":
        is_delay = _DELAY.fullmatch(value)
        return "" if is_delay else f"`{text}` must be a number of minutes, hours or days: `30m`, `4h` or `2d`"
    most = MAX_QUORUM if name == "quorum" else MAX_STANDING
    is_number = value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= most
    return "" if is_number else f"`{text}` must be a whole number from 1 to {most}"


def _view_mistake(text: str) -> str:
    if text in tuple(View):
        return ""
    return f"unknown view `{text}`{suggest(text, tuple(View)) or ': write `journal` or `policy`'}"


def _delay(value: str) -> timedelta:
    number, unit = value[:-1], value[-1]
    return timedelta(**{_UNITS[unit]: int(number)})


def _noted(line: Line, mistakes: Iterable[tuple[Cell, str]], problems: list[Problem]) -> bool:
    noted = [line.problem(cell, message) for cell, message in mistakes if message]
    problems.extend(noted)
    return bool(noted)


def _unknown_role(role: str, roles: frozenset[str] | None, verb: str) -> str:
    if role == EVERYONE:
        return f"`{EVERYONE}` cannot {verb}, because every agent has it too: name a role that people are given"
    if roles is None or role in roles:
        return ""
    return unknown_role(role, roles)


def _party_mistake(name: str, kind: str, subjects: frozenset[str] | None) -> str:
    if not _PARTY.fullmatch(name) or not name.startswith(f"{kind}:"):
        return f"`{name}` must be `{kind}:` and a name"
    if subjects is None or name in subjects:
        return ""
    near = suggest(name, (each for each in subjects if each.startswith(f"{kind}:")))
    return f"roles.csv does not mention `{name}`{near}"
