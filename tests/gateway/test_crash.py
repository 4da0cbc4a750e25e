"""The gateway is killed while it works: what it did, it did once, and the journal knows what became of everything."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import anyio
import pytest

from tests.gateway.crashing import SUPPORT, Crashes
from tests.gateway.test_approvals_process import call
from tests.postgres import postgres_server
from tests.processes import make_token, serving

# Starting a gateway five times takes its time on a busy machine.
pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


@pytest.fixture(params=["sqlite", "postgresql"])
def durable_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The setting `database_url`: empty for a file in the home, or that of a server that syncs what it commits."""
    if request.param == "sqlite":
        yield ""
        return
    with postgres_server(fsync=True) as server:
        yield server.new_database()


def test_after_kills_at_random_points_every_call_has_one_outcome_and_every_effect_happened_once(
    tmp_path: Path, durable_url: str
) -> None:
    crashes = Crashes(tmp_path / "home", Random(20261120), database_url=durable_url)
    crashes.prepare()
    anyio.run(crashes.drive)
    counted = crashes.check()
    assert counted["calls"] >= 200
    assert counted["unanswered"] > 0


SYNCED, SENT = re.compile(r"fdatasync\(\d+<[^>]*remit\.db-wal>"), re.compile(r"write\(\d+<[^>]*/outbox/\.")
WRITTEN = re.compile(r"pwrite64\(\d+<[^>]*remit\.db-wal>")
MAILS = 8


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_nothing_is_sent_before_its_intent_is_on_the_disk(tmp_path: Path) -> None:
    home, trace = tmp_path / "home", tmp_path / "trace"
    Crashes(home, Random(0)).prepare()
    token = make_token(home, "--agent", "triage")
    traced = "trace=fdatasync,fsync,pwrite64,write"
    # As a grandchild, the tracer leaves the gateway's process to whoever started it.
    strace = ["strace", "-D", "-f", "-y", "-s", "5000", "-e", traced, "-o", str(trace)]
    with serving(home, through=strace) as served:
        calls = []
        for number in range(MAILS):
            mail = {"mailbox": SUPPORT, "to": ["kim@customer.example"], "subject": f"mark {number}", "body": "x"}
            answer = call(served.mcp, token, "email_send_message", mail)
            assert answer["status"] == "ok"
            calls.append(answer["call_id"])
    steps = completed(trace.read_text("utf-8", errors="replace").splitlines())
    for number, name in enumerate(calls):
        # What a mail says is locked in the journal: its intent is told by the call's name, the mail by its subject.
        marks = {"written": name, "sent": f"mark {number}", "synced": ""}
        marked = [step for step in steps if marks[step[0]] in step[2]]
        [sent, *_] = [place for place, (kind, _, _) in enumerate(marked) if kind == "sent"]
        [(at, writer), *_] = [(place, thread) for place, (kind, thread, _) in enumerate(marked) if kind == "written"]
        synced = any((kind, thread) == ("synced", writer) for kind, thread, _ in marked[at:sent])
        assert synced, f"mail {number} was sent before its intent was on the disk"


def completed(lines: list[str]) -> list[tuple[str, str, str]]:
    """What was written, synced and sent, by which thread: a sync counts once it is over, a write once it begins."""
    steps: list[tuple[str, str, str]] = []
    syncing: set[str] = set()
    for line in lines:
        thread = line.partition(" ")[0]
        if SYNCED.search(line) and "unfinished" in line:
            syncing.add(thread)
        elif SYNCED.search(line) or ("fdatasync resumed" in line and thread in syncing):
            syncing.discard(thread)
            steps.append(("synced", thread, line))
        elif WRITTEN.search(line):
            steps.append(("written", thread, line))
        elif SENT.search(line):
            steps.append(("sent", thread, line))
    return steps
