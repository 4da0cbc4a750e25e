"""Asks the prover about texts of invariants."""

from collections.abc import Sequence

from connectors.contract import Tool
from gateway.policy.judge import Policy
from gateway.policy.load import policy_from_texts
from gateway.policy.problem import Problem
from gateway.policy.proof.invariants import Invariant, read_invariants
from gateway.policy.proof.prove import Answer, prove_invariants
from tests.policy.making import MODEL, SHIPPED, TOOLS

SHIPPED_TEXTS = {
    path.name: path.read_text(encoding="utf-8") for path in SHIPPED.iterdir() if path.suffix in (".csv", ".conf")
}
SHIPPED_INVARIANTS, RULES = SHIPPED_TEXTS["invariants.csv"], SHIPPED_TEXTS["rules.csv"]


def shipped_but(rules: str) -> Policy:
    """The shipped policy with other rules."""
    return policy_from_texts({**SHIPPED_TEXTS, "rules.csv": rules}, TOOLS)


def policy_about(tools: Sequence[Tool], rules: str, roles: str) -> Policy:
    """A policy about tools of one's own."""
    return policy_from_texts({"model.conf": MODEL, "roles.csv": roles, "rules.csv": rules}, tools)


def statements(text: str, loaded: Policy, tools: Sequence[Tool] = TOOLS) -> tuple[Invariant, ...]:
    problems: list[Problem] = []
    found = read_invariants(text, loaded, tools, problems)
    assert not problems, problems
    return found


def answers(text: str, loaded: Policy, tools: Sequence[Tool] = TOOLS) -> dict[str, Answer]:
    return {each.id: answer for each, answer in prove_invariants(loaded, tools, statements(text, loaded, tools))}


def answer(line: str, loaded: Policy, tools: Sequence[Tool] = TOOLS) -> Answer:
    [found] = answers(f"i, X, {line}", loaded, tools).values()
    return found
