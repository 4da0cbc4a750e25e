"""What is concluded from conditions on data flow: shown tools, warnings, proofs, explanations."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from connectors.contract import Confidentiality
from gateway.policy.comparing.matrix import access
from gateway.policy.decision import Verdict
from gateway.policy.explaining.explain import explain
from gateway.policy.explaining.remedies import remedies
from gateway.policy.explaining.telling import as_data, told, told_remedies
from gateway.policy.language.compiled import UNKNOWN, Facts, known
from gateway.policy.language.flow import UNTOUCHED, Flow, Integrity, Origin
from gateway.policy.language.flow_facts import RUN_FACTS
from gateway.policy.language.flow_written import assumed
from gateway.policy.language.parse import parse
from gateway.policy.lint.lint import lint
from gateway.policy.load import policy_from_texts
from gateway.policy.narrowing.narrow import narrow
from gateway.policy.proof.prove import prove_stricter
from gateway.policy.proof.world import Status
from tests.policy.flows import HELD, LEAK, MAIL, MAIL_RULES, OUTSIDER, SEND
from tests.policy.generated import flow
from tests.policy.making import ANA, MODEL, NOW, TEAM, TOOLS, policy, team_rules
from tests.policy.proving import answer


@pytest.mark.parametrize("condition", [f"run.{name} == run.{name}" for name in RUN_FACTS] + ["origin(args.to) == 'x'"])
def test_before_the_call_is_known_nothing_is_known_of_its_data_flow(condition: str) -> None:
    node, _ = parse(condition)
    assert node is not None
    assert known(node, Facts({}, "ana", None, "acme", NOW)) is UNKNOWN


def test_a_tool_is_shown_with_its_plain_schema_and_what_is_asked_about_in_words() -> None:
    loaded = policy(MAIL_RULES)
    assert "email_send_message" in loaded.visible(ANA, NOW)
    found = narrow(loaded, ANA, SEND)
    assert (found.possible, found.exact) == (True, False)
    assert found.schema["properties"]["to"] == SEND.input.model_json_schema()["properties"]["to"]
    assert found.words == (
        "When this task has seen what others may have written and `to` does not come from the person's own request or "
        "the organisation's own data, a person is asked for approval: the recipient stands in outsiders' text or "
        "nowhere (rule R2).",
        "When what `body` tells is more confidential than what `to` may see, it is denied: this is not for them "
        "(rule R3).",
    )
    denied = policy(team_rules("email_send_message |  | allow", "email_send_message | run.saw_untrusted | deny"))
    assert "email_send_message" in denied.visible(ANA, NOW)
    assert narrow(denied, ANA, SEND).possible


def test_who_may_do_what_is_told_as_the_rules_write_it() -> None:
    cell = access(policy(MAIL_RULES), ["email_send_message"])["role:team", "email_send_message"]
    assert cell.words == f"never when {LEAK}, must ask when {HELD}, may otherwise"


def warned(*conditions: str) -> list[str]:
    rules = team_rules(*(f"email_send_message | {condition} | ask" for condition in conditions))
    texts = {"model.conf": MODEL, "roles.csv": TEAM, "rules.csv": rules}
    return [f"{each.line} {each.code}" for each in lint(policy_from_texts(texts, TOOLS), texts, TOOLS)
            if each.code != "unreachable-tool"]  # fmt: skip


def test_what_never_or_always_holds_of_a_flow_is_warned_of() -> None:
    assert warned("origin(args.to) == 'request' and origin(args.to) == 'outsider'") == ["1 never-true"]
    assert warned("confidentiality(args.body) > 'customer' and confidentiality(args.body) <= 'customer'") == [
        "1 never-true"
    ]
    assert warned("run.confidentiality > 'secret'", "run.denials < 0") == ["1 never-true", "2 never-true"]
    assert warned("run.confidentiality >= 'public'", "run.records >= 0") == ["1 always-true", "2 always-true"]
    assert warned("run.has_grant or not run.has_grant") == ["1 always-true"]
    assert warned(HELD, LEAK, "run.confidentiality >= 'internal'") == []


def test_a_rule_behind_a_stricter_one_never_decides() -> None:
    strict = "email_send_message | run.confidentiality >= 'internal' | deny"
    assert warned("run.saw_untrusted", "run.saw_untrusted") == ["2 repeated-rule"]
    rules = team_rules(strict, "email_send_message | run.confidentiality == 'secret' | ask")
    texts = {"model.conf": MODEL, "roles.csv": TEAM, "rules.csv": rules}
    codes = [each.code for each in lint(policy_from_texts(texts, TOOLS), texts, TOOLS)]
    assert "shadowed-rule" in codes


# Proofs


def proved(rules: str, condition: str, requirement: str) -> tuple[Status, Flow | None]:
    loaded = policy(rules)
    found = answer(f'anyone with role:team, email_send_message, "{condition}", {requirement}, ""', loaded)
    if found.example is None:
        return found.status, None
    call = found.example.call
    decision = loaded.decide(call.principal, call.tool, call.values, call.now, call.history, call.flow)
    assert decision == found.example.decision
    return found.status, call.flow


def test_that_nothing_leaves_against_the_rules_is_proved() -> None:
    assert proved(MAIL_RULES, HELD, "never allow") == (Status.PROVED, None)
    assert proved(MAIL_RULES, LEAK, "never allow or ask") == (Status.PROVED, None)
    secret = "confidentiality(args.body) == 'secret' and audience(args.to) <= 'customer'"
    assert proved(MAIL_RULES, secret, "never allow or ask") == (Status.PROVED, None)
    assert (
        proved(MAIL_RULES, "run.integrity == 'anyone' and origin(args.to) == 'nowhere'", "never allow")[0] == "proved"
    )


def test_a_hole_is_shown_by_a_flow_that_the_policy_decides_so() -> None:
    hole = MAIL_RULES.replace("not in ['request', 'organisation']", "in ['outsider']")
    status, found = proved(hole, HELD, "never allow")
    assert status is Status.BROKEN
    assert found is not None
    assert found.integrity is not Integrity.ORGANISATION
    assert found.origins["to"] in (Origin.CUSTOMER, Origin.NOWHERE)
    status, found = proved(MAIL_RULES.replace("> audience", ">= audience"), LEAK, "always ask")
    assert status is Status.BROKEN
    assert found is not None
    assert found.confidentiality["body"].rank > found.audience["to"].rank


def test_an_example_that_needs_no_flow_is_one_of_a_run_that_has_seen_nothing() -> None:
    status, found = proved(MAIL_RULES, "", "never allow")
    assert status is Status.BROKEN
    assert found is not None
    assert (found.integrity, found.seen, found.origins["to"]) == ("organisation", "public", "request")


def test_what_carries_nothing_counts_as_the_organisations_in_a_proof_too() -> None:
    assert proved(MAIL_RULES, "len(args.cc) == 0 and origin(args.cc) == 'outsider'", "never allow") == (
        Status.PROVED,
        None,
    )
    assert proved(MAIL_RULES, "len(args.cc) == 1 and origin(args.cc) == 'outsider'", "never allow")[0] == "broken"


def test_a_change_that_loosens_a_flow_rule_is_no_stricter_one() -> None:
    old, new = policy(MAIL_RULES), policy(MAIL_RULES.replace("'organisation']", "'organisation', 'customer']"))
    found = {tool: each.status for tool, each in prove_stricter(old, new, TOOLS)}
    assert found["email_send_message"] is Status.BROKEN
    assert {each.status for _, each in prove_stricter(new, old, TOOLS)} == {Status.PROVED}


# Explaining


def test_an_explanation_says_what_an_origin_means() -> None:
    text = told(explain(policy(MAIL_RULES), ANA, "email_send_message", MAIL, NOW, flow=OUTSIDER))
    assert (
        "origin(args.to) not in ['request', 'organisation'] is true: origin(args.to) is 'outsider' "
        "(it is known only from text that outsiders may have written)"
    ) in text
    assert "confidentiality(args.body) is 'public', audience(args.to) is 'public'" in text


def test_what_would_change_a_decision_is_told_of_the_flow_too() -> None:
    judge = policy(MAIL_RULES)
    found = remedies(judge, ANA, SEND, MAIL, NOW, flow=OUTSIDER)
    assert told_remedies(found, Verdict.ASK) == snapshot("""\
What would change that:
  with run.saw_untrusted False, rule R1 would allow it
  with origin(args.to) 'request' or 'organisation', rule R1 would allow it\
""")
    data = as_data(explain(judge, ANA, "email_send_message", MAIL, NOW, flow=OUTSIDER), found)
    assert {"flow": "run.saw_untrusted", "values": "False", "verdict": "allow", "rules": ["R1"]} in data["remedies"]


def test_a_leak_is_remedied_by_telling_less_or_telling_it_to_those_who_may_know() -> None:
    leaking = replace(OUTSIDER, confidentiality={"body": Confidentiality.CUSTOMER}, integrity=Integrity.ORGANISATION)
    found = remedies(policy(MAIL_RULES), ANA, SEND, MAIL, NOW, flow=leaking)
    assert [(each.fact, each.words) for each in found.flow] == [
        ("confidentiality(args.body)", "'public'"),
        ("audience(args.to)", "'secret' or 'customer'"),
    ]


def test_nothing_is_remedied_by_a_flow_that_could_not_be_found_out() -> None:
    assert remedies(policy(MAIL_RULES), ANA, SEND, MAIL, NOW, flow=None).flow == ()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_each_other_flow_that_is_proposed_is_decided_as_it_says(seed: int) -> None:
    random = Random(seed)
    found = assumed(flow(random, "email_send_message") or UNTOUCHED, SEND, MAIL)
    rules = MAIL_RULES + '\np, X1, role:team, email_*, "run.saw_private and not run.has_grant", deny, ""'
    judge = policy(rules)
    before = judge.decide(ANA, "email_send_message", MAIL, NOW, flow=found).verdict
    for change in remedies(judge, ANA, SEND, MAIL, NOW, flow=found).flow:
        assert change.decision.verdict.strictness < before.strictness
        assert str(change.decision.verdict) in ("allow", "ask")
