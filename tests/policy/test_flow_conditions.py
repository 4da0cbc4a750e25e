"""What conditions on data flow answer, how they are refused, and what they are in words."""

import operator
from collections.abc import Callable, Mapping
from random import Random

import pytest

from connectors.contract import Confidentiality, Effect, Idempotency, Input, Output, Sink, Tool
from gateway.policy.casbin_judge import CasbinJudge
from gateway.policy.decision import Verdict
from gateway.policy.language.check import check
from gateway.policy.language.compiled import Facts, compiled
from gateway.policy.language.english import said
from gateway.policy.language.flow import LEVELS, UNTOUCHED, Flow, FlowNeeds, Integrity, Level, Origin, carries
from gateway.policy.language.flow_facts import ARGUMENT_FACTS
from gateway.policy.language.flow_written import assumed, flow_from
from gateway.policy.language.kinds import type_of_tool
from gateway.policy.language.parse import parse
from gateway.policy.language.wording import written
from tests.policy.flows import HELD, LEAK, MAIL, MAIL_RULES, OUTSIDER, SEND
from tests.policy.generated import flow
from tests.policy.making import ANA, MODEL, NOW, TEAM, policy, problems, team_rules

ORDERS: Mapping[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def evaluate(condition: str, told_of: Flow | None = OUTSIDER, **args: object) -> object:
    node, mistakes = parse(condition)
    assert node is not None, mistakes
    assert not check(node, type_of_tool(SEND))
    return compiled(node)(Facts({**MAIL, **args}, "ana", None, "acme", NOW, flow=told_of))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("origin(args.to) == 'outsider'", True),
        ("origin(args.to) in ['request', 'organisation']", False),
        (HELD, True),
        (LEAK, False),
        ("run.saw_untrusted and not run.saw_private", True),
        ("run.integrity == 'anyone' and run.confidentiality == 'public'", True),
        ("run.has_grant or run.is_intended or first_time(args.cc)", False),
        ("run.denials + run.records + run.recent_calls == 0", True),
        ("audience(args.to) in ['public', 'internal']", True),
    ],
)
def test_what_is_known_of_the_flow_is_compared(condition: str, expected: object) -> None:
    assert evaluate(condition) is expected


@pytest.mark.parametrize("integrity", Integrity)
def test_a_run_saw_something_untrusted_unless_only_the_organisation_wrote_it(integrity: Integrity) -> None:
    saw = evaluate("run.saw_untrusted", Flow(integrity=integrity))
    assert saw is (integrity is not Integrity.ORGANISATION)


def test_a_run_saw_something_private_once_it_saw_what_is_a_customers() -> None:
    saw = {level: evaluate("run.saw_private", Flow(seen=level)) for level in Confidentiality}
    assert saw == {"public": False, "internal": False, "customer": True, "secret": True}


def test_levels_are_compared_by_rank_whatever_the_alphabet_says() -> None:
    assert {level.value: Level(level.rank) for level in Confidentiality} == LEVELS
    loaded = {
        symbol: policy(
            team_rules(f"email_send_message | confidentiality(args.body) {symbol} audience(args.to) | allow")
        )
        for symbol in ORDERS
    }
    for symbol, compare in ORDERS.items():
        judge = CasbinJudge(MODEL, loaded[symbol])
        for left in Confidentiality:
            for right in Confidentiality:
                found = Flow(confidentiality={"body": left}, audience={"to": right})
                expected = compare(left.rank, right.rank)
                literal = evaluate(f"confidentiality(args.body) {symbol} '{right}'", found)
                mirrored = evaluate(f"'{left}' {symbol} audience(args.to)", found)
                verdict = loaded[symbol].decide(ANA, "email_send_message", MAIL, NOW, flow=found).verdict
                assert literal is mirrored is (verdict is Verdict.ALLOW) is expected, (left, symbol, right)
                assert judge.decide(ANA, "email_send_message", MAIL, NOW, flow=found)[0] is verdict


@pytest.mark.parametrize("nothing", [None, "", [], (), {}, {"inside": None, "more": []}])
def test_an_argument_that_carries_nothing_troubles_nobody(nothing: object) -> None:
    assert not carries(nothing)
    hostile = Flow(origins={"cc": Origin.OUTSIDER}, first_time={"cc": True}, audience={"cc": Confidentiality.PUBLIC})
    for told_of in (UNTOUCHED, hostile):
        assert evaluate("origin(args.cc) in ['request', 'organisation']", told_of, cc=nothing) is True
        assert evaluate("audience(args.cc) == 'secret'", told_of, cc=nothing) is True
        assert evaluate("first_time(args.cc)", told_of, cc=nothing) is False
        assert evaluate("confidentiality(args.body) == 'public'", told_of, body=nothing) is True


@pytest.mark.parametrize("something", [0, False, " ", ["x"], {"inside": {"deep": 1}}])
def test_any_other_value_carries_something(something: object) -> None:
    assert carries(something)


@pytest.mark.parametrize("condition", [HELD, LEAK, "first_time(args.to)", "run.saw_untrusted", "run.denials > 5"])
def test_a_flow_that_could_not_be_found_out_denies(condition: str) -> None:
    for text in (condition, f"not ({condition})"):
        loaded = policy(team_rules("email_send_message |  | allow", f"email_send_message | {text} | ask"))
        decision = loaded.decide(ANA, "email_send_message", MAIL, NOW, flow=None)
        assert (decision.verdict, decision.reason) == (Verdict.DENY, "rule R2 could not be evaluated")
        assert CasbinJudge(MODEL, loaded).decide(ANA, "email_send_message", MAIL, NOW, flow=None) == ("deny", ("R2",))


@pytest.mark.parametrize("part", ["origins", "confidentiality", "audience", "first_time"])
def test_a_value_of_which_the_flow_says_nothing_denies(part: str) -> None:
    fact = next(name for name, each in ARGUMENT_FACTS.items() if each.part == part)
    argument = "body" if part == "confidentiality" else "to"
    loaded = policy(team_rules(f"email_send_message | {fact}(args.{argument}) == {fact}(args.{argument}) | allow"))
    whole = assumed(OUTSIDER, SEND, MAIL)
    assert loaded.decide(ANA, "email_send_message", MAIL, NOW, flow=whole).verdict is Verdict.ALLOW
    blind = flow_from({name: value for name, value in whole.told().items() if name != part})
    assert loaded.decide(ANA, "email_send_message", MAIL, NOW, flow=blind).verdict is Verdict.DENY


def test_rules_without_data_flow_do_not_look_at_it() -> None:
    loaded = policy(team_rules("email_send_message |  | allow"))
    assert loaded.decide(ANA, "email_send_message", MAIL, NOW, flow=None).verdict is Verdict.ALLOW
    assert not loaded.needs_flow("email_send_message")


def test_what_rules_about_a_tool_ask_about_is_what_must_be_computed() -> None:
    loaded = policy(
        MAIL_RULES + '\np, X1, role:team, email_*, "run.has_grant or run.denials > 3", ask, ""'
        '\np, X2, role:bot, email_create_draft, "first_time(args.cc)", ask, ""'
    )
    assert loaded.needs_flow("email_send_message") == FlowNeeds(
        origins=frozenset({"to"}),
        confidentiality=frozenset({"body"}),
        audience=frozenset({"to"}),
        run=frozenset({"saw_untrusted", "has_grant", "denials"}),
    )
    assert loaded.needs_flow("email_create_draft") == FlowNeeds(
        first_time=frozenset({"cc"}), run=frozenset({"has_grant", "denials"})
    )
    assert not loaded.needs_flow("crm_issue_refund")


def test_nothing_but_what_is_needed_is_looked_at() -> None:
    judge = policy(MAIL_RULES)
    needs = judge.needs_flow("email_send_message")
    for seed in range(100):
        found = flow(Random(seed), "email_send_message") or UNTOUCHED
        only = Flow(
            origins={name: value for name, value in found.origins.items() if name in needs.origins},
            confidentiality={n: value for n, value in found.confidentiality.items() if n in needs.confidentiality},
            audience={name: value for name, value in found.audience.items() if name in needs.audience},
            integrity=found.integrity,
        )
        first, second = (judge.decide(ANA, "email_send_message", MAIL, NOW, flow=each) for each in (found, only))
        assert first == second


def test_a_sink_may_be_declared_for_the_tool_and_inside_a_record() -> None:
    class Place(Input):
        city: str | None = None

    class Visit(Input):
        place: Place
        link: str

    tool = Tool(
        "a_b_c",
        "a",
        "",
        "",
        Effect.SEND,
        Idempotency.KEY,
        Visit,
        Output,
        {"place.city": Sink.RECIPIENT, "link": Sink.URL},
    )
    arguments = type_of_tool(tool)

    def mistakes(condition: str) -> list[str]:
        node, found = parse(condition)
        return [each.message for each in (check(node, arguments) if node else found)]

    assert mistakes("origin(args.place) == 'request' and audience(args.link) == 'public'") == []
    assert mistakes("first_time(args.link)") == ["`first_time` is known of `args.place` only: `args.link` holds URLs"]
    assert mistakes("origin(args.place.city) == 'request'") == [
        "`origin` looks at a whole argument: write `origin(args.place)`"
    ]


# What is refused: the condition starts at column 40

REFUSED = [
    ("origin(args.to) in ['outsidr']", "60: the other side is never `outsidr` — did you mean `outsider`?"),
    ("origin(args.to) == 'internet'",
     "59: the other side is never `internet`: it is one of request, organisation, customer, nowhere, outsider"),
    ("origin(args.too) == 'request'", "40: unknown field `args.too` — did you mean `args.to`?"),
    ("origin(args.to) > 'request'",
     "40: `>` compares numbers or dates: this is text: name what it may be, such as `in ['request', 'organisation']`"),
    ("origin(args.to) is None", "40: this is never None"),
    ("run.integrity == 'public'", "57: the other side is never `public`: it is one of organisation, customer, anyone"),
    ("confidentiality(args.to) > 'public'",
     "40: `confidentiality` is known of `args.subject` and `args.body` only: `args.to` holds recipients — did you mean "
     "`audience(args.to)`?"),
    ("audience(args.body) > 'public'",
     "40: `audience` is known of `args.to` and `args.cc` only: `args.body` holds content — did you mean "
     "`confidentiality(args.body)`?"),
    ("audience(args.mailbox) > 'public'",
     "40: `audience` is known of `args.to` and `args.cc` only: `args.mailbox` holds identifiers"),
    ("first_time(args.subject)",
     "40: `first_time` is known of `args.to` and `args.cc` only: `args.subject` holds content"),
    ("confidentiality(args.body) > 'internl'",
     "69: `internl` is no level of confidentiality — did you mean `internal`?"),
    ("confidentiality(args.body) in ['public', 'top']",
     "81: `top` is no level of confidentiality: it is one of public, internal, customer, secret"),
    ("confidentiality(args.body) == 3",
     "70: `3` is no level of confidentiality: it is one of public, internal, customer, secret"),
    ("confidentiality(args.body) > args.subject", "69: a level of confidentiality cannot be compared with text"),
    ("'public' in confidentiality(args.body)", "52: one level is compared with one, or by `in` with a list"),
    ("run.confidentiality is 'public'", "63: `is` only goes with `None`: use `==` or `!=`"),
    ("run.confidentiality", "40: this is a level of confidentiality, but a condition must be true or false"),
    ("run.confidentiality + 1 > 2", "40: `+` adds numbers: this is a level of confidentiality"),
    ("run.denials", "40: this is a number, but a condition must be true or false"),
    ("run.saw_untrusted > 3", "40: `>` compares numbers or dates: this is true or false"),
]  # fmt: skip
UNREADABLE = [
    ("run.saw_untrustd", "unknown name `run.saw_untrustd` — did you mean `run.saw_untrusted`?"),
    ("run.x.y", "unknown name `run.x`: it is one of `run.saw_untrusted`, `run.saw_private`, "),
    ("run", "`run` needs a name, such as `run.saw_untrusted`"),
    ("orgin(args.to) == 'x'", "unknown function `orgin` — did you mean `origin`?"),
    ("origin('to') == 'x'", "`origin` needs one argument of the call, such as `origin(args.to)`"),
    ("origin(args.to, args.cc) == 'x'", "`origin` needs one argument of the call, such as `origin(args.to)`"),
    (
        "confidentiality() == 'x'",
        "`confidentiality` needs one argument of the call, such as `confidentiality(args.body)`",
    ),
    ("origin(field=args.to) == 'x'", "`origin` takes its arguments by position only"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "told_of"), REFUSED)
def test_a_wrong_condition_on_data_flow_is_refused_with_its_place(condition: str, told_of: str) -> None:
    rule = f'p, R1, role:team, email_send_message, "{condition}", allow, ""\np, B1, role:bot, email_*, , allow, '
    assert problems(rule, TEAM) == [f"rules.csv:1:{told_of.replace(': ', ': error: ', 1)} (in `email_send_message`)"]


@pytest.mark.parametrize(("condition", "told_of"), UNREADABLE)
def test_an_unknown_name_is_refused_with_the_nearest_one(condition: str, told_of: str) -> None:
    _, mistakes = parse(condition)
    assert mistakes[0].message.startswith(told_of)


def test_a_pattern_is_checked_for_each_tool_that_it_covers() -> None:
    rules = 'p, R1, role:team, email_*, "origin(args.mailbox) == \'request\'", allow, ""'
    assert problems(f"{rules}\np, B1, role:bot, crm_*, , allow, ", TEAM) == []
    rules = 'p, R1, role:team, crm_get_*, "origin(args.order_id) == \'request\'", allow, ""'
    [told_of] = problems(f"{rules}\np, B1, role:bot, crm_*, , allow, ", TEAM)
    assert told_of.startswith("rules.csv:1:31: error: unknown field `args.order_id` ")
    assert told_of.endswith("(in `crm_get_contact` and 2 more that `crm_get_*` covers)")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (HELD, "this task has seen what others may have written and `to` does not come from the person's own request "
         "or the organisation's own data"),
        (LEAK, "what `body` tells is more confidential than what `to` may see"),
        ("not (origin(args.to) == 'outsider')", "`to` does not come from text of outsiders alone"),
        ("'internal' < run.confidentiality", "what this task has seen is more confidential than `internal`"),
        ("not first_time(args.to) or run.has_grant == False", "`to` names nobody new or the call has no valid grant"),
        ("first_time(args.to) == first_time(args.cc)", "the truth of (`to` names somebody never written to before) is "
         "the truth of (`cc` names somebody never written to before)"),
        ("audience(args.to) not in ['internal', 'secret']",
         "what `to` may see is as confidential as none of `internal`, `secret`"),
        ("run.recent_calls > 20 and run.integrity != 'anyone'",
         "the number of calls within the last minute is above 20 "
         "and the least trusted author of what this task has seen is not `anyone`"),
        ("not (run.saw_private and run.is_intended)", "this task has seen no customers' data and no secrets or the "
         "person's own words do not ask for this"),
    ],
)  # fmt: skip
def test_a_condition_on_data_flow_is_said_in_plain_words(condition: str, words: str) -> None:
    node, _ = parse(condition)
    assert node is not None
    assert said(node) == words
    assert parse(written(node)) == (node, [])
