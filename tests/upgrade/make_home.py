"""Makes a home folder as an earlier version of Remit leaves it, by running that version.

    git worktree add /tmp/first cbd6944
    python tests/upgrade/make_home.py /tmp/first tests/upgrade/first.tar.gz

The first version is cbd6944, the first to keep a chained journal, approvals, tokens and the embedded back ends.
Needs the packages of today's environment, which have all that it asks for. What a test has to know, and when it was,
stands in `known.json`.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "upgrade", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
_CONTACTS = (
    "id,name,email,company\n1,Kim Larsen,kim@customer.example,Nordwind\n2,Lee Park,lee@customer.example,Nordwind\n"
)
_HANDBOOK = "# Returns\n\nA returned telescope is refunded within ten days.\n"
_MAIL = """\
From: Kim <kim@customer.example>
To: support@larkspur.example
Subject: My telescope
Message-ID: <1@customer.example>
Date: Mon, 02 Mar 2026 12:00:00 +0000

Where is it?
"""
_TICKET = {
    "id": "1",
    "subject": "Lens",
    "requester_email": "kim@customer.example",
    "created_at": "2026-03-02T12:00:00Z",
}


MAYA = "person:maya@larkspur.example"


def copy_policies(folder: Path, model: Path) -> Path:
    """The home's policy, under a version's own model."""
    shutil.copytree(Path(__file__).parent / "policies", folder)
    shutil.copy(model, folder)
    return folder


class Version:
    """A version of Remit in a folder, with a home that it works on."""

    def __init__(self, checkout: Path, home: Path) -> None:
        self._code = "from gateway.cli import main; main()"
        self._environment = {**os.environ, "PYTHONPATH": str(checkout)}
        self._checkout, self._home = checkout, home

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-c", self._code, *arguments, "--home", str(self._home)]
        done = subprocess.run(
            command, env=self._environment, cwd=self._checkout, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout.strip()

    def serve(self, policies: Path, port: int) -> "subprocess.Popen[bytes]":
        where = ("--http", f"127.0.0.1:{port}", "--home", str(self._home), "--policies", str(policies))
        command = [sys.executable, "-c", self._code, "serve", *where]
        process = subprocess.Popen(command, env=self._environment, cwd=self._checkout)
        for _ in range(300):
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz")
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return process
        raise AssertionError("it does not serve")


def call(port: int, token: str, tool: str, **arguments: object) -> dict[str, Any]:
    """Call a tool and give the answer."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {token}",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    params = {"name": tool, "arguments": arguments, "_meta": _META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = httpx.post(f"http://127.0.0.1:{port}/mcp", json=body, headers=headers, timeout=30).json()
    content: dict[str, Any] = answer["result"]["structuredContent"]
    return content


def _import_all(version: Version, folder: Path, tenant: str) -> None:
    (folder / "contacts.csv").write_text(_CONTACTS)
    (folder / "tickets.jsonl").write_text(json.dumps(_TICKET))
    (folder / "mail.eml").write_text(_MAIL)
    (folder / "handbook").mkdir(exist_ok=True)
    (folder / "handbook" / "returns.md").write_text(_HANDBOOK)
    version.run("import", "contacts", str(folder / "contacts.csv"), "--tenant", tenant)
    version.run("import", "tickets", str(folder / "tickets.jsonl"), "--tenant", tenant)
    version.run("import", "eml", str(folder / "mail.eml"), "--mailbox", "support@larkspur.example", "--tenant", tenant)
    version.run("import", "knowledge", str(folder / "handbook"), "--tenant", tenant)


def make(checkout: Path, output: Path, port: int = 8931) -> None:
    """Make the home and pack it."""
    with tempfile.TemporaryDirectory() as name:
        folder, home = Path(name), Path(name) / "home"
        policies = copy_policies(folder / "policies", checkout / "policies" / "model.conf")
        version = Version(checkout, home)
        for tenant in ("larkspur", "other"):
            _import_all(version, folder, tenant)
        ana = version.run("token", "create", "--person", "ana@larkspur.example", "--days", "365")
        zoe = version.run("token", "create", "--person", "zoe@other.example", "--days", "365", "--tenant", "other")
        process = version.serve(policies, port)
        try:
            found = call(port, ana, "crm_search_contacts", query="Kim")["result"]["contacts"][0]
            made = call(port, ana, "crm_create_contact", name="Noor", email="noor@customer.example")
            call(port, zoe, "crm_create_contact", name="Zed", email="zed@customer.example")
            denied = call(port, zoe, "knowledge_get_document", document_id="doc_none")
            changes = [
                {"contact_id": found["id"], "version": found["version"], "title": title} for title in ("Buyer", "Boss")
            ]
            asked = [call(port, ana, "crm_update_contact", **change)["approval"]["id"] for change in changes]
            version.run("approvals", "approve", asked[0], "--as", MAYA, "--policies", str(policies))
            settled = call(port, ana, "crm_update_contact", **changes[0])
        finally:
            process.terminate()
            process.wait()
        known = {
            "at": datetime.now(UTC).isoformat(),
            "tokens": {"ana": ana, "zoe": zoe},
            "contact": made["result"]["id"],
            "made": made["call_id"],
            "denied": denied["call_id"],
            "settled": {"id": asked[0], "arguments": changes[0], "answer": settled},
            "pending": {"id": asked[1], "arguments": changes[1]},
        }
        (home / "known.json").write_text(json.dumps(known, indent=1))
        for file in home.glob("*-shm"):
            file.unlink()  # SQLite makes it anew
        with tarfile.open(output, "w:gz", compresslevel=9) as packed:
            for file in sorted(home.rglob("*")):
                packed.add(file, file.relative_to(home), recursive=False)


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
