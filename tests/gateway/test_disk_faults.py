"""A running gateway under a disk that is full, turns read-only or fails to sync: nothing runs that is not recorded.

The faults are real: a small file system of its own, the kernel's immutable flag, system calls that strace makes fail.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal import Entry, Kind, read_journal
from tests.gateway.test_outage import create_contact
from tests.processes import PATIENCE_SECONDS, Served, make_token, remit, serving

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting, tracing and setting flags need root"),
]
TOM = "person:tom.lindqvist@larkspur.example"


@contextmanager
def gateway_in(home: Path) -> Iterator[Served]:
    make_token(home, "--person", "tom.lindqvist@larkspur.example")
    (home / "remit.toml").write_text("call_timeout = 2\njournal_timeout = 2\nrecovery_interval = 0.2\n")
    with serving(home, "--no-auth", "--as", TOM) as served:
        yield served


def refused(answer: dict[str, Any]) -> bool:
    return bool(answer["status"] == "failed" and answer["error"]["kind"] == "journal_unavailable")


def recorded(home: Path) -> list[Entry]:
    with Database.in_file(home / "remit.db") as database:
        return list(read_journal(database, EVERY_TENANT))


def open_calls(home: Path) -> set[str]:
    """The calls that were begun and have no outcome."""
    entries = recorded(home)
    begun = {entry.call_id for entry in entries if entry.kind is Kind.INTENT}
    return begun - {entry.call_id for entry in entries if entry.kind is Kind.OUTCOME}


def wait_until_all_have_ended(home: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while open_ := open_calls(home):
        assert time.monotonic() < deadline, f"never ended: {open_}"
        time.sleep(0.2)


def check_that_all_is_well(home: Path, made: int) -> None:
    """Each contact that exists was recorded before and after, once, and the journal is what was written."""
    entries = recorded(home)
    done = [entry.call_id for entry in entries if entry.kind is Kind.OUTCOME and entry.body["status"] == "ok"]
    assert len(done) == len(set(done)) == made
    assert "entries are what was written" in remit("journal", "verify", "--home", str(home)).stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a few megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_on_a_full_disk_nothing_runs_and_nothing_is_lost_when_there_is_room_again(small_disk: Path) -> None:
    home = small_disk / "home"
    with gateway_in(home) as served:
        assert create_contact(served, 0)["status"] == "ok"
        fill(small_disk / "filling")
        answers = [create_contact(served, number) for number in range(1, 40)]
        took = [each for each in answers if each["status"] == "ok"]
        refusals = [each for each in answers if each["status"] == "failed"]
        assert any(map(refused, refusals)), "the disk is full"
        assert {each["error"]["kind"] for each in refusals} <= {"journal_unavailable", "unavailable", "in_doubt"}
        assert httpx.get(f"{served.url}/readyz").status_code == 503
        assert httpx.get(f"{served.url}/healthz").status_code == 200
        (small_disk / "filling").unlink()
        assert create_contact(served, 40)["status"] == "ok"
        assert httpx.get(f"{served.url}/readyz").status_code == 200
        again = [create_contact(served, number)["status"] for number in range(1, 40)]
        assert again.count("ok") == len(refusals), "what was refused had not happened; the rest exists already"
        wait_until_all_have_ended(home)
    check_that_all_is_well(home, 2 + len(took) + len(refusals))


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 512):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


def test_a_database_that_turns_read_only_stops_all_calls_and_is_taken_up_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with gateway_in(home) as served:
        assert create_contact(served, 0)["status"] == "ok"
        # Not the shared memory beside them: a process that maps it would be stopped by the kernel.
        files = [str(home / "remit.db"), str(home / "remit.db-wal")]
        if subprocess.run(["chattr", "+i", *files], check=False, capture_output=True).returncode:
            pytest.skip("this file system has no immutable flag")
        try:
            answers = [create_contact(served, number) for number in range(1, 4)]
            ready = httpx.get(f"{served.url}/readyz").status_code
        finally:
            subprocess.run(["chattr", "-i", *files], check=True)
        assert all(refused(answer) for answer in answers)
        assert ready == 503
        assert [create_contact(served, number)["status"] for number in range(1, 4)] == ["ok"] * 3
        wait_until_all_have_ended(home)
    check_that_all_is_well(home, 4)


def test_a_gateway_does_not_start_on_a_database_that_it_cannot_write(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_token(home, "--person", "tom.lindqvist@larkspur.example")
    files = [str(path) for path in home.glob("remit.db*")]
    if subprocess.run(["chattr", "+i", *files], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no immutable flag")
    try:
        refusal = remit("serve", "--stdio", "--as", TOM, "--home", str(home), check=False)
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)
    assert refusal.returncode == 1
    assert "cannot be" in refusal.stderr
    assert "Traceback" not in refusal.stderr


@contextmanager
def failing_syncs(served: Served, home: Path, path: Path | None, which: str = "") -> Iterator[None]:
    """Let the process's fsync and fdatasync fail, of one file or of all.

    Args:
        served: The gateway.
        home: Where strace's own log goes.
        path: Whose; None means every file's.
        which: Which of them, as strace counts, such as `:when=2`; empty means all.
    """
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    of = ["-P", str(path)] if path else []
    inject = f"inject=fsync,fdatasync:error=EIO{which}"
    log = home / "strace.log"
    command = ["strace", "-f", "-q", "-e", "trace=fsync,fdatasync", "-e", inject, *of, "-o", str(log)]
    tracer = subprocess.Popen([*command, "-p", str(served.pid)], stderr=subprocess.PIPE)
    try:
        wait_until_traced(served.pid)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(PATIENCE_SECONDS)
        if tracer.stderr:
            tracer.stderr.close()
    assert "INJECTED" in log.read_text(), "the fault must have happened"


def wait_until_traced(pid: int) -> None:
    def traced(task: Path) -> bool:
        return "TracerPid:\t0\n" not in (task / "status").read_text()

    for _ in range(10_000):
        if all(traced(task) for task in Path(f"/proc/{pid}/task").iterdir()):
            return
    raise AssertionError("strace did not attach")


@pytest.mark.parametrize("whose", ["remit.db-wal", None])
def test_while_the_disk_does_not_sync_nothing_runs(tmp_path: Path, whose: str | None) -> None:
    home = tmp_path / "home"
    with gateway_in(home) as served:
        assert create_contact(served, 0)["status"] == "ok"
        with failing_syncs(served, home, home / whose if whose else None):
            answers = [create_contact(served, number) for number in range(1, 6)]
            assert all(refused(answer) for answer in answers)
            assert httpx.get(f"{served.url}/readyz").status_code == 503
        assert [create_contact(served, number)["status"] for number in range(1, 6)] == ["ok"] * 5
        # An intent whose commit was not confirmed may stand in the journal all the same: what it meant was not done.
        wait_until_all_have_ended(home)
    check_that_all_is_well(home, 6)


def test_an_effect_whose_outcome_could_not_be_synced_is_said_to_be_in_doubt_and_found_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with gateway_in(home) as served:
        assert create_contact(served, 0)["status"] == "ok"
        with failing_syncs(served, home, home / "remit.db-wal", ":when=2+"):
            answer = create_contact(served, 1)
            assert (answer["status"], answer["error"]["kind"]) == ("failed", "in_doubt")
        assert create_contact(served, 1)["error"]["kind"] == "conflict", "the contact exists: it is not made twice"
        wait_until_all_have_ended(home)
    [outcome] = [entry for entry in recorded(home) if entry.call_id == answer["call_id"] and entry.kind is Kind.OUTCOME]
    assert outcome.body["status"] == "ok", "it was carried out"
    check_that_all_is_well(home, 2)
