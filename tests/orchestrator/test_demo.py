"""The demo as a user runs it: real processes, the real sample company, the shipped policies."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.commands.triage import SHIPPED_POLICIES
from orchestrator.local_gateway import remit_command
from tests.processes import warm_remit

pytestmark = pytest.mark.process
KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "REMIT_MODEL")


def run(*arguments: str, command: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name not in KEYS}
    return subprocess.run(
        [command or warm_remit(), *arguments], capture_output=True, text=True, env=environment, timeout=110, check=False
    )


def test_the_demo_shows_triage_and_four_stopped_calls_and_leaves_nothing_running(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    done = run("demo", "--home", str(home), command=remit_command())
    assert done.returncode == 0, done.stderr or done.stdout
    shown = done.stdout

    assert "25/25" in shown
    assert "rule-based stand-in" in shown
    assert "denied: rule T06" in shown
    assert re.search(r"pending approval as apr_\w+: rule T05", shown)
    assert "denied: rule T07" in shown
    assert "Each item has a grant of its own" in shown
    assert "denied: the grant does not cover this call: `ticket_id` has to be" in re.sub(r"[│\s]+", " ", shown)
    assert "All of this really happened" in shown

    assert not re.search(r"remit_[A-Za-z0-9_-]{20,}", shown)
    address = re.search(r"http://127\.0\.0\.1:\d+", shown)
    assert address
    assert not _answers(address.group())

    config = json.loads(shown[shown.index('{\n  "mcpServers"') : shown.rindex("}") + 1])
    server = config["mcpServers"]["remit"]
    assert Path(server["command"]).exists()
    assert server["args"][:2] == ["serve", "--stdio"]

    journal = run("journal", "list", "--json", "--last", "100000", "--home", str(home)).stdout
    entries = [json.loads(line) for line in journal.splitlines()]
    said = [{**entry, **entry.get("said", {})} for entry in entries]
    granted = {entry["grant"] for entry in entries if entry["kind"] == "granted"}
    assert len(granted) == 26
    used = [entry for entry in entries if entry["kind"] != "granted" and entry.get("grant")]
    assert {entry["grant"] for entry in used} == granted
    assert {entry.get("model") for entry in said if entry["kind"] != "granted"} == {"stand-in", "script"}
    changing = [entry for entry in entries if entry["kind"] == "intent" and entry["effect"] != "read"]
    assert changing
    assert all(entry.get("grant") for entry in changing), "nothing was changed but under a grant"


def test_the_demo_fails_when_the_policies_let_the_attack_through(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    shutil.copytree(SHIPPED_POLICIES, policies)
    rules = policies / "rules.csv"
    kept = [line for line in rules.read_text().splitlines() if not line.startswith(("p, T07", "p, T08"))]
    opened = 'p, T07, role:triage_agent, email_send_message, "", allow, "an agent may send anything"'
    rules.write_text("\n".join([*kept, opened]) + "\n")
    done = run("demo", "--home", str(tmp_path / "demo"), "--policies", str(policies), "--items", "1")
    assert done.returncode == 1
    assert "expected `denied` by a rule, but: it was carried out" in done.stderr


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{url}/healthz", trust_env=False).is_success
    except httpx.ConnectError:
        return False
