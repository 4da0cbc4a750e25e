"""The console in a real browser: answered by keyboard, with and without scripts, readable for everybody.

`pytest tests/console/test_browser.py --console-images docs/images` keeps what it looked like.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal import Entry, Kind, read_journal
from tests.clients.node import node_program
from tests.processes import Served, make_token, remit, serving

pytestmark = [pytest.mark.process, pytest.mark.node, pytest.mark.timeout(300)]

SCRIPT = Path(__file__).parents[1] / "node" / "console.mjs"
ANA, MAYA, INES = (f"{name}@larkspur.example" for name in ("ana.ruiz", "maya.okafor", "ines.moreau"))
SUPPORT = "support@larkspur.example"
META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "assistant", "version": "2"},
    "io.modelcontextprotocol/clientCapabilities": {},
    "remit/model": "claude-5",
    "remit/run": "run-2026-11-26-17",
    "remit/case": {
        "recommendation": "Tell the customer that a replacement is on its way, and close the ticket afterwards.",
        "evidence": ["the carrier reports the parcel as damaged", "the warranty covers the first two years"],
        "confidence": 0.82,
        "risk": "The customer may have bought from a reseller.",
        "alternatives": ["Ask for a photograph first"],
    },
}


def chromium() -> str:
    """Find the system's Chromium; without it the test is skipped, or fails in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found:
        return found
    if os.environ.get("CI"):
        pytest.fail("no Chromium: in CI the console must be driven in a browser")
    pytest.skip("no Chromium (`apt-get install chromium`)")


@dataclass(frozen=True)
class Company:
    """A served gateway with the sample company in it."""

    served: Served
    home: Path
    caller: str

    def request(self, tool: str, run: str = META["remit/run"], /, **arguments: Any) -> dict[str, Any]:
        """A call as it goes over the wire."""
        params = {"_meta": META | {"remit/run": run}, "name": tool, "arguments": arguments}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {"Authorization": f"Bearer {self.caller}", "Accept": "application/json, text/event-stream"}
        headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool}
        headers |= {"Content-Type": "application/json"}
        return {"url": self.served.mcp, "headers": headers, "body": json.dumps(body)}

    def call(self, tool: str, run: str = META["remit/run"], /, **arguments: Any) -> dict[str, Any]:
        made = self.request(tool, run, **arguments)
        answer = httpx.post(made["url"], content=made["body"], headers=made["headers"], timeout=30).json()
        found: dict[str, Any] = answer["result"]["structuredContent"]
        return found

    def entries(self) -> list[Entry]:
        with Database.in_file(self.home / "remit.db") as database:
            return list(read_journal(database, EVERY_TENANT))

    def drive(self, task: str, person: str, home: Path, **given: Any) -> dict[str, Any]:
        """Let a person do something in a browser, with a console token made for that."""
        program = node_program("node")
        browser = chromium()
        token = make_token(self.home, "--person", person, "--console")
        said = {"task": task, "url": self.served.url, "token": token, "chromium": browser, **given}
        done = program.run(str(SCRIPT), json.dumps(said), home=home, timeout=200)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    node_program("node")
    chromium()
    home = tmp_path_factory.mktemp("home")
    remit("sample", "--home", str(home))
    caller = make_token(home, "--person", ANA, "--agent", "assistant")
    with serving(home) as served:
        yield Company(served, home, caller)


def mail(subject: str) -> dict[str, Any]:
    body = "Dear Mr Novak,\n\nyour balance was damaged on the way. A replacement leaves us today.\n\nAna Ruiz"
    return {"mailbox": SUPPORT, "to": ["kim.novak@customer.example"], "subject": subject, "body": body}


@pytest.mark.parametrize("javascript", [True, False], ids=["with scripts", "without scripts"])
def test_a_question_is_read_changed_and_approved_by_keyboard_and_happens_once(
    company: Company, tmp_path: Path, javascript: bool
) -> None:
    asked = mail(f"Your replacement {javascript}")
    waiting = company.call("email_send_message", **asked)
    assert waiting["status"] == "pending_approval"
    question = waiting["approval"]["id"]
    subject = f"Your replacement is on its way {javascript}"
    seen = company.drive("answerWithChanges", MAYA, tmp_path, question=question, subject=subject, javascript=javascript)
    assert seen["noise"] == []
    assert f"Changed by {MAYA}" in seen["page"]
    assert "read and changed" in seen["page"]
    assert (f"“{subject}”" in seen["checked"]) is javascript, "a script checks while typing; without, the answer does"
    first, again = company.call("email_send_message", **asked), company.call("email_send_message", **asked)
    assert first["status"] == again["status"] == "ok"
    assert first["result"]["subject"] == again["result"]["subject"] == subject
    kinds = [entry.kind.value for entry in company.entries() if entry.call_id == question]
    assert kinds.count("intent") == kinds.count("outcome") == 1


def test_a_question_is_found_in_the_inbox_and_approved_by_keyboard(company: Company, tmp_path: Path) -> None:
    question = company.call("email_send_message", **mail("From the inbox"))["approval"]["id"]
    seen = company.drive("approve", MAYA, tmp_path, question=question)
    assert seen["noise"] == []
    assert f"Approved by {MAYA}" in seen["page"]


@pytest.mark.parametrize("javascript", [True, False], ids=["with scripts", "without scripts"])
def test_what_waits_in_one_task_is_answered_on_one_page_by_keyboard(
    company: Company, tmp_path: Path, javascript: bool
) -> None:
    task = f"one task {javascript}"
    names = [
        company.call("email_send_message", task, **mail(f"{task}, letter {number}"))["approval"]["id"]
        for number in range(3)
    ]
    seen = company.drive("answerTogether", MAYA, tmp_path, questions=names, javascript=javascript)
    assert seen["noise"] == []
    assert "1 call of one task waits for you" in seen["page"]
    said = {entry.call_id: entry.body["approved"] for entry in company.entries() if entry.kind is Kind.ANSWERED}
    assert [said.get(name) for name in names] == [True, False, None]


def test_the_inbox_shows_what_is_asked_meanwhile_and_keeps_the_focus(company: Company, tmp_path: Path) -> None:
    company.call("email_send_message", **mail("Asked before"))
    ask = company.request("email_send_message", "another task", **mail("Asked while the inbox is open"))
    seen = company.drive("refresh", MAYA, tmp_path, ask=ask)
    assert seen["before"] >= 1
    assert seen["focused"], "the page was not loaded again, and the link still has the focus"
    assert seen["noise"] == []


def test_every_page_is_accessible_fits_a_phone_and_makes_no_browser_complain(
    company: Company, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    tickets = company.call("ticket_search_tickets", status="open", limit=5)["result"]["tickets"]
    for ticket in tickets:
        company.call("ticket_get_ticket", ticket_id=ticket["id"])
    company.call("email_send_message", **(mail("Denied") | {"mailbox": "me@elsewhere.example"}))
    reply = "Dear customer,\n\nyour parcel was damaged. We send a new one today."
    other = company.call("ticket_add_reply", ticket_id=tickets[0]["id"], body=reply)["approval"]["id"]
    company.call("email_send_message", **(mail("Your order") | {"to": ["kim@xn--pypal-4ve.com"]}))
    question = company.call("email_send_message", **mail("Your replacement"))["approval"]["id"]
    copies = {"to": ["kim.novak@customer.example", "lena@elsewhere.example"], "cc": [SUPPORT]}
    company.call("email_send_message", **(mail("Your replacement, a copy") | copies))
    folder = pytestconfig.getoption("--console-images")
    shots = str(Path(folder).resolve()) if folder else ""
    visits = {
        MAYA: {"inbox": "/", "question": f"/approvals/{question}", "ticket": f"/approvals/{other}"}
        | {"together": f"/approvals/{question}/together"},
        INES: {
            "journal": "/journal",
            "call": f"/calls/{question}",
            "roles": "/roles",
            "role": "/roles/support_agent",
            "charts": "/charts",
            "standing": "/standing",
        },
    }
    signed_out = company.drive("look", MAYA, tmp_path, pages={"sign-in": "/console/sign-in"}, shots=shots)
    problems = {name: found for name, found in signed_out["found"].items() if found}
    noise = list(signed_out["noise"])
    for person, pages in visits.items():
        paths = {name: f"/console{path}" for name, path in pages.items()}
        seen = company.drive("look", person, tmp_path, pages=paths, path="/console/", shots=shots)
        problems |= {name: found for name, found in seen["found"].items() if found}
        noise += seen["noise"]
    assert problems == {}
    assert noise == []
