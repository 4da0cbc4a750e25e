"""The tools of the official conformance suite, behind a server of their own: directly, and through the gateway.

Whatever passes directly passes through the gateway; `docs/conformance.md` lists what does not behind an older server.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.clients.node import NodeProgram, node_program
from tests.clients.test_conformance import DOCUMENT, VERSIONS, Check, run_all
from tests.processes import PATIENCE_SECONDS, clean, free_port, remit, serving
from tests.upstream.suite_server import ASKING, CONTENT

pytestmark = [pytest.mark.process, pytest.mark.node, pytest.mark.timeout(240)]

SERVER = Path(__file__).with_name("suite_server.py")
SECTION = "## From an upstream server"
HIDDEN = "test_hidden_headers"
CALLERS_TOKEN = "rmt_a_callers_secret"


@pytest.fixture(scope="module")
def suite() -> NodeProgram:
    return node_program("conformance")


@contextmanager
def upstream(noted: Path, *more: str) -> Iterator[str]:
    """The suite's server; gives its URL."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, str(SERVER), url.rpartition(":")[2], str(noted), *more]
    with subprocess.Popen(command, env=clean()) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not _answers(url):
                assert process.poll() is None, "the suite's server stopped"
                assert time.monotonic() < deadline, "the suite's server did not start"
                time.sleep(0.05)
            yield f"{url}/mcp"
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=1)
    except httpx.TransportError:
        return False
    return True


@contextmanager
def gateway(home: Path, upstream_url: str) -> Iterator[str]:
    """A gateway in front of it, all of whose tools a person accepted by command; gives its URL."""
    _write(home, upstream_url)
    accepted = remit("upstream", "accept", "suite", *_names(), "--as", "person:rosa", "--home", str(home))
    assert accepted.stdout.count(": accepted, ") == len(_names())
    with serving(home, "--no-auth", "--as", "person:suite", "--policies", str(_policies(home))) as served:
        yield served.mcp


def _names() -> list[str]:
    return [*CONTENT, *ASKING]


def _write(home: Path, url: str) -> None:
    folder = home / "upstreams"
    folder.mkdir(parents=True)
    passes = 'passes = ["log", "form", "page", "sampling", "roots"]'
    tools = "\n".join(f'[tools.{name}]\neffect = "read"\n{passes}' for name in _names())
    secret = home / "secret"
    secret.write_text("of-the-server\n")
    header = f'X-Own = {{ file = "{secret}", before = "Bearer " }}'
    asked = 'clearance = "customer"\npages = ["suite.example"]'
    head = f'prefix = ""\npass_media = true\n{asked}\n[http]\nurl = "{url}"\n[http.headers]\n{header}'
    (folder / "suite.toml").write_text(f"{head}\n{tools}\n")


def _policies(home: Path) -> Path:
    folder = home / "policies"
    folder.mkdir(parents=True)
    (folder / "model.conf").write_text((Path(__file__).parents[2] / "policies" / "model.conf").read_text())
    (folder / "roles.csv").write_text("g, person:suite, role:suite, larkspur\n")
    shown = [name for name in _names() if name != HIDDEN]
    rules = [f'p, S{number}, role:suite, {name}, "", allow, "the suite"\n' for number, name in enumerate(shown, 1)]
    (folder / "rules.csv").write_text("".join(rules))
    return folder


def listed() -> dict[str, set[str]]:
    """The checks that do not pass through, by protocol version."""
    text = DOCUMENT.read_text("utf-8").partition(SECTION)[2].partition("\n## ")[0]
    found: dict[str, set[str]] = {}
    for versions, checks in re.findall(r"^- ([0-9-]+(?:, [0-9-]+)*): (.+?): ", text, re.MULTILINE):
        for version in versions.split(", "):
            found.setdefault(version, set()).update(re.findall(r"`([^`]+)`", checks))
    return found


def passed(outcome: dict[Check, bool]) -> set[str]:
    """The checks that succeed, of all scenarios that the protocol version has."""
    return {
        f"{check.scenario}/{check.id}".removesuffix(f"/{check.scenario}") for check, fine in outcome.items() if fine
    }


def test_the_suites_tools_behave_the_same_through_the_gateway_and_token_pass_through_does_not_happen(
    suite: NodeProgram, tmp_path: Path
) -> None:
    noted = tmp_path / "noted"
    with upstream(noted) as direct, gateway(tmp_path / "home", direct) as through:
        for version in VERSIONS:
            before = passed(run_all(suite, direct, version, tmp_path / "direct" / version))
            after = passed(run_all(suite, through, version, tmp_path / "through" / version))
            assert before - after == set(), version
            assert len(after) > 40
        assert '"status":"ok"' in _call(through, "test_simple_text")
        # Headers that say something else tell nobody that there is a tool which they do not have.
        assert "header" in _call(through, "test_custom_headers", region="eu")
        assert _call(through, HIDDEN, region="eu").replace(HIDDEN, "") == _call(
            through, "no_such", region="eu"
        ).replace("no_such", "")
    seen = [json.loads(line) for line in noted.read_text().splitlines()]
    of_the_gateway = [headers for headers in seen if headers.get("x-own") == "Bearer of-the-server"]
    assert of_the_gateway
    assert not any(CALLERS_TOKEN in str(headers) for headers in seen)
    assert not any({"authorization", "cookie", "x-api-key"} & headers.keys() for headers in of_the_gateway)


@pytest.mark.skipif("REMIT_MORE_TESTS" not in os.environ, reason="REMIT_MORE_TESTS")
def test_they_do_so_behind_a_server_of_the_handshake_eras_too_but_for_the_listed_checks(
    suite: NodeProgram, tmp_path: Path
) -> None:
    older, newer = tmp_path / "older", tmp_path / "newer"
    with upstream(newer) as direct, upstream(older, "handshakes") as behind, gateway(tmp_path / "home", behind) as url:
        for version in VERSIONS:
            before = passed(run_all(suite, direct, version, tmp_path / "direct" / version))
            after = passed(run_all(suite, url, version, tmp_path / "through" / version))
            assert before - after == listed().get(version, set()), version


def _call(url: str, tool: str, **arguments: str) -> str:
    """What is answered to a call with headers of another that must go nowhere."""
    protocol = "2026-07-28"
    client = {"name": "test", "version": "1"}
    meta = {
        "io.modelcontextprotocol/protocolVersion": protocol,
        "io.modelcontextprotocol/clientInfo": client,
        "io.modelcontextprotocol/clientCapabilities": {},
        "remit/run": CALLERS_TOKEN,
    }
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "Authorization": f"Bearer {CALLERS_TOKEN}",
        "Accept": "application/json, text/event-stream",
        "Mcp-Protocol-Version": protocol,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
        "X-Api-Key": CALLERS_TOKEN,
        "Cookie": f"session={CALLERS_TOKEN}",
    }
    return httpx.post(url, json=body, headers=headers, timeout=PATIENCE_SECONDS).text
