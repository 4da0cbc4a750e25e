"""What `remit decide --explain` tells, and that it is true."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from typer.testing import CliRunner

from gateway.catalog import validate
from gateway.cli import app
from gateway.policy.decision import Decision, Verdict
from gateway.policy.explaining.explain import explain
from gateway.policy.explaining.remedies import Remedies, remedies
from gateway.policy.explaining.telling import told, told_remedies
from gateway.policy.files.lists import NO_LISTS, read_lists
from gateway.policy.judge import Policy
from gateway.policy.language.flow import Flow
from gateway.policy.language.history import History
from gateway.policy.language.parse import parse
from gateway.policy.language.wording import written
from gateway.principal import Principal
from tests.policy.generated import BY_NAME, generated
from tests.policy.making import ANA, BOT_FOR_ANA, BOT_REFUNDS, NOW, REFUND, policy, team_rules
from tests.policy.test_against_casbin import SPOKEN_OF

NO_AGENT = "lower(agent.id) == 'x' cannot be evaluated: agent.id is None"
SEEDS = st.integers(min_value=0, max_value=10**9)
WHOLE: Mapping[str, Mapping[str, Any]] = {
    "crm_issue_refund": {"order_id": "ord_0001", "reason": "late"},
    "crm_update_deal": {"deal_id": "dea_0001", "version": 1},
    "email_send_message": {"body": "b"},
    "email_update_draft": {"draft_id": "dra_0001", "version": 1},
    "ticket_update_ticket": {"ticket_id": "tic_0001", "version": 1},
}
MAIL: Mapping[str, Any] = {"mailbox": "a@acme.example", "to": ["b@acme.example"], "cc": [], "subject": "s", "body": "b"}


def found(judge: Policy, tool: str, args: Mapping[str, object], who: Principal = ANA, **more: Any) -> Remedies:
    return remedies(judge, who, BY_NAME[tool], args, NOW, **more)


def ways(judge: Policy, tool: str, args: Mapping[str, object], who: Principal = ANA, **more: Any) -> list[str]:
    """The lines that tell what would change the decision."""
    verdict = judge.decide(who, tool, args, NOW, **more).verdict
    return [line.strip() for line in told_remedies(found(judge, tool, args, who, **more), verdict).splitlines()[1:]]


def refund_ways(*lines: str, **changed: object) -> list[str]:
    return ways(policy(team_rules(*lines)), "crm_issue_refund", {**REFUND, **changed})


def test_an_explanation_tells_for_each_party_the_rules_in_the_order_of_the_file_and_what_decided_them() -> None:
    judge = policy(
        team_rules(
            "crm_issue_refund | args.amount <= 50 and args.currency == 'EUR' | allow | small ones",
            "crm_issue_refund | not (args.note == '' or starts_with(args.note, 'ok')) | deny | odd notes",
            "crm_issue_refund | lower(agent.id) == 'x' | deny | an agent's name is needed",
            "crm_issue_refund | 50 < args.amount <= 500 or person.id == 'eve' | ask | a second look",
            "email_send_message |  | allow | not about refunds",
        )
    )
    text = told(explain(judge, ANA, "crm_issue_refund", REFUND, NOW))
    assert text.replace(judge.version, "VERSION") == snapshot("""\
deny: rule R3 could not be evaluated
person:ana in acme calls crm_issue_refund at 2026-03-02T09:30:00+00:00 under policy VERSION

person:ana: deny
  roles: everyone, team
  R1  allow  does not apply       args.amount <= 50 is false: args.amount is 60.00
  R2  deny   does not apply       args.note == '' is true: args.note is ''
  R3  deny   cannot be evaluated  lower(agent.id) == 'x' cannot be evaluated: agent.id is None
  R4  ask    applies              50 < args.amount <= 500 is true: args.amount is 60.00\
""")


def test_each_party_is_explained_on_its_own() -> None:
    judge = policy(
        team_rules("crm_issue_refund | args.amount <= 50 | allow").replace(
            BOT_REFUNDS, "p, B1, role:bot, crm_issue_refund, args.amount <= 100, ask, the bot's"
        )
    )
    explanation = explain(judge, BOT_FOR_ANA, "crm_issue_refund", REFUND, NOW)
    assert [(view.party, view.verdict, [rule.id for rule in view.made_by]) for view in explanation.parties] == [
        ("person:ana", "deny", []),
        ("agent:bot", "ask", ["B1"]),
    ]


def test_a_party_about_whose_roles_no_rule_speaks_is_told_so() -> None:
    judge = policy(team_rules("crm_issue_refund |  | allow"))
    stranger = Principal("acme", person="eve")
    assert "no rule about these roles speaks of this tool" in told(
        explain(judge, stranger, "crm_issue_refund", REFUND, NOW)
    )


@pytest.mark.parametrize(
    ("condition", "because"),
    [
        ("args.amount <= 50", ["args.amount <= 50 is false: args.amount is 60.00"]),
        (
            "args.amount <= 50 and args.note == 'x'",
            ["args.amount <= 50 is false: args.amount is 60.00", "args.note == 'x' is false: args.note is ''"],
        ),
        ("args.amount > 50 and args.note == 'x'", ["args.note == 'x' is false: args.note is ''"]),
        ("args.amount > 50 or args.note == 'x'", ["args.amount > 50 is true: args.amount is 60.00"]),
        ("not args.amount > 50", ["args.amount > 50 is true: args.amount is 60.00"]),
        ("tenant == 'globex'", ["tenant == 'globex' is false: tenant is 'acme'"]),
        ("now.hour < 9", ["now.hour < 9 is false: now.hour is 9"]),
        ("calls('crm_*') >= 1", ["calls('crm_*') >= 1 is false: calls('crm_*') is 0"]),
        ("1 > 2", ["1 > 2 is false"]),
        ("lower(agent.id) == 'x'", [NO_AGENT]),
        ("args.amount > 50 and lower(agent.id) == 'x'", [NO_AGENT]),
    ],
)
def test_only_the_parts_that_decided_a_condition_are_told(condition: str, because: list[str]) -> None:
    judge = policy(team_rules(f"crm_issue_refund | {condition} | allow"))
    view = explain(judge, ANA, "crm_issue_refund", REFUND, NOW).parties[0]
    assert [str(part) for part in view.considered[0].because] == because


def test_a_long_or_odd_value_is_cut_and_escaped() -> None:
    judge = policy(team_rules("crm_issue_refund | args.note == 'x' | allow"))
    view = explain(judge, ANA, "crm_issue_refund", {**REFUND, "note": "\x1b[2J" + "y" * 200}, NOW).parties[0]
    told_value = dict(view.considered[0].because[0].values)["args.note"]
    assert told_value.startswith(r"'\x1b[2Jyyy")
    assert len(told_value) == 80


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_an_explanation_agrees_with_the_decision_it_explains(seed: int) -> None:
    made = generated(seed)
    judge = policy(SPOKEN_OF + made.rules, made.roles, lists=made.lists)
    for who, tool, args, now, history, flow in made.requests:
        explanation = explain(judge, who, tool, args, now, history, flow)
        verdict = max((view.verdict for view in explanation.parties), key=lambda each: each.strictness)
        rules = {rule for view in explanation.parties if view.verdict is verdict for rule in view.made_by}
        assert explanation.decision == judge.decide(who, tool, args, now, history, flow)
        assert verdict is explanation.decision.verdict
        assert tuple(rule.id for rule in judge.rules if rule in rules) == explanation.decision.rules


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_a_condition_in_words_reads_as_the_same_condition(seed: int) -> None:
    made = generated(seed)
    for rule in policy(SPOKEN_OF + made.rules, made.roles, lists=made.lists).rules:
        if rule.condition:
            assert parse(written(rule.condition), read_lists(made.lists, [])) == (rule.condition, [])


@pytest.mark.parametrize(
    "condition",
    [
        "(args.a or args.b) and not (args.c and args.d)",
        "(1 > 2) == True",
        "now.date >= '2026-03-02'",
        "-5 < args.x < 1.50",
        "args.a + total('crm_issue_refund', 'amount') > 4",
        "args.a in {'x', \"it's\"}",
    ],
)
def test_brackets_and_quotes_survive(condition: str) -> None:
    node, mistakes = parse(condition, NO_LISTS)
    assert node
    assert not mistakes
    assert parse(written(node), NO_LISTS)[0] == node


# What would change the decision


def test_a_limit_is_told_as_the_range_that_does() -> None:
    lines = (
        "crm_issue_refund | args.amount <= 50 | allow",
        "crm_issue_refund | 50 < args.amount <= 500 | ask",
        "crm_issue_refund | args.amount > 500 | deny",
    )
    assert refund_ways(*lines, amount=Decimal(800)) == snapshot(
        [
            "with args.amount at most 50, rule R1 would allow it",
            "with args.amount above 50 and at most 500, rule R2 would ask for approval",
        ]
    )
    assert refund_ways(*lines, amount=Decimal(80)) == snapshot(["with args.amount at most 50, rule R1 would allow it"])
    assert refund_ways(*lines, amount=Decimal(10)) == []


def test_a_limit_on_the_total_of_a_run_is_told_for_this_call() -> None:
    judge = policy(team_rules("crm_issue_refund | args.amount + total('crm_issue_refund', 'amount') <= 100 | allow"))
    earlier = History({"crm_issue_refund": [{"amount": Decimal("70.50")}]})
    assert ways(judge, "crm_issue_refund", REFUND, history=earlier) == snapshot(
        ["with args.amount at most 29.50, rule R1 would allow it"]
    )


def test_a_number_that_is_compared_with_something_else_than_a_limit_is_told_as_single_values() -> None:
    lines = ("crm_issue_refund | args.amount == 20 and args.amount + args.amount < 100 | allow",)
    assert refund_ways(*lines) == snapshot(["with args.amount 20, rule R1 would allow it"])


def test_texts_are_told_as_the_values_that_do_or_as_an_example() -> None:
    assert refund_ways("crm_issue_refund | args.currency in ['USD', 'SEK'] | allow") == snapshot(
        ["with args.currency 'USD' or 'SEK', rule R1 would allow it"]
    )
    assert refund_ways("crm_issue_refund | args.currency != 'EUR' | allow") == snapshot(
        ["with args.currency 'USD' or 'GBP' or 'CHF' or 'SEK' or 'PLN', rule R1 would allow it"]
    )
    assert refund_ways("crm_issue_refund | starts_with(args.note, 'ok: ') | allow", note="fine") == snapshot(
        ["with args.note such as 'ok: fine', rule R1 would allow it"]
    )
    assert refund_ways("crm_issue_refund | glob(args.note, 'ticket *!') | allow") == snapshot(
        ["with args.note such as 'ticket !', rule R1 would allow it"]
    )
    assert refund_ways("crm_issue_refund | lower(args.note) == 'yes' | allow") == snapshot(
        ["with args.note 'yes', rule R1 would allow it"]
    )


def test_recipients_are_told_as_those_that_may_stay_or_as_an_example() -> None:
    judge = policy(team_rules("email_send_message | all_in(domain(args.to), ['acme.example']) | allow"))
    both = {**MAIL, "to": ["x@evil.example", "b@acme.example"]}
    assert ways(judge, "email_send_message", both) == snapshot(
        ["with args.to such as ['b@acme.example'], rule R1 would allow it"]
    )
    assert ways(judge, "email_send_message", {**MAIL, "to": ["x@evil.example"]}) == snapshot(
        ["with args.to such as ['someone@acme.example'], rule R1 would allow it"]
    )


@pytest.mark.parametrize(
    ("condition", "args", "told"),
    [
        ("len(args.to) <= 1", {"to": ["b@acme.example", "c@acme.example"]}, "args.to such as ['b@acme.example']"),
        ("'boss@acme.example' in args.cc", {}, "args.cc such as ['boss@acme.example']"),
        (
            "'b@acme.example' not in args.to",
            {"to": ["b@acme.example", "c@acme.example"]},
            "args.to such as ['c@acme.example']",
        ),
        ("not any_in(domain(args.cc), ['evil.example'])", {"cc": ["x@evil.example"]}, "args.cc such as []"),
        ("ends_with(args.mailbox, '@evil.example')", {}, "args.mailbox such as 'someone@evil.example'"),
        ("domain(args.mailbox) == 'evil.example'", {}, "args.mailbox such as 'someone@evil.example'"),
    ],
)
def test_an_example_is_made_from_the_condition(condition: str, args: Mapping[str, object], told: str) -> None:
    judge = policy(team_rules(f"email_send_message | {condition} | allow"))
    assert ways(judge, "email_send_message", {**MAIL, **args}) == [f"with {told}, rule R1 would allow it"]


def test_dates_and_what_may_be_left_out_are_told() -> None:
    judge = policy(team_rules("crm_update_deal | args.close_date is None or args.close_date < '2026-06-01' | allow"))
    args = validate(BY_NAME["crm_update_deal"], {**WHOLE["crm_update_deal"], "close_date": "2026-07-01"}).model_dump()
    assert ways(judge, "crm_update_deal", args) == snapshot(
        ["with args.close_date before '2026-06-01', rule R1 would allow it"]
    )
    none = policy(team_rules("crm_update_deal | args.close_date is None | allow"))
    assert ways(none, "crm_update_deal", args) == snapshot(["with args.close_date left out, rule R1 would allow it"])


def test_where_no_argument_helps_the_roles_that_would_are_told() -> None:
    rules = 'p, R1, role:lead, crm_issue_refund, "", allow, ""\np, B1, role:bot, crm_issue_refund, "", allow, ""'
    links = ("person:eve, role:lead", "role:boss, role:lead", "person:zoe, role:boss", "agent:bot, role:bot")
    roles = "\n".join(f"g, {link}, acme" for link in links)
    judge = policy(rules, roles)
    assert ways(judge, "crm_issue_refund", REFUND) == snapshot(
        ["with role:lead for person:ana as well, rule R1 would allow it"]
    )
    assert ways(judge, "crm_issue_refund", REFUND, Principal("acme", person="ana", agent="new")) == snapshot(
        ["with role:lead for person:ana and role:bot for agent:new as well, rules R1 and B1 would allow it"]
    )


def test_where_a_deny_rule_stands_in_the_way_nothing_is_promised() -> None:
    judge = policy(team_rules("crm_issue_refund |  | allow", "crm_issue_refund |  | deny"))
    assert told_remedies(found(judge, "crm_issue_refund", REFUND), Verdict.DENY) == snapshot(
        "No change of one argument and no further role would make that better."
    )


def test_a_value_that_the_tool_would_refuse_is_never_proposed() -> None:
    assert refund_ways("crm_issue_refund | args.amount <= 0 | allow") == []


@settings(max_examples=120, deadline=None)
@given(SEEDS)
def test_whatever_is_proposed_is_decided_as_it_says(seed: int) -> None:
    made = generated(seed)
    judge = policy(SPOKEN_OF + made.rules, made.roles, lists=made.lists)
    for who, tool, some, now, history, flow in made.requests:
        args = _whole(tool, some)
        if args is None:
            continue

        decide = partial(_decided_with, judge, who, tool, args, now, history, flow)
        before = judge.decide(who, tool, args, now, history, flow).verdict
        for change in remedies(judge, who, BY_NAME[tool], args, now, history, flow).arguments:
            assert decide(change.field, change.value) == change.decision
            assert change.decision.verdict.strictness < before.strictness
            named = [amount for amount in GRID if change.field == "args.amount" and _names(change.words, amount)]
            assert all(decide("args.amount", amount).verdict is change.decision.verdict for amount in named)


def _decided_with(
    judge: Policy,
    who: Principal,
    tool: str,
    args: Mapping[str, object],
    now: datetime,
    history: History | None,
    flow: Flow | None,
    field: str,
    value: object,
) -> Decision:
    return judge.decide(who, tool, {**args, field.removeprefix("args."): value}, now, history, flow)


AMOUNTS = "0.01 0.02 1 49.98 49.99 50 50.01 51 51.01 300 499.99 500 501 999999 1000000"
GRID = [Decimal(amount) for amount in AMOUNTS.split()]


def _whole(tool: str, args: Mapping[str, object]) -> dict[str, object] | None:
    """The arguments with what generated ones leave out; None when the tool would refuse them."""
    try:
        return BY_NAME[tool].input.model_validate({**WHOLE[tool], **args}).model_dump()
    except ValueError:
        return None


def _names(words: str, amount: Decimal) -> bool:
    """Whether the amount is among those that the words name."""
    tests = {"at most": amount.__le__, "below": amount.__lt__, "at least": amount.__ge__, "above": amount.__gt__}
    limits = re.findall(r"(at most|below|at least|above) ([\d.]+)", words)
    return all(tests[word](Decimal(limit)) for word, limit in limits) if limits else words == f"{amount:f}"


# The command

ANA_REFUNDS = ["decide", "--as", "person:ana.ruiz@larkspur.example", "--tool", "crm_issue_refund"]
AT = ["--at", "2026-03-02T09:30:00Z"]


def refund_json(amount: object) -> str:
    return json.dumps({"order_id": "ord_0001", "amount": amount, "currency": "EUR", "reason": "late"})


@pytest.mark.parametrize(("amount", "status"), [(50, 0), (80, 3), (800, 4)])
def test_the_exit_status_tells_the_verdict(amount: int, status: int) -> None:
    assert CliRunner().invoke(app, [*ANA_REFUNDS, "--args", refund_json(amount)]).exit_code == status


def test_the_decision_is_one_line_and_the_explanation_a_page() -> None:
    short = CliRunner().invoke(app, [*ANA_REFUNDS, *AT, "--args", refund_json(80.25)])
    assert short.stdout == snapshot("ask: rule F02 asks for approval: refunds above 50 need a second look\n")
    page = CliRunner().invoke(app, [*ANA_REFUNDS, *AT, "--args", refund_json(80.25), "--explain"])
    assert re.sub("[0-9a-f]{16}", "VERSION", page.stdout) == snapshot("""\
ask: rule F02 asks for approval: refunds above 50 need a second look
person:ana.ruiz@larkspur.example in larkspur calls crm_issue_refund at 2026-03-02T09:30:00+00:00 under policy VERSION

person:ana.ruiz@larkspur.example: ask
  roles: everyone, reader, refund_standard, support_agent, support_mailbox
  E03  deny   does not apply       args.amount > 5000 is false: args.amount is 80.25
  F01  allow  does not apply       args.amount <= 50 is false: args.amount is 80.25
  F02  ask    applies              50 < args.amount <= 500 is true: args.amount is 80.25
  F03  deny   does not apply       args.amount > 500 is false: args.amount is 80.25
  W06  ask    does not apply       args.amount <= 50 is false: args.amount is 80.25; \
run.saw_untrusted is false: run.saw_untrusted is False
  V01  deny   does not apply       run.records >= 5000 is false: run.records is 0

limits that count it, and deny it once they are reached:
  Y01  at most 1000 in all of `amount` within 24 hours for each person and `currency`
  Y03  at most 30000 in all of `amount` within 7 days for each tenant and `currency`
  Y05  at most 3 calls within 24 hours for each `order_id`

What would change that:
  with args.amount at most 50, rule F01 would allow it
""")


def test_what_the_run_did_before_can_be_told() -> None:
    asked = ["decide", "--as", "agent:triage", "--tool", "crm_issue_refund", *AT, "--args", refund_json(50.25)]
    earlier = json.dumps([{"tool": "crm_issue_refund", "args": json.loads(refund_json(175))}] * 2)
    result = CliRunner().invoke(app, [*asked, "--history", earlier, "--explain"])
    assert result.exit_code == 4
    assert "deny: rule T11 denies it" in result.stdout
    assert "with args.amount at most 50, rule T05 would ask for approval" in result.stdout.replace("50.00", "50")


def test_the_same_as_json_for_programs() -> None:
    result = CliRunner().invoke(app, [*ANA_REFUNDS, *AT, "--args", refund_json(80.25), "--explain", "--json"])
    data = json.loads(result.stdout)
    assert data.pop("policy_version")
    data["parties"][0]["considered"] = data["parties"][0]["considered"][:2]
    assert data == snapshot(
        {
            "verdict": "ask",
            "rules": ["F02"],
            "reason": "rule F02 asks for approval: refunds above 50 need a second look",
            "tool": "crm_issue_refund",
            "tenant": "larkspur",
            "at": "2026-03-02T09:30:00+00:00",
            "parties": [
                {
                    "party": "person:ana.ruiz@larkspur.example",
                    "verdict": "ask",
                    "roles": ["everyone", "reader", "refund_standard", "support_agent", "support_mailbox"],
                    "considered": [
                        {
                            "rule": "E03",
                            "effect": "deny",
                            "note": "refunds above 5000 are made by the finance department",
                            "outcome": "does not apply",
                            "because": [
                                {"condition": "args.amount > 5000", "holds": False, "values": {"args.amount": "80.25"}}
                            ],
                        },
                        {
                            "rule": "F01",
                            "effect": "allow",
                            "note": "refunds up to 50",
                            "outcome": "does not apply",
                            "because": [
                                {"condition": "args.amount <= 50", "holds": False, "values": {"args.amount": "80.25"}}
                            ],
                        },
                    ],
                }
            ],
            "limits": [
                {
                    "limit": "Y01",
                    "words": "at most 1000 in all of `amount` within 24 hours for each person and `currency`",
                    "note": "a day of small refunds stays small",
                },
                {
                    "limit": "Y03",
                    "words": "at most 30000 in all of `amount` within 7 days for each tenant and `currency`",
                    "note": "more in a week is a matter for the finance department",
                },
                {
                    "limit": "Y05",
                    "words": "at most 3 calls within 24 hours for each `order_id`",
                    "note": "an order is not given back in small pieces",
                },
            ],
            "remedies": [
                {"argument": "args.amount", "values": "at most 50", "example": 50, "verdict": "allow", "rules": ["F01"]}
            ],
        }
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--args", '{"order_id": "ord_0001", "amout": 5}'], "`amout`: unknown field; did you mean `amount`?"),
        (["--args", "5"], "a JSON object is needed"),
        (["--args", "{"], "not JSON"),
        (["--args", refund_json(5), "--history", "{}"], "a JSON list of"),
        (["--args", refund_json(5), "--history", '[{"tool": "crm_get_deal", "args": {}}]'], "`deal_id`: missing"),
        (["--args", refund_json(5), "--at", "2026-03-02 09:30"], "is not a time with its zone"),
        (["--args", refund_json(5), "--as", "ana"], "is not a principal"),
        (["--args", refund_json(5), "--tool", "crm_isue_refund"], "did you mean `crm_issue_refund`?"),
    ],
)
def test_a_wrong_question_has_status_2_and_says_what_is_wrong(arguments: list[str], told: str) -> None:
    result = CliRunner(env={"COLUMNS": "400", "TERMINAL_WIDTH": "400"}).invoke(app, [*ANA_REFUNDS, *arguments])
    assert result.exit_code == 2
    assert told in re.sub(r"\s+", " ", result.stderr.replace("│", ""))
