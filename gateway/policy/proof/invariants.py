"""Reads `invariants.csv`: what must hold whatever the rules say, one statement a line, in the form of a rule.

i, I01, any agent, crm_issue_refund, "", never allow, "an agent never moves money on its own"
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from connectors.contract import Tool
from gateway.policy.decision import Verdict
from gateway.policy.files.lines import Cell, Line, id_mistake, read_lines
from gateway.policy.files.roles import EVERYONE, unknown_role
from gateway.policy.files.rules import RuleReader
from gateway.policy.judge import Policy
from gateway.policy.language.expression import Compare, Constant, Fact, Node
from gateway.policy.problem import Problem, suggest

FILE = "invariants.csv"
_COLUMNS = "i, id, who, tool, condition, what must hold, note"

REQUIREMENTS: Mapping[str, frozenset[Verdict]] = {
    "never allow": frozenset({Verdict.ALLOW}),
    "never allow or ask": frozenset({Verdict.ALLOW, Verdict.ASK}),
    "never deny": frozenset({Verdict.DENY}),
    "always allow": frozenset({Verdict.ASK, Verdict.DENY}),
    "always ask": frozenset({Verdict.ALLOW, Verdict.DENY}),
}
"""What a statement can demand, with the verdicts that break it."""

Subject: TypeAlias = Literal["anyone", "person", "agent"]
_WHO = re.compile(
    r"(?P<subject>anyone|any person|any agent|(?:person|agent):\S+)(?P<company> alone| for a person)?"
    r"(?P<roles>(?:(?: and)? (?:with|without) role:[a-z][a-z0-9_]*)*)"
)
_ROLE = re.compile(r"(with|without) (role:\S+)")
_EXAMPLES = "`anyone`, `any person`, `any agent for a person without role:x`, `agent:triage alone with role:x`"


@dataclass(frozen=True, slots=True)
class Who:
    """The callers that a statement is about.

    Args:
        subject: A call that a person is behind, that an agent makes, or any call. The roles are those of that party; of
            `anyone`, those of either party.
        name: The id of that party, if only one is meant.
        company: `alone`, or of an agent `for a person`; empty if either is meant.
        having: The roles that it must have, without `role:`.
        lacking: The roles that it must not have.
    """

    subject: Subject
    name: str
    company: str
    having: frozenset[str]
    lacking: frozenset[str]

    @property
    def condition(self) -> Node | None:
        """The name as a part of a condition, so that whoever bears it counts as a kind of caller."""
        if self.subject == "anyone" or not self.name:
            return None
        return Compare((Fact(self.subject, 0), Constant(self.name, 0)), ("==",), 0)


@dataclass(frozen=True, slots=True)
class Invariant:
    """One statement.

    Args:
        id: Its name.
        who: The callers.
        tools: The names of the tools.
        condition: The calls, or None for all; a call for which it cannot be evaluated is not meant.
        forbidden: The verdicts that break it.
        requirement: What must hold, as it is written.
        note: Why, for people.
        line: Where it stands.
        column: Where its id stands in the line.
    """

    id: str
    who: Who
    tools: tuple[str, ...]
    condition: Node | None
    forbidden: frozenset[Verdict]
    requirement: str
    note: str
    line: int
    column: int


def read_invariants(text: str, policy: Policy, tools: Iterable[Tool], problems: list[Problem]) -> tuple[Invariant, ...]:
    """Read the file's text; every mistake is added to `problems`.

    Args:
        text: The file's text.
        policy: The policy beside it, whose roles, callers and named lists the statements may speak of.
        tools: Every tool that a statement may name.
        problems: Where mistakes go.
    """
    reader = _Reader(policy, tools, problems)
    found = (reader.invariant(line) for line in read_lines(FILE, text, problems))
    return tuple(invariant for invariant in found if invariant)


class _Reader:
    def __init__(self, policy: Policy, tools: Iterable[Tool], problems: list[Problem]) -> None:
        linked = {name for link in policy.links for name in (link.subject, link.role)}
        self.roles = {name for name in linked if name.startswith("role:")} | {rule.role for rule in policy.rules}
        self.parties = linked - self.roles
        self.problems = problems
        # Tools and conditions are written as in rules, with the same mistakes.
        self.as_in_rules = RuleReader(tools, frozenset(self.roles | {EVERYONE}), policy.lists, problems)
        self.lines_by_id: dict[str, int] = {}

    def invariant(self, line: Line) -> Invariant | None:
        kind, *rest = line.cells
        if kind.text != "i":
            self.refuse(line, kind, f"unknown line type `{kind.text}`: lines of {FILE} start with `i`")
            return None
        if len(rest) != 6:
            self.refuse(line, kind, f"expected 7 columns ({_COLUMNS}), found {len(line.cells)}")
            return None
        identifier, who, pattern, condition, requirement, note = rest
        before = len(self.problems)
        self.check_id(line, identifier)
        about = self.who(line, who)
        covered = self.as_in_rules.covered(line, pattern)
        node = self.as_in_rules.condition(line, condition, pattern.text, covered)
        if requirement.text not in REQUIREMENTS:
            near = suggest(requirement.text, REQUIREMENTS) or f": it must be one of {_listed(REQUIREMENTS)}"
            self.refuse(line, requirement, f"unknown requirement `{requirement.text}`{near}")
        if about is None or len(self.problems) > before:
            return None
        return Invariant(
            id=identifier.text,
            who=about,
            tools=tuple(covered),
            condition=node,
            forbidden=REQUIREMENTS[requirement.text],
            requirement=requirement.text,
            note=note.text,
            line=line.number,
            column=identifier.column(),
        )

    def refuse(self, line: Line, cell: Cell, message: str) -> None:
        self.problems.append(line.problem(cell, message))

    def check_id(self, line: Line, cell: Cell) -> None:
        if message := id_mistake(cell.text):
            self.refuse(line, cell, message)
        elif cell.text in self.lines_by_id:
            self.refuse(line, cell, f"id `{cell.text}` is already used on line {self.lines_by_id[cell.text]}")
        else:
            self.lines_by_id[cell.text] = line.number

    def who(self, line: Line, cell: Cell) -> Who | None:
        found = _WHO.fullmatch(cell.text)
        if not found:
            self.refuse(line, cell, f"`{cell.text}` does not say who: write {_EXAMPLES}")
            return None
        subject, company = found["subject"].removeprefix("any "), (found["company"] or "").strip()
        kind, _, name = subject.partition(":")
        if (kind == "anyone" and company) or (kind == "person" and company == "for a person"):
            self.refuse(line, cell, f"only an agent can act for a person: write {_EXAMPLES}")
            return None
        if name and subject not in self.parties:
            known = [party.removeprefix(f"{kind}:") for party in self.parties if party.startswith(f"{kind}:")]
            near = suggest(name, known, f"{kind}:") or ": roles.csv does not mention it"
            self.refuse(line, cell, f"unknown {kind} `{subject}`{near}")
        named: dict[str, set[str]] = {"with": set(), "without": set()}
        for word, role in _ROLE.findall(found["roles"]):
            named[word].add(role.removeprefix("role:"))
            if role not in self.roles | {EVERYONE}:
                self.refuse(line, cell, unknown_role(role, self.roles))
        having, lacking = frozenset(named["with"]), frozenset(named["without"])
        return Who(_SUBJECTS[kind], name, company, having, lacking)


_SUBJECTS: Mapping[str, Subject] = {"anyone": "anyone", "person": "person", "agent": "agent"}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
