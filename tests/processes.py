"""Starts the real `remit` command for tests."""

import atexit
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import httpx
from typer.testing import CliRunner

from gateway.cli import app
from gateway.settings import SHIPPED_POLICIES

REMIT = str(Path(sys.executable).parent / "remit")
"""The installed command."""
PATIENCE_SECONDS = 60
_NOBODY = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": str(Path(__file__).parent)}
_AS_GIVEN = "AS_GIVEN_"
OF_THE_RUN = "WARM_REMIT"
"""Where pytest's processes find what `warm_remit` gave the one that started them."""


def trust_nobody() -> None:
    """Have this process and those that it starts find no authority's certificates.

    Tests call this machine only. To read all certificates takes longer than a call, and each client does it anew.
    """
    for name, value in _NOBODY.items():
        os.environ.setdefault(f"{_AS_GIVEN}{name}", os.environ.get(name, ""))
        os.environ[name] = value


def as_given() -> dict[str, str]:
    """The environment of the whole run, for what reaches out of this machine."""
    trusted = {name: os.environ.get(f"{_AS_GIVEN}{name}", "") for name in _NOBODY}
    others = {name: value for name, value in os.environ.items() if name not in _NOBODY}
    return others | {name: value for name, value in trusted.items() if value}


@cache
def warm_remit() -> str:
    """A command that does as `remit`, in a process of its own too, but need not import anything: see `warm/parent.py`.

    Its process is not the one that was started but another, which is sent the same signals; `Served.pid` tells it.
    """
    if of_the_run := os.environ.get(OF_THE_RUN):
        return of_the_run
    folder = Path(mkdtemp(prefix="remit-"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        listening.listen()
        number, root = listening.fileno(), Path(__file__).parent.parent
        command = [sys.executable, "-c", f"from tests.warm.parent import start; start({number})"]
        parent = subprocess.Popen(command, stdin=subprocess.PIPE, env=clean(), cwd=root, pass_fds=[number])
    launcher = folder / "remit"
    run = [sys.executable, "-IS", str(Path(__file__).parent / "warm" / "command.py"), str(folder / "socket")]
    launcher.write_text(f'#!/bin/sh\nexec {shlex.join(run)} "$@"\n')
    launcher.chmod(0o700)
    atexit.register(shutil.rmtree, folder)
    atexit.register(parent.communicate)
    return str(launcher)


def remit(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [warm_remit(), *arguments], text=True, capture_output=True, check=check, timeout=120, env=clean()
    )


def clean() -> dict[str, str]:
    """The environment without settings that a developer may have, and wide enough for a message to stay in one line."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("REMIT_")}, "COLUMNS": "300"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Served:
    """A gateway process that serves HTTP."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """The gateway's own process, to be looked at, killed or limited."""
        name = Path(f"/proc/{self.process.pid}/comm").read_text().strip()
        return int(name) if name.isdecimal() else self.process.pid

    @property
    def mcp(self) -> str:
        return f"{self.url}/mcp"


@contextmanager
def serving(home: Path, *arguments: str, through: Sequence[str] = (), port: int | None = None) -> Iterator[Served]:
    """Serve over HTTP on a free port until the block ends; fails with the gateway's own words if it does not start.

    Args:
        home: The home folder.
        arguments: More of the command's.
        through: A command that runs the installed command, such as a tracer; it must become the process itself.
        port: The port, if it has to be a certain one.
    """
    home.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port or free_port()}"
    log = home / "gateway.log"
    where = ["--http", url.removeprefix("http://"), "--home", str(home)]
    run = [*through, REMIT if through else warm_remit(), "serve", *where, *arguments]
    with log.open("wb") as out, subprocess.Popen(run, stdout=out, stderr=out, env=clean()) as process:
        try:
            _wait_until_ready(url, process, log)
            yield Served(url, process, log)
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the gateway stopped: {log.read_text()}")
        try:
            if httpx.get(f"{url}/readyz", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the gateway did not get ready: {log.read_text()}")


def copy_shipped_policies(folder: Path) -> Path:
    """The shipped policy in a folder that a test may change."""
    folder.mkdir()
    for path in SHIPPED_POLICIES.glob("*.c*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def make_token(home: Path, *arguments: str) -> str:
    """Make a bearer token, such as `--agent triage`: by the command, but without waiting for a process to start."""
    without_settings = {name: None for name in os.environ if name.startswith("REMIT_")}
    before = os.umask(0o077)  # as `main` sets it
    try:
        made = CliRunner(env=without_settings).invoke(app, ["token", "create", "--home", str(home), *arguments])
    finally:
        os.umask(before)
    assert made.exit_code == 0, made.output
    return made.stdout.strip()
