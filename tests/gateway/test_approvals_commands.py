"""`remit approvals`: what waits of one task is listed together, shown whole and answered together."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.answer import Answer
from gateway.app import open_gateway
from gateway.approvals import State
from gateway.approvals.together import MOST
from gateway.cli.approvals import app
from gateway.settings import Settings
from tests.gateway.test_approvals import APPROVERS, ROLES, RULES, refund

MAYA = "person:maya@larkspur.example"


class Office:
    """A home in which calls of one caller wait, and the command for whoever answers them."""

    def __init__(self, home: Path, policies: Path) -> None:
        self.settings = Settings(home=home, policies=policies)
        self._runner = CliRunner()

    def ask(self, count: int) -> list[str]:
        async def asked() -> list[Answer[Any]]:
            async with open_gateway(self.settings) as gateway:
                return [await refund(gateway, note=f"refund number {number}") for number in range(count)]

        return [answer.approval.id for answer in asyncio.run(asked()) if answer.approval]

    def run(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        where = ["--home", str(self.settings.home)]
        if arguments[0] != "list":
            where += ["--policies", str(self.settings.policies)]
        done = self._runner.invoke(app, [*arguments, *where], input=stdin)
        return done.exit_code, done.output

    def answer(self, *arguments: str, stdin: str = "", who: str = MAYA) -> tuple[int, str]:
        return self.run("answer", *arguments, "--as", who, stdin=stdin)

    def binding(self, name: str) -> str:
        [line] = [line for line in self.run("show", name)[1].splitlines() if line.startswith("binding")]
        return line.split()[1]

    def states(self, names: list[str]) -> list[State]:
        async def found() -> list[State]:
            async with open_gateway(self.settings) as gateway:
                approvals = [await gateway.approvals.find("larkspur", name) for name in names]
                return [each.state(gateway.now()) for each in approvals if each]

        return asyncio.run(found())


@pytest.fixture
def office(home: Path, policies: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setenv("COLUMNS", "300")
    for name, text in (("roles", ROLES), ("rules", RULES), ("approvers", APPROVERS)):
        (policies / f"{name}.csv").write_text(text)
    return Office(home, policies)


def test_each_call_of_a_task_is_shown_and_then_asked_for(office: Office) -> None:
    names = office.ask(3)
    listed = office.run("list")[1]
    assert [line.split()[1] for line in listed.splitlines() if "apr_" in line] == ["1"] * 3
    code, told = office.answer("--task", names[1], stdin="a\nx\nr\nl\n")
    assert code == 0
    for number, name in enumerate(names):
        shown, asked = told.index(f"refund number {number}"), told.index(f"{name}: (a)pprove")
        assert shown < asked, "nobody is asked about what they have not been shown"
    assert "`x` is none of a, r and l" in told
    assert told.endswith(
        f"{names[0]}: approved by maya@larkspur.example\n{names[1]}: refused by maya@larkspur.example\n"
    )
    assert office.states(names) == [State.APPROVED, State.REFUSED, State.PENDING]


def test_one_answer_to_all_is_confirmed_after_they_were_shown(office: Office) -> None:
    names = office.ask(2)
    code, told = office.answer("--task", names[0], "--approve", stdin="n\n")
    assert code == 1
    assert "Approve 2 in all?" in told
    assert office.states(names) == [State.PENDING] * 2
    assert office.answer("--task", names[0], "--refuse", stdin="y\n")[0] == 0
    assert office.states(names) == [State.REFUSED] * 2


def test_with_the_bindings_of_what_was_shown_nothing_is_asked_and_what_has_changed_is_named(office: Office) -> None:
    names = office.ask(2)
    code, told = office.answer(f"{names[0]}:{office.binding(names[0])}", f"{names[1]}:{'0' * 32}", "--approve")
    assert code == 1
    assert told.splitlines() == [
        f"{names[0]}: approved by maya@larkspur.example",
        f"{names[1]}: not answered: it has changed since you were shown it: look at it again",
    ]
    assert office.states(names) == [State.APPROVED, State.PENDING]


def test_it_has_to_be_clear_what_is_answered(office: Office) -> None:
    [name] = office.ask(1)
    assert "name the questions, or with --task one" in office.answer(name, "--task", name, "--approve")[1]
    assert "name the questions, or with --task one" in office.answer("--approve")[1]
    assert "there is no approval `apr_x`" in office.answer("apr_x", "--approve")[1]
    many = [f"apr_{number}:x" for number in range(MOST + 1)]
    assert f"at most {MOST} questions are answered at once" in office.answer(*many, "--approve")[1]
    own = office.answer("--task", name, "--approve", who="person:ana@larkspur.example")[1]
    assert "waits for ana@larkspur.example" in own
    assert office.states([name]) == [State.PENDING]


def test_of_more_than_a_page_the_first_are_answered_and_the_others_are_told_of(office: Office) -> None:
    names = office.ask(MOST + 1)
    told = office.answer("--task", names[0], "--approve", stdin="y\n")[1]
    assert f"{MOST} of {MOST + 1} that wait; answer these, then the others" in told
    assert names[-1] not in told
    assert office.states(names) == [State.APPROVED] * MOST + [State.PENDING]
