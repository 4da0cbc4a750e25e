"""The tutorial on adding a back end, followed line by line in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "back-ends" / "tutorial.md"
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.process


def follow(language: str, file: Path | None, text: str) -> None:
    """Do what a block says: add to a file, or put lines in front of others that are there."""
    assert file
    if language == "python":
        file.write_text("\n\n".join(filter(None, (file.read_text().strip() if file.exists() else "", text))))
    elif language == "diff":
        added: list[str] = []
        for line in text.splitlines():
            if line.startswith("+"):
                added.append(line[1:])
            else:
                before = f"\n{line[1:]}\n"
                assert file.read_text().count(before) == 1, line
                file.write_text(file.read_text().replace(before, "\n" + "\n".join([*added, line[1:]]) + "\n"))
                added = []


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        command, cwd=folder, text=True, capture_output=True, check=False, timeout=110, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_whoever_follows_the_tutorial_has_a_back_end_that_passes_the_contract(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("node_modules", "__pycache__", ".*")
    for name in ("connectors", "gateway", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    commands = []
    for language, name, text in _BLOCK.findall(TUTORIAL.read_text()):
        if language == "sh":
            commands.append(text.split())
        else:
            follow(language, tmp_path / name if name else None, text)
    made = ["connectors/ticketing/pigeonhole.py", "tests/backends/test_pigeonhole.py", "connectors/declared.py"]
    ruff = str(Path(sys.executable).parent / "ruff")
    run([ruff, "check", "--ignore", "D,I,ARG002", *made], tmp_path)
    [command] = commands
    assert command[0] == "python"
    assert "passed" in run([sys.executable, *command[1:]], tmp_path)
    listed = "from connectors.declared import KINDS; print([kind.name for kind in KINDS])"
    assert "'pigeonhole'" in run([sys.executable, "-c", listed], tmp_path)
    assert len((tmp_path / made[0]).read_text().splitlines()) < 260
