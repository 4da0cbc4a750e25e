"""Runs the `remit` command as a user would: one-off commands, and a gateway on a free loopback port."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

START_SECONDS = 30.0
STOP_SECONDS = 5.0


class CommandFailed(Exception):
    """A `remit` command did not do its work."""


def remit_command() -> str:
    """Find the `remit` program that belongs to this Python.

    Raises:
        CommandFailed: If there is none.
    """
    beside = Path(sys.executable).with_name("remit")
    found = str(beside) if beside.exists() else shutil.which("remit")
    if not found:
        raise CommandFailed("the `remit` program is not installed; run `make setup` or `pip install .`")
    return found


def run_remit(*arguments: str) -> str:
    """Run one `remit` command and get its standard output.

    Raises:
        CommandFailed: If it fails or takes longer than two minutes.
    """
    shown = f"remit {' '.join(arguments[:2])}"
    try:
        done = subprocess.run(  # noqa: S603 - our own program with our own arguments
            [remit_command(), *arguments], capture_output=True, text=True, timeout=120, env=_environment(), check=False
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"`{shown}` took longer than two minutes") from None
    if done.returncode:
        raise CommandFailed(f"`{shown}` failed: {_last_line(done.stderr)}")
    return done.stdout


@contextmanager
def serving(home: Path, policies: Path) -> Iterator[str]:
    """Serve a home over HTTP on a free loopback port; yields the address and always stops the process.

    Raises:
        CommandFailed: If the gateway does not become ready.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [remit_command(), "serve", "--http", address, "--home", str(home), "--policies", str(policies)]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=_environment())  # noqa: S603 - our own program
        try:
            if not _ready(process, f"http://{address}/readyz"):
                log.seek(0)
                raise CommandFailed(f"the gateway did not become ready: {_last_line(log.read())}")
            yield f"http://{address}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(process: "subprocess.Popen[bytes]", url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=1, trust_env=False) as http:  # through none of the proxies that may be set
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                if http.get(url).is_success:
                    return True
            time.sleep(0.1)
    return False


def _environment() -> dict[str, str]:
    """What a command inherits: not the caller's own REMIT_ settings, and no keys for models."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("REMIT_", "OPENAI_", "ANTHROPIC_"))
    }


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1][:300]
