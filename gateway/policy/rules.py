"""Reads `rules.csv`: which role may call which tool, under which condition, and to what effect."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from connectors.contract import Tool
from gateway.policy.check import check
from gateway.policy.compiled import compiled
from gateway.policy.decision import Verdict
from gateway.policy.expression import Node
from gateway.policy.judge import Rule
from gateway.policy.kinds import type_of_model
from gateway.policy.lines import Cell, Line, read_lines
from gateway.policy.parse import parse
from gateway.policy.problem import Problem, suggest
from gateway.policy.roles import EVERYONE, ROLE

FILE = "rules.csv"
_COLUMNS = "p, id, role, tool, condition, effect, note"
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_PATTERN = re.compile(r"[A-Za-z0-9_]*\*?")


class RuleReader:
    """Turns lines into rules, noting every mistake.

    Args:
        tools: All tools there are.
        roles: The roles that `roles.csv` knows, or None if it could not be read.
        problems: Where mistakes go.
    """

    def __init__(self, tools: Iterable[Tool], roles: frozenset[str] | None, problems: list[Problem]) -> None:
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}
        self.roles = roles
        self.problems = problems
        self.lines_by_id: dict[str, int] = {}
        self.roles_spoken_of: set[str] = set()

    def read(self, text: str) -> tuple[Rule, ...]:
        """Read the file's text. Rules with a mistake are left out; the caller looks at `problems`."""
        rules: list[Rule] = []
        for line in read_lines(FILE, text, self.problems):
            if rule := self.rule(line, len(rules)):
                rules.append(rule)
        return tuple(rules)

    def rule(self, line: Line, position: int) -> Rule | None:
        kind, *rest = line.cells
        self.roles_spoken_of.update(cell.text for cell in rest)
        if kind.text != "p":
            self.refuse(line, kind, f"unknown line type `{kind.text}`: lines of rules.csv start with `p`")
            return None
        if len(rest) != 6:
            self.refuse(line, kind, f"expected 7 columns ({_COLUMNS}), found {len(line.cells)}")
            return None
        identifier, role, pattern, condition, effect, note = rest
        before = len(self.problems)
        self.check_id(line, identifier)
        self.check_role(line, role)
        covered = self.covered(line, pattern)
        node = self.condition(line, condition, pattern.text, covered)
        verdict = self.effect(line, effect)
        if verdict is None or len(self.problems) > before:
            return None
        return Rule(
            id=identifier.text,
            position=position,
            role=role.text,
            pattern=pattern.text,
            tools=frozenset(tool.name for tool in covered),
            condition=node,
            matches=compiled(node) if node else _always,
            effect=verdict,
            note=note.text,
        )

    def refuse(self, line: Line, cell: Cell, message: str, offset: int = 0) -> None:
        self.problems.append(line.problem(cell, message, offset))

    def check_id(self, line: Line, cell: Cell) -> None:
        if not _ID.fullmatch(cell.text):
            self.refuse(line, cell, f"rule id `{cell.text}` must be a letter, then letters, digits, `_` or `-`")
        elif cell.text in self.lines_by_id:
            self.refuse(line, cell, f"rule id `{cell.text}` is already used on line {self.lines_by_id[cell.text]}")
        else:
            self.lines_by_id[cell.text] = line.number

    def check_role(self, line: Line, cell: Cell) -> None:
        if not ROLE.fullmatch(cell.text):
            hint = f" — did you mean `role:{cell.text}`?" if ROLE.fullmatch(f"role:{cell.text}") else ""
            self.refuse(
                line, cell, f"`{cell.text}` is not a role: a rule speaks of a role, such as `role:auditor`{hint}"
            )
        elif self.roles is not None and cell.text not in self.roles | {EVERYONE}:
            known = (role.removeprefix("role:") for role in self.roles | {EVERYONE})
            near = suggest(cell.text.removeprefix("role:"), known, prefix="role:") or ": roles.csv does not mention it"
            self.refuse(line, cell, f"unknown role `{cell.text}`{near}")

    def covered(self, line: Line, cell: Cell) -> list[Tool]:
        """The tools that a pattern covers, in their own order."""
        pattern = cell.text
        if not _PATTERN.fullmatch(pattern) or not pattern:
            self.refuse(line, cell, f"tool `{pattern}` must be a tool's name, or its beginning followed by one `*`")
            return []
        if not pattern.endswith("*"):
            if pattern not in self.tools:
                self.refuse(line, cell, f"unknown tool `{pattern}`{suggest(pattern, self.tools)}")
            return [self.tools[pattern]] if pattern in self.tools else []
        found = [tool for name, tool in self.tools.items() if name.startswith(pattern[:-1])]
        if not found:
            self.refuse(line, cell, f"no tool matches `{pattern}`{suggest(pattern, _beginnings(self.tools))}")
        return found

    def condition(self, line: Line, cell: Cell, pattern: str, tools: list[Tool]) -> Node | None:
        if not cell.text:
            return None
        node, mistakes = parse(cell.text)
        for mistake in mistakes:
            self.refuse(line, cell, mistake.message, mistake.at)
        if node is None:
            return None
        found: dict[tuple[int, str], list[str]] = defaultdict(list)
        for tool in tools:
            for mistake in check(node, type_of_model(tool.input)):
                found[mistake.at, mistake.message].append(tool.name)
        for (at, message), names in found.items():
            self.refuse(line, cell, f"{message}{_where(names, pattern)}", at)
        return node

    def effect(self, line: Line, cell: Cell) -> Verdict | None:
        if cell.text in set(Verdict):
            return Verdict(cell.text)
        near = suggest(cell.text.lower(), Verdict) or ": it must be `allow`, `ask` or `deny`"
        self.refuse(line, cell, f"unknown effect `{cell.text}`{near}")
        return None


def _always(_: object) -> bool:
    return True


def _beginnings(names: Iterable[str]) -> set[str]:
    """Every pattern that would cover something: `crm_*`, `crm_get_*`, …"""
    words = [name.split("_") for name in names]
    return {"_".join(parts[:count]) + "_*" for parts in words for count in range(1, len(parts))}


def _where(names: list[str], pattern: str) -> str:
    more = f" and {len(names) - 1} more that `{pattern}` covers" if len(names) > 1 else ""
    return f" (in `{names[0]}`{more})"
