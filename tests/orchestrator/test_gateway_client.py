import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.gateway_client import Declared, Denied, Failed, GatewayError, Ok, Pending, connect, parse_outcome
from tests.orchestrator.fake_gateway import DENIED, FAILED, PENDING, TOKEN, FakeGateway, over_http

DECLARED = Declared(run="run-1", model="stand-in", prompt="triage@1", key="run-1:k")


@pytest.mark.parametrize(
    ("structured", "expected"),
    [
        ({"status": "ok", "call_id": "call_1", "result": {"id": 1}, "untrusted": ["a"]}, Ok),
        ({**DENIED, "call_id": "call_1"}, Denied),
        ({**PENDING, "call_id": "call_1"}, Pending),
        ({**FAILED, "call_id": "call_1"}, Failed),
        ({"status": "ok", "call_id": "call_1", "result": {}, "something_new": 1}, Ok),
    ],
)
def test_each_envelope_becomes_its_own_outcome(structured: dict[str, Any], expected: type) -> None:
    outcome = parse_outcome(structured)
    assert type(outcome) is expected
    assert outcome.call_id == "call_1"


@pytest.mark.parametrize("structured", [None, {}, {"status": "fine"}, {"status": "ok"}, {"status": "failed"}, ["ok"]])
def test_anything_else_is_refused_as_not_remits(structured: object) -> None:
    with pytest.raises(GatewayError, match="the server's answer is not Remit's"):
        parse_outcome(structured)


async def test_a_call_carries_what_the_journal_wants_to_know() -> None:
    gateway = FakeGateway()
    async with over_http(gateway) as (url, _), connect(url=url, token=TOKEN) as client:
        tools = await client.list_tools()
        outcome = await client.call("crm_search_contacts", {"email": "a@b.example"}, DECLARED)
    assert tools["crm_search_contacts"].read_only
    assert not tools["email_send_message"].read_only
    assert isinstance(outcome, Ok)
    ((name, arguments, meta),) = gateway.calls
    assert (name, arguments) == ("crm_search_contacts", {"email": "a@b.example"})
    declared = {key: value for key, value in meta.items() if key.startswith("remit/")}
    assert declared == {
        "remit/run": "run-1",
        "remit/model": "stand-in",
        "remit/prompt": "triage@1",
        "remit/key": "run-1:k",
    }


async def test_a_hidden_tool_is_an_outcome_that_names_it() -> None:
    gateway = FakeGateway(hidden={"email_send_message"})
    async with over_http(gateway) as (url, _), connect(url=url, token=TOKEN) as client:
        outcome = await client.call("email_send_message", {}, DECLARED)
    assert isinstance(outcome, Failed)
    assert outcome.error.kind == "refused"
    assert "email_send_message" in outcome.error.message


@pytest.mark.parametrize("status", [401, 429, 502, 503, 504])
async def test_what_stands_before_a_gateway_that_is_away_refuses_no_call_for_good(status: int) -> None:
    gateway = FakeGateway()
    async with over_http(gateway) as (url, _), connect(url=url, token=TOKEN) as client:
        gateway.away = status
        outcome = await client.call("email_send_message", {}, DECLARED)
        gateway.away = 0
        assert isinstance(await client.call("email_send_message", {}, DECLARED), Ok)
    assert isinstance(outcome, Failed)
    assert outcome.error.kind == "unavailable", "a run tries it again, and keeps no refusal"
    assert "lena" not in outcome.error.message


async def test_a_wrong_token_is_named_as_the_reason_without_showing_it() -> None:
    async with over_http(FakeGateway()) as (url, _):
        with pytest.raises(GatewayError, match="refuses the token") as caught:
            async with connect(url=url, token="remit_wrong"):
                pass
    assert "remit_wrong" not in str(caught.value)


async def test_a_wrong_path_is_named_as_the_reason() -> None:
    async with over_http(FakeGateway()) as (url, _):
        with pytest.raises(GatewayError, match="no MCP endpoint"):
            async with connect(url=url.replace("/mcp", "/mpc"), token=TOKEN):
                pass


async def test_no_gateway_at_all_is_a_clear_error() -> None:
    async with over_http(FakeGateway()) as (url, _):
        closed = url
    with pytest.raises(GatewayError, match="no answer from the gateway at `http"):
        async with connect(url=closed, token=TOKEN):
            pass


async def test_a_gateway_that_goes_away_is_a_clear_error() -> None:
    async with over_http(FakeGateway()) as (url, server):
        with pytest.raises(GatewayError, match="no answer from the gateway"):  # noqa: PT012 - it stops half-way
            async with connect(url=url, token=TOKEN) as client:
                server.should_exit = server.force_exit = True
                for listening in server.servers:
                    listening.close()
                while True:
                    await client.call("crm_search_contacts", {}, DECLARED)


async def test_an_error_of_the_callers_own_comes_out_as_it_is() -> None:
    async with over_http(FakeGateway()) as (url, _):
        with pytest.raises(LookupError, match="mine"):
            async with connect(url=url, token=TOKEN):
                raise LookupError("mine")


async def test_a_gateway_over_stdio_is_used_the_same_way(tmp_path: Path) -> None:
    program = tmp_path / "server.py"
    program.write_text(
        "import anyio\n"
        "from mcp.server.stdio import stdio_server\n"
        "from tests.orchestrator.fake_gateway import FakeGateway\n"
        "async def main():\n"
        "    server = FakeGateway().server()\n"
        "    async with stdio_server() as (reading, writing):\n"
        "        await server.run(reading, writing, server.create_initialization_options())\n"
        "anyio.run(main)\n"
    )
    async with connect(command=[sys.executable, str(program)]) as client:
        outcome = await client.call("crm_search_contacts", {}, DECLARED)
    assert isinstance(outcome, Ok)


async def test_a_program_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(GatewayError, match="no answer from the gateway at `no-such-remit serve`"):
        async with connect(command=["no-such-remit", "serve"]):
            pass
