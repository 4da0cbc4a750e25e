"""Warns about `intents.csv`."""

from collections.abc import Iterable, Iterator, Sequence

from connectors.contract import Effect, Tool
from gateway.policy.files import intents
from gateway.policy.files.lines import Line
from gateway.policy.judge import Policy
from gateway.policy.language.patterns import cut_word
from gateway.policy.problem import Problem, Severity


def lint_intents(policy: Policy, tools: Iterable[Tool], lines: Sequence[Line]) -> Iterator[Problem]:
    """Tools that change something and that no words ask for, and patterns that end within a word."""
    for line in lines:
        if message := cut_word(line.cells[1].text):
            yield line.warning(line.cells[1], "cut-word", message)
    for tool in tools:
        if tool.effect is not Effect.READ and tool.name not in policy.intents:
            message = f"no words ask for `{tool.name}`: for rules that want it asked for, it never is"
            yield Problem(intents.FILE, 1, 1, message, Severity.WARNING, "no-intent")
