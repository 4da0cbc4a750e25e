"""A gateway that is told to end: whoever was let in is answered, nobody else is, and nothing is lost."""

import asyncio
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import anyio
import httpx
import pytest

from gateway.app import open_gateway
from gateway.background import background
from gateway.call import call_tool
from gateway.gateway import ToolCall
from gateway.journal import Kind
from gateway.leaving import Stage, leave
from gateway.principal import Principal
from gateway.settings import load_settings
from tests.gateway.conftest import OpenGateway
from tests.gateway.crashing import Crashes
from tests.gateway.test_approvals_process import TICKET
from tests.gateway.test_http import META
from tests.processes import PATIENCE_SECONDS, Served, clean, copy_shipped_policies, make_token, serving, warm_remit
from tests.upstream.conftest import Upstream, wire_tool

ANA = Principal("larkspur", "ana@larkspur.example")
CONTACT = {"name": "Kim", "email": "kim@customer.example"}


async def test_a_closed_process_tells_callers_to_come_back_and_does_nothing(opened: OpenGateway) -> None:
    async with opened() as gateway:
        assert await leave(gateway, 0, 1) == ()
        answer = await call_tool(gateway, ToolCall(ANA, "crm_create_contact", CONTACT))
        assert answer.error
        assert (answer.error.kind, gateway.leaving.stage) == ("busy", Stage.CLOSED)
        assert "nothing was done" in answer.error.message


async def test_calls_are_taken_until_the_delay_is_over_and_those_that_run_then_end(
    opened: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = anyio.Event(), anyio.Event()
    async with opened() as gateway:
        create = gateway.back_ends.crm.crm_create_contact

        async def slow(context: Any, arguments: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await create(context, arguments)

        monkeypatch.setattr(gateway.back_ends.crm, "crm_create_contact", slow)
        answers = []

        async def call() -> None:
            answers.append(await call_tool(gateway, ToolCall(ANA, "crm_create_contact", CONTACT)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leave, gateway, 0.2, PATIENCE_SECONDS)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(call)
            await begun.wait()
            while not gateway.leaving.is_closed:  # noqa: ASYNC110 - it is looked at from outside
                await anyio.sleep(0.01)
            go_on.set()
        assert [answer.status for answer in answers] == ["ok"]


async def test_a_write_that_is_cut_off_stays_open_for_whoever_finds_out(
    opened: OpenGateway, monkeypatch: pytest.MonkeyPatch, entries: Any
) -> None:
    begun = anyio.Event()
    async with opened() as gateway:

        async def stuck(_context: Any, _arguments: Any) -> Any:
            begun.set()
            await anyio.sleep_forever()

        monkeypatch.setattr(gateway.back_ends.crm, "crm_create_contact", stuck)
        call = ToolCall(ANA, "crm_create_contact", CONTACT)

        async def run() -> None:
            await call_tool(gateway, call)

        running = asyncio.create_task(run())
        await begun.wait()
        assert await leave(gateway, 0, 0.05) == (call.id,)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert gateway.running.is_lost(call.id)
    assert [entry.kind for entry in entries()] == ["intent"], "nobody knows yet whether it took effect"


def post(served: Served, token: str, tool: str, arguments: dict[str, Any], **meta: Any) -> httpx.Response:
    params = {"name": tool, "arguments": arguments, "_meta": {**META, **meta}}
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return httpx.post(served.mcp, json=body, headers=headers, timeout=PATIENCE_SECONDS)


def content(response: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = response.json()["result"]["structuredContent"]
    return found


@pytest.mark.process
@pytest.mark.timeout(240)
def test_told_to_end_under_load_every_call_has_one_outcome_and_every_effect_happened_once(tmp_path: Path) -> None:
    crashes = Crashes(tmp_path / "home", Random(20261126), calls=60, kills=1, gently=True)
    crashes.prepare()
    anyio.run(crashes.drive)
    counted = crashes.check()
    assert counted["calls"] >= 40
    assert (counted["recovered"], counted["doubts"]) == (0, 0)


@pytest.mark.process
def test_who_is_held_is_answered_and_what_does_not_end_in_time_is_left_to_the_next_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    upstream = Upstream(home / "upstreams", tmp_path / "plan.json")
    upstream.offers(wire_tool("stall"), "write", do="hang")
    upstream.write()
    upstream.accept()
    policies = copy_shipped_policies(tmp_path / "policies")
    with (policies / "rules.csv").open("a") as rules:
        rules.write("p, Z1, role:support_agent, up_stall, , allow, a server that never answers\n")
        rules.write("p, Z2, role:support_agent, ticket_create_ticket, , ask, somebody looks\n")
    short = "call_timeout = 60\nshutdown_patience = 0.3\nshutdown_delay = 2\njournal_timeout = 1\n"
    (home / "remit.toml").write_text(short)
    token = make_token(home, "--person", "ana.ruiz@larkspur.example")
    with serving(home, "--policies", str(policies)) as served, ThreadPoolExecutor() as threads:
        with pytest.raises(httpx.ReadTimeout):
            post_briefly(served, token)
        held = threads.submit(post, served, token, "ticket_create_ticket", TICKET, **{"remit/wait": 45.0})
        while not any(entry.kind is Kind.ASKED for entry in Crashes(home, Random(0)).journal()):
            assert not held.done()
        served.process.terminate()
        told = [httpx.get(f"{served.url}/readyz") for _ in range(3)][-1]
        assert (told.status_code, told.json()["status"]) == (503, "shutting down")
        assert httpx.get(f"{served.url}/healthz").status_code == 200
        assert content(held.result(PATIENCE_SECONDS))["status"] == "pending_approval"
        assert served.process.wait(PATIENCE_SECONDS) == 0
        assert "left_running" in served.log.read_text()
    (home / "remit.toml").write_text("call_timeout = 0.5\njournal_timeout = 0.5\nrecovery_interval = 0.2\n")
    settled = Crashes(home, Random(0))

    async def go_on() -> None:
        settings = load_settings(home=home, policies=policies)
        async with open_gateway(settings) as gateway, background(gateway, settings):
            await settled._until_nothing_is_open()
            # A child process that is only being started when its gateway ends is not waited for.
            sessions = [back_end.session for back_end in gateway.upstreams.back_ends.values()]
            while any(session.definitions is None for session in sessions):  # noqa: ASYNC110 - looked at from outside
                await anyio.sleep(0.02)

    anyio.run(go_on)
    assert len(anyio.run(settled.doubts)) == 1, "whether the server did it, nobody can say"


def post_briefly(served: Served, token: str) -> None:
    params = {"name": "up_stall", "arguments": {}, "_meta": META}
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "up_stall"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    httpx.post(served.mcp, json=body, headers=headers, timeout=httpx.Timeout(10, read=2))


@pytest.mark.process
def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "remit.toml").write_text("shutdown_delay = 200\n")
    with serving(home, "--no-auth", "--as", "agent:triage") as served:
        served.process.terminate()
        while "leaving" not in served.log.read_text():
            assert served.process.poll() is None
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(PATIENCE_SECONDS) == 128 + signal.SIGINT


@pytest.mark.process
def test_over_stdio_it_ends_in_order_when_its_client_goes_or_it_is_told_to(tmp_path: Path) -> None:
    arguments = [warm_remit(), "serve", "--stdio", "--home", str(tmp_path), "--as", "agent:triage"]
    for told in (False, True):
        with subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean()
        ) as process:
            assert process.stderr
            assert process.stdin
            assert b"serving" in process.stderr.readline()
            if told:
                process.terminate()
            else:
                process.stdin.close()
            assert process.wait(PATIENCE_SECONDS) == 0
