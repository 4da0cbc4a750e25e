"""Runs the npm programs that `make test` installs into `tests/node`, with the Node that is installed beside them."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import clean

INSTALLED = Path(__file__).parents[1] / "node" / "node_modules" / ".bin"


@dataclass(frozen=True)
class NodeProgram:
    """An installed npm program. Nothing is downloaded to run it."""

    file: str
    path: str

    def run(self, *arguments: str, home: Path, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run it to its end, whatever its exit code.

        Args:
            arguments: Its arguments.
            home: What it takes for the user's home, so that it finds and leaves nothing there.
            timeout: Seconds it may take.
        """
        command, own = [self.file, *arguments], {**clean(), "PATH": self.path, "HOME": str(home)}
        return subprocess.run(command, text=True, capture_output=True, check=False, timeout=timeout, env=own)


def node_program(name: str) -> NodeProgram:
    """Find an installed npm program; without it or without Node the test is skipped, or fails in CI."""
    path = os.pathsep.join([str(INSTALLED), os.environ.get("PATH", "")])
    file = shutil.which(name, path=str(INSTALLED))
    if file and shutil.which("node", path=path):
        return NodeProgram(file, path)
    missing = f"npm package with `{name}` in tests/node (`npm ci --prefix tests/node`)" if not file else "Node"
    if os.environ.get("CI"):
        pytest.fail(f"no {missing}: in CI the real clients must run")
    pytest.skip(f"no {missing}")
