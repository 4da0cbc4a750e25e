"""Reads `rules.csv`: which role may call which tool, under which condition, and to what effect."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from connectors.contract import Tool
from gateway.policy.decision import GRANT, SCOPE, Verdict
from gateway.policy.files.lines import Cell, Line, id_mistake, read_lines
from gateway.policy.files.lists import Lists
from gateway.policy.files.roles import EVERYONE, ROLE, unknown_role
from gateway.policy.judge import Rule
from gateway.policy.language import patterns
from gateway.policy.language.check import check, check_history
from gateway.policy.language.compiled import compiled
from gateway.policy.language.expression import Node
from gateway.policy.language.kinds import Type, type_of_tool
from gateway.policy.language.parse import parse
from gateway.policy.problem import Problem, suggest

FILE = "rules.csv"
_COLUMNS = "p, id, role, tool, condition, effect, note"


class RuleReader:
    """Turns lines into rules, noting every mistake.

    Args:
        tools: All tools there are.
        roles: The roles that `roles.csv` knows, or None if it could not be read.
        lists: The values of each named list.
        problems: Where mistakes go.
    """

    def __init__(
        self, tools: Iterable[Tool], roles: frozenset[str] | None, lists: Lists, problems: list[Problem]
    ) -> None:
        self.types: Mapping[str, Type] = {tool.name: type_of_tool(tool) for tool in tools}
        self.roles = roles
        self.lists = lists
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
            tools=frozenset(covered),
            condition=node,
            matches=compiled(node) if node else _always,
            effect=verdict,
            note=note.text,
        )

    def refuse(self, line: Line, cell: Cell, message: str, offset: int = 0) -> None:
        self.problems.append(line.problem(cell, message, offset))

    def check_id(self, line: Line, cell: Cell) -> None:
        if message := id_mistake(cell.text, "rule id"):
            self.refuse(line, cell, message)
        elif cell.text in (GRANT, SCOPE):
            self.refuse(
                line, cell, f"rule id `{cell.text}` is what a decision by a {cell.text} is called: choose another"
            )
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
            self.refuse(line, cell, unknown_role(cell.text, self.roles | {EVERYONE}))

    def covered(self, line: Line, cell: Cell) -> list[str]:
        """The tools that a pattern covers, in their own order."""
        if message := patterns.mistake(cell.text, self.types):
            self.refuse(line, cell, message)
            return []
        return [name for name in self.types if patterns.covers(cell.text, name)]

    def condition(self, line: Line, cell: Cell, pattern: str, tools: list[str]) -> Node | None:
        if not cell.text:
            return None
        node, mistakes = parse(cell.text, self.lists)
        for mistake in [*mistakes, *(check_history(node, self.types) if node else ())]:
            self.refuse(line, cell, mistake.message, mistake.at)
        if node is None:
            return None
        found: dict[tuple[int, str], list[str]] = defaultdict(list)
        for tool in tools:
            for mistake in check(node, self.types[tool]):
                found[mistake.at, mistake.message].append(tool)
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


def _where(names: list[str], pattern: str) -> str:
    more = f" and {len(names) - 1} more that `{pattern}` covers" if len(names) > 1 else ""
    return f" (in `{names[0]}`{more})"
