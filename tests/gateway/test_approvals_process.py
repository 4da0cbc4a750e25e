"""An approver answers on the command line beside a running gateway."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.test_http import META
from tests.processes import make_token, remit, serving

pytestmark = pytest.mark.process

TICKET = {
    "subject": "Where is LI-20417?",
    "body": "It should have come on Monday.",
    "requester_name": "Kim Doe",
    "requester_email": "kim@customer.example",
}


def call(url: str, token: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    body = {"name": tool, "arguments": arguments, "_meta": {**META, "remit/model": "stand-in"}}
    answer = httpx.post(
        url,
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": body},
        headers={
            "Accept": "application/json, text/event-stream",
            "Authorization": f"Bearer {token}",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
        },
        timeout=30,
    )
    content: dict[str, Any] = answer.json()["result"]["structuredContent"]
    return content


def test_an_agents_reply_waits_for_the_lead_and_goes_out_once(tmp_path: Path) -> None:
    at_home = ("--home", str(tmp_path))
    ana = make_token(tmp_path, "--person", "ana.ruiz@larkspur.example")
    triage = make_token(tmp_path, "--agent", "triage")
    with serving(tmp_path) as served:
        ticket = call(served.mcp, ana, "ticket_create_ticket", TICKET)["result"]["id"]
        reply = {"ticket_id": ticket, "body": "It ships today."}
        asked = call(served.mcp, triage, "ticket_add_reply", reply)
        assert asked["status"] == "pending_approval"
        name = asked["approval"]["id"]

        assert name in remit("approvals", "list", *at_home).stdout
        shown = remit("approvals", "show", name, *at_home).stdout
        for told in ("agent:triage in larkspur", "It ships today.", "role:support_lead", "pending"):
            assert told in shown
        own = remit("approvals", "approve", name, "--as", "person:ana.ruiz@larkspur.example", *at_home, check=False)
        assert "may not answer" in own.stderr
        yes = remit("approvals", "approve", name, "--as", "person:maya.okafor@larkspur.example", *at_home).stdout
        assert f"{name} is approved by maya.okafor@larkspur.example" in yes
        twice = remit("approvals", "deny", name, "--as", "person:nadia.haddad@larkspur.example", *at_home, check=False)
        assert "it is approved already" in twice.stderr

        answers = [call(served.mcp, triage, "ticket_add_reply", reply) for _ in range(3)]
        thread = call(served.mcp, ana, "ticket_get_ticket", {"ticket_id": ticket})["result"]["comments"]
    assert [answer["status"] for answer in answers] == ["ok"] * 3
    assert [comment["body"] for comment in thread] == ["It should have come on Monday.", reply["body"]]
    assert name not in remit("approvals", "list", *at_home).stdout
    assert name in remit("approvals", "list", "--all", *at_home).stdout
