"""`limits.csv`: read strictly, every mistake with its place; what is doubtful is warned of; "
"nothing of it ever allows."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from functools import cache
from random import Random

import pytest

from gateway.listing import Listings
from gateway.policy.comparing.diff import differences
from gateway.policy.decision import Verdict
from gateway.policy.explaining.explain import explain
from gateway.policy.explaining.telling import as_data, told
from gateway.policy.files.limits import window_in_words
from gateway.policy.judge import Policy
from gateway.policy.limiting import Past, exceeded, shares
from gateway.policy.lint.lint import lint
from gateway.policy.load import FILES, policy_from_texts
from gateway.policy.problem import PolicyError
from gateway.policy.testing.cases import AnyCase, cases_from_text
from gateway.policy.testing.trials import run_cases
from tests.policy.making import ANA, BOT, BOT_FOR_ANA, MODEL, NOW, REFUND, SHIPPED, TEAM, TOOLS
from tests.policy.test_mutants import EACH, TEXTS, cells_of, misspelt

RULES = """\
p, R1, role:team, *, , allow, ""
p, R2, role:bot, *, , allow, ""
"""
REFUNDS = 'limit, L1, role:everyone, crm_issue_refund, args.amount, 100, 24h, person, "little"'
MAIL = {"mailbox": "m@acme.example", "to": ["a@x.example", "b@x.example"], "cc": ["A@x.example"]}


def limited(*lines: str) -> Policy:
    texts = {"model.conf": MODEL, "roles.csv": TEAM, "rules.csv": RULES, "limits.csv": "\n".join(lines)}
    return policy_from_texts(texts, TOOLS)


def mistakes(*lines: str) -> list[str]:
    with pytest.raises(PolicyError) as raised:
        limited(*lines)
    return [str(problem).removeprefix("limits.csv:") for problem in raised.value.problems]


def warnings(*lines: str) -> list[tuple[str, int, str]]:
    texts = {"model.conf": MODEL, "roles.csv": TEAM, "rules.csv": RULES, "limits.csv": "\n".join(lines)}
    found = lint(policy_from_texts(texts, TOOLS), texts, TOOLS)
    return [(each.code, each.line, each.message) for each in found if each.file == "limits.csv"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("limits, L1", "1:1: error: unknown line type `limits`: lines of limits.csv start with `limit`"),
        (
            "limit, L1, role:team, *, calls, 5, 1h, person",
            "1:1: error: expected 9 columns (limit, id, role, tool, what, at most, per, for each, note), found 8",
        ),
        (
            'limit, 1, role:team, *, calls, 5, 1h, person, ""',
            "1:8: error: id `1` must be a letter, then letters, digits, `_` or `-`",
        ),
        (
            'limit, R1, role:team, *, calls, 5, 1h, person, ""',
            "1:8: error: id `R1` is a rule's or an obligation's already",
        ),
        (
            'limit, L1, role:taem, *, calls, 5, 1h, person, ""',
            "1:12: error: unknown role `role:taem` — did you mean `role:team`?",
        ),
        (
            'limit, L1, team, *, calls, 5, 1h, person, ""',
            "1:12: error: role `team` needs its prefix — did you mean `role:team`?",
        ),
        (
            'limit, L1, role:team, crm_isue_refund, calls, 5, 1h, person, ""',
            "1:23: error: unknown tool `crm_isue_refund` — did you mean `crm_issue_refund`?",
        ),
        (
            'limit, L1, role:team, *, call, 5, 1h, person, ""',
            "1:26: error: unknown thing to count `call` — did you mean `calls`?",
        ),
        (
            'limit, L1, role:team, *, money, 5, 1h, person, ""',
            "1:26: error: unknown thing to count `money`: write `requests`, `calls`, `recipients`, or "
            "`args.` and a number's name",
        ),
        (
            'limit, L1, role:team, crm_issue_refund, args.amonut, 5, 1h, person, ""',
            "1:41: error: `crm_issue_refund` has no argument `amonut` — did you mean `amount`?",
        ),
        (
            'limit, L1, role:team, crm_issue_refund, args.note, 5, 1h, person, ""',
            "1:41: error: `note` of `crm_issue_refund` is not a number",
        ),
        (
            'limit, L1, role:team, knowledge_*, args.amount, 5, 1h, person, ""',
            "1:36: error: `knowledge_search_documents`, which `knowledge_*` covers, has no argument `amount`",
        ),
        (
            'limit, L1, role:team, crm_get_contact, recipients, 5, 1h, person, ""',
            "1:40: error: no input of `crm_get_contact` names recipients: count `calls` instead",
        ),
        (
            'limit, L1, role:team, *, calls, 0, 1h, person, ""',
            "1:33: error: `0` must be a whole number from 1 to 1000000000; a rule forbids all of it",
        ),
        (
            'limit, L1, role:team, *, calls, 1.5, 1h, person, ""',
            "1:33: error: `1.5` must be a whole number from 1 to 1000000000; a rule forbids all of it",
        ),
        (
            'limit, L1, role:team, crm_issue_refund, args.amount, 0.00, 1h, person, ""',
            "1:54: error: `0.00` must be an amount above 0 and up to 1000000000; a rule forbids all of it",
        ),
        (
            'limit, L1, role:team, *, calls, 5, hour, person, ""',
            "1:36: error: `hour` must be a number of seconds, minutes, hours or days, up to 31d: `10s`, "
            "`1m`, `24h`, `7d`",
        ),
        (
            'limit, L1, role:team, *, calls, 5, 32d, person, ""',
            "1:36: error: `32d` must be a number of seconds, minutes, hours or days, up to 31d: `10s`, "
            "`1m`, `24h`, `7d`",
        ),
        (
            'limit, L1, role:team, *, calls, 5, 1h, persons, ""',
            "1:40: error: `persons` is nothing that calls are counted for — did you mean `person`?",
        ),
        (
            'limit, L1, role:team, *, calls, 5, 1h, address, ""',
            "1:40: error: `address` is nothing that calls are counted for: `person`, `agent`, `tenant`, "
            "`run`, `tool` and `args.…` can be counted apart, joined by `and`",
        ),
        (
            'limit, L1, role:team, *, calls, 5, 1h, person and person, ""',
            "1:40: error: `person and person` names something twice",
        ),
        (
            'limit, L1, role:team, crm_issue_refund, calls, 5, 1h, args.amount, ""',
            "1:55: error: `amount` of `crm_issue_refund` is not a text, so is not counted apart",
        ),
        (
            'limit, L1, role:team, *, requests, 5, 1s, tool, ""',
            "1:43: error: `tool` is nothing that requests are counted for: `address`, `person`, `agent`, "
            "`tenant` can be counted apart, joined by `and`",
        ),
        (
            'limit, L1, role:everyone, crm_*, requests, 5, 1s, tenant, ""',
            "1:27: error: requests are counted before it is known what they call: write `*`",
        ),
        (
            'limit, L1, role:team, *, requests, 5, 1s, address, ""',
            "1:12: error: who sends from an address is not known yet: write `role:everyone`",
        ),
    ],
)
def test_every_mistake_has_its_place_and_says_what_was_probably_meant(line: str, said: str) -> None:
    assert mistakes(line) == [said]


def test_an_id_means_one_line() -> None:
    assert mistakes(REFUNDS, REFUNDS) == ["2:8: error: id `L1` has a line already"]


def test_a_limit_is_part_of_the_version_and_told_as_a_difference() -> None:
    before, after = limited(REFUNDS), limited(REFUNDS.replace("100", "200.50"))
    assert before.version != after.version
    assert [str(each) for each in differences(before, after)] == [
        "changed limit L1: most 100 args.amount → 200.50 args.amount"
    ]
    assert [str(each) for each in differences(limited(), before)] == [
        "added limit L1: role role:everyone; tool crm_issue_refund; most 100 args.amount; per 24 hours; "
        "for each person; note little"
    ]


def test_a_limit_that_another_one_always_reaches_first_is_warned_of() -> None:
    calls = "limit, {}, {}, {}, calls, {}, {}, {}, "
    tight = calls.format("L1", "role:everyone", "crm_*", 10, "1h", "tenant")
    for loose in [
        ("L2", "role:team", "crm_get_contact", 10, "1h", "person"),
        ("L2", "role:everyone", "crm_*", 11, "1m", "tenant and tool"),
        ("L2", "role:everyone", "crm_*", 10, "1h", "tenant"),
    ]:
        expected = [
            ("unreached-limit", 2, f"this limit is never reached: limit `L1` allows {limited(tight).limits[0].words}")
        ]
        assert warnings(tight, calls.format(*loose)) == expected
    for apart in [
        ("L2", "role:team", "*", 10, "1h", "person"),
        ("L2", "role:team", "crm_get_contact", 9, "1h", "person"),
        ("L2", "role:team", "crm_get_contact", 10, "2h", "person"),
        ("L2", "role:team", "ticket_*", 20, "1h", "tenant"),
    ]:
        assert warnings(tight, calls.format(*apart)) == []
    person = calls.format("L1", "role:everyone", "*", 10, "1h", "person")
    assert warnings(person, calls.format("L2", "role:everyone", "*", 20, "1h", "tenant")) == []


def test_a_tool_that_sends_to_whom_nobody_knows_beforehand_is_warned_of() -> None:
    found = warnings('limit, L1, role:everyone, email_*, recipients, 5, 1h, person, ""')
    assert [(code, line) for code, line, _ in found] == [("uncounted-tool", 1)]
    assert "`email_send_draft` and `email_reply_message` reaches is not among its arguments" in found[0][2]
    assert warnings('limit, L1, role:everyone, crm_get*, calls, 5, 1h, person, ""')[0][0] == "cut-word"


def test_what_a_call_uses_up() -> None:
    policy = limited(
        REFUNDS,
        'limit, L2, role:bot, email_send_message, recipients, 5, 1h, agent and tool, ""',
        'limit, L3, role:team, *, calls, 5, 1h, run, ""',
        'limit, L4, role:everyone, crm_issue_refund, calls, 3, 1h, tenant and args.currency, ""',
        'limit, L5, role:everyone, *, requests, 3, 1s, tenant, ""',
    )

    def used(who: object, tool: str, args: object) -> list[tuple[str, tuple[str, ...], Decimal]]:
        found = shares(policy, who, "the run", tool, args)  # type: ignore[arg-type]
        return [(share.limit.id, share.whom, share.amount) for share in found]

    assert used(ANA, "crm_issue_refund", REFUND) == [
        ("L1", ("acme", "ana"), Decimal(60)),
        ("L3", ("acme", "the run"), Decimal(1)),
        ("L4", ("acme", "", "EUR"), Decimal(1)),
    ]
    assert [each[0] for each in used(BOT, "crm_issue_refund", REFUND)] == ["L4"], (
        "without a person nothing is that person's"
    )
    assert used(BOT, "email_send_message", MAIL) == [("L2", ("acme", "bot", "email_send_message"), Decimal(2))]
    assert [each[0] for each in used(BOT_FOR_ANA, "email_send_message", MAIL)] == ["L2", "L3"]


def test_what_takes_back_counts_as_much_and_what_is_no_number_is_refused() -> None:
    policy = limited(REFUNDS)
    taken = shares(policy, ANA, "", "crm_issue_refund", {**REFUND, "amount": Decimal(-60)})
    assert [share.amount for share in taken] == [Decimal(60)]
    for wrong in ("60", True, Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises((TypeError, ArithmeticError)):
            shares(policy, ANA, "", "crm_issue_refund", {**REFUND, "amount": wrong})
    assert shares(policy, ANA, "", "crm_issue_refund", {**REFUND, "amount": None}) == ()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (90, "90 seconds"),
        (60, "1 minute"),
        (3_600, "1 hour"),
        (86_400, "24 hours"),
        (172_800, "2 days"),
    ],
)
def test_windows_are_told_in_words(seconds: int, words: str) -> None:
    assert window_in_words(timedelta(seconds=seconds)) == words


def test_an_explanation_names_the_limits_that_count() -> None:
    explanation = explain(limited(REFUNDS), ANA, "crm_issue_refund", REFUND, NOW)
    assert explanation.decision.verdict is Verdict.ALLOW
    assert told(explanation).endswith(
        "limits that count it, and deny it once they are reached:\n"
        "  L1  at most 100 in all of `amount` within 24 hours for each person"
    )
    assert "limits" not in as_data(explanation)
    assert "limits" not in told(explain(limited(REFUNDS), BOT, "crm_get_contact", {}, NOW))


async def test_tools_tell_the_limits_on_them_but_not_those_on_everything() -> None:
    policy = limited(REFUNDS, 'limit, L2, role:everyone, *, calls, 5, 1h, person, ""')
    listing = await Listings(TOOLS, policy).under(policy)
    shown = {tool.name: tool.description or "" for tool in listing.tools(ANA)}
    assert "Limit: at most 100 in all of `amount` within 24 hours for each person (L1)." in shown["crm_issue_refund"]
    assert not any("Limit" in told for name, told in shown.items() if name != "crm_issue_refund")


def test_a_limit_denies_what_rules_let_through_and_nothing_else() -> None:
    policy = limited(REFUNDS)
    call = Past(ANA, "crm_issue_refund", REFUND, NOW)
    earlier = Past(ANA, "crm_issue_refund", {**REFUND, "amount": Decimal("40.01")}, NOW - timedelta(hours=23))
    assert [limit.id for limit in exceeded(policy, call, [earlier])] == ["L1"]
    assert exceeded(policy, call, [Past(BOT_FOR_ANA, "crm_get_contact", {}, NOW)] * 200) == ()
    decision = policy.decide(ANA, "crm_issue_refund", REFUND, NOW)
    assert decision.verdict is Verdict.ALLOW, "rules alone know nothing of limits"


@cache
def limit_cases() -> tuple[AnyCase, ...]:
    text = (SHIPPED / "tests" / "limits.yaml").read_text("utf-8")
    return tuple(cases_from_text("limits.yaml", text, {tool.name: tool for tool in TOOLS}, []))


LINES = [
    (number, line)
    for number, line in enumerate(TEXTS["limits.csv"].splitlines())
    if line and not line.startswith("#") and "requests" not in line
]


EQUAL = {("K01", "tenant"), ("K06", "tenant"), ("K02", "person"), ("K02", "run")}
"""Only one agent has the role, so these count the same apart."""


def mutants(line: str, random: Random) -> Iterator[str]:
    spans = cells_of(line)
    for start, end in spans[2:8]:
        for _ in range(3):
            yield line[:start] + misspelt(line[start:end], random) + line[end:]
    (role, tool, what, most, per, whom) = (line[slice(*span)] for span in spans[2:8])
    others = {
        3: [str(int(most) + 1), str(int(most) - 1), most + "0"],
        4: [{"1m": "59s", "1h": "59m", "24h": "23h", "7d": "6d"}[per], {"1m": "61s", "1h": "61m"}.get(per, "8d")],
        5: [
            other
            for other in ("person", "agent", "tenant", "run")
            if other != whom and (line[slice(*spans[1])], other) not in EQUAL
        ],
        2: ["calls" if what != "calls" else "recipients"],
        0: ["role:sales" if role != "role:everyone" else "role:auditor"],
        1: ["crm_get_account" if tool == "*" else "*"],
    }
    for column, values in others.items():
        start, end = spans[2 + column]
        yield from (line[:start] + value + line[end:] for value in values)
    yield "# gone"


def is_noticed(text: str) -> bool:
    texts = {**TEXTS, "limits.csv": text}
    try:
        policy = policy_from_texts(texts, TOOLS)
    except PolicyError:
        return True
    return bool(run_cases(policy, limit_cases()).failures or lint(policy, texts, TOOLS))


def test_the_shipped_limits_are_as_their_cases_say() -> None:
    assert set(FILES) >= {"limits.csv"}
    assert not is_noticed(TEXTS["limits.csv"])
    assert run_cases(policy_from_texts(TEXTS, TOOLS), limit_cases()).limits_unreached == ()


@pytest.mark.parametrize(("number", "line"), LINES)
def test_every_mutant_of_a_shipped_limit_is_noticed(number: int, line: str) -> None:
    random = Random(line)
    made = [each for each in dict.fromkeys(mutants(line, random)) if " ".join(each.split()) != line]
    tried = made if EACH is None else random.sample(made, 3)
    lines = TEXTS["limits.csv"].splitlines()
    survivors = [one for one in tried if not is_noticed("\n".join([*lines[:number], one, *lines[number + 1 :]]))]
    assert survivors == []
