"""Runs policy tests against a policy, and finds the rules that no test reaches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from gateway.policy.decision import Verdict
from gateway.policy.explaining.explain import Explanation, Outcome, explain
from gateway.policy.files.limits import REQUESTS, Limit
from gateway.policy.judge import Policy, Rule
from gateway.policy.language.patterns import covers
from gateway.policy.limiting import Past, denied, exceeded
from gateway.policy.testing.cases import AnyCase, Case, Sight


@dataclass(frozen=True, slots=True)
class Trial:
    """One test and what came of it.

    Args:
        case: The test.
        expected: What it wants, such as `ask by F02`; of what someone sees, only what is wrong.
        actual: What the policy says, in the same words.
        explanation: How the decision came about; None for a test of what someone sees.
    """

    case: AnyCase
    expected: str
    actual: str
    explanation: Explanation | None = None

    @property
    def passed(self) -> bool:
        """Whether the policy says what the test wants."""
        return self.expected == self.actual


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all tests.

    Args:
        trials: In the order of the tests.
        rules: How many rules the policy has.
        unreached: The rules that made no test's decision.
        one_sided: The rules that no test shows not to apply, among those that were considered and have a condition.
        limits_unreached: The limits that no test reaches; of those on requests no test can tell.
    """

    trials: tuple[Trial, ...]
    rules: int
    unreached: tuple[Rule, ...]
    one_sided: tuple[Rule, ...]
    limits_unreached: tuple[Limit, ...] = ()

    @property
    def failures(self) -> tuple[Trial, ...]:
        """The tests that did not pass."""
        return tuple(trial for trial in self.trials if not trial.passed)


def run_cases(policy: Policy, cases: Iterable[AnyCase]) -> Report:
    """Try every test. Pure."""
    trials = tuple(_call(policy, case) if isinstance(case, Case) else _sight(policy, case) for case in cases)
    explained = [trial.explanation for trial in trials if trial.explanation]
    made = {id_ for each in explained for id_ in each.decision.rules}
    considered = {(each.rule.id, each.outcome) for one in explained for view in one.parties for each in view.considered}
    return Report(
        trials,
        len(policy.rules),
        tuple(rule for rule in policy.rules if rule.id not in made),
        tuple(
            rule
            for rule in policy.rules
            if rule.id in made and rule.condition and (rule.id, Outcome.DOES_NOT_APPLY) not in considered
        ),
        tuple(limit for limit in policy.limits if limit.id not in made and limit.what != REQUESTS),
    )


def _call(policy: Policy, case: Case) -> Trial:
    explanation = explain(policy, case.principal, case.tool, case.args, case.now, case.history, case.flow)
    if over := _over(policy, case, explanation):
        explanation = replace(explanation, decision=denied(policy, over))
    decision = explanation.decision
    if case.rules is None:
        return Trial(case, case.expect.value, decision.verdict.value, explanation)
    return Trial(case, _by(case.expect, case.rules), _by(decision.verdict, decision.rules), explanation)


def _over(policy: Policy, case: Case, explanation: Explanation) -> tuple[Limit, ...]:
    """The limits that a call exceeds which rules let go ahead."""
    if explanation.decision.verdict is Verdict.DENY:
        return ()
    return exceeded(policy, Past(case.principal, case.tool, case.args, case.now), case.past)


def _by(verdict: Verdict, rules: tuple[str, ...]) -> str:
    return f"{verdict} by {' '.join(rules) or 'no rule'}"


def _sight(policy: Policy, case: Sight) -> Trial:
    seen = policy.visible(case.principal, case.now)
    wrong = [
        (tool, wanted)
        for pattern, wanted in _wanted(case)
        for tool in sorted(policy.tools)
        if covers(pattern, tool) and (tool in seen) is not wanted
    ]
    expected = "; ".join(f"{tool} {'visible' if wanted else 'hidden'}" for tool, wanted in wrong)
    actual = "; ".join(f"{tool} {'hidden' if wanted else 'visible'}" for tool, wanted in wrong)
    return Trial(case, expected, actual)


def _wanted(case: Sight) -> Iterator[tuple[str, bool]]:
    yield from ((pattern, True) for pattern in case.visible)
    yield from ((pattern, False) for pattern in case.hidden)
