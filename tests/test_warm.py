"""The stand-in for the `remit` command: streams, status, environment and signals are those of the process behind it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.processes import PATIENCE_SECONDS, REMIT, clean, serving, warm_remit

pytestmark = pytest.mark.process


@pytest.mark.parametrize("arguments", [["check"], ["tools", "--as", "nobody"], ["serve"], ["--help"]])
def test_it_says_and_ends_as_the_installed_command_does(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "remit.toml").write_text('tenant = "elsewhere"\n')

    def ran(command: str) -> tuple[int, str, str]:
        env = {**clean(), "REMIT_HOME": "home"}
        done = subprocess.run([command, *arguments], cwd=tmp_path, env=env, text=True, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert ran(warm_remit()) == ran(REMIT)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_it_reaches_the_process(tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "remit.toml").write_text('principal = "agent:triage"\n')
    with serving(tmp_path, "--no-auth") as served:
        at = Path(f"/proc/{served.pid}")
        served.process.send_signal(how)
        assert served.process.wait(PATIENCE_SECONDS) == (0 if how is signal.SIGTERM else -how)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while at.exists():
            assert time.monotonic() < deadline


def test_a_process_that_is_killed_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "remit.toml").write_text('principal = "agent:triage"\n')
    with serving(tmp_path, "--no-auth") as served:
        os.kill(served.pid, signal.SIGKILL)
        assert served.process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
