"""Warnings about rules: conditions that never or always hold, rules that never decide, tools that nobody may call."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from gateway.policy.decision import Verdict
from gateway.policy.files import rules
from gateway.policy.files.lines import Line
from gateway.policy.files.roles import EVERYONE
from gateway.policy.judge import Policy, Rule
from gateway.policy.language import patterns
from gateway.policy.language.expression import Earlier, Logic, Node, Not, Values, parts
from gateway.policy.language.kinds import Type
from gateway.policy.lint.reach import Cases, always, cases_of, implies, never
from gateway.policy.problem import Problem, Severity

_TOOL, _CONDITION = 3, 4
_SAYS = {Verdict.DENY: "denies", Verdict.ASK: "asks for"}
_WOULD = {Verdict.ALLOW: "allow", Verdict.ASK: "ask for"}


def lint_retention(lines: Iterable[Line]) -> Iterator[Problem]:
    """Lines of `retention.csv` whose pattern ends within a word."""
    for line in lines:
        if message := patterns.cut_word(line.cells[1].text):
            yield line.warning(line.cells[1], "cut-word", message)


def lint_obligations(lines: Iterable[Line]) -> Iterator[Problem]:
    """Lines of `obligations.csv` whose pattern ends within a word."""
    for line in lines:
        if message := patterns.cut_word(line.cells[_TOOL].text):
            yield line.warning(line.cells[_TOOL], "cut-word", message)


def lint_rules(policy: Policy, lines: Mapping[str, Line], types: Mapping[str, Type]) -> Iterator[Problem]:
    """Conditions that never or always hold, and rules that never decide or are said twice.

    Args:
        policy: The policy.
        lines: The line of each rule by its id.
        types: The type of each tool's input by the tool's name.
    """
    survey = _Survey(policy, types)
    for rule in policy.rules:
        line = lines[rule.id]
        yield from _cut_words(rule, line)
        constant = list(survey.constant_parts(rule, rule.condition)) if rule.condition else []
        for part, code, message in constant:
            yield line.warning(line.cells[_CONDITION], code, message, part.at)
        if same := survey.repeated(rule):
            yield line.warning(line.cells[1], "repeated-rule", f"this rule says the same as rule `{same.id}`")
        elif not constant and (message := survey.shadowed(rule)):
            yield line.warning(line.cells[1], "shadowed-rule", message)


def _cut_words(rule: Rule, line: Line) -> Iterator[Problem]:
    counted = (part for part in parts(rule.condition) if isinstance(part, Earlier)) if rule.condition else ()
    written = [(rule.pattern, _TOOL, 0), *((part.tools, _CONDITION, part.at) for part in counted)]
    for pattern, column, at in written:
        if message := patterns.cut_word(pattern):
            yield line.warning(line.cells[column], "cut-word", message, at)


class _Survey:
    """Answers questions about the rules of one policy, splitting every condition into its cases once."""

    def __init__(self, policy: Policy, types: Mapping[str, Type]) -> None:
        self.policy = policy
        self.types = types
        self.cases: dict[str, Cases] = {rule.id: cases_of(rule.condition) for rule in policy.rules}
        self.first: dict[object, Rule] = {}
        for rule in policy.rules:
            self.first.setdefault(_said(rule), rule)

    def constant_parts(self, rule: Rule, node: Node) -> Iterator[tuple[Node, str, str]]:
        """The outermost parts of the condition that are the same whatever the call."""
        types = [self.types[tool] for tool in rule.tools]
        cases, what = cases_of(node), "the condition" if node is rule.condition else "this part"
        if all(never(cases, arguments, self.types) for arguments in types):
            yield node, "never-true", f"{what} never holds"
        elif all(always(cases, node, arguments, self.types) for arguments in types):
            yield node, "always-true", f"{what} always holds"
        elif isinstance(node, Not):
            yield from self.constant_parts(rule, node.operand)
        elif isinstance(node, Logic):
            for operand in node.operands:
                yield from self.constant_parts(rule, operand)

    def repeated(self, rule: Rule) -> Rule | None:
        """An earlier rule that differs in its id and note at most."""
        first = self.first[_said(rule)]
        return None if first is rule else first

    def shadowed(self, rule: Rule) -> str:
        """Why the rule never decides; empty when it may."""
        if rule.effect is Verdict.DENY:
            return ""
        found = [self.stricter(rule, tool) for tool in sorted(rule.tools)]
        others = list(dict.fromkeys(other for other in found if other))
        if None in found:
            return ""
        ids = " and ".join(f"`{other.id}`" for other in others)
        who = f"rule {ids} {_SAYS[others[0].effect]}" if len(others) == 1 else f"rules {ids} deny or ask for"
        wider = sorted({other.role for other in others} - {rule.role, EVERYONE})
        because = (
            f", because everyone with `{rule.role}` has {' and '.join(f'`{role}`' for role in wider)}" if wider else ""
        )
        return f"this rule never decides: {who} every call that it would {_WOULD[rule.effect]}{because}"

    def stricter(self, rule: Rule, tool: str) -> Rule | None:
        """A stricter rule that applies, to everyone whom this one is about, whenever this one applies to a tool."""
        candidates = (
            other for role in sorted(self.shared[rule.role]) for other in self.policy.index.get((role, tool), ())
        )
        return next(
            (
                other
                for other in candidates
                if other.effect.strictness > rule.effect.strictness
                and implies(self.cases[rule.id], self.cases[other.id], self.types[tool], self.types)
            ),
            None,
        )

    @cached_property
    def shared(self) -> Mapping[str, frozenset[str]]:
        """For each role the roles that everyone who has it has, itself and `role:everyone` included."""
        shared: dict[str, frozenset[str]] = {EVERYONE: frozenset({EVERYONE})}
        claimed = (held | {EVERYONE} for held in self.policy.claimed_roles())
        for held in (*self.policy.roles.values(), *claimed):
            for role in held - {EVERYONE}:
                shared[role] = shared.get(role, held) & held
        unheld = {rule.role for rule in self.policy.rules} - shared.keys()
        return {**shared, **{role: frozenset({role, EVERYONE}) for role in unheld}}


def _said(rule: Rule) -> object:
    return rule.role, rule.tools, rule.condition, rule.effect


def lint_tools(policy: Policy) -> Iterator[Problem]:
    """Tools that nobody may call; one that a rule denies by its full name is meant so."""
    denied = {rule.pattern for rule in policy.rules if rule.effect is Verdict.DENY}
    open_ = denied.union(*(rule.tools for rule in policy.rules if rule.effect is not Verdict.DENY))
    for tool in sorted(policy.tools - open_):
        message = f"no rule allows or asks for `{tool}`: nobody may call it"
        yield Problem(rules.FILE, 1, 1, message, Severity.WARNING, "unreachable-tool")


def lint_lists(policy: Policy, lines: Iterable[Line]) -> Iterator[Problem]:
    """Lists that no condition uses."""
    conditions = (rule.condition for rule in policy.rules if rule.condition)
    used = {part.name for condition in conditions for part in parts(condition) if isinstance(part, Values)}
    for line in lines:
        name = line.cells[1]
        if name.text not in used:
            used.add(name.text)
            yield line.warning(name, "unused-list", f"no condition uses `lists.{name.text}`")
