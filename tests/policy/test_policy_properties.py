"""What holds for every policy and every request."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy.decision import Decision, Verdict
from gateway.policy.judge import Policy
from gateway.principal import Principal
from tests.policy.generated import generated, rule_line
from tests.policy.making import ANA, NOW, policy
from tests.policy.test_against_casbin import SPOKEN_OF

SEEDS = st.integers(min_value=0, max_value=10**9)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.decimals(allow_nan=True), st.floats(), st.text(max_size=5)
)
VALUES = st.one_of(PLAIN, st.lists(st.text()))


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.dictionaries(st.sampled_from(["amount", "currency", "note", "to", "cc", "mailbox", "tags"]), VALUES))
def test_deciding_never_raises_whatever_the_arguments_are(seed: int, args: dict[str, object]) -> None:
    judge = _policy(seed)
    for tool in ("crm_issue_refund", "email_send_message", "ticket_update_ticket", "no_such_tool", ""):
        assert judge.decide(ANA, tool, args, NOW).reason


@settings(max_examples=150, deadline=None)
@given(SEEDS, SEEDS)
def test_adding_a_deny_rule_never_makes_anything_more_permitted(seed: int, other: int) -> None:
    made = generated(seed)
    denying = rule_line(Random(other), "D1", effect="deny")
    before = policy(SPOKEN_OF + made.rules, made.roles, lists=made.lists)
    after = policy(f"{SPOKEN_OF}{made.rules}\n{denying}", made.roles, lists=made.lists)
    for who, tool, args, now, history, flow in made.requests:
        assert _strictness(after.decide(who, tool, args, now, history, flow)) >= _strictness(
            before.decide(who, tool, args, now, history, flow)
        )
        assert after.visible(who, now) <= before.visible(who, now)


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_an_agent_for_a_person_never_exceeds_what_either_may_do_alone(seed: int) -> None:
    judge = _policy(seed, blind=True)
    for who, tool, args, now, history, flow in generated(seed).requests:
        if who.person and who.agent:
            alone = [Principal(who.tenant, person=who.person), Principal(who.tenant, agent=who.agent)]
            both = _strictness(judge.decide(who, tool, args, now, history, flow))
            assert both == max(_strictness(judge.decide(one, tool, args, now, history, flow)) for one in alone)
            assert judge.visible(who, now) == judge.visible(alone[0], now) & judge.visible(alone[1], now)


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_a_tool_that_is_allowed_or_asked_for_is_visible(seed: int) -> None:
    judge = _policy(seed)
    for who, tool, args, now, history, flow in generated(seed).requests:
        if judge.decide(who, tool, args, now, history, flow).verdict is not Verdict.DENY:
            assert tool in judge.visible(who, now)


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_a_verdict_is_made_by_rules_of_that_effect_and_an_allow_names_at_least_one(seed: int) -> None:
    judge = _policy(seed)
    effects = {rule.id: rule.effect for rule in judge.rules}
    for who, tool, args, now, history, flow in generated(seed).requests:
        decision = judge.decide(who, tool, args, now, history, flow)
        if "could not be evaluated" not in decision.reason:
            assert {effects[rule] for rule in decision.rules} <= {decision.verdict}
        assert decision.rules or decision.verdict is Verdict.DENY
        assert all(rule in decision.reason for rule in decision.rules)


def _policy(seed: int, *, blind: bool = False) -> Policy:
    """A generated policy; a blind one has no conditions on who the other party is."""
    made = generated(seed)
    rules = made.rules
    if blind:
        rules = "\n".join(line for line in rules.splitlines() if "person.id" not in line and "agent.id" not in line)
    return policy(SPOKEN_OF + rules, made.roles, lists=made.lists)


def _strictness(decision: Decision) -> int:
    return decision.verdict.strictness
