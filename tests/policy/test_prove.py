"""Proofs: nothing is proved that some call breaks, and every counter-example is a call that the policy decides so."""

import json

import pytest

from gateway.policy.decision import Verdict
from gateway.policy.load import load_policy
from gateway.policy.proof.prove import prove_stricter
from gateway.policy.proof.world import Status
from tests.policy.making import SHIPPED, TOOLS
from tests.policy.proving import RULES, SHIPPED_INVARIANTS, answer, answers, shipped_but


def test_every_invariant_of_the_shipped_policy_is_proved() -> None:
    found = answers(SHIPPED_INVARIANTS, load_policy(SHIPPED, TOOLS))
    assert {id_: each.status for id_, each in found.items()} == dict.fromkeys(found, Status.PROVED)
    assert len(found) >= 10


HOLES = {
    "a limit that no longer asks": ([('"50 < args.amount <= 500", ask', '"50 < args.amount <= 500", allow')], {"I02"}),
    "an agent that may": ([('"args.amount <= 200", ask', '"args.amount <= 200", allow')], {"I02", "I03", "I04"}),
    "a deny with a condition": (
        [('role:sales, crm_issue_refund, "", deny', 'role:sales, crm_issue_refund, "args.amount > 1", deny')],
        {"I03", "I05"},
    ),
    "a deny that speaks of somebody else": ([('"person.id is None", deny', "\"person.id == 'x'\", deny")], {"I11"}),
    "two limits raised": (
        [
            ('"args.amount > 5000", deny', '"args.amount > 50000", deny'),
            ("500 < args.amount <= 5000", "500 < args.amount"),
        ],
        {"I01"},
    ),
    "an at sign left out": (
        [
            ("ends_with(args.mailbox, '@larkspur", "ends_with(args.mailbox, 'larkspur"),
            ("# L:", 'p, S99, role:support_agent, email_get_*, "", allow, "read"\n# L:'),
        ],
        {"I06"},
    ),
    "a body that is no longer looked at": ([(" or origin(args.body) == 'outsider')", ")")], {"I14"}),
    "only copies' readers are looked at": ([("confidentiality(args.body) > audience(args.to) or ", "")], {"I15"}),
    "subjects are not looked at": (
        [("confidentiality(args.subject) > audience(args.to)", "confidentiality(args.subject) > audience(args.cc)")],
        {"I17"},
    ),
    "secrets alone are held": (
        [("confidentiality(args.body) > audience(args.to) or", "confidentiality(args.body) >= 'secret' or")],
        {"I15"},
    ),
    "an agent that sends drafts": (
        [('role:triage_agent, email_send_draft, "", deny', 'role:triage_agent, email_send_draft, "", allow')],
        {"I08", "I16"},
    ),
    "one limit raised, the other still holding": (
        [('"args.amount > 5000", deny', '"args.amount > 50000", deny')],
        set(),
    ),
}


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_cut_into_the_shipped_policy_is_found(hole: str) -> None:
    changes, broken = HOLES[hole]
    rules = RULES
    for written, instead in changes:
        assert rules.count(written) >= 1
        rules = rules.replace(written, instead)
    found = answers(SHIPPED_INVARIANTS, shipped_but(rules))
    assert {id_ for id_, each in found.items() if each.status is Status.BROKEN} == broken
    assert {each.status for each in found.values()} <= {Status.PROVED, Status.BROKEN}


def test_a_counter_example_is_a_call_that_the_tool_accepts_and_the_policy_decides_so() -> None:
    loaded = shipped_but(RULES + '\np, Z1, role:sales, email_send_message, "", allow, "all"')
    found = answer(
        'any person, email_send_message, "args.mailbox != \'sales@larkspur.example\'", never allow, ""', loaded
    ).example
    assert found is not None
    call = found.call
    assert json.loads(json.dumps(call.args)) == call.args
    tool = next(tool for tool in TOOLS if tool.name == call.tool)
    assert tool.input.model_validate(call.args).model_dump() == call.values
    assert loaded.decide(call.principal, call.tool, call.values, call.now, call.history, call.flow) == found.decision
    assert found.decision.verdict is Verdict.ALLOW


def test_a_policy_is_at_least_as_strict_as_itself_and_as_one_with_a_rule_less_to_deny() -> None:
    shipped = shipped_but(RULES)
    without_c02 = shipped_but("\n".join(line for line in RULES.splitlines() if ", C02," not in line))
    assert {each.status for _, each in prove_stricter(shipped, shipped, TOOLS)} == {Status.PROVED}
    assert {each.status for _, each in prove_stricter(without_c02, shipped, TOOLS)} == {Status.PROVED}
    found = {
        tool: each for tool, each in prove_stricter(shipped, without_c02, TOOLS) if each.status is not Status.PROVED
    }
    assert list(found) == ["crm_issue_refund"]
    example = found["crm_issue_refund"].example
    assert example is not None
    assert example.before is not None
    assert (example.before.verdict, example.decision.verdict) == (Verdict.DENY, Verdict.ALLOW)
    assert "tom" in str(example.call.principal)
