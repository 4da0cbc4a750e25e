"""Each way in which a plain Casbin set-up silently allows too much, and that it is closed here."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from gateway.policy import casbin_judge
from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy
from gateway.policy.problem import PolicyError
from gateway.principal import Principal
from tests.policy.making import ANA, BOT_REFUNDS, MODEL, NOW, REFUND, TEAM, ask_ana, policy, problems, team_rules

ALLOW_ALL = "crm_issue_refund |  | allow"


def test_a_misspelt_effect_is_an_error_and_does_not_leave_the_field_to_an_allow() -> None:
    rules = team_rules(ALLOW_ALL, "crm_issue_refund | args.amount > 50 | denny")
    assert problems(rules, TEAM) == ["rules.csv:2:57: error: unknown effect `denny` — did you mean `deny`?"]


@pytest.mark.parametrize("kind", ["p9", "P", "p2", "", "policy", "p "])
def test_an_unknown_line_type_is_an_error_and_does_not_take_a_deny_with_it(kind: str) -> None:
    rules = team_rules(ALLOW_ALL) + f"\n{kind}, X, role:team, crm_issue_refund, , deny, "
    found = problems(rules, TEAM)
    assert found == ([] if kind == "p " else [f"rules.csv:3:1: error: unknown line type `{kind}`: {_STARTS}"])


_STARTS = "lines of rules.csv start with `p`"


@pytest.mark.parametrize(
    "condition",
    [
        "'(' != '') or True #",
        "True) or (True",
        "'a' == 'a') or g(r.sub, p.sub, r.tenant",
        "eval(p.condition)",
        "1 == 1 or r.sub == p.sub",
    ],
)
def test_a_condition_cannot_escape_its_tenant_role_and_tool(condition: str) -> None:
    assert problems(team_rules(f"crm_issue_refund | {condition} | allow"), TEAM) != []


@pytest.mark.parametrize("text", ["!", "&&", "||", "r.sub", "p.tool", "eval(x)", "') or True or ('", "ж", "𐍈"])
def test_a_text_in_a_condition_means_the_same_to_casbin_although_casbin_rewrites_conditions(text: str) -> None:
    loaded = policy(team_rules(f"crm_issue_refund | args.note == {text!r} | allow".replace('"', '""')))
    judge = casbin_judge.CasbinJudge(MODEL, loaded)
    same, other = {**REFUND, "note": text}, {**REFUND, "note": "else"}
    assert judge.decide(ANA, "crm_issue_refund", same, NOW) == (Verdict.ALLOW, ("R1",))
    assert judge.decide(ANA, "crm_issue_refund", other, NOW) == (Verdict.DENY, ())


def test_a_person_whose_id_equals_a_roles_name_does_not_have_that_role() -> None:
    loaded = policy(team_rules(ALLOW_ALL))
    for sub in ("team", "role:team", "everyone", "role:everyone"):
        assert loaded.decide(Principal("acme", person=sub), "crm_issue_refund", REFUND, NOW).verdict is Verdict.DENY
    assert problems("", "g, team, role:team, acme\n") == [
        "roles.csv:1:4: error: subject `team` needs a prefix — did you mean `person:team` or `agent:team`?",
        "roles.csv:1:10: error: no rule speaks of `role:team`",
    ]


def test_a_person_and_an_agent_of_the_same_name_are_different() -> None:
    loaded = policy(team_rules(ALLOW_ALL))
    assert loaded.decide(Principal("acme", agent="ana"), "crm_issue_refund", REFUND, NOW).verdict is Verdict.DENY


def test_a_reload_builds_a_new_snapshot_and_leaves_the_old_one_as_it_was() -> None:
    old = policy(team_rules(ALLOW_ALL))
    before = old.decide(ANA, "crm_issue_refund", REFUND, NOW)
    new = policy(team_rules("crm_issue_refund |  | deny"))
    assert old.decide(ANA, "crm_issue_refund", REFUND, NOW) == before
    assert new.decide(ANA, "crm_issue_refund", REFUND, NOW).verdict is Verdict.DENY
    assert old.version != new.version


def test_a_snapshot_cannot_be_changed() -> None:
    loaded = policy(team_rules(ALLOW_ALL))
    with pytest.raises(AttributeError):
        loaded.rules = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    "effect",
    [
        "!some(where (p.eft == deny))",
        "some(where (p.eft == allow))",
        "priority(p.eft) || deny",
        "some(where (p.eft == allow)) && !some(where (p.eft == den))",
    ],
)
def test_a_model_in_which_no_rule_is_needed_to_allow_is_refused(effect: str) -> None:
    changed = MODEL.replace("some(where (p.eft == allow)) && !some(where (p.eft == deny))", effect)
    assert problems("", "", changed)[0].startswith("model.conf:16:1: error: this version of Remit only honours `e = ")


def test_no_rule_means_no() -> None:
    assert policy("", "").decide(ANA, "crm_issue_refund", REFUND, NOW).verdict is Verdict.DENY


def chain(names: int) -> str:
    """`person:ana` and so many more names, each including the next; the last one is `role:team`."""
    between = [f"role:r{number}" for number in range(names - 2)]
    subjects = ["person:ana", *between]
    return "".join(f"g, {a}, {b}, acme\n" for a, b in zip(subjects, [*between, "role:team"], strict=True))


def test_a_chain_as_long_as_casbin_follows_works_and_a_longer_one_is_refused() -> None:
    rules = "p, R1, role:team, crm_issue_refund, , allow, "
    loaded = policy(rules, chain(10))
    assert loaded.decide(ANA, "crm_issue_refund", REFUND, NOW).verdict is Verdict.ALLOW
    judge = casbin_judge.CasbinJudge(MODEL, loaded)
    assert judge.decide(ANA, "crm_issue_refund", REFUND, NOW) == (Verdict.ALLOW, ("R1",))
    assert problems(rules, chain(11)) == [
        "roles.csv:1:4: error: the chain of roles that starts here has more than 10 names: no more are followed"
    ]


@pytest.mark.parametrize("nan", [Decimal("NaN"), Decimal("sNaN"), float("nan")])
@pytest.mark.parametrize("condition", ["not (args.amount > 50)", "args.amount <= 50", "not args.amount >= 50"])
def test_nan_passes_no_comparison(nan: object, condition: str) -> None:
    decision = ask_ana(team_rules(f"crm_issue_refund | {condition} | allow"), amount=nan)
    assert (decision.verdict, decision.rules) == (Verdict.DENY, ("R1",))
    assert decision.reason == "rule R1 could not be evaluated"


@pytest.mark.parametrize("literal", ["nan", "float('nan')", "1e400", "1j", "inf"])
def test_nan_and_infinity_cannot_be_written(literal: str) -> None:
    assert problems(team_rules(f"crm_issue_refund | args.amount > {literal} | deny"), TEAM) != []


@pytest.mark.parametrize("name", ["regexMatch", "keyMatch", "ipMatch", "globMatch", "eval", "g", "open", "getattr"])
def test_no_function_of_casbin_or_python_can_be_called(name: str) -> None:
    found = problems(team_rules(f"crm_issue_refund | {name}(args.note, 'x') | allow"), TEAM)
    assert f"unknown function `{name}`" in found[0]


@pytest.mark.parametrize(
    "condition",
    ["args.note.startswith('x')", "args.__class__ == 'x'", "''.join(args.note) == ''", "args.note.upper() == 'A'"],
)
def test_conditions_cannot_call_methods_or_reach_beyond_the_schema(condition: str) -> None:
    assert problems(team_rules(f"crm_issue_refund | {condition} | allow"), TEAM) != []


@pytest.mark.parametrize("effect", ["allow", "ask", "deny"])
@pytest.mark.parametrize("broken", [{"amount": None}, {"amount": "60"}, {"note": None}])
def test_whatever_goes_wrong_in_a_condition_denies_even_beside_an_allow(effect: str, broken: dict[str, object]) -> None:
    rules = team_rules(ALLOW_ALL, f"crm_issue_refund | args.amount > 50 and lower(args.note) == 'x' | {effect}")
    decision = policy(rules).decide(ANA, "crm_issue_refund", {**REFUND, **broken}, NOW)
    assert (decision.verdict, decision.rules) == (Verdict.DENY, ("R2",))
    assert decision.reason == "rule R2 could not be evaluated"


def test_a_missing_argument_denies() -> None:
    decision = policy(team_rules("crm_issue_refund | args.amount > 50 | allow")).decide(
        ANA, "crm_issue_refund", {"order_id": "ord_0001"}, NOW
    )
    assert decision.reason == "rule R1 could not be evaluated"


def test_a_condition_that_is_neither_true_nor_false_denies() -> None:
    decision = policy("p, R1, role:everyone, email_search_messages, args.unread == True, allow, ", "").decide(
        ANA, "email_search_messages", {"unread": 1 == 1}, NOW
    )
    assert decision.verdict is Verdict.ALLOW
    assert problems("p, R1, role:everyone, email_search_messages, not args.unread, allow, ") != []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("p, R1, role:team, crm_issue_refund, , deny", 6),
        ("p, R1, role:team, crm_issue_refund, , deny, note, more", 8),
        ("p, R1, role:team, crm_issue_refund, args.currency in ['EUR', 'USD'], deny, x", 8),
    ],
)
def test_a_rule_with_a_column_too_few_or_too_many_is_an_error(line: str, found: int) -> None:
    message = f"expected 7 columns (p, id, role, tool, condition, effect, note), found {found}"
    assert f"rules.csv:1:1: error: {message}" in problems(f"{line}\n{BOT_REFUNDS}", TEAM)


def test_a_misspelt_role_in_a_deny_rule_or_in_roles_csv_is_an_error() -> None:
    rules = team_rules(ALLOW_ALL) + "\np, D1, role:teem, crm_issue_refund, , deny, "
    assert problems(rules, TEAM) == ["rules.csv:3:8: error: unknown role `role:teem` — did you mean `role:team`?"]
    rules = team_rules(ALLOW_ALL) + "\np, D1, role:limited, crm_issue_refund, , deny, "
    roles = TEAM + "g, person:eve, role:team, acme\ng, person:eve, role:limitd, acme\n"
    assert problems(rules, roles) == [
        "roles.csv:4:16: error: no rule speaks of `role:limitd`",
        "rules.csv:3:8: error: unknown role `role:limited` — did you mean `role:limitd`?",
    ]
    roles = TEAM + "g, role:teem, role:bot, acme\n"
    assert problems(team_rules(ALLOW_ALL), roles) == [
        "roles.csv:3:4: error: nobody has `role:teem` and no rule speaks of it"
    ]


@pytest.mark.parametrize(
    ("tool", "condition"),
    [
        ("crm_issue_refund", "args.currency == 'EURO'"),
        ("crm_issue_refund", "args.currency in ['EUR', 'USDD']"),
        ("crm_issue_refund", "args.amount == '60'"),
        ("crm_issue_refund", "args.amount == 0"),
        ("email_send_message", "args.mailbox == 'Support@acme.example'"),
        ("email_send_message", "any_in(domain(args.to), ['Evil.example'])"),
        ("email_send_message", "any_in(domain(args.to), ['@evil.example'])"),
        ("email_send_message", "ends_with(args.mailbox, '@Evil.example')"),
        ("email_send_message", "args.mailbox in 'support@acme.example'"),
        ("ticket_update_ticket", "any_in(args.tags, ['VIP'])"),
        ("crm_issue_refund", "args.currency in ['EUR' 'USD']"),
    ],
)
def test_a_deny_whose_literal_can_never_match_is_an_error(tool: str, condition: str) -> None:
    assert len(problems(team_rules(f"{tool} | {condition} | deny"), TEAM)) == 1


def test_roles_of_one_tenant_do_not_hold_in_another_and_a_star_holds_in_all() -> None:
    rules = team_rules(ALLOW_ALL)
    loaded = policy(rules, TEAM + "g, person:root, role:team, *\n")

    def verdict(tenant: str, person: str) -> Verdict:
        return loaded.decide(Principal(tenant, person=person), "crm_issue_refund", REFUND, NOW).verdict

    assert [verdict("acme", "ana"), verdict("other", "ana"), verdict("*", "ana")] == [
        Verdict.ALLOW,
        Verdict.DENY,
        Verdict.DENY,
    ]
    assert [verdict("acme", "root"), verdict("other", "root")] == [Verdict.ALLOW, Verdict.ALLOW]


@pytest.mark.parametrize("spoil", [lambda text: text[:-1] + "x", lambda text: text.replace("allow", "deny")])
def test_the_version_follows_the_content(spoil: Callable[[str], str]) -> None:
    rules = team_rules(ALLOW_ALL) + "# end "
    loaded: list[Policy] = [policy(text) for text in (rules, rules, spoil(rules))]
    assert loaded[0].version == loaded[1].version != loaded[2].version


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(PolicyError) as caught:
        policy("p, 1, x, y, z z, maybe, n\nq", "h\ng, ana, b, C\n", "[wrong]\n")
    assert len(caught.value.problems) == 16
