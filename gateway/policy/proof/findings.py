"""The statements beside a policy as problems of its files, for `remit check`. Works, with a warning, without z3."""

import json
from collections.abc import Mapping, Sequence

from connectors.contract import Tool
from gateway.policy.judge import Policy
from gateway.policy.problem import Problem, Severity
from gateway.policy.proof.invariants import FILE, Invariant, read_invariants

CODES: Mapping[str, str] = {
    "broken-invariant": "A statement of invariants.csv does not hold.",
    "undecided-invariant": "A statement of invariants.csv could neither be proved nor broken.",
    "not-proved": "The statements of invariants.csv were not looked at.",
}
"""Every kind of problem that is found here, and what it means."""


def check_invariants(policy: Policy, tools: Sequence[Tool], text: str, seconds: float = 10.0) -> tuple[Problem, ...]:
    """Every mistake in the statements, or else every statement that is broken or could not be decided.

    Args:
        policy: The policy beside the statements.
        tools: All tools there are.
        text: The text of `invariants.csv`.
        seconds: How long the solver may think about one question.
    """
    problems: list[Problem] = []
    invariants = read_invariants(text, policy, tools, problems)
    if problems or not invariants:
        return tuple(problems)
    try:
        from gateway.policy.proof.prove import Answer, prove_invariants
        from gateway.policy.proof.world import Status
    except ModuleNotFoundError as error:
        if error.name != "z3":
            raise
        message = "nothing was proved: the solver z3 is not installed (`pip install 'remit[prove]'`)"
        return (Problem(FILE, invariants[0].line, 1, message, Severity.WARNING, "not-proved"),)

    def problem(invariant: Invariant, answer: Answer) -> Problem:
        if answer.example:
            call, decision = answer.example.call, answer.example.decision
            what = f"{call.principal} calls `{call.tool}` with {json.dumps(call.args, ensure_ascii=False)}"
            message = f"{invariant.id} does not hold: {what} and the answer is {decision.verdict}: {decision.reason}"
            return Problem(FILE, invariant.line, invariant.column, message, code="broken-invariant")
        message = f"{invariant.id} could not be decided: {answer.reason}"
        return Problem(FILE, invariant.line, invariant.column, message, code="undecided-invariant")

    answers = prove_invariants(policy, tools, invariants, seconds)
    return tuple(problem(each, answer) for each, answer in answers if answer.status is not Status.PROVED)
