"""What arrives over HTTP from clients that are wrong, hostile or broken; the process stays up."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import Served, make_token, remit, serving

pytestmark = pytest.mark.process

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def token(home: Path) -> str:
    return make_token(home, "--person", "ana.ruiz@larkspur.example")


@pytest.fixture(scope="module")
def served(home: Path, token: str) -> Iterator[Served]:
    with serving(home) as gateway:
        yield gateway


@pytest.fixture
def http(served: Served, token: str) -> Iterator[httpx.Client]:
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
    }
    with httpx.Client(base_url=served.url, headers=headers, timeout=30) as client:
        yield client
        assert client.get("/healthz").json() == {"status": "alive"}, "the process must stay up"


def request(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META, **params}}


def post(http: httpx.Client, body: dict[str, Any], **headers: str) -> httpx.Response:
    named = {"Mcp-Name": body["params"]["name"]} if "name" in body["params"] else {}
    return http.post("/mcp", json=body, headers={"Mcp-Method": body["method"], **named, **headers})


def test_a_raw_request_is_answered_by_one_json_object(http: httpx.Client) -> None:
    answer = post(http, request("tools/call", name="crm_search_accounts", arguments={}))
    assert answer.status_code == 200
    assert answer.json()["result"]["structuredContent"]["status"] == "ok"


def test_the_list_may_be_kept_privately_for_seconds_only(http: httpx.Client) -> None:
    listed = post(http, request("tools/list")).json()["result"]
    assert (listed["cacheScope"], listed["ttlMs"]) == ("private", 5_000)


@pytest.mark.parametrize("credentials", ["", "Bearer", "Bearer remit_wrong", "Basic YTpi", "Bearer " + "x" * 5_000])
def test_without_a_good_token_nothing_is_served(http: httpx.Client, credentials: str) -> None:
    answer = post(http, request("tools/list"), Authorization=credentials)
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("header", [{"Host": "attacker.example"}, {"Origin": "https://attacker.example"}])
def test_a_page_of_another_site_cannot_reach_the_gateway(http: httpx.Client, header: dict[str, str]) -> None:
    answer = post(http, request("tools/list"), **header)
    assert answer.status_code in {403, 421}


def test_a_body_over_the_limit_is_refused(http: httpx.Client) -> None:
    answer = post(http, request("tools/call", name="crm_search_accounts", arguments={"query": "x" * 2**20}))
    assert answer.status_code == 413


def test_a_stream_that_broke_off_begins_anew(http: httpx.Client) -> None:
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "older", "version": "1"}}
    opening = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}
    headers = {"MCP-Protocol-Version": "2025-06-18"}
    headers["Mcp-Session-Id"] = http.post("/mcp", json=opening, headers=headers).headers["Mcp-Session-Id"]
    with http.stream("GET", "/mcp", headers={**headers, "Last-Event-ID": "0/0"}) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}', -32600),
        (b"[" * 100_000, -32700),
    ],
)
@pytest.mark.parametrize("version", ["2026-07-28", "2025-06-18"])
def test_malformed_json_rpc_is_told_so(http: httpx.Client, body: bytes, code: int, version: str) -> None:
    headers = {"Content-Type": "application/json", "Mcp-Method": "tools/list", "MCP-Protocol-Version": version}
    answer = http.post("/mcp", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
    assert "pydantic" not in answer.text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (request("tools/launch"), -32601),
        (request("tools/call", name="crm_launch_rocket", arguments={}), -32602),
        (request("tools/call", name="crm_update_deal", arguments={}), -32602),
        (request("tools/call", name="x" * 10_000, arguments={}), -32602),
        (request("tools/call", name="crm_search_accounts", arguments=[1]), -32602),
        (request("tools/list", cursor="page-2"), -32602),
    ],
)
def test_a_request_that_makes_no_sense_is_a_protocol_error(http: httpx.Client, body: dict[str, Any], code: int) -> None:
    answer = post(http, body)
    error = answer.json()["error"]
    assert error["code"] == code
    assert "Traceback" not in answer.text
    assert len(answer.text) < 2_000


@pytest.mark.parametrize(
    "arguments",
    [
        '{"query":"\\u0000"}',
        '{"query":"\\ud800"}',
        '{"limit":1e999}',
        '{"limit":NaN}',
        '{"query":' + "[" * 500 + "]" * 500 + "}",
    ],
)
def test_poisonous_json_values_are_refused_without_harm(http: httpx.Client, arguments: str) -> None:
    body = json.dumps(request("tools/call", name="crm_search_accounts", arguments="@@")).replace('"@@"', arguments)
    headers = {"Content-Type": "application/json", "Mcp-Method": "tools/call", "Mcp-Name": "crm_search_accounts"}
    answer = http.post("/mcp", content=body.encode(), headers=headers)
    assert answer.status_code < 500
    assert "error" in answer.json() or answer.json()["result"]["isError"]


@pytest.mark.parametrize(
    ("client", "arguments"), [("\\ud800", "{}"), ("ok", '{"\\ud800":"\\ud800"}'), ("ok", '{"query":"\\ud800"}')]
)
def test_half_a_surrogate_pair_anywhere_harms_nobody_else(http: httpx.Client, client: str, arguments: str) -> None:
    body = json.dumps(request("tools/call", name="crm_search_accounts", arguments="@@")).replace('"@@"', arguments)
    body = body.replace('"name": "test"', f'"name": "{client}"')
    headers = {"Content-Type": "application/json", "Mcp-Method": "tools/call", "Mcp-Name": "crm_search_accounts"}
    assert http.post("/mcp", content=body.encode(), headers=headers).status_code < 500
    after = post(http, request("tools/call", name="crm_search_accounts", arguments={}))
    assert after.json()["result"]["structuredContent"]["status"] == "ok"


def test_one_callers_session_is_no_use_to_another(http: httpx.Client, home: Path) -> None:
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    legacy = {"MCP-Protocol-Version": "2025-06-18"}
    session = http.post("/mcp", json=initialize, headers=legacy).headers["Mcp-Session-Id"]
    other = make_token(home, "--person", "ines.moreau@larkspur.example")
    stolen = {**legacy, "Mcp-Session-Id": session, "Authorization": f"Bearer {other}"}
    answer = http.post("/mcp", json={"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, headers=stolen)
    assert answer.status_code == 404


def test_readiness_tells_of_journal_and_policy(http: httpx.Client) -> None:
    assert http.get("/readyz").json() == {"status": "ready", "journal": "ok", "policy": "ok", "upstreams": "ok"}


def test_the_gateway_does_not_start_with_an_open_door(tmp_path: Path) -> None:
    http_ = ("serve", "--home", str(tmp_path / "new"), "--http")
    no_token = remit(*http_, "127.0.0.1:8999", check=False)
    assert no_token.returncode != 0
    assert "remit token create" in no_token.stderr
    outside = remit(*http_, "0.0.0.0:8999", "--no-auth", "--as", "agent:triage", check=False)
    assert outside.returncode != 0
    assert "loopback" in outside.stderr
    nobody = remit(*http_, "127.0.0.1:8999", "--no-auth", check=False)
    assert nobody.returncode != 0
    assert "principal" in nobody.stderr
