"""The tutorial on a new workflow, followed line by line beside a real gateway and a real worker."""

import json
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from tests.processes import PATIENCE_SECONDS, clean, make_token, remit, serving, warm_remit

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "new-workflow.md").read_text()
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMPANY = {
    "": {
        "customers": [{"id": "sam", "name": "Sam Carter", "email": "sam@northgate.example"}],
        "orders": [{"number": "LI-50001", "customer": "sam", "total": "90", "status": "shipped"}],
        "tickets": [{"sender": "sam", "subject": "Where is it?", "body": "Where is my order?"}],
    }
}

pytestmark = pytest.mark.process


def run(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [warm_remit(), *words], cwd=folder, env=environment, text=True, capture_output=True, check=False, timeout=110
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def waiting(folder: Path, environment: dict[str, str]) -> str:
    """The run's story once it asks somebody."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "waiting" not in (told := run(["runs", "show", "first", "--full"], folder, environment)):
        assert "first  delivery@1  failed" not in told
        assert time.monotonic() < deadline, told
    return told


def test_whoever_follows_the_tutorial_has_a_workflow_that_answers_where_an_order_is(tmp_path: Path) -> None:
    home = tmp_path / ".remit"
    (tmp_path / "company.json").write_text(json.dumps(COMPANY))
    ids = json.loads(remit("sample", "--from-file", str(tmp_path / "company.json"), "--home", str(home)).stdout)[""]
    [commands] = [text for language, _, text in _BLOCK.findall(TUTORIAL) if language == "sh"]
    for language, name, text in _BLOCK.findall(TUTORIAL):
        if language != "sh":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
    export, begin, worker, show, answer, wait = commands.replace("tic_…", ids["ticket"]).splitlines()
    token = make_token(home, "--agent", "triage")
    with serving(home) as served:
        assert export == ("export REMIT_WORKFLOWS=mine REMIT_TOKEN=$(remit token create --home .remit --agent triage)")
        environment = {**clean(), "REMIT_WORKFLOWS": "mine", "REMIT_TOKEN": token, "REMIT_URL": served.mcp}
        assert run(shlex.split(begin)[1:], tmp_path, environment).strip() == "first"
        assert worker == "remit worker &"
        with (tmp_path / "log").open("wb") as log:
            working = subprocess.Popen([warm_remit(), "worker"], cwd=tmp_path, env=environment, stderr=log, stdout=log)
            try:
                assert show == "remit runs show first --full"
                assert "Order LI-50001 is shipped." in waiting(tmp_path, environment)
                run(shlex.split(answer)[1:], tmp_path, environment)
                outcome = json.loads(run(shlex.split(wait)[1:], tmp_path, environment))
            finally:
                working.terminate()
                working.wait(PATIENCE_SECONDS)
    assert outcome["body"] == "Order LI-50001 is shipped."


def test_the_tutorial_is_short() -> None:
    assert len(TUTORIAL.splitlines()) <= 60
