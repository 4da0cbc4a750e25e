"""`remit runs` and `remit run WORKFLOW`: what a run did and waits for is told by one command, answered by another."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

from gateway.cli import app
from orchestrator.durable.database import Database
from orchestrator.durable.store import Store
from orchestrator.durable.tables import runs
from tests.orchestrator.fake_gateway import PENDING, TOKEN, FakeGateway, over_http

OWN = """
from pydantic import BaseModel
from orchestrator.work import Work
from orchestrator.workflow import workflow

class Given(BaseModel):
    name: str
    note: bool = False

class Said(BaseModel):
    text: str

@workflow("greeting", version=1)
async def greeting(work: Work, given: Given) -> Said:
    if given.note:
        await work.call("note", "ticket_add_note", {"ticket_id": "tic_1", "body": "x"})
    answer = await work.ask("tone", f"how is {given.name} greeted?", ["warmly", "not"])
    return Said(text=f"{answer['choice']} {answer['note']}")

@workflow("echo", version=1)
async def echo(work: Work, given: Given) -> Said:
    if given.name == "nobody":
        raise ValueError("there is nobody")
    return Said(text=given.name)
"""


@dataclass
class Desk:
    """A terminal with a home, workflows of its own, and a gateway."""

    home: Path
    url: str
    grants: bool = False

    async def __call__(self, *arguments: str) -> Result:
        settings = {"REMIT_HOME": str(self.home), "REMIT_URL": self.url, "REMIT_TOKEN": TOKEN}
        env: dict[str, str | None] = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY"))
        if self.grants:
            settings["REMIT_GRANT_TOKEN"] = TOKEN
        env |= {**settings, "REMIT_WORKFLOWS": str(self.home), "REMIT_LEASE": "1", "COLUMNS": "300"}
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=env)

    async def begin(self, workflow: str = "greeting", **given: Any) -> str:
        begun = await self("run", workflow, "--input", json.dumps({"name": "Lena", **given}))
        assert begun.exit_code == 0, begun.output
        return begun.stdout.strip()

    async def parked(self, **given: Any) -> str:
        """A run that a worker has taken to its first question."""
        run = await self.begin(**given)
        waited = await self("run", "greeting", "--id", run, "--input", json.dumps({"name": "Lena"}), "--wait", "1")
        assert waited.exit_code == 1, waited.output
        return run


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


@asynccontextmanager
async def desk(home: Path, gateway: FakeGateway | None = None) -> AsyncIterator[Desk]:
    async with over_http(gateway or FakeGateway()) as (url, _):
        yield Desk(home, url)


async def test_any_workflow_is_begun_by_name_once_an_id_and_its_result_waited_for(home: Path) -> None:
    async with desk(home) as remit:
        first = await remit("run", "echo", "--input", '{"name": "Lena"}', "--id", "mine", "--wait", "60")
        again = await remit("run", "echo", "--input", '{"name": "Otto"}', "--id", "mine", "--wait", "60")
        assert [json.loads(each.stdout) for each in (first, again)] == [{"text": "Lena"}] * 2
        (home / "given.json").write_text('{"name": "Ana"}')
        from_file = await remit("run", "echo", "--input", f"@{home}/given.json", "--wait", "60")
        assert json.loads(from_file.stdout) == {"text": "Ana"}
        assert json.loads((await remit("runs", "wait", "mine")).stdout) == {"text": "Lena"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "nowhere"), "error: there is no workflow `nowhere`"),
        (("run", "echo", "--input", "{}"), "error: workflow `echo`: `name`: field required"),
        (("run", "echo", "--input", "{"), "error: the input is no JSON"),
        (("run", "echo", "--input", "[]"), "error: workflow `echo`: `the whole`: input should be a valid dictionary"),
        (("run", "refund_request"), "error: workflow `refund_request`: `the whole`: give `ticket_id`, or `mailbox`"),
        (("run", "triage", "--command", "remit 'serve"), "error: the gateway's command cannot be taken apart"),
        (("run", "ask", "--input", '{"question": "Who?", "days": 1e9}'), "`days`: input should be less than or equal"),
        (("ask", ""), "error: workflow `ask`: `question`: string should have at least 2 characters"),
        (("worker", "--http", "127.0.0.1:65536"), "error: `127.0.0.1:65536` is no address"),
        (("worker", "--http", "127.0.0.1:²"), "error: `127.0.0.1:²` is no address"),
        (("stage", "set", "triage", "", "draft", "--reason", "x"), "error: workflow `triage` acts in sort"),
        (("eval", "nowhere"), "error: there is no workflow `nowhere`"),
        (("eval", "triage", "--only", "nothing"), "error: `triage` has no case with the tag `nothing`"),
        (("eval", "triage", "--against", "nowhere.json"), "error: `nowhere.json` cannot be read"),
        (("eval", "triage", "--against", "{home}/own.py"), "own.py` cannot be read"),
        (("eval", "triage", "--against", "{home}/list.json"), "list.json`: `the whole`: input should be"),
        (("eval", "triage", "--against", "{home}/other.json"), "error: the earlier result holds none of these cases"),
        (("run", "echo", "--input", "@nowhere.json"), "error: `nowhere.json` cannot be read"),
        (("runs", "show", "nobody"), "error: there is no run `nobody`"),
        (("runs", "answer", "nobody", "--choice", "x"), "error: there is no run `nobody`"),
        (("run", "echo", "--input", '{"name": "nobody"}', "--wait", "60"), "failed: ValueError at own.py:"),
    ],
)
async def test_what_cannot_be_is_told_in_one_line(home: Path, arguments: tuple[str, ...], told: str) -> None:
    (home / "list.json").write_text("[]")
    (home / "other.json").write_text('{"workflow": "echo", "version": 1, "labels": [], "cases": {}}')
    async with desk(home) as remit:
        done = await remit(*(each.replace("{home}", str(home)) for each in arguments))
    assert done.exit_code == 1
    [line] = [each for each in done.stderr.splitlines() if not each.startswith("{")]
    assert told in line


@pytest.mark.parametrize(
    ("variable", "told"),
    [("REMIT_MODELS", "own.py` is no TOML"), ("REMIT_COMMAND", "cannot be taken apart"), ("REMIT_TRIGGERS", "own.py`")],
)
async def test_a_setting_that_cannot_be_used_is_told_in_one_line_also_while_work_is_under_way(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, told: str
) -> None:
    monkeypatch.setenv(variable, f"'{home}/own.py" if variable == "REMIT_COMMAND" else f"{home}/own.py")
    async with desk(home) as remit:
        begin = ("run", "echo", "--input", '{"name": "Lena"}', "--wait", "60")
        done = await remit(*(("worker",) if variable == "REMIT_TRIGGERS" else begin))
    assert done.exit_code == 1
    assert told in done.stderr.splitlines()[-1]


async def test_a_workflow_of_ones_own_that_does_not_load_is_named(home: Path) -> None:
    (home / "broken.py").write_text("def (")
    async with desk(home) as remit:
        done = await remit("run", "echo")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "broken.py` does not load: SyntaxError: invalid syntax (broken.py, line 1)" in done.stderr


async def test_no_text_of_a_result_steers_the_terminal(home: Path) -> None:
    async with desk(home) as remit:
        done = await remit("run", "echo", "--input", json.dumps({"name": "Café \x9b31m"}), "--wait", "60")
    assert done.stdout.isascii()
    assert json.loads(done.stdout) == {"text": "Café \x9b31m"}


async def test_whoever_has_no_name_here_may_answer_and_cancel_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54_321)
    async with desk(home) as remit:
        run = await remit.begin()
        assert (await remit("runs", "cancel", run)).exit_code == 0
        assert "cancelled by uid 54321" in (await remit("runs", "list")).stdout


async def test_a_run_tells_its_question_and_goes_on_with_the_answer(home: Path) -> None:
    async with desk(home) as remit:
        run = await remit.parked()
        shown = (await remit("runs", "show", run)).output
        assert "tone.asked  question how is Lena greeted?" in shown
        assert "waiting since" in shown
        assert "how is Lena greeted?" in (await remit("runs", "list")).output
        wrong = await remit("runs", "answer", run, "--choice", "rudely")
        assert "takes one of the choices warmly, not" in wrong.stderr
        assert "no question in step `other`" in (await remit("runs", "answer", run, "other", "--choice", "not")).stderr
        assert (await remit("runs", "answer", run, "--choice", "warmly", "--note", "as always")).exit_code == 0
        assert "answered before" in (await remit("runs", "answer", run, "--choice", "not")).stderr
        given = json.dumps({"name": "Lena"})
        ended = await remit("run", "greeting", "--id", run, "--input", given, "--wait", "60")
        assert json.loads(ended.stdout) == {"text": "warmly as always"}
        assert "asks nobody" in (await remit("runs", "answer", run, "--choice", "warmly")).stderr
        story = (await remit("runs", "show", run)).output
        assert 'result: {"text":"warmly as always"}' in story


async def test_a_call_that_waits_for_approval_is_told_with_it_and_what_an_approver_asked_back_is_answered(
    home: Path,
) -> None:
    gateway = FakeGateway(answers={"ticket_add_note": PENDING})
    async with desk(home, gateway) as remit:
        run = await remit.parked(note=True)
        shown = (await remit("runs", "show", run)).output
        assert "approval apr_0001" in shown
        assert "R7" in shown
        assert "waits for approval `apr_0001`" in (await remit("runs", "answer", run, "--choice", "yes")).stderr
        assert (await remit("runs", "answer", run, "--note", "It is urgent.")).exit_code == 0
        await remit("run", "greeting", "--id", run, "--input", '{"name": "x"}', "--wait", "1")
    assert gateway.calls[-1][2]["remit/reply"] == "It is urgent."


async def test_a_story_names_the_gateways_call_and_everything_is_there_as_json(home: Path) -> None:
    async with desk(home) as remit:
        run = await remit.parked(note=True)
        assert "ticket_add_note ok, call call_1" in (await remit("runs", "show", run)).output
        assert "dra_0001" not in (await remit("runs", "show", run)).output
        assert "dra_0001" in (await remit("runs", "show", run, "--full")).output
        whole = json.loads((await remit("runs", "show", run, "--json")).stdout)
        assert "seed" not in whole
        assert [step["name"] for step in whole["steps"]][:2] == ["note", "tone.asked"]
        [line] = (await remit("runs", "list", "--json", "--state", "waiting")).stdout.splitlines()
        assert json.loads(line)["id"] == run


async def test_a_failed_run_is_resumed_and_any_run_is_cancelled_once(home: Path) -> None:
    async with desk(home) as remit:
        failing = await remit.begin("echo", name="nobody")
        await remit("run", "echo", "--id", failing, "--input", '{"name": "x"}', "--wait", "60")
        assert (await remit("runs", "resume", failing)).exit_code == 0
        assert (await remit("runs", "cancel", failing, "--why", "not needed")).exit_code == 0
        assert "had ended already" in (await remit("runs", "cancel", failing)).stderr
        assert "has ended and did not fail" in (await remit("runs", "resume", failing)).stderr
        assert "not needed" in (await remit("runs", "show", failing)).output
        assert "cancelled" in (await remit("runs", "wait", failing)).stderr


async def test_runs_that_nobody_works_on_are_plain_in_the_list(home: Path) -> None:
    async with desk(home) as remit:
        lost, old = await remit.begin("echo"), await remit.begin("echo")
        database = Database(f"sqlite:///{home}/orchestrator.db")
        [taken] = await Store(database).claim("dead", 1, -120)
        assert taken.id == lost
        await database.run(lambda it: it.execute(update(runs).where(runs.c.id == old).values(version=7)))
        database.close()
        listed = {line.split()[0]: line for line in (await remit("runs", "list")).output.splitlines()}
    assert "stuck: its worker is silent" in listed[lost]
    assert "unknown here: workflow `echo` is version 1 here, and the run's is 7" in listed[old]
