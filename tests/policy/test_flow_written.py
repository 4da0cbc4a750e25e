"""Data flow as it is written: in the journal, in policy tests, on the command line."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from connectors.contract import Confidentiality
from gateway.cli import app
from gateway.policy.language.flow import UNTOUCHED, Flow, Integrity, Origin
from gateway.policy.language.flow_written import flow_from, flow_words, parse_flow
from gateway.policy.testing.cases import cases_from_text
from gateway.policy.testing.trials import run_cases
from tests.policy.flows import HELD, MAIL, MAIL_RULES, SEND
from tests.policy.generated import BY_NAME, CALLED, flow
from tests.policy.making import MODEL, TEAM, policy, problems

# Written down


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(CALLED))
def test_a_flow_reads_back_as_it_was_told(seed: int, tool: str) -> None:
    found = flow(Random(seed), tool) or UNTOUCHED
    assert flow_from(json.loads(json.dumps(found.told()))) == found


def test_a_run_that_has_seen_nothing_has_nothing_to_tell_and_everything_is_told() -> None:
    assert UNTOUCHED.told() == {}
    everything = Flow(
        {"to": Origin.NOWHERE}, {"body": Confidentiality.SECRET}, {"to": Confidentiality.INTERNAL}, Integrity.CUSTOMER,
        Confidentiality.INTERNAL, True, True, {"to": True}, 1, 2, 3, 2,
    )  # fmt: skip
    assert everything.told() == {
        "origins": {"to": "nowhere"},
        "confidentiality": {"body": "secret"},
        "audience": {"to": "internal"},
        "integrity": "customer",
        "seen": "internal",
        "has_grant": True,
        "is_intended": True,
        "first_time": {"to": True},
        "denials": 1,
        "records": 2,
        "recent_calls": 3,
        "customers": 2,
    }
    assert everything.told().keys() == {each.name for each in fields(Flow)}
    assert parse_flow(flow_words(everything), SEND) == everything


@pytest.mark.parametrize(
    ("told_of", "message"),
    [
        ({"origin": {"to": "request"}}, "`origin`: unknown fact `origin` of data flow: say `origins`"),
        ({"origins": "outsider"}, "`origins`: `origins` must say for each argument, such as `origins: {to: …}`"),
        ({"origins": {"to": "internet"}}, "`origins.to`: `internet` is not known here: it is one of request, "),
        ({"seen": "customr"}, "`seen`: `customr` is not known here — did you mean `customer`?"),
        ({"has_grant": 1}, "`has_grant`: `1` must be `true` or `false`"),
        ({"denials": -1}, "`denials`: `-1` must be a whole number from 0"),
        ({"denials": True}, "`denials`: `True` must be a whole number from 0"),
        ({"integrity": None}, "`integrity`: `None` is not known here: it is one of organisation, customer, anyone"),
    ],
)
def test_a_flow_that_is_wrongly_told_is_refused(told_of: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is compared
        flow_from(told_of)
    assert str(refused.value).startswith(message)


# Policy tests

HEAD = 'tenant: acme\nwho: {ana: "person:ana"}\ndefaults:\n  email_send_message: {mailbox: a@acme.example, to: [b@x.example], subject: s, body: b}\ncases:\n'  # noqa: E501


def cases(text: str) -> tuple[list[Any], list[str]]:
    found: list[Any] = []
    read = cases_from_text("tests/t.yaml", HEAD + text, BY_NAME, found)
    return read, [str(each) for each in found]


def test_a_policy_test_says_the_flow_and_a_table_has_columns_for_it() -> None:
    read, mistakes = cases("""
  - {who: ana, tool: email_send_message, expect: allow, rules: R1}
  - {who: ana, tool: email_send_message, expect: ask, rules: R2, flow: {integrity: anyone}}
  - who: ana
    tool: email_send_message
    flow: {integrity: anyone, audience: {to: internal}}
    columns: [flow.origins.to, flow.confidentiality.body, expect, rules]
    rows:
      - [request,      internal, allow, R1]
      - [organisation, internal, allow, R1]
      - [customer,     public,   ask,   R2]
      - [outsider,     internal, ask,   R2]
      - [request,      customer, deny,  R3]
  - who: ana
    tool: email_send_message
    flow: {origins: {to: outsider}}
    columns: [flow.integrity, flow.has_grant, expect]
    rows: [[organisation, true, allow], [customer, false, ask]]
""")
    assert mistakes == []
    assert [trial.actual for trial in run_cases(policy(MAIL_RULES), read).failures] == []
    assert read[-2].flow.origins == {"mailbox": "nowhere", "to": "outsider", "subject": "nowhere", "body": "nowhere"}
    assert read[-2].flow.has_grant


def test_what_a_policy_test_leaves_unsaid_is_as_in_a_run_that_has_seen_nothing() -> None:
    [case], _ = cases("  - {who: ana, tool: email_send_message, expect: allow}")
    assert case.flow == Flow(
        origins=dict.fromkeys(("mailbox", "to", "subject", "body"), Origin.NOWHERE),
        confidentiality=dict.fromkeys(("subject", "body"), Confidentiality.PUBLIC),
        audience={"to": Confidentiality.PUBLIC},
        first_time={"to": False},
    )


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("{who: ana, tool: email_send_message, expect: ask, flow: {origins: {to: outsidr}}}",
         ["tests/t.yaml:6:76: error: `outsidr` is not known here — did you mean `outsider`?"]),
        ("{who: ana, tool: email_send_message, expect: ask, flow: {origins: {too: outsider}}}",
         ["tests/t.yaml:6:77: error: `origins` says nothing of `too` — did you mean `to`?"]),
        ("{who: ana, tool: email_send_message, expect: ask, flow: {confidentiality: {to: public}}}",
         ["tests/t.yaml:6:84: error: `confidentiality` says nothing of `to`: it can be said of subject, body"]),
        ("{who: ana, tool: email_send_message, expect: ask, flow: {saw_untrusted: true}}",
         ["tests/t.yaml:6:77: error: unknown fact `saw_untrusted` of data flow: say `integrity`, such as `anyone`"]),
        ("{who: ana, tool: email_send_message, expect: ask, flow: {integrty: anyone}}",
         ["tests/t.yaml:6:72: error: unknown fact `integrty` of data flow — did you mean `integrity`?"]),
        ("{who: ana, tool: email_send_message, expect: ask, flow: anyone}",
         ["tests/t.yaml:6:61: error: `flow` must be a mapping"]),
        ("{who: ana, tool: email_send_message, columns: [flow.origins.too, expect], rows: [[outsider, ask]]}",
         ["tests/t.yaml:6:52: error: unknown column `flow.origins.too` — did you mean `flow.origins.to`?"]),
        ("{who: ana, tool: email_send_message, columns: [flow.denials, expect], rows:\n  [[2, allow],\n   [x, ask]]}",
         ["tests/t.yaml:8:5: error: `x` must be a whole number from 0"]),
        ("{who: ana, visible: ['email_*'], flow: {integrity: anyone}}",
         ["tests/t.yaml:6:5: error: a case needs `who`, `tool` and `expect`, or `who` and `visible` or `hidden`"]),
    ],
)  # fmt: skip
def test_a_mistake_in_a_tests_flow_is_refused_at_its_place(text: str, mistakes: list[str]) -> None:
    assert cases(f"  - {text}")[1] == mistakes


# Commands


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.conf").write_text(MODEL, "utf-8")
    (tmp_path / "roles.csv").write_text(TEAM, "utf-8")
    (tmp_path / "rules.csv").write_text(MAIL_RULES, "utf-8")
    return tmp_path


def remit(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "300", "TERM": "dumb"})
    return done.exit_code, done.output


def test_a_decision_is_asked_for_with_its_flow(folder: Path) -> None:
    asked = ["decide", "--policies", str(folder), "--tenant", "acme", "--as", "person:ana"]
    asked += ["--tool", "email_send_message", "--args", json.dumps(MAIL)]
    assert remit(*asked)[0] == 0
    assert remit(*asked, "--flow", "origins.to=outsider,integrity=anyone")[0] == 3
    assert remit(*asked, "--flow", "origins.to=request", "--flow", "integrity=anyone")[0] == 0
    status, text = remit(*asked, "--flow", "confidentiality.body=customer, audience.to=public", "--explain")
    assert status == 4
    assert "with audience(args.to) 'secret' or 'customer', rule R1 would allow it" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("origins.too=outsider", "`origins.too`: `origins` says nothing of `too` — did you mean `to`?"),
        ("integrity", "`integrity` is not of the form `origins.to=outsider` or `integrity=anyone`"),
        ("origins=x,origins.to=outsider", "`origins.to`: `origins` is said already"),
        ("denials=few", "`denials`: `few` must be a whole number from 0"),
    ],
)
def test_a_flow_that_is_wrongly_said_is_refused(folder: Path, words: str, message: str) -> None:
    asked = ("decide", "--policies", str(folder), "--tenant", "acme", "--as", "person:ana")
    status, text = remit(*asked, "--tool", "email_send_message", "--args", json.dumps(MAIL), "--flow", words)
    assert status == 2
    assert message in text


def test_a_counter_example_is_printed_as_a_command_that_decides_it(folder: Path) -> None:
    line = f'i, X, person:ana, email_send_message, "{HELD}", always allow, ""'
    (folder / "invariants.csv").write_text(line, "utf-8")
    status, text = remit("prove", str(folder))
    assert status == 1
    [command] = [each.partition("see: ")[2] for each in text.splitlines() if "see: remit decide" in each]
    assert "--flow integrity=" in command
    words = shlex.split(command)[1:]
    assert remit(*words, "--policies", str(folder))[0] in (3, 4)
    status, text = remit("prove", str(folder), "--json")
    [stated] = json.loads(text)["statements"]
    assert stated["example"]["flow"]["integrity"] in ("customer", "anyone")


def test_policies_are_compared_by_their_rules_about_flow(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("model.conf", "roles.csv"):
        (other / name).write_text((folder / name).read_text("utf-8"), "utf-8")
    (other / "rules.csv").write_text(MAIL_RULES.replace("'organisation']", "'organisation', 'customer']"), "utf-8")
    status, text = remit("diff", str(folder), str(other))
    assert status == 0
    assert "origin(args.to) not in ['request', 'organisation'] → " in text


def test_flow_is_part_of_the_one_model(folder: Path) -> None:
    assert "now, history, flow" in MODEL
    texts = {"model.conf": MODEL.replace(", flow", ""), "roles.csv": TEAM, "rules.csv": MAIL_RULES}
    assert any("only honours `r = " in each for each in problems(MAIL_RULES, TEAM, texts["model.conf"]))
