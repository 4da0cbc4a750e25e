"""`remit serve --workers`: several processes on one address, told apart by nobody."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.gateway.test_approvals_process import TICKET
from tests.gateway.test_approvals_process import call as call_once
from tests.processes import PATIENCE_SECONDS, Served, make_token, remit, serving

pytestmark = pytest.mark.process


def workers_of(served: Served) -> set[int]:
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    return {int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)


def is_ready(served: Served) -> bool:
    # The connection of one that died is taken by the next one, once it has started.
    try:
        return httpx.get(f"{served.url}/readyz", timeout=PATIENCE_SECONDS).status_code == 200
    except httpx.HTTPError:
        return False


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def test_a_worker_that_dies_is_replaced_and_what_was_answered_is_recorded(tmp_path: Path) -> None:
    token = make_token(tmp_path, "--person", "jonas.weber@larkspur.example")
    made = []
    with serving(tmp_path, "--workers", "2") as served:
        until(lambda: len(workers_of(served)) == 2)
        before = workers_of(served)
        made.append(call_once(served.mcp, token, "ticket_create_ticket", TICKET))
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(workers_of(served)) == 2 and min(before) not in workers_of(served))
        until(lambda: is_ready(served))
        made += [call_once(served.mcp, token, "ticket_create_ticket", TICKET) for _ in range(5)]
    assert [each["status"] for each in made] == ["ok"] * 6
    assert len({each["result"]["id"] for each in made}) == 6
    assert is_gone(max(before))
    verified = remit("journal", "verify", "--home", str(tmp_path))
    assert "12 entries" in verified.stdout, verified.stdout


def test_workers_end_when_their_parent_is_gone(tmp_path: Path) -> None:
    make_token(tmp_path, "--agent", "triage")
    with serving(tmp_path, "--workers", "2") as served:
        until(lambda: len(workers_of(served)) == 2)
        left = workers_of(served)
        served.process.kill()
        until(lambda: all(map(is_gone, left)))


def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    make_token(tmp_path / "home", "--agent", "triage")
    (tmp_path / "policies").mkdir()
    told = remit(
        "serve", "--http", "127.0.0.1:1", "--workers", "2", "--home", str(tmp_path / "home"),
        "--policies", str(tmp_path / "policies"), check=False,
    )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr.count("model.conf") == 1, told.stderr
