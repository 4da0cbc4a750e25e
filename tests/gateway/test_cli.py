"""The `remit` command as its users meet it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.cli import _command, places
from gateway.database import Database
from gateway.journal import Kind, read_journal
from gateway.settings import SHIPPED_POLICIES
from tests.processes import REMIT, clean, make_token, remit, warm_remit

pytestmark = pytest.mark.process

PEOPLE = {
    "support agent": "person:ana.ruiz@larkspur.example",
    "support lead": "person:maya.okafor@larkspur.example",
    "sales": "person:tom.lindqvist@larkspur.example",
    "auditor": "person:ines.moreau@larkspur.example",
}


def listed(principal: str) -> dict[str, dict[str, Any]]:
    return {tool["name"]: tool for tool in json.loads(remit("tools", "--as", principal, "--json").stdout)}


def test_the_four_roles_see_different_tools() -> None:
    seen = {role: frozenset(listed(principal)) for role, principal in PEOPLE.items()}
    assert len(set(seen.values())) == 4 or seen["support lead"] > seen["support agent"]
    assert "crm_issue_refund" in seen["support agent"]
    assert "crm_issue_refund" not in seen["sales"]
    assert "crm_update_deal" in seen["sales"]
    assert "crm_update_deal" not in seen["support agent"]
    annotations = [tool["annotations"] for tool in listed(PEOPLE["auditor"]).values()]
    assert all(each["readOnlyHint"] for each in annotations)


def test_an_agent_for_a_person_sees_no_more_than_either() -> None:
    both = set(listed("agent:triage+person:ana.ruiz@larkspur.example"))
    assert both <= set(listed("agent:triage")) & set(listed(PEOPLE["support agent"]))
    assert both


def test_a_principal_without_any_role_sees_nothing() -> None:
    assert listed("person:nobody@larkspur.example") == {}


def test_a_token_is_printed_alone_on_standard_output_and_can_be_revoked(tmp_path: Path) -> None:
    who = ("--person", "ana.ruiz@larkspur.example", "--agent", "assistant")
    token = remit("token", "create", *who, "--home", str(tmp_path)).stdout.strip()
    assert token.startswith("remit_")
    line = remit("token", "list", "--home", str(tmp_path)).stdout
    assert token not in line
    assert "in force" in line
    token_id = line.split()[0]
    remit("token", "revoke", token_id, "--home", str(tmp_path))
    assert "revoked" in remit("token", "list", "--home", str(tmp_path)).stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tools"], "needs a principal"),
        (["tools", "--as", "ana"], "is not a principal"),
        (["serve"], "choose one"),
        (["serve", "--http", "8900"], "is not HOST:PORT"),
        (["token", "create"], "name who calls"),
        (["token", "create", "--agent", "assistant", "--person", ""], "is not a name"),
        (["token", "revoke", "tok_never"], "no token `tok_never` is in force"),
        (["token", "list", "--home", "/no/such/home"], "the database cannot be used"),
        (["journal", "show", "call_never"], "no journal can be read"),
        (["import", "mbox", "no-such-file", "--mailbox", "support@larkspur.example"], "no-such-file"),
        (["import", "mbox", "pyproject.toml"], "mailbox"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line_what_to_do(tmp_path: Path, arguments: list[str], told: str) -> None:
    result = subprocess.run(
        [warm_remit(), *arguments],
        check=False,
        text=True,
        capture_output=True,
        env={**clean(), "REMIT_HOME": str(tmp_path)},
    )
    assert result.returncode != 0
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broken_policy_file_stops_the_start_with_file_line_and_column(tmp_path: Path) -> None:
    for path in SHIPPED_POLICIES.glob("*.c*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "rules.csv").open("a") as rules:
        rules.write("p, Z1, role:support_agent, crm_get_contct, , allow, a misspelt tool\n")
    line = (tmp_path / "rules.csv").read_text().count("\n")
    result = remit("tools", "--as", "agent:triage", "--policies", str(tmp_path), check=False)
    assert result.returncode == 1
    assert f"rules.csv:{line}:" in result.stderr
    assert "did you mean `crm_get_contact`?" in result.stderr


def test_without_policy_files_nothing_starts(tmp_path: Path) -> None:
    result = remit("tools", "--as", "agent:triage", "--policies", str(tmp_path), check=False)
    assert result.returncode == 1
    assert "model.conf" in result.stderr
    assert "Traceback" not in result.stderr


def test_stdio_survives_lines_that_are_not_json_rpc_and_answers_the_next(tmp_path: Path) -> None:
    good = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    lines = [b"{", b"\xff\xfe", b"[1]", b'"text"', b'{"jsonrpc":"2.0"}', b"x" * 100_000, json.dumps(good).encode()]
    arguments = [REMIT, "serve", "--stdio", "--home", str(tmp_path), "--as", "agent:triage"]
    result = subprocess.run(
        arguments, input=b"\n".join(lines) + b"\n", capture_output=True, env=clean(), timeout=60, check=False
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert any(answer.get("id") == 1 and answer["result"]["serverInfo"]["name"] == "remit" for answer in answers)
    assert b"Traceback" not in result.stdout


def test_stdio_takes_its_principal_from_the_homes_configuration(tmp_path: Path) -> None:
    arguments = [warm_remit(), "serve", "--stdio", "--home", str(tmp_path)]
    refused = subprocess.run(arguments, input=b"", capture_output=True, env=clean(), timeout=60, check=False)
    assert refused.returncode != 0
    assert b"remit.toml" in refused.stderr
    (tmp_path / "remit.toml").write_text('principal = "agent:triage"\n')
    served = subprocess.run(arguments, input=b"", capture_output=True, env=clean(), timeout=60, check=False)
    assert served.returncode == 0, served.stderr


def test_the_journal_shows_what_outsiders_wrote_without_its_control_characters(tmp_path: Path) -> None:
    # An unknown tool's name is the caller's own text, and goes into the record.
    call = {"name": "evil\x1b[2J\u202etool", "arguments": {}}
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**call, "_meta": meta}})
    arguments = [warm_remit(), "serve", "--stdio", "--home", str(tmp_path), "--as", "agent:triage"]
    subprocess.run(arguments, input=line.encode() + b"\n", capture_output=True, env=clean(), timeout=60, check=True)
    [entry] = read_journal(Database.in_file(tmp_path / "remit.db"), EVERY_TENANT)
    assert entry.kind is Kind.UNKNOWN_TOOL
    for command in (["list"], ["list", "--json"], ["show", entry.call_id]):
        shown = remit("journal", *command, "--home", str(tmp_path)).stdout
        assert "\x1b[2J" not in shown
        assert "\u202e" not in shown


def test_the_home_and_all_in_it_are_for_their_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_token(home, "--agent", "triage")
    remit("import", "contacts", str(_contacts(tmp_path)), "--home", str(home))
    for path in (home, *home.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def _contacts(folder: Path) -> Path:
    path = folder / "contacts.csv"
    path.write_text("name,email\nKim Doe,kim@customer.example\nNobody,nonsense\n")
    return path


def test_help_names_every_command_with_a_sentence() -> None:
    shown = remit("--help").stdout
    for command in ("serve", "tools", "import", "sample", "demo", "token", "journal", "run"):
        assert f" {command} " in shown


STARTED_BY_TESTS = (
    *("approvals", "backup", "connect", "credentials", "database", "doctor", "grant", "import", "journal", "runs"),
    *("sample", "stop", "token", "upstream", "worker"),
)


@pytest.mark.parametrize("name", STARTED_BY_TESTS)
def test_a_command_that_tests_fork_finds_all_that_it_imports_by_itself(name: str) -> None:
    shown = subprocess.run([REMIT, name, "--help"], text=True, capture_output=True, env=clean(), check=True)
    assert f"Usage: remit {name} " in shown.stdout


def test_help_says_of_each_command_what_its_own_help_begins_with() -> None:
    for name, place in places().items():
        assert _command(name, place).help.split("\n\n")[0] == place.told


@pytest.mark.parametrize("arguments", [[], ["--help"], ["nonsense"]])
def test_what_runs_no_command_imports_nothing_heavy(arguments: list[str]) -> None:
    heavy = ["sqlalchemy", "mcp", "z3", "cryptography", "psycopg", "structlog", "gateway.settings"]
    program = (
        f"import sys\nsys.argv = ['remit', *{arguments}]\nfrom gateway.cli import main\n"
        f"try:\n    main()\nfinally:\n    print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, env=clean(), check=False)
    assert ran.stderr.splitlines()[-1] == "[]"
