"""Policies that load and are most likely not meant, each with the exact line that a person reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate
from typer.testing import CliRunner

from gateway.cli import app
from gateway.policy.lint.lint import CODES, check_folder, lint
from gateway.policy.load import policy_from_texts
from gateway.policy.problem import Problem, Severity
from tests.policy.making import MODEL, SHIPPED, TOOLS

ROLES = """
g, person:ana, role:team, acme
g, person:bob, role:lead, acme
g, role:lead, role:team, acme
g, agent:bot, role:bot, acme
g, agent:bot, role:extra, acme
"""
SPOKEN_OF = "".join(
    f"p, Z{number}, role:{role}, {tool}, , allow, \n"
    for number, (role, tool) in enumerate(
        [("lead", "*"), ("bot", "crm_*"), ("extra", "crm_get_*"), ("team", "ticket_*")]
    )
)
BEFORE = SPOKEN_OF.count("\n")


def warnings(rules: str = "", roles: str = ROLES, **files: str) -> list[Problem]:
    texts = {"model.conf": MODEL, "roles.csv": roles, "rules.csv": f"{SPOKEN_OF}{rules}"}
    texts.update({f"{name}.csv": text for name, text in files.items()})
    return list(lint(policy_from_texts(texts, TOOLS), texts, TOOLS))


def refund(id_: str, condition: str, effect: str, role: str = "team") -> str:
    return f'p, {id_}, role:{role}, crm_issue_refund, "{condition}", {effect}, ""'


# A condition's column is 38 in a rule of `role:team` with an id of two letters.
CONDITIONS: list[tuple[str, list[str]]] = [
    ("args.amount > 500 and args.amount < 50", ["38: the condition never holds"]),
    ("not (args.amount > 5 or args.amount <= 5)", ["38: the condition never holds"]),
    ("500 < args.amount <= 50", ["38: the condition never holds"]),
    ("args.amount > 1000000", ["38: the condition never holds"]),
    ("args.amount <= 0", ["38: the condition never holds"]),
    ("args.amount == 5 and args.amount in [6, 7]", ["38: the condition never holds"]),
    ("args.currency == 'EUR' and args.currency == 'USD'", ["38: the condition never holds"]),
    ("args.currency not in ['EUR', 'USD', 'GBP', 'CHF', 'SEK', 'PLN']", ["38: the condition never holds"]),
    ("now.hour > 23", ["38: the condition never holds"]),
    ("now.weekday >= 5 and now.weekday in [0, 1, 2, 3, 4]", ["38: the condition never holds"]),
    ("5 < now.hour < 6", ["38: the condition never holds"]),
    ("now.date > '2026-12-31' and now.date < '2026-01-01'", ["38: the condition never holds"]),
    ("len(args.note) > 200", ["38: the condition never holds"]),
    ("calls('crm_*') < 0", ["38: the condition never holds"]),
    ("args.amount + total('crm_issue_refund', 'amount') <= 0", ["38: the condition never holds"]),
    ("person.id is None and person.id == 'ana'", ["38: the condition never holds"]),
    ("starts_with(args.note, 'a') and not starts_with(args.note, 'a')", ["38: the condition never holds"]),
    ("False", ["38: the condition never holds"]),
    ("1 > 2", ["38: the condition never holds"]),
    ("args.amount > 0", ["38: the condition always holds"]),
    ("args.amount <= 50 or args.amount > 50", ["38: the condition always holds"]),
    ("now.hour >= 0", ["38: the condition always holds"]),
    ("True", ["38: the condition always holds"]),
    ("args.amount > 5 and now.weekday <= 6", ["58: this part always holds"]),
    ("args.amount > 5 or (now.hour == 3 and now.hour == 4)", ["58: this part never holds"]),
    ("args.amount > 5 and not (now.hour > 23)", ["58: this part always holds"]),
    ("tenant == 'acm'", ["48: roles.csv knows no tenant `acm` — did you mean `acme`?"]),
    ("person.id in ['ana', 'bobb']", ["59: roles.csv knows no person `bobb` — did you mean `bob`?"]),
    ("'bott' != agent.id", ["38: roles.csv knows no agent `bott` — did you mean `bot`?"]),
    # Not decided, or fine
    ("args.amount > 50 and args.note != 'x'", []),
    ("args.amount + args.amount > 50", []),
    ("person.id == 'zoe' or tenant == 'far'", []),
    ("person.id is None or person.id != 'ana'", []),
    ("domain(args.note) == 'x' or domain(args.note) != 'x'", []),  # not an address: denied
    (" or ".join(f"(args.amount > {n} and args.note == 'x')" for n in range(1, 12)), []),  # too many cases to look at
]


@pytest.mark.parametrize(("condition", "found"), CONDITIONS)
def test_a_condition_that_never_or_always_holds_is_warned_of(condition: str, found: list[str]) -> None:
    line = f"rules.csv:{BEFORE + 1}"
    expected = [f"{line}:{each.replace(': ', ': warning: ', 1)}" for each in found]
    assert list(map(str, warnings(refund("X1", condition, "deny")))) == expected


def mail(id_: str, condition: str, effect: str) -> str:
    return f'p, {id_}, role:team, email_send_message, "{condition}", {effect}, ""'


NEVER_DECIDES = "4: warning: this rule never decides: rule"
RULES: list[tuple[list[str], list[str]]] = [
    ([refund("X1", "", "deny"), refund("X2", "args.amount <= 50", "allow")],
     [f"2:{NEVER_DECIDES} `X1` denies every call that it would allow"]),
    ([refund("X1", "args.amount > 50", "allow"), refund("X2", "args.amount > 50", "ask")],
     [f"1:{NEVER_DECIDES} `X2` asks for every call that it would allow"]),
    ([refund("X1", "args.amount > 500", "ask"), refund("X2", "args.amount > 50", "deny")],
     [f"1:{NEVER_DECIDES} `X2` denies every call that it would ask for"]),
    ([refund("X1", "args.amount > 500 and args.currency == 'EUR'", "ask"),
      refund("X2", "args.amount >= 500 or args.note == 'x'", "deny")],
     [f"1:{NEVER_DECIDES} `X2` denies every call that it would ask for"]),
    ([refund("X1", "args.currency in ['EUR', 'USD']", "allow"), refund("X2", "args.currency != 'PLN'", "ask")],
     [f"1:{NEVER_DECIDES} `X2` asks for every call that it would allow"]),
    ([mail("X1", "all_in(domain(args.to), ['a.example'])", "allow"),
      mail("X2", "all_in(domain(args.to), ['b.example', 'a.example'])", "deny")],
     [f"1:{NEVER_DECIDES} `X2` denies every call that it would allow"]),
    ([mail("X1", "any_in(args.to, ['a@a.example'])", "allow"),
      mail("X2", "not (not any_in(args.to, ['a@a.example', 'b@b.example']))", "deny")],
     [f"1:{NEVER_DECIDES} `X2` denies every call that it would allow"]),
    ([refund("X1", "args.amount > 500", "allow", "lead"), refund("X2", "args.amount > 50", "deny", "team")],
     [f"1:{NEVER_DECIDES} `X2` denies every call that it would allow, "
      "because everyone with `role:lead` has `role:team`"]),
    ([refund("X1", "args.amount > 500", "allow", "bot"), refund("X2", "", "deny", "extra")],
     [f"1:{NEVER_DECIDES} `X2` denies every call that it would allow, "
      "because everyone with `role:bot` has `role:extra`"]),
    ([refund("X1", "args.amount > 500", "allow", "team"), refund("X2", "args.amount > 50", "ask", "everyone")],
     [f"1:{NEVER_DECIDES} `X2` asks for every call that it would allow"]),
    (["p, X1, role:team, email_send_*, , allow, ", "p, X2, role:team, email_send_message, , deny, ",
      "p, X3, role:team, email_send_draft, , ask, "],
     ["1:4: warning: this rule never decides: rules `X3` and `X2` deny or ask for every call that it would allow"]),
    ([refund("X1", "args.amount > 5", "deny"), refund("X2", "args.amount > 5", "deny")],
     ["2:4: warning: this rule says the same as rule `X1`"]),
    (["p, X1, role:team, crm_get*, , deny, "],
     ["1:19: warning: `crm_get*` ends within a word — did you mean `crm_get_*`?"]),
    ([refund("X1", "calls('crm_*') + calls('email_send*') > 5", "deny")],
     ["1:55: warning: `email_send*` ends within a word — did you mean `email_send_*`?"]),
    # Fine
    ([refund("X1", "args.amount > 50", "ask"), refund("X2", "args.amount > 500", "deny")], []),
    ([refund("X1", "args.amount > 50", "deny"), refund("X2", "args.amount > 500", "deny")], []),
    ([refund("X1", "", "allow", "team"), refund("X2", "", "deny", "lead")], []),
    (["p, X1, role:team, email_send_*, , allow, ", "p, X2, role:team, email_send_message, , deny, "], []),
    ([refund("X1", "args.amount > now.hour", "allow"), refund("X2", "args.amount >= now.hour", "deny")], []),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "found"), RULES)
def test_a_rule_that_never_decides_is_warned_of(rules: list[str], found: list[str]) -> None:
    without = [line for line in map(str, warnings("\n".join(rules))) if "`Z" not in line]
    assert without == [f"rules.csv:{BEFORE + int(each.partition(':')[0])}:{each.partition(':')[2]}" for each in found]


FILES: list[tuple[dict[str, str], list[str]]] = [
    ({"roles": f"{ROLES}g, person:ana, role:team, acme"},
     ["roles.csv:7:1: warning: line 2 says the same"]),
    ({"roles": f"{ROLES}g, person:eve, role:team, acne"},
     ["roles.csv:7:27: warning: nobody else is in tenant `acne` — did you mean `acme`?"]),
    ({"roles": f"{ROLES}g, person:eve, role:team, acne\ng, person:zoe, role:team, acne"}, []),
    ({"roles": f"{ROLES}g, role:boss, role:lead, acme\ng, role:chief, role:boss, acme",
      "rules": "p, X1, role:boss, crm_*, , allow, \np, X2, role:chief, crm_*, , allow, "},
     ["roles.csv:7:4: warning: nobody has `role:boss`: if that is meant, say `g, role:boss, role:everyone, *`",
      "roles.csv:8:4: warning: nobody has `role:chief`: if that is meant, say `g, role:chief, role:everyone, *`"]),
    ({"roles": f"{ROLES}g, role:boss, role:everyone, *", "rules": "p, X1, role:boss, crm_*, , allow, "}, []),
    ({"lists": "list, a, x\nlist, b, y\nlist, b, z", "rules": refund("X1", "args.note in lists.a", "deny")},
     ["lists.csv:2:7: warning: no condition uses `lists.b`"]),
    ({"approvers": "approver, role:lead, *, acme", "rules": refund("X1", "", "ask")}, []),
    ({"approvers": "approver, role:lead, *, *", "rules": refund("X1", "", "ask")}, []),
    ({"approvers": "approver, role:lead, email_*, acme", "rules": refund("X1", "", "ask")},
     [f"rules.csv:{BEFORE + 1}:19: warning: nobody may approve `crm_issue_refund` in tenant `acme`"]),
    ({"approvers": "approver, role:lead, *, acme", "roles": f"{ROLES}g, person:z, role:team, *",
      "rules": refund("X1", "", "ask")},
     [f"rules.csv:{BEFORE + 1}:19: warning: nobody may approve `crm_issue_refund` in every tenant"]),
    ({"approvers": "approver, role:bot, *, acme", "rules": refund("X1", "", "ask")},
     [f"rules.csv:{BEFORE + 1}:19: warning: nobody may approve `crm_issue_refund` in tenant `acme`",
      "approvers.csv:1:11: warning: no person has `role:bot` in tenant `acme`"]),
    ({"approvers": "approver, role:lead, crm*, acme"},
     ["approvers.csv:1:22: warning: `crm*` ends within a word — did you mean `crm_*`?"]),
    ({"approvers": "approver, role:lead, *, acme, quorum=2", "rules": refund("X1", "", "ask")},
     ["approvers.csv:1:31: warning: 2 people must say yes, and 1 may in tenant `acme`"]),
    ({"approvers": "approver, role:lead, *, acme, quorum=2\napprover, role:team, crm_*, *, after=4h",
      "rules": refund("X1", "", "ask")}, []),
    ({"approvers": "viewer, role:bot, journal, acme\napprover, role:lead, *, acme\n"},
     ["approvers.csv:1:9: warning: no person has `role:bot` in tenant `acme`"]),
    ({"approvers": "stopper, role:bot, acme\napprover, role:lead, *, acme\n"},
     ["approvers.csv:1:10: warning: no person has `role:bot` in tenant `acme`"]),
    ({"retention": "keep, crm*, acme, 30d\nkeep, crm_*, acme, 40d"},
     ["retention.csv:1:7: warning: `crm*` ends within a word — did you mean `crm_*`?"]),
    ({"approvers": "operator, agent:bot, person:ana, far"},
     ["approvers.csv:1:11: warning: roles.csv gives `agent:bot` no role in tenant `far`",
      "approvers.csv:1:22: warning: roles.csv gives `person:ana` no role in tenant `far`"]),
    ({"approvers": "operator, agent:bot, person:ana, acme"}, []),
    ({"intents": "intent, email*, send\nintent, ticket_*, sort\nintent, crm_*, change"},
     ["intents.csv:1:9: warning: `email*` ends within a word — did you mean `email_*`?"]),
    ({"intents": "intent, email_*, send\nintent, crm_*, do\nintent, ticket_add_*, say\nintent, ticket_create_*, new"},
     ["intents.csv:1:1: warning: no words ask for `ticket_update_ticket`: "
      "for rules that want it asked for, it never is"]),
    ({"approvers": "approver, role:lead, *, far"},
     ["approvers.csv:1:11: warning: no person has `role:lead` in tenant `far`"]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "found"), FILES)
def test_what_is_doubtful_in_a_file_is_warned_of(files: dict[str, str], found: list[str]) -> None:
    assert [line for line in map(str, warnings(**files)) if ":4: warning: this rule" not in line] == found


def test_tools_that_nobody_may_call_are_warned_of_unless_a_rule_denies_them_by_name() -> None:
    texts = {
        "model.conf": MODEL,
        "roles.csv": "",
        "rules.csv": "p, A, role:everyone, crm_*, , allow, \np, B, role:everyone, email_*, , ask, \n"
        "p, C, role:everyone, ticket_*, , deny, \np, D, role:everyone, knowledge_get_document, , deny, ",
    }
    found = lint(policy_from_texts(texts, TOOLS), texts, TOOLS)
    assert [str(each) for each in found] == [
        f"rules.csv:1:1: warning: no rule allows or asks for `{tool}`: nobody may call it"
        for tool in sorted(tool.name for tool in TOOLS)
        if tool.startswith("ticket_") or tool == "knowledge_search_documents"
    ]


def test_every_warning_has_a_known_code_and_every_code_is_tested() -> None:
    found = [
        *(each for condition, _ in CONDITIONS for each in warnings(refund("X1", condition, "deny"))),
        *(each for rules, _ in RULES for each in warnings("\n".join(rules))),
        *(each for files, _ in FILES for each in warnings(**files)),
    ]
    elsewhere = {"mistake", "unreachable-tool", "unreached-limit", "uncounted-tool"}
    assert {each.code for each in found} | elsewhere == set(CODES)
    assert {each.severity for each in found} == {Severity.WARNING}


def test_the_shipped_policy_has_no_warnings() -> None:
    policy, problems = check_folder(SHIPPED, TOOLS)
    assert policy is not None
    assert problems == ()


# The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("model.conf", "lists.csv", "rules.csv", "roles.csv"):
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    return tmp_path


def add(folder: Path, line: str) -> int:
    rules = folder / "rules.csv"
    rules.write_text(rules.read_text() + line + "\n")
    return rules.read_text().count("\n")


DOUBTFUL = 'p, X1, role:sales, crm_get_deal, "now.hour > 23", deny, "é"'
WRONG = "p, X2, role:sale, crm_get_deal, , deny, "


def test_check_is_silent_about_a_good_policy_and_counts_its_rules() -> None:
    done = CliRunner().invoke(app, ["check", str(SHIPPED)])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "rules, 0 errors, 0 warnings" in done.stderr


def test_a_warning_is_printed_with_its_place_and_fails_only_when_strict(folder: Path) -> None:
    line = add(folder, DOUBTFUL)
    done = CliRunner().invoke(app, ["check", str(folder)])
    assert (done.exit_code, done.stdout) == (0, f"{folder}/rules.csv:{line}:35: warning: the condition never holds\n")
    done = CliRunner().invoke(app, ["check", str(folder), "--strict"])
    assert (done.exit_code, done.stdout) == (1, f"{folder}/rules.csv:{line}:35: error: the condition never holds\n")
    assert "1 error, 0 warnings" in done.stderr


def test_an_error_fails_and_is_printed_with_its_place(folder: Path) -> None:
    line = add(folder, WRONG)
    done = CliRunner().invoke(app, ["check", str(folder)])
    assert done.exit_code == 1
    assert done.stdout == f"{folder}/rules.csv:{line}:8: error: unknown role `role:sale` — did you mean `role:sales`?\n"


def test_json_has_every_problem_and_the_version_of_a_good_policy(folder: Path) -> None:
    line = add(folder, DOUBTFUL)
    told = json.loads(CliRunner().invoke(app, ["check", str(folder), "--json"]).stdout)
    problem = {"file": "rules.csv", "line": line, "column": 35, "severity": "warning", "code": "never-true"}
    assert told["problems"] == [{**problem, "message": "the condition never holds"}]
    assert len(told["policy_version"]) == 16
    add(folder, WRONG)
    told = json.loads(CliRunner().invoke(app, ["check", str(folder), "--json"]).stdout)
    assert (told["policy_version"], [each["code"] for each in told["problems"]]) == (None, ["mistake"])


# What code hosts need of SARIF 2.1.0 (OASIS, sections 3.13 to 3.30): a subset of its schema.
_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
_REGION = {
    "type": "object",
    "required": ["startLine", "startColumn"],
    "properties": {"startLine": {"type": "integer", "minimum": 1}, "startColumn": {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}
_ARTIFACT = {
    "type": "object",
    "required": ["uri"],
    "properties": {"uri": {"type": "string", "format": "uri-reference"}},
}
_PLACE = {
    "type": "object",
    "required": ["artifactLocation", "region"],
    "properties": {"artifactLocation": _ARTIFACT, "region": _REGION},
}
_LOCATION = {"type": "object", "required": ["physicalLocation"], "properties": {"physicalLocation": _PLACE}}
_RESULT = {
    "type": "object",
    "required": ["ruleId", "ruleIndex", "level", "message", "locations"],
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": _TEXT,
        "locations": {"type": "array", "items": _LOCATION, "minItems": 1, "maxItems": 1},
    },
    "additionalProperties": False,
}
_RULE = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string"}, "shortDescription": _TEXT},
    "additionalProperties": False,
}
_DRIVER = {
    "type": "object",
    "required": ["name", "version", "rules"],
    "properties": {"name": {"type": "string"}, "rules": {"type": "array", "items": _RULE, "uniqueItems": True}},
}
_RUN = {
    "type": "object",
    "required": ["tool", "results"],
    "properties": {
        "tool": {"type": "object", "required": ["driver"], "properties": {"driver": _DRIVER}},
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        "results": {"type": "array", "items": _RESULT},
    },
    "additionalProperties": False,
}
SARIF = {
    "type": "object",
    "required": ["$schema", "version", "runs"],
    "properties": {
        "$schema": {},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": _RUN, "minItems": 1},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize("lines", [[], [DOUBTFUL], [DOUBTFUL, WRONG]])
def test_sarif_has_the_form_that_code_hosts_read(folder: Path, lines: list[str]) -> None:
    for line in lines:
        add(folder, line)
    done = CliRunner().invoke(app, ["check", str(folder), "--sarif"])
    log: dict[str, Any] = json.loads(done.stdout)
    validate(log, SARIF)
    (run,) = log["runs"]
    rules, results = run["tool"]["driver"]["rules"], run["results"]
    assert done.exit_code == (WRONG in lines)
    assert len(results) == min(len(lines), 1)
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in results)


def test_sarif_places_are_relative_to_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(folder, DOUBTFUL)
    monkeypatch.chdir(folder.parent)
    log = json.loads(CliRunner().invoke(app, ["check", folder.name, "--sarif"]).stdout)
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == f"{folder.name}/rules.csv"
    monkeypatch.chdir(SHIPPED)
    log = json.loads(CliRunner().invoke(app, ["check", str(folder), "--sarif"]).stdout)
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == f"{folder.as_uri()}/rules.csv"
