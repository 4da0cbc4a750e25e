"""Warns about what a policy says without a mistake of form but most likely does not mean: only for `remit check`."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from connectors.contract import Tool
from gateway.policy.files import approvers, intents, limits, lists, obligations, retention, roles, rules
from gateway.policy.files.lines import read_lines
from gateway.policy.judge import Policy
from gateway.policy.language.kinds import type_of_tool
from gateway.policy.lint.lint_intents import lint_intents
from gateway.policy.lint.lint_limits import lint_limits
from gateway.policy.lint.lint_people import lint_approvers, lint_names, lint_roles
from gateway.policy.lint.lint_rules import lint_lists, lint_obligations, lint_retention, lint_rules, lint_tools
from gateway.policy.load import policy_from_texts, read_texts
from gateway.policy.problem import PolicyError, Problem

CODES: Mapping[str, str] = {
    "mistake": "The policy cannot be put in force.",
    "never-true": "A condition, or a part of one, never holds.",
    "always-true": "A condition, or a part of one, always holds.",
    "shadowed-rule": "A rule never decides, because a stricter one applies whenever it does.",
    "cut-word": "A pattern ends within a word.",
    "repeated-rule": "A rule says the same as another.",
    "repeated-line": "A line says the same as another.",
    "unheld-role": "Nobody has the role.",
    "unreachable-tool": "No rule allows the tool or asks for it.",
    "near-name": "A name is very like another that is known.",
    "unused-list": "No condition uses the list.",
    "no-intent": "No words of a person ask for a tool that changes something.",
    "unreached-limit": "Another limit is always reached first.",
    "uncounted-tool": "A limit on recipients covers a tool that does not tell them beforehand.",
    "no-approver": "Nobody may approve what a rule asks for, or has the role of a line of approvers.csv.",
}
"""Every kind of problem, and what it means."""

_ORDER = (
    roles.FILE,
    lists.FILE,
    rules.FILE,
    approvers.FILE,
    retention.FILE,
    obligations.FILE,
    intents.FILE,
    limits.FILE,
)


def check_folder(directory: Path, tools: Iterable[Tool]) -> tuple[Policy | None, tuple[Problem, ...]]:
    """Load a policy folder and look for everything that is wrong or doubtful in it.

    Returns:
        The policy, or None if it has errors; every problem, in the order of the files.
    """
    known, unread = tuple(tools), list[Problem]()
    texts = read_texts(directory, unread)
    try:
        policy = policy_from_texts(texts, known, unread)
    except PolicyError as error:
        return None, error.problems
    return policy, lint(policy, texts, known)


def lint(policy: Policy, texts: Mapping[str, str], tools: Iterable[Tool]) -> tuple[Problem, ...]:
    """Every warning about a loaded policy, in the order of the files.

    Args:
        policy: The policy.
        texts: The texts of the files that it was loaded from, by name.
        tools: The tools that it was loaded with.
    """
    tools = tuple(tools)
    lines = {name: tuple(read_lines(name, texts.get(name, ""), [])) for name in _ORDER}
    by_id = {line.cells[1].text: line for line in lines[rules.FILE]}
    types = {tool.name: type_of_tool(tool) for tool in tools}
    found = [
        *lint_roles(policy, lines[roles.FILE]),
        *lint_lists(policy, lines[lists.FILE]),
        *lint_rules(policy, by_id, types),
        *lint_names(policy, by_id),
        *lint_tools(policy),
        *(lint_approvers(policy, by_id, lines[approvers.FILE]) if approvers.FILE in texts else ()),
        *lint_retention(lines[retention.FILE]),
        *(lint_intents(policy, tools, lines[intents.FILE]) if intents.FILE in texts else ()),
        *lint_obligations(lines[obligations.FILE]),
        *lint_limits(
            policy, {line.cells[1].text: line for line in lines[limits.FILE]}, {each.name: each for each in tools}
        ),
    ]
    return tuple(sorted(found, key=lambda each: (_ORDER.index(each.file), each.line, each.column)))
