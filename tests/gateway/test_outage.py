"""A running gateway whose disk, journal or policy goes bad, and comes back."""

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal import read_journal
from tests.gateway.test_http import META
from tests.processes import PATIENCE_SECONDS, Served, copy_shipped_policies, make_token, remit, serving

pytestmark = pytest.mark.process


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return copy_shipped_policies(tmp_path / "policies")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def served(home: Path, policies: Path) -> Iterator[Served]:
    make_token(home, "--person", "tom.lindqvist@larkspur.example")
    with serving(home, "--policies", str(policies), "--no-auth", "--as", "person:tom.lindqvist@larkspur.example") as up:
        yield up


def create_contact(served: Served, number: int) -> dict[str, Any]:
    arguments = {"name": f"Kim {number}", "email": f"kim{number}@customer.example"}
    body = {"name": "crm_create_contact", "arguments": arguments, "_meta": META}
    answer = httpx.post(
        served.mcp,
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": body},
        headers={
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "crm_create_contact",
        },
        timeout=30,
    )
    content: dict[str, Any] = answer.json()["result"]["structuredContent"]
    return content


def until_ready(served: Served) -> None:
    """A load balancer that sends no call as long as it is not ready."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while httpx.get(f"{served.url}/readyz").status_code != 200:
        assert time.monotonic() < deadline, "it must find out by itself that it can record again"
        time.sleep(0.1)


def contacts(home: Path) -> int:
    return sum(
        entry.body.get("status") == "ok" for entry in read_journal(Database.in_file(home / "remit.db"), EVERY_TENANT)
    )


def test_when_the_disk_takes_no_more_nothing_runs_and_service_resumes_when_it_does(served: Served, home: Path) -> None:
    assert create_contact(served, 1)["status"] == "ok"
    # The kernel refuses every write beyond this size to the process, as a full disk would.
    unlimited = resource.prlimit(served.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    refused = [create_contact(served, number) for number in (2, 3)]
    ready = httpx.get(f"{served.url}/readyz")
    resource.prlimit(served.pid, resource.RLIMIT_FSIZE, unlimited)

    assert [answer["error"]["kind"] for answer in refused] == ["journal_unavailable"] * 2
    assert "Nothing was done" in refused[0]["next"]
    assert (ready.status_code, ready.json()["journal"]) == (503, "failing")
    until_ready(served)
    assert create_contact(served, 2)["status"] == "ok", "the contact must not exist yet"
    assert contacts(home) == 2


def test_a_checkpoint_folder_that_cannot_be_written_is_shown_and_logged_while_calls_go_on(
    home: Path, policies: Path
) -> None:
    home.mkdir()
    (home / "remit.toml").write_text("checkpoint_seconds = 0.05\n")
    (home / "checkpoints").write_text("in the way")
    who = "person:tom.lindqvist@larkspur.example"
    with serving(home, "--policies", str(policies), "--no-auth", "--as", who) as served:
        assert create_contact(served, 1)["status"] == "ok"
        wait_for_journal(served, "no checkpoints")
        assert create_contact(served, 2)["status"] == "ok"
        assert "checkpoint_failed" in served.log.read_text()
        (home / "checkpoints").unlink()
        wait_for_journal(served, "ok")
    assert "4 entries are what was written" in remit("journal", "verify", "--home", str(home)).stdout


def wait_for_journal(served: Served, state: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (ready := httpx.get(f"{served.url}/readyz")).json()["journal"] != state:
        assert time.monotonic() < deadline, f"the journal never was `{state}`"
        time.sleep(0.05)
    assert ready.status_code == 200


def wait_for_policy(served: Served, state: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while httpx.get(f"{served.url}/readyz").json()["policy"] != state:
        assert time.monotonic() < deadline, f"the policy never was `{state}`"
        time.sleep(0.05)


def test_a_broken_policy_leaves_the_previous_one_in_force_and_a_mended_one_takes_over(
    served: Served, policies: Path
) -> None:
    rules = policies / "rules.csv"
    good = rules.read_text()
    rules.write_text(good + "p, Z1, role:sales, crm_create_contact, args.nonsense, deny, typo\n")
    wait_for_policy(served, "refused, previous in force")
    assert create_contact(served, 1)["status"] == "ok"
    assert "rules.csv:" in served.log.read_text()

    rules.write_text(good + "p, Z1, role:sales, crm_create_contact, args.name == 'Kim 2', deny, not this one\n")
    wait_for_policy(served, "ok")
    denied = create_contact(served, 2)
    assert (denied["status"], denied["rules"]) == ("denied", ["Z1"])

    rules.unlink()
    wait_for_policy(served, "refused, previous in force")
    assert create_contact(served, 2)["status"] == "denied"
    assert create_contact(served, 3)["status"] == "ok"


def test_callers_who_hang_up_while_they_are_told_of_progress_cost_nobody_else_anything(served: Served) -> None:
    arguments = {"name": "Kim", "email": "kim@customer.example"}
    meta = {**META, "progressToken": "p"}
    body = {"name": "crm_create_contact", "arguments": arguments, "_meta": meta}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "crm_create_contact",
    }
    for _ in range(80):
        rpc = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": body}
        with httpx.stream("POST", served.mcp, json=rpc, headers=headers, timeout=30) as answer:
            next(answer.iter_lines())
    assert create_contact(served, 1)["status"] == "ok"
    served.process.terminate()
    assert served.process.wait(PATIENCE_SECONDS) in {0, -15}


def test_a_policy_that_is_still_being_written_is_not_put_in_force(served: Served, policies: Path) -> None:
    rules = policies / "rules.csv"
    good = rules.read_text()
    for _ in range(8):
        # Each state is a good policy, but never the same at two looks in a row.
        with rules.open("a") as file:
            file.write(f"# {time.monotonic()}\n")
        time.sleep(0.3)
    assert "policy_in_force" not in served.log.read_text()
    rules.write_text(good + "p, Z1, role:sales, crm_create_contact, args.name == 'Kim 1', deny, closed\n")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while create_contact(served, 1)["status"] != "denied":
        assert time.monotonic() < deadline
        time.sleep(0.05)
