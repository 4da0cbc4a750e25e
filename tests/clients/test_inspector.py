"""The official Inspector as a command, over HTTP and stdio, in both protocol eras, against the real command."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal import Kind, read_journal
from tests.clients.node import NodeProgram, node_program
from tests.processes import make_token, serving, warm_remit

pytestmark = [pytest.mark.process, pytest.mark.node]

ANA = "person:ana.ruiz@larkspur.example"
REFUND = {"order_id": "ord_abcd", "amount": 900, "currency": "EUR", "reason": "late"}
TOOL_NOT_FOUND = 5

Target = list[str]
Inspect = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(scope="module")
def inspector() -> NodeProgram:
    return node_program("mcp-inspector")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def http(inspector: NodeProgram, home: Path) -> Iterator[Target]:
    token = make_token(home, "--person", "ana.ruiz@larkspur.example")
    with serving(home) as gateway:
        yield ["--server-url", gateway.mcp, "--transport", "http", "--header", f"Authorization: Bearer {token}"]


@pytest.fixture(scope="module")
def stdio(home: Path) -> Target:
    return [warm_remit(), "serve", "--stdio", "--home", str(home), "--as", ANA]


@pytest.fixture(params=["http", "stdio"])
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def inspect(inspector: NodeProgram, tmp_path: Path) -> Inspect:
    def run(target: Target, *arguments: str, era: str = "modern") -> "CompletedProcess[str]":
        options = ["--format", "json", "--quiet", "--protocol-era", era]
        return inspector.run("--cli", *options, *arguments, *target, home=tmp_path)

    return run


def result(ended: "CompletedProcess[str]") -> Any:
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)["result"]


def call(tool: str, **arguments: object) -> list[str]:
    return ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments)]


def test_it_lists_the_allowed_tools_and_finds_their_schemas_portable(inspect: Inspect, target: Target) -> None:
    listed = result(inspect(target, "--method", "tools/list", "--strict"))["tools"]
    tools = {tool["name"]: tool for tool in listed}
    assert "crm_search_accounts" in tools
    assert "crm_update_deal" not in tools
    assert tools["crm_search_accounts"]["annotations"]["readOnlyHint"] is True


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_it_calls_a_tool(inspect: Inspect, target: Target, era: str, home: Path) -> None:
    answer = result(inspect(target, *call("crm_search_accounts", limit=2), era=era))["structuredContent"]
    assert answer["status"] == "ok"
    assert answer["result"] == {"accounts": [], "next_cursor": ""}
    intent, outcome = read_journal(Database.in_file(home / "remit.db"), EVERY_TENANT, call_id=answer["call_id"])
    assert (intent.kind, outcome.kind) == (Kind.INTENT, Kind.OUTCOME)
    assert intent.body["person"] == "ana.ruiz@larkspur.example"
    assert intent.body["client"].startswith("inspector-cli")


def test_a_denied_call_is_an_answer_with_rule_and_reason(inspect: Inspect, http: Target) -> None:
    answer = result(inspect(http, *call("crm_issue_refund", **REFUND)))["structuredContent"]
    assert (answer["status"], answer["rules"]) == ("denied", ["F03"])
    assert "refunds above 500" in answer["reason"]


def test_a_hidden_tool_is_not_found(inspect: Inspect, http: Target) -> None:
    ended = inspect(http, *call("crm_update_deal"))
    assert ended.returncode == TOOL_NOT_FOUND
    assert json.loads(ended.stderr)["error"]["code"] == "tool_not_found"
