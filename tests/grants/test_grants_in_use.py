"""Grants as an assistant's user and an agent meet them: the command, the list of tools, a real gateway."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mcp.types as wire
import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.grants.listing import under_grant
from gateway.listing import described
from gateway.policy.narrowing.express import form_of
from tests.grants.granting import terms
from tests.grants.test_only_narrower import BY_NAME, under
from tests.processes import Served, serving

ANA = "person:ana.ruiz@larkspur.example"


def command(*arguments: str, fails: bool = False) -> Result:
    """Run `remit` within this process."""
    done = CliRunner(env={"COLUMNS": "300"}).invoke(app, arguments)
    assert (done.exit_code != 0) == fails, done.output
    return done


# The list


def shown(**given: Any) -> dict[str, wire.Tool]:
    names = ("crm_get_contact", "crm_issue_refund", "email_send_message", "ticket_update_ticket")
    return {
        tool.name: tool for tool in under_grant(under(terms(**given)), [described(BY_NAME[name]) for name in names])
    }


def test_tools_outside_the_grant_are_not_shown() -> None:
    assert set(shown(tools=["crm_*"])) == {"crm_get_contact", "crm_issue_refund"}
    assert set(shown(tools=[])) == set()
    assert len(shown()) == 4


def test_targets_become_the_choices_of_the_schema() -> None:
    found = shown(
        targets={
            "crm_issue_refund": {"amount": [50], "currency": ["EUR", "CHF", "XXX"]},
            "email_send_message": {"to": ["kim@customer.example"]},
            "ticket_update_ticket": {"tags": ["refund"]},
        }
    )
    refund = found["crm_issue_refund"].input_schema["properties"]
    assert refund["amount"]["enum"] == [50]
    assert refund["amount"]["exclusiveMinimum"] == 0, "what else is said of it still holds"
    assert refund["currency"]["enum"] == ["EUR", "CHF"]
    assert found["email_send_message"].input_schema["properties"]["to"]["items"]["enum"] == ["kim@customer.example"]
    tags = found["ticket_update_ticket"].input_schema["properties"]["tags"]["anyOf"]
    assert [choice["items"]["enum"] for choice in tags if "items" in choice] == [["refund"]]
    assert "`amount` must be `50`" in (found["crm_issue_refund"].description or "")


def test_what_no_schema_can_say_is_said_in_words_and_what_is_shared_stays_as_it_was() -> None:
    found = shown(limits={"crm_*": 3, "crm_issue_refund": 1})
    assert (found["crm_issue_refund"].description or "").endswith(
        "The grant:\n- at most 3 calls of `crm_*` together\n- at most 1 calls"
    )
    shown(targets={"crm_issue_refund": {"amount": [50]}})
    assert "enum" not in form_of(BY_NAME["crm_issue_refund"].input).schema["properties"]["amount"]


# A real gateway


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("granted")


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[tuple[Served, httpx.Client]]:
    token = command("token", "create", "--home", str(home), "--person", ANA.removeprefix("person:")).stdout.strip()
    with serving(home) as gateway:
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
        }
        with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as http:
            yield gateway, http


def ask(http: httpx.Client, method: str, grant: str, **params: Any) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
        **({"remit/grant": grant} if grant else {}),
    }
    named = {"Mcp-Name": params["name"]} if "name" in params else {}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta, **params}}
    told: dict[str, Any] = http.post("/mcp", json=body, headers={"Mcp-Method": method, **named}).json()
    return told


@pytest.mark.process
def test_a_user_grants_a_task_and_takes_it_back_beside_a_running_gateway(
    home: Path, served: tuple[Served, httpx.Client]
) -> None:
    _, http = served
    made = command("grant", "--as", ANA, "--request", "Which accounts are there?", "--tool", "crm_search_*",
                 "--limit", "crm_*=1", "--follow", "tic_abcd2345", "--home", str(home))  # fmt: skip
    token, grant_id = made.stdout.strip(), made.stderr.split()[0]

    listed = ask(http, "tools/list", token)["result"]
    assert {tool["name"] for tool in listed["tools"]} == {"crm_search_accounts", "crm_search_contacts"}
    assert listed["ttlMs"] == 0
    assert len(ask(http, "tools/list", "")["result"]["tools"]) > 2
    assert "not issued here" in ask(http, "tools/list", "forged")["error"]["message"]

    def status(grant: str) -> str:
        answer = ask(http, "tools/call", grant, name="crm_search_accounts", arguments={})
        told: str = answer["result"]["structuredContent"]["status"]
        return told

    assert [status(token), status(token), status("forged"), status("")] == ["ok", "denied", "denied", "ok"]
    assert "error" in ask(http, "tools/call", 5, name="crm_search_accounts", arguments={})  # type: ignore[arg-type]

    assert command("grant", "revoke", grant_id, "--home", str(home)).stdout.strip() == f"{grant_id} is taken back"
    again = command("grant", "revoke", grant_id, "--home", str(home), fails=True)
    assert "no grant" in again.stderr
    told = command("journal", "show", grant_id, "--home", str(home)).stdout
    assert '"granted"' in told
    assert '"revoked"' in told
    assert token not in command("journal", "list", "--json", "--home", str(home)).stdout
    assert "granted until" in command("journal", "why", grant_id, "--home", str(home)).stdout


@pytest.mark.process
def test_an_agents_issuing_token_gets_a_grant_over_http(home: Path, served: tuple[Served, httpx.Client]) -> None:
    gateway, _ = served
    issuing = command("token", "create", "--home", str(home), "--agent", "triage", "--may-grant").stdout.strip()
    headers = {"Authorization": f"Bearer {issuing}"}
    answer = httpx.post(f"{gateway.url}/grants", json={"tools": ["ticket_*"]}, headers=headers)
    assert answer.status_code == 201
    revoked = httpx.post(f"{gateway.url}/grants/{answer.json()['id']}/revoke", headers=headers)
    assert revoked.json()["was_in_force"] is True
    assert httpx.post(f"{gateway.url}/mcp", json={}, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--limit", "crm_*"], "is not TOOL=N"),
        (["--limit", "crm_*=many"], "is not TOOL=N"),
        (["--target", "crm_get_contact=x"], "is not TOOL.ARGUMENT=VALUE"),
        (["--tool", "crm_nothing"], "unknown tool"),
        (["--target", "crm_issue_refund.amount='50'", "--target", "crm_issue_refund.amount=x"], "takes no \"x\""),
        (["--request", "x" * 8_001], "at most 8000 characters"),
    ],
)  # fmt: skip
def test_the_command_says_what_is_wrong_with_a_grant(home: Path, arguments: list[str], told: str) -> None:
    done = command("grant", "--as", ANA, *arguments, "--home", str(home), fails=True)
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert done.stdout == ""


def test_a_token_opens_one_thing(home: Path) -> None:
    arguments = ("token", "create", "--person", "ana", "--console", "--may-grant", "--home", str(home))
    assert "opens one thing" in command(*arguments, fails=True).stderr
    assert "to issue grants" in command("token", "create", "--person", "ana", "--may-grant", "--home", str(home)).stderr
    assert " grants " in command("token", "list", "--home", str(home)).stdout
