"""`remit serve --workers`: several processes on one address, told apart by nobody."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.cli.serving import _WORKER_SECONDS
from tests.gateway.test_approvals_process import TICKET
from tests.gateway.test_approvals_process import call as call_once
from tests.processes import PATIENCE_SECONDS, Served, make_token, remit, serving

pytestmark = pytest.mark.process
METRICS_TOKEN = "a-token-for-metrics-alone"


def workers_of(served: Served) -> set[int]:
    children = Path(f"/proc/{served.pid}/task/{served.pid}/children").read_text().split()
    return {int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def until(holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
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


def test_a_worker_that_dies_while_it_is_asked_whether_it_lives_is_replaced_at_once(tmp_path: Path) -> None:
    make_token(tmp_path, "--agent", "triage")
    with serving(tmp_path, "--workers", "2") as served:
        until(lambda: is_ready(served) and len(workers_of(served)) == 2)
        silent = min(workers_of(served))
        os.kill(silent, signal.SIGSTOP)
        parent = Path(f"/proc/{served.pid}/wchan")
        until(lambda: "poll" in parent.read_text())  # for as long as a busy worker may take to answer
        os.kill(silent, signal.SIGKILL)
        until(lambda: len(workers_of(served)) == 2 and silent not in workers_of(served), _WORKER_SECONDS / 3)


def test_workers_end_when_their_parent_is_gone(tmp_path: Path) -> None:
    make_token(tmp_path, "--agent", "triage")
    with serving(tmp_path, "--workers", "2") as served:
        until(lambda: len(workers_of(served)) == 2)
        left = workers_of(served)
        os.kill(served.pid, signal.SIGKILL)
        until(lambda: all(map(is_gone, left)))


def test_whichever_is_asked_tells_the_metrics_of_all_and_all_end_in_order(tmp_path: Path) -> None:
    (tmp_path / "remit.toml").write_text(f'metrics_token = "{METRICS_TOKEN}"\nshutdown_delay = 1\n')
    token = make_token(tmp_path, "--person", "jonas.weber@larkspur.example")
    with serving(tmp_path, "--workers", "2") as served:
        until(lambda: "2 told" in counted(served))
        for _ in range(6):
            assert call_once(served.mcp, token, "ticket_create_ticket", TICKET)["status"] == "ok"
        assert counted(served) == "2 told, 0 silent, 6 calls"
        # As a service manager does, or a terminal: everybody is told, and the parent tells its own once more.
        both = workers_of(served)
        for signalled in (served.pid, *both):
            os.kill(signalled, signal.SIGTERM)
        until(lambda: served.log.read_text().count('"leaving"') == 2)
        assert httpx.get(f"{served.url}/readyz").status_code == 503
        assert call_once(served.mcp, token, "ticket_create_ticket", TICKET)["status"] == "ok", "it is still let in"
        assert served.process.wait(PATIENCE_SECONDS) == 0
        assert all(map(is_gone, both))
    assert "stopped_at_once" not in served.log.read_text()


def counted(served: Served) -> str:
    """How many processes tell how many calls."""
    text = httpx.get(f"{served.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    calls = [each for each in samples if each.name == "remit_calls_total"]
    assert len({(each.name, *sorted(each.labels.items())) for each in samples}) == len(samples)
    told, silent = (each.value for each in samples if each.name == "remit_workers")
    return f"{told:g} told, {silent:g} silent, {sum(each.value for each in calls):g} calls"


SLOW_TO_END = """
import os, socket, time, uvicorn
from gateway.cli.parent import Parent

async def app(scope, receive, send):
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
        os.write(1, b"serving\\n")
    os.write(1, b"leaving\\n")
    time.sleep(600)

if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as listening:
        Parent(uvicorn.Config("slow_to_end:app", workers=2, log_config=None), [listening]).run()
"""


def test_told_twice_all_end_at_once(tmp_path: Path) -> None:
    (tmp_path / "slow_to_end.py").write_text(SLOW_TO_END)
    command = [sys.executable, "slow_to_end.py"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert [process.stdout.readline() for _ in range(2)] == [b"serving\n"] * 2
            both = workers_of(Served("", process, tmp_path))
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == b"leaving\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGINT
            until(lambda: all(map(is_gone, both)))
        finally:
            process.kill()


def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    make_token(tmp_path / "home", "--agent", "triage")
    (tmp_path / "policies").mkdir()
    told = remit(
        "serve", "--http", "127.0.0.1:1", "--workers", "2", "--home", str(tmp_path / "home"),
        "--policies", str(tmp_path / "policies"), check=False,
    )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr.count("model.conf") == 1, told.stderr
