"""What the gateway does with a back end that does not answer: try again, leave it alone, come back to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import anyio
import circuitbreaker
import pytest
import stamina
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from connectors.contract import Idempotency, Tool
from connectors.errors import ConnectorError, NotFound, Unavailable
from connectors.registry import TOOLS
from gateway.answer import ErrorKind
from gateway.journal import Kind
from gateway.resilience import OutOfService, Resilience
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_call import Entries, kinds, with_crm
from tests.gateway.test_keys import Register, add, kind_of

READ, WRITE, CHANGE = (
    next(tool for tool in TOOLS if tool.name == name)
    for name in ("crm_get_contact", "crm_create_contact", "crm_update_contact")
)
ONCE = replace(WRITE, idempotency=Idempotency.AT_MOST_ONCE)
MAIL = next(tool for tool in TOOLS if tool.area == "email")


@pytest.fixture(autouse=True)
def _without_pauses() -> Iterator[None]:
    with stamina.set_testing(False), _no_backoff():
        yield


@contextmanager
def _no_backoff() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.resilience._FIRST_PAUSE_SECONDS", 0)
        patch.setattr("gateway.resilience._LONGEST_PAUSE_SECONDS", 0)
        yield


class BackEnd:
    """Does what it is told, attempt by attempt; then it answers."""

    def __init__(self, *said: Exception) -> None:
        self.said = list(said)
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        if self.said:
            raise self.said.pop(0)
        return "answer"


@pytest.mark.parametrize("tool", [READ, WRITE, CHANGE])
async def test_what_was_not_done_is_tried_again(tool: Tool) -> None:
    back_end = BackEnd(Unavailable("no"), Unavailable("no"))
    assert await Resilience(3, 10, 5).run("larkspur", tool, 1, back_end) == "answer"
    assert back_end.asked == 3


@pytest.mark.parametrize(
    ("tool", "said", "asked"),
    [
        (WRITE, [Unavailable("no")] * 9, 3),
        (ONCE, [Unavailable("no")], 1),
        (READ, [NotFound("no")], 1),
        (WRITE, [RuntimeError("broken")], 1),
    ],
)
async def test_it_is_tried_so_often_and_only_where_nothing_was_done_for_sure(
    tool: Tool, said: list[Exception], asked: int
) -> None:
    back_end, first = BackEnd(*said), said[0]
    with pytest.raises(type(first), match=str(first)):
        await Resilience(3, 10, 5).run("larkspur", tool, 1, back_end)
    assert back_end.asked == asked


async def test_all_tries_together_keep_within_the_calls_time() -> None:
    with pytest.raises(TimeoutError):
        await Resilience(3, 10, 5).run("larkspur", READ, 0.02, anyio.sleep_forever)


class Breaker(RuleBasedStateMachine):
    """A breaker beside a model of it, on a clock of our own."""

    FAILURES, PAUSE = 3, 10

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(circuitbreaker, "monotonic", lambda: self.now)
        self.resilience = Resilience(1, self.FAILURES, self.PAUSE)
        self.failed = 0
        self.opened_at: float | None = None

    def teardown(self) -> None:
        self.patch.undo()

    def _is_left_alone(self) -> bool:
        return self.opened_at is not None and self.now < self.opened_at + self.PAUSE

    def _call(self, *said: Exception) -> str:
        async def run() -> str:
            try:
                with self.resilience.admitted("larkspur", READ):
                    return await self.resilience.run("larkspur", READ, 1, BackEnd(*said))
            except OutOfService:
                return "left alone"
            except (ConnectorError, TimeoutError, RuntimeError) as error:
                return type(error).__name__

        return anyio.run(run)

    @rule(error=st.sampled_from([Unavailable("no"), TimeoutError()]))
    def fails(self, error: Exception) -> None:
        if self._is_left_alone():
            assert self._call(error) == "left alone"
            return
        assert self._call(error) == type(error).__name__
        self.failed += 1
        if self.failed >= self.FAILURES:
            self.opened_at = self.now

    @rule(error=st.sampled_from([None, NotFound("no")]))
    def answers(self, error: Exception | None) -> None:
        if self._is_left_alone():
            assert self._call() == "left alone"
            return
        assert self._call(*([error] if error else [])) == (type(error).__name__ if error else "answer")
        self.failed, self.opened_at = 0, None

    @rule()
    def breaks_by_a_bug(self) -> None:
        expected = "left alone" if self._is_left_alone() else "RuntimeError"
        assert self._call(RuntimeError("a bug says nothing of the back end")) == expected

    @rule(seconds=st.sampled_from([1, 9, 10, 11]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @precondition(lambda self: self.opened_at is not None and not self._is_left_alone())
    @rule()
    def only_one_call_tries_whether_it_is_back(self) -> None:
        with self.resilience.admitted("larkspur", READ), pytest.raises(OutOfService, match="come back in 1 s"):
            self.resilience.admitted("larkspur", READ).__enter__()

    @invariant()
    def it_says_when_to_come_back(self) -> None:
        if self._is_left_alone():
            left = round((self.opened_at or 0) + self.PAUSE - self.now)
            with pytest.raises(OutOfService, match=f"come back in {left} s"):
                self.resilience.admitted("larkspur", READ).__enter__()

    @invariant()
    def others_are_not_concerned(self) -> None:
        with self.resilience.admitted("other", READ), self.resilience.admitted("larkspur", MAIL):
            pass


TestBreaker = Breaker.TestCase
TestBreaker.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


async def test_a_dead_back_end_is_answered_at_once_and_uses_no_key_up(opened: OpenGateway, entries: Entries) -> None:
    crm = Register()

    async def refuse() -> None:
        raise Unavailable("the CRM does not answer")

    crm.before = refuse
    async with opened(breaker_failures=2, call_tries=1) as plain:
        gateway = with_crm(plain, crm)
        dead = [await add(gateway, key=f"k{n}") for n in range(4)]
        crm.before = anyio.lowlevel.checkpoint
        lines: Any = gateway.resilience._lines
        lines.clear()
        back = await add(gateway, key="k3")
        settled = await add(gateway, key="k0")
    assert {kind_of(answer) for answer in dead} == {ErrorKind.UNAVAILABLE}
    assert crm.asked == 3
    assert "come back in" in dead[2].model_dump_json()
    assert back.status == "ok"
    assert kind_of(settled) is ErrorKind.UNAVAILABLE
    assert "another key" in (settled.next or "")
    assert kinds(entries()).count(Kind.TURNED_AWAY) == 2
