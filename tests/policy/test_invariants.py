"""Reading `invariants.csv`, and what `remit prove` and `remit check` make of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.policy.problem import Problem, Severity
from gateway.policy.proof.findings import check_invariants
from gateway.policy.proof.invariants import read_invariants
from tests.policy.making import SHIPPED, TOOLS, policy
from tests.policy.proving import RULES, SHIPPED_INVARIANTS, shipped_but

RULE = "p, R1, role:team, crm_issue_refund, args.amount <= 50, allow, \np, B1, role:bot, crm_issue_refund, , ask, \n"
HOLE = RULES.replace('"args.amount <= 200", ask', '"args.amount <= 200", allow')


def mistakes(*lines: str) -> list[str]:
    problems: list[Problem] = []
    read_invariants("\n".join(lines), policy(RULE), TOOLS, problems)
    return [str(problem) for problem in problems]


BROKEN = (
    ("p, X, anyone, crm_*, , never allow, ", "1:1", "unknown line type `p`: lines of invariants.csv start with `i`"),
    ("i, X, anyone, crm_*, never allow, ", "1:1", "expected 7 columns (i, id, who, tool, condition, what must hold,"),
    ("i, 1X, anyone, crm_*, , never allow, ", "1:4", "id `1X` must be a letter, then letters, digits, `_` or `-`"),
    ("i, X, anyone, crm_*, , never alow, ", "1:24", "unknown requirement `never alow` — did you mean `never allow`?"),
    ("i, X, anyone, crm_*, , often, ", "1:24", "unknown requirement `often`: it must be one of `never allow`, "),
    ("i, X, everybody, crm_*, , never allow, ", "1:7", "`everybody` does not say who: write `anyone`"),
    ("i, X, anyone alone, crm_*, , never allow, ", "1:7", "only an agent can act for a person"),
    ("i, X, any person for a person, crm_*, , never allow, ", "1:7", "only an agent can act for a person"),
    ("i, X, person:anna, crm_*, , never allow, ", "1:7", "unknown person `person:anna` — did you mean `person:ana`?"),
    ("i, X, agent:x, crm_*, , never allow, ", "1:7", "unknown agent `agent:x`: roles.csv does not mention it"),
    (
        "i, X, anyone with role:taem, crm_*, , never allow, ",
        "1:7",
        "unknown role `role:taem` — did you mean `role:team`",
    ),
    ("i, X, anyone, crm_isue_refund, , never allow, ", "1:15", "unknown tool `crm_isue_refund` — did you mean"),
    ('i, X, anyone, crm_issue_refund, "args.amunt > 1", never allow, ', "1:34", "unknown field `args.amunt` — did you"),
    ("i, X, anyone, crm_*, , never deny, \n" * 2, "2:4", "id `X` is already used on line 1"),
)


@pytest.mark.parametrize(("text", "place", "message"), BROKEN)
def test_a_mistake_is_told_with_its_place(text: str, place: str, message: str) -> None:
    [told] = mistakes(text)
    assert told.startswith(f"invariants.csv:{place}: error: {message}")


def test_the_shipped_statements_have_no_mistake() -> None:
    problems: list[Problem] = []
    found = read_invariants(SHIPPED_INVARIANTS, shipped_but(RULES), TOOLS, problems)
    assert found
    assert not problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policies"
    shutil.copytree(SHIPPED, made)
    return made


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout


def test_prove_ends_with_0_only_if_everything_is_proved(folder: Path) -> None:
    status, said = run("prove", str(folder))
    assert status == 0
    assert said.splitlines()[0].startswith("I01    proved  never allow or ask: ")
    (folder / "rules.csv").write_text(HOLE, "utf-8")
    status, said = run("prove", str(folder))
    assert status == 1
    assert "I04    broken  never allow: an agent never moves money on its own" in said
    assert run("prove", str(folder), "--only", "I01")[0] == 0


def test_the_example_of_prove_is_confirmed_by_decide(folder: Path) -> None:
    (folder / "rules.csv").write_text(HOLE, "utf-8")
    [found] = json.loads(run("prove", str(folder), "--only", "I04", "--json")[1])["statements"]
    example = found["example"]
    caller = f"agent:{example['agent']}" + (f"+person:{example['person']}" if example["person"] else "")
    arguments = ["--as", caller, "--tenant", example["tenant"], "--tool", example["tool"], "--at", example["at"]]
    arguments += ["--args", json.dumps(example["args"]), "--policies", str(folder)]
    status, said = run("decide", *arguments, "--json")
    assert (status, json.loads(said)["verdict"]) == (0, example["verdict"])


def test_what_lies_outside_of_translation_is_said_with_its_rule_and_is_not_proved() -> None:
    rules = "p, R7, role:everyone, crm_log_activity, args.subject != args.body, allow, \n" + RULE
    text = 'i, X, any person alone, crm_log_activity, "", never deny, "two texts"'
    [problem] = check_invariants(policy(rules), TOOLS, text)
    assert problem.severity is Severity.ERROR
    assert problem.code == "undecided-invariant"
    assert "rule R7 lies outside what can be translated: two texts that both depend on the call" in problem.message


def test_a_statement_about_one_person_is_about_every_tenant() -> None:
    rules = "p, R7, role:everyone, crm_get_contact, tenant != 'acme', allow, \n" + RULE
    [problem] = check_invariants(policy(rules), TOOLS, 'i, X, person:ana, crm_get_contact, "", never allow, ""')
    assert problem.message.startswith("X does not hold: person:ana in ")
    within = """i, X, person:ana, crm_get_contact, "tenant == 'acme'", never allow, \"\""""
    assert check_invariants(policy(rules), TOOLS, within) == ()


def test_a_rule_about_an_id_reaches_whoever_has_it_even_if_no_line_lists_him() -> None:
    rules = "p, R7, role:everyone, crm_get_contact, \"ends_with(person.id, '@acme.example')\", allow, \n" + RULE
    [problem] = check_invariants(policy(rules), TOOLS, 'i, X, any person alone, crm_get_contact, "", never allow, ""')
    assert "@acme.example in" in problem.message
    own = "p, R7, role:everyone, ticket_update_ticket, args.assignee == person.id, allow, \n" + RULE
    roles = "g, person:zoe@acme.example, role:team, acme\ng, person:eve, role:team, acme\ng, agent:bot, role:bot, acme"
    text = 'i, X, any person alone with role:team, ticket_update_ticket, "", never allow, ""'
    [problem] = check_invariants(policy(own, roles), TOOLS, text)
    assert "person:zoe@acme.example in acme calls `ticket_update_ticket`" in problem.message


def test_without_an_answer_in_time_nothing_is_proved(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    import z3

    monkeypatch.setattr(z3.Solver, "check", lambda *_: z3.unknown)
    monkeypatch.setattr(z3.Solver, "reason_unknown", lambda _: "timeout")
    status, said = run("prove", str(folder), "--only", "I01")
    assert status == 1
    assert "I01    could not decide" in said
    assert "the solver gave up: timeout" in said


def test_check_tells_a_statement_that_does_not_hold_in_its_place(folder: Path) -> None:
    assert run("check", str(folder))[0] == 0
    (folder / "rules.csv").write_text(HOLE, "utf-8")
    status, said = run("check", str(folder), "--json")
    told = [each for each in json.loads(said)["problems"] if each["file"] == "invariants.csv"]
    assert status == 1
    assert {each["code"] for each in told} == {"broken-invariant"}
    assert any(each["message"].startswith("I04 does not hold: agent:triage") for each in told)
    without = json.loads(run("check", str(folder), "--no-prove", "--json")[1])
    assert not [each for each in without["problems"] if each["file"] == "invariants.csv"]


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("check", 0, "invariants.csv:5:1: warning: nothing was proved: the solver z3 is not installed"),
        ("prove", 2, "proofs need the solver z3"),
    ],
)
def test_without_z3_check_warns_and_prove_says_what_to_install(
    folder: Path, command: str, status: int, says: str
) -> None:
    without = "import sys; sys.modules['z3'] = None; from gateway.cli import main; main()"
    run = [sys.executable, "-c", without, command, str(folder)]
    done = subprocess.run(run, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == status
    assert says in done.stdout + done.stderr
