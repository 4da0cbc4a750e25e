"""Several gateways on one database, with failures, doubts and clocks that differ: limits hold exactly.

A slow reference counts the same in plain lists. `REMIT_LIMIT_EXAMPLES` asks for more plans than a usual run tries.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.contract import CallContext
from connectors.crm.tools import IssueRefund, Refund
from connectors.errors import Conflict, InDoubt, Unavailable
from gateway.answer import Answer
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.principal import Principal
from tests.limits.conftest import NOW, gateways

EXAMPLES = int(os.environ.get("REMIT_LIMIT_EXAMPLES", "12"))
WINDOW = timedelta(seconds=60)
MONEY, CALLS = 20, 5
LIMITS = (
    f'limit, M1, role:everyone, crm_issue_refund, args.amount, {MONEY}, 60s, person, ""',
    f'limit, C1, role:everyone, crm_issue_refund, calls, {CALLS}, 60s, tenant, ""',
)
PEOPLE = ("ana@larkspur.example", "ben@larkspur.example")
GATEWAYS = 3
HAPPENED = {"done", "doubt"}


class Step(NamedTuple):
    """One call."""

    gateway: int
    person: str
    amount: int
    fate: str


class Together(NamedTuple):
    """Calls that are made at once, after each gateway's clock has moved by so many seconds."""

    clocks: tuple[int, ...]
    steps: list[Step]


STEPS = st.builds(
    Step,
    st.integers(0, GATEWAYS - 1),
    st.sampled_from(PEOPLE),
    st.integers(1, 12),
    st.sampled_from(["done", "done", "done", "refused", "unavailable", "doubt"]),
)
CLOCKS = st.tuples(*[st.integers(-5, 40)] * GATEWAYS)
PLANS = st.lists(st.builds(Together, CLOCKS, st.lists(STEPS, min_size=1, max_size=4)), min_size=2, max_size=7)


class Spent(NamedTuple):
    """What one call used up, in plain terms."""

    whom: str
    amount: int
    at: datetime


@dataclass
class Reference:
    """One limit, counted the slow way: everything is kept, and looked through at each call."""

    most: int
    spent: list[Spent] = field(default_factory=list)

    def used(self, whom: str, now: datetime) -> int:
        """What counts at a time; each use from the end of its hundredth of the window on, as limits promise."""
        return sum(each.amount for each in self.spent if each.whom == whom and kept_at(each.at) > now - WINDOW)

    def most_in_any_window(self) -> int:
        """How much was used up in the fullest window."""
        sums = [
            sum(each.amount for each in self.spent if each.whom == last.whom and last.at - WINDOW < each.at <= last.at)
            for last in self.spent
        ]
        return max(sums, default=0)


def kept_at(at: datetime) -> datetime:
    step = Fraction(WINDOW // timedelta(microseconds=1), 100)
    since = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(ceil(since / step) * step))


class FatefulTill:
    """A back end that does what a call's note says."""

    async def crm_issue_refund(self, call: CallContext, args: IssueRefund) -> Refund:
        await anyio.lowlevel.checkpoint()
        match args.note:
            case "refused":
                raise Conflict("the order is cancelled")
            case "unavailable":
                raise Unavailable("not now")
            case "doubt":
                raise InDoubt("no answer")
        given = args.model_dump(include={"order_id", "amount", "currency", "reason"})
        return Refund(id="ref_paid", issued_by=call.actor, issued_at=call.now, **given)


@dataclass
class Clocks:
    """A clock for each gateway."""

    now: list[datetime]
    latest: datetime = NOW

    def of(self, number: int) -> datetime:
        return self.now[number]

    def move(self, seconds: tuple[int, ...]) -> None:
        self.now = [each + timedelta(seconds=more) for each, more in zip(self.now, seconds, strict=True)]
        self.latest = max(self.latest, *self.now)


@dataclass
class World:
    """Gateways on one database, and the references of what they let through in one tenant."""

    gateways: list[Gateway]
    clocks: Clocks
    tenant: str
    money: Reference = field(default_factory=lambda: Reference(MONEY))
    calls: Reference = field(default_factory=lambda: Reference(CALLS))

    async def run(self, plan: list[Together]) -> None:
        for together in plan:
            self.clocks.move(together.clocks)
            await self._make(together.steps)
        assert self.money.most_in_any_window() <= MONEY
        assert self.calls.most_in_any_window() <= CALLS
        self.clocks.now = [self.clocks.latest + WINDOW * 1.01 + timedelta(seconds=1)] * GATEWAYS
        for person in PEOPLE:
            answer = await self.call(Step(0, person, MONEY, "done"))
            assert answer.status == "ok", "after the window all is there again"

    async def call(self, step: Step) -> Answer[Any]:
        arguments = {"order_id": "ord_abcd2345", "currency": "EUR", "reason": "late", "amount": step.amount}
        who = Principal(self.tenant, person=step.person)
        call = ToolCall(who, "crm_issue_refund", {**arguments, "note": step.fate}, Declared())
        return await call_tool(self.gateways[step.gateway], call)

    async def _make(self, steps: list[Step]) -> None:
        answers: dict[int, Answer[Any]] = {}

        async def make(number: int) -> None:
            answers[number] = await self.call(steps[number])

        before = [self._left(step) for step in steps]
        async with anyio.create_task_group() as tasks:
            for number in range(len(steps)):
                tasks.start_soon(make, number)
        let = [step for number, step in enumerate(steps) if answers[number].status != "denied"]
        for number, step in enumerate(steps):
            others = [each for each in let if each is not step]
            money, calls = before[number]
            in_use = sum(each.amount for each in others if each.person == step.person)
            fits = step.amount + in_use <= money and 1 + len(others) <= calls
            denied = answers[number].status == "denied"
            assert not (denied and fits), "nothing is refused that fits whatever the others did"
            assert denied or (step.amount <= money and calls >= 1), "nothing is let through that does not fit alone"
        for step in let:
            if step.fate in HAPPENED:
                at = self.clocks.now[step.gateway]
                self.money.spent.append(Spent(step.person, step.amount, at))
                self.calls.spent.append(Spent(self.tenant, 1, at))

    def _left(self, step: Step) -> tuple[int, int]:
        now = self.clocks.now[step.gateway]
        return MONEY - self.money.used(step.person, now), CALLS - self.calls.used(self.tenant, now)


@contextmanager
def opened(folder: Path, database_url: str) -> Iterator[Any]:
    """Runs plans, each in a tenant of its own, on the same gateways."""
    clocks, numbers = Clocks([NOW] * GATEWAYS), count()

    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            gateways(folder, database_url, *LIMITS, count=GATEWAYS, till=FatefulTill())
        ) as made,
    ):
        own = [replace(each, now=partial(clocks.of, number)) for number, each in enumerate(made)]

        def run(plan: list[Together]) -> None:
            clocks.now, clocks.latest = [NOW] * GATEWAYS, NOW
            portal.call(World(own, clocks, f"t{next(numbers)}").run, plan)

        yield run


@pytest.fixture
def run_plan(tmp_path: Path, database_url: str) -> Iterator[Any]:
    with opened(tmp_path, database_url) as run:
        yield run


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=PLANS)
def test_no_window_holds_more_than_the_limit_whatever_the_gateways_do(run_plan: Any, plan: list[Together]) -> None:
    run_plan(plan)
