"""Policy tests: how they are written, what they check, and that the shipped ones hold and reach every rule."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from typer.testing import CliRunner

from gateway.cli import app
from gateway.cli.policy_test import summary
from gateway.policy.load import load_policy
from gateway.policy.problem import PolicyError, Problem
from gateway.policy.testing.cases import AnyCase, Case, cases_from_text, load_cases
from gateway.policy.testing.junit import junit
from gateway.policy.testing.trials import Report, run_cases
from gateway.policy.testing.yaml_file import MAX_DEPTH, MAX_LENGTH, read_yaml
from gateway.principal import Principal
from tests.policy.generated import BY_NAME
from tests.policy.making import SHIPPED, TOOLS, policy, team_rules

HEAD = """\
tenant: acme
who: {ana: "person:ana", bot: "agent:bot"}
defaults:
  crm_issue_refund: {order_id: ord_0001, amount: 10, currency: EUR, reason: late}
cases:
"""
REFUND_RULES = team_rules(
    "crm_issue_refund | args.amount <= 50 | allow | small ones",
    "crm_issue_refund | args.amount > 50 | ask | a second look",
    "crm_issue_refund | args.note == 'x' | deny | no such notes",
)


def read(text: str, head: str = HEAD) -> list[AnyCase]:
    problems: list[Problem] = []
    cases = cases_from_text("tests/t.yaml", head + text, BY_NAME, problems)
    if problems:
        raise PolicyError(problems)
    return cases


def mistakes(text: str, head: str = HEAD) -> list[str]:
    with pytest.raises(PolicyError) as refused:
        read(text, head)
    return [str(problem) for problem in refused.value.problems]


def tried(text: str, rules: str = REFUND_RULES) -> Report:
    return run_cases(policy(rules), read(text))


def outcomes(report: Report) -> list[tuple[str, str, bool]]:
    return [(trial.expected, trial.actual, trial.passed) for trial in report.trials]


# The shipped tests


def test_the_shipped_policy_decides_what_its_tests_say_and_they_reach_every_rule_from_both_sides() -> None:
    report = run_cases(load_policy(SHIPPED, TOOLS), load_cases(SHIPPED, TOOLS))
    assert [f"{trial.case.file}:{trial.case.line}" for trial in report.failures] == []
    assert [rule.id for rule in report.unreached] == []
    assert [rule.id for rule in report.one_sided] == []
    assert len(report.trials) > 150


@pytest.mark.parametrize("effect", ["allow", "ask", "deny"])
def test_the_shipped_tests_notice_every_rule_that_is_taken_away(effect: str, tmp_path: Path) -> None:
    cases = load_cases(SHIPPED, TOOLS)
    text = (SHIPPED / "rules.csv").read_text("utf-8")
    shutil.copytree(SHIPPED, tmp_path / "p", ignore=shutil.ignore_patterns("tests"))
    unnoticed = []
    for line in (line for line in text.splitlines(keepends=True) if f", {effect}, " in line):
        # A rule that never applies stands in for the missing one, so that its role is still spoken of.
        column = line.index('"')
        never = f'{line[:column]}"1 > 2"{line[line.index(f", {effect}, ") :]}'
        (tmp_path / "p" / "rules.csv").write_text(text.replace(line, never), "utf-8")
        if not run_cases(load_policy(tmp_path / "p", TOOLS), cases).failures:
            unnoticed.append(line.split(",")[1].strip())
    assert unnoticed == []


# How they are written


def test_a_case_says_who_calls_what_and_what_is_decided() -> None:
    report = tried("""
  - {who: ana, tool: crm_issue_refund, args: {amount: 50}, expect: allow, rules: R1}
  - {who: ana, tool: crm_issue_refund, args: {amount: 50.01}, expect: ask}
  - {who: ana, tool: crm_issue_refund, args: {note: x}, expect: deny, rules: R3}
  - {who: bot for ana, tool: crm_issue_refund, expect: allow, rules: R1 B1}
  - {who: person:eve, tool: crm_issue_refund, expect: deny, rules: none}
""")
    assert outcomes(report) == snapshot(
        [
            ("allow by R1", "allow by R1", True),
            ("ask", "ask", True),
            ("deny by R3", "deny by R3", True),
            ("allow by R1 B1", "allow by R1 B1", True),
            ("deny by no rule", "deny by no rule", True),
        ]
    )


def test_a_table_is_a_case_for_each_row_and_a_row_beats_what_the_table_says_for_all() -> None:
    cases = read("""
  - tool: crm_issue_refund
    who: ana
    args: {currency: USD, amount: 1.25}
    columns: [args.amount, who, expect]
    rows:
      - [2.25, bot, allow]
      - [3.25, ana, ask]
""")
    assert [
        (case.line, case.name, str(case.principal), str(case.args["amount"]), case.args["currency"], case.expect.value)
        for case in cases
        if isinstance(case, Case)
    ] == snapshot(
        [
            (
                12,
                "bot calls crm_issue_refund with currency 'USD', amount 2.25",
                "agent:bot in acme",
                "2.25",
                "USD",
                "allow",
            ),
            (
                13,
                "ana calls crm_issue_refund with currency 'USD', amount 3.25",
                "person:ana in acme",
                "3.25",
                "USD",
                "ask",
            ),
        ]
    )


def test_the_time_and_what_the_run_did_before_may_be_given() -> None:
    rules = team_rules(
        "crm_issue_refund | now.hour < 12 | allow",
        "crm_issue_refund | args.amount + total('crm_issue_refund', 'amount') > 50 | deny",
        "crm_issue_refund | calls('crm_get_*') > 2 | deny",
    )
    report = tried(
        """
  - tool: crm_issue_refund
    who: ana
    columns: [at, history, expect, rules]
    rows:
      - ["2026-03-02T11:59:00Z", [], allow, R1]
      - ["2026-03-02T12:59:00+02:00", [], allow, R1]
      - ["2026-03-02T12:00:00Z", [], deny, none]
      - [2026-03-02T08:00:00Z, [{tool: crm_issue_refund, times: 4}], allow, R1]
      - [2026-03-02T08:00:00Z, [{tool: crm_issue_refund, args: {amount: 40.01}}], deny, R2]
      - [2026-03-02T08:00:00Z, [{tool: crm_get_contact, args: {contact_id: con_0001}, times: 3}], deny, R3]
""",
        rules,
    )
    assert [trial.passed for trial in report.trials] == [True] * 6


def test_a_case_may_say_what_someone_sees() -> None:
    report = tried("""
  - {who: ana, visible: [crm_issue_refund], hidden: [ticket_*, email_*]}
  - {who: ana, visible: ["crm_get_*"], hidden: [crm_issue_refund]}
  - {who: person:eve, hidden: ["*"]}
""")
    assert outcomes(report) == snapshot(
        [
            ("", "", True),
            (
                "crm_get_account visible; crm_get_contact visible; crm_get_deal visible; crm_get_orders visible; crm_issue_refund hidden",  # noqa: E501
                "crm_get_account hidden; crm_get_contact hidden; crm_get_deal hidden; crm_get_orders hidden; crm_issue_refund visible",  # noqa: E501
                False,
            ),
            ("", "", True),
        ]
    )


def test_words_and_dates_stay_texts_and_numbers_stay_exact() -> None:
    document = read_yaml("t", "[no, on, 2026-03-02, 1_000, 012, 1e3, 0.1, -5, ~, null, '5', true]", [])
    assert document
    assert document.data == ["no", "on", "2026-03-02", "1_000", "012", "1e3", 0.1, -5, None, None, "5", True]


def test_an_empty_file_has_no_cases_key_and_an_empty_folder_no_tests(tmp_path: Path) -> None:
    assert mistakes("", head="") == ["tests/t.yaml:1:1: error: `cases` is missing"]
    assert load_cases(tmp_path, TOOLS) == ()


# What is refused, and where

REFUSED = [
    (
        "  - {who: ana, tool: crm_issue_refund, expect: alow}",
        snapshot(["tests/t.yaml:6:48: error: unknown verdict `alow` — did you mean `allow`?"]),
    ),
    ("  - {who: ana, tool: crm_issue_refund}", snapshot(["tests/t.yaml:6:5: error: `expect` is missing"])),
    (
        "  - {who: ana, tool: crm_isue_refund, expect: allow}",
        snapshot(["tests/t.yaml:6:22: error: unknown tool `crm_isue_refund` — did you mean `crm_issue_refund`?"]),
    ),
    (
        "  - {who: anna, tool: crm_issue_refund, expect: allow}",
        snapshot(["tests/t.yaml:6:11: error: unknown `anna` — did you mean `ana`?"]),
    ),
    ("  - {tool: crm_issue_refund, expect: allow}", snapshot(["tests/t.yaml:6:5: error: `who` is missing"])),
    (
        "  - {who: ana, tool: crm_issue_refund, expect: allow, rule: R1}",
        snapshot(["tests/t.yaml:6:55: error: unknown field `rule` — did you mean `rules`?"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, expect: allow, rules: [R1]}",
        snapshot(["tests/t.yaml:6:62: error: `rules` must be a text"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, expect: allow, args: {amout: 5}}",
        snapshot(
            [
                "tests/t.yaml:6:69: error: the input of `crm_issue_refund` is wrong: `amout`: unknown field; did you mean `amount`?"  # noqa: E501
            ]
        ),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, expect: allow, args: {amount: -5}}",
        snapshot(
            [
                "tests/t.yaml:6:70: error: the input of `crm_issue_refund` is wrong: `amount`: input should be greater than 0"  # noqa: E501
            ]
        ),
    ),
    (
        "  - {who: ana, tool: crm_get_contact, expect: allow}",
        snapshot(["tests/t.yaml:6:5: error: the input of `crm_get_contact` is wrong: `contact_id`: missing"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, expect: allow, at: today}",
        snapshot(["tests/t.yaml:6:59: error: `today` is not a time with its zone, such as `2026-03-02T09:30:00Z`"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, expect: allow, history: [{tool: crm_isue_refund}]}",
        snapshot(["tests/t.yaml:6:72: error: unknown tool `crm_isue_refund` — did you mean `crm_issue_refund`?"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, expect: allow, history: [{tool: crm_issue_refund, time: 2}]}",
        snapshot(["tests/t.yaml:6:90: error: unknown field `time` — did you mean `times`?"]),
    ),
    (
        "  - {who: ana, visible: [crm_isue_*]}",
        snapshot(["tests/t.yaml:6:26: error: no tool matches `crm_isue_*` — did you mean `crm_issue_*`?"]),
    ),
    (
        "  - {who: ana}",
        snapshot(
            ["tests/t.yaml:6:5: error: a case needs `who`, `tool` and `expect`, or `who` and `visible` or `hidden`"]
        ),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, expect: allow, hidden: ['*']}",
        snapshot(["tests/t.yaml:6:5: error: a case has either `tool` or `visible` and `hidden`"]),
    ),
    (
        "  - {who: ana, who: bot, tool: crm_issue_refund, expect: allow}",
        snapshot(["tests/t.yaml:6:16: error: `who` is already given"]),
    ),
    (
        "  - {who: &a ana, tool: crm_issue_refund, expect: allow}",
        snapshot(["tests/t.yaml:6:11: error: anchors and aliases (`&`, `*`) are not read: put a text in quotes"]),
    ),
    (
        "  - {who: !!str ana, tool: crm_issue_refund, expect: allow}",
        snapshot(["tests/t.yaml:6:11: error: tags (`!`) are not read: put a text in quotes"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, expect: allow",
        snapshot(["tests/t.yaml:6:53: error: this is not YAML: expected ',' or '}', but got '<stream end>'"]),
    ),
    (
        "  - who: ana\n    tool crm_issue_refund",
        snapshot(["tests/t.yaml:7:26: error: this is not YAML: could not find expected ':'"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, columns: [expect, args.amout], rows: [[allow, 5]]}",
        snapshot(["tests/t.yaml:6:58: error: unknown column `args.amout` — did you mean `args.amount`?"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, columns: [expct], rows: [[allow]]}",
        snapshot(["tests/t.yaml:6:50: error: unknown column `expct` — did you mean `expect`?"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, columns: [expect, expect], rows: [[allow, ask]]}",
        snapshot(["tests/t.yaml:6:58: error: column `expect` is already there"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, columns: [expect], rows:\n    [[allow],\n     [allow, 5]]}",
        snapshot(["tests/t.yaml:8:6: error: expected 1 values, one for each column, found 2"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, columns: [expect], rows:\n    [[allow],\n     [alow]]}",
        snapshot(["tests/t.yaml:8:7: error: unknown verdict `alow` — did you mean `allow`?"]),
    ),
    (
        "  - {who: ana, tool: crm_issue_refund, expect: allow, rows: [[5]]}",
        snapshot(["tests/t.yaml:6:5: error: a table has `columns`, a list of names, and `rows`, a list of lists"]),
    ),
]


@pytest.mark.parametrize(("text", "told"), REFUSED)
def test_a_mistake_is_refused_at_its_place(text: str, told: list[str]) -> None:
    assert mistakes(text) == told


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (
            "tenat: acme\ncases: []",
            snapshot(["tests/t.yaml:1:1: error: unknown field `tenat` — did you mean `tenant`?"]),
        ),
        ("tenant: 5\ncases: []", snapshot(["tests/t.yaml:1:9: error: `tenant` must be a text"])),
        (
            "at: noon\ncases: []",
            snapshot(["tests/t.yaml:1:5: error: `noon` is not a time with its zone, such as `2026-03-02T09:30:00Z`"]),
        ),
        (
            "who: {ana: ana}\ncases: []",
            snapshot(
                [
                    "tests/t.yaml:1:12: error: `ana` is not a principal: write `person:NAME`, `agent:NAME` or `agent:NAME+person:NAME`"  # noqa: E501
                ]
            ),
        ),
        (
            "defaults: {crm_isue_refund: {}}\ncases: []",
            snapshot(["tests/t.yaml:1:12: error: unknown tool `crm_isue_refund` — did you mean `crm_issue_refund`?"]),
        ),
        (
            "defaults: {crm_issue_refund: 5}\ncases: []",
            snapshot(["tests/t.yaml:1:30: error: `crm_issue_refund` must be a mapping"]),
        ),
        ("cases: [5]", snapshot(["tests/t.yaml:1:9: error: this must be a mapping"])),
        ("5", snapshot(["tests/t.yaml:1:1: error: this must be a mapping"])),
        (
            "cases: []\n---\ncases: []",
            snapshot(["tests/t.yaml:2:1: error: this is not YAML: but found another document"]),
        ),
        ("? [a]\n: b", snapshot(["tests/t.yaml:1:3: error: a key must be a plain word"])),
        (
            "cases: \x07",
            snapshot(["tests/t.yaml:1:1: error: this is not YAML: it holds a character that is not allowed"]),
        ),
    ],
)
def test_a_mistake_in_what_all_cases_share_is_told_once(head: str, told: list[str]) -> None:
    assert mistakes("", head) == told


def test_a_file_that_would_grow_or_is_too_large_or_deep_is_refused() -> None:
    bomb = "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]"
    assert all("anchors and aliases" in message for message in mistakes("", bomb))
    assert "at most 1000000 are allowed" in mistakes("", "#" * (MAX_LENGTH + 1))[0]
    assert mistakes("", "[" * 5_000) == [
        f"tests/t.yaml:1:{MAX_DEPTH + 1}: error: this is nested more than {MAX_DEPTH} levels deep"
    ]


def test_a_file_that_is_not_utf_8_is_refused_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "odd.yaml").write_bytes(b"cases: []\n# \xff")
    with pytest.raises(PolicyError, match=r"^tests/odd.yaml:2:3: error: byte 0xFF is not UTF-8"):
        load_cases(tmp_path, TOOLS)


PIECES = r"""
    cases: who: columns: rows: expect: args.x allow ana : - { } [ ] , ' " &a *a ! | > # ~ 5 % @ --- ? ... <<:
"""
WORDS = st.sampled_from([*PIECES.split(), "\n", "\n  ", " ", "\t", "\x00", "\ud800", "\u2028"])


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=20).map("".join)), st.booleans())
def test_no_text_crashes_the_reader(text: str, after_head: bool) -> None:
    problems: list[Problem] = []
    cases_from_text("t", (HEAD if after_head else "") + text, BY_NAME, problems)
    assert all(problem.line >= 1 and problem.column >= 1 and "\n" not in problem.message for problem in problems)


# What is told


FAILING = """
  - {who: ana, tool: crm_issue_refund, args: {amount: 80.25}, expect: allow, rules: R1}
  - {name: small ones are allowed, who: ana, tool: crm_issue_refund, expect: allow}
  - {who: ana, hidden: [crm_issue_refund]}
"""


def test_a_failure_is_told_with_its_place_and_the_explanation() -> None:
    report = tried(FAILING)
    version = policy(REFUND_RULES).version
    assert "\n".join(summary(report)).replace(version, "VERSION") == snapshot("""\
F.F

tests/t.yaml:7: ana calls crm_issue_refund with amount 80.25
  expected allow by R1
  got      ask by R2
    ask: rule R2 asks for approval: a second look
    person:ana in acme calls crm_issue_refund at 2026-03-02T09:30:00+00:00 under policy VERSION

    person:ana: ask
      roles: everyone, team
      R1  allow  does not apply       args.amount <= 50 is false: args.amount is 80.25
      R2  ask    applies              args.amount > 50 is true: args.amount is 80.25
      R3  deny   does not apply       args.note == 'x' is false: args.note is ''

tests/t.yaml:9: what ana sees
  expected crm_issue_refund hidden
  got      crm_issue_refund visible

1 passed, 2 failed
2 of 4 rules made a decision
no test reaches: R3 B1\
""")


def test_junit_holds_each_test_and_the_failures_with_their_explanation() -> None:
    text = junit(
        tried(FAILING + '  - {name: "a\\x07b", who: ana, tool: crm_issue_refund, args: {amount: 10.25}, expect: ask}\n')
    )
    version = policy(REFUND_RULES).version
    assert text.replace(version, "VERSION") == snapshot("""\
<?xml version="1.0" encoding="utf-8"?>
<testsuites name="remit test" tests="4" failures="3">
  <testsuite name="tests/t.yaml" tests="4" failures="3">
    <testcase classname="tests/t.yaml" name="ana calls crm_issue_refund with amount 80.25" file="tests/t.yaml" line="7">
      <failure message="expected allow by R1, got ask by R2">ask: rule R2 asks for approval: a second look
person:ana in acme calls crm_issue_refund at 2026-03-02T09:30:00+00:00 under policy VERSION

person:ana: ask
  roles: everyone, team
  R1  allow  does not apply       args.amount &lt;= 50 is false: args.amount is 80.25
  R2  ask    applies              args.amount &gt; 50 is true: args.amount is 80.25
  R3  deny   does not apply       args.note == 'x' is false: args.note is ''</failure>
    </testcase>
    <testcase classname="tests/t.yaml" name="small ones are allowed" file="tests/t.yaml" line="8" />
    <testcase classname="tests/t.yaml" name="what ana sees" file="tests/t.yaml" line="9">
      <failure message="expected crm_issue_refund hidden, got crm_issue_refund visible">expected crm_issue_refund hidden, got crm_issue_refund visible</failure>
    </testcase>
    <testcase classname="tests/t.yaml" name="a�b" file="tests/t.yaml" line="10">
      <failure message="expected ask, got allow">allow: rule R1 allows it: small ones
person:ana in acme calls crm_issue_refund at 2026-03-02T09:30:00+00:00 under policy VERSION

person:ana: allow
  roles: everyone, team
  R1  allow  applies              args.amount &lt;= 50 is true: args.amount is 10.25
  R2  ask    does not apply       args.amount &gt; 50 is false: args.amount is 10.25
  R3  deny   does not apply       args.note == 'x' is false: args.note is ''</failure>
    </testcase>
  </testsuite>
</testsuites>
""")  # noqa: E501
    assert ET.fromstring(text).get("failures") == "3"  # noqa: S314 - our own


# The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED, tmp_path / "policies")
    return tmp_path / "policies"


def test_the_command_passes_on_the_shipped_policy_and_writes_junit(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["test", str(SHIPPED), "--require-coverage", "--junit", str(tmp_path / "j.xml")])
    assert result.exit_code == 0
    assert " 0 failed\n" in result.stdout
    root = ET.fromstring((tmp_path / "j.xml").read_text("utf-8"))  # noqa: S314 - our own
    assert int(root.get("tests", 0)) > 150


def test_the_command_fails_when_a_rule_decides_otherwise(folder: Path) -> None:
    rules = folder / "rules.csv"
    rules.write_text(rules.read_text("utf-8").replace('args.amount <= 50"', 'args.amount <= 40"'), "utf-8")
    result = CliRunner().invoke(app, ["test", str(folder)])
    assert result.exit_code == 1
    assert (
        "tests/refunds.yaml:19: ana calls crm_issue_refund with amount 50\n  expected allow by F01\n" in result.stdout
    )


def test_a_rule_that_no_test_reaches_is_listed_and_fails_where_coverage_is_required(folder: Path) -> None:
    with (folder / "rules.csv").open("a", encoding="utf-8") as rules:
        rules.write("p, Z1, role:auditor, crm_search_*, \"args.query == 'x'\", ask, new\n")
    listed = CliRunner().invoke(app, ["test", str(folder)])
    assert (listed.exit_code, "no test reaches: Z1" in listed.stdout) == (0, True)
    assert CliRunner().invoke(app, ["test", str(folder), "--require-coverage"]).exit_code == 1


def test_a_policy_without_tests_fails(folder: Path) -> None:
    shutil.rmtree(folder / "tests")
    result = CliRunner().invoke(app, ["test", str(folder)])
    assert result.exit_code == 1
    assert "there are no tests" in result.stderr


def test_the_principal_of_a_case_is_in_the_tenant_of_its_file() -> None:
    (case,) = read("  - {who: bot for ana, tool: crm_issue_refund, expect: allow}")
    assert case.principal == Principal("acme", person="ana", agent="bot")
