import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, func, select, update

from orchestrator.commands.cost import By, report
from orchestrator.durable.database import Database
from orchestrator.durable.tables import spending
from orchestrator.models.asking import OverBudget, Payer
from orchestrator.models.ledger import BudgetHeld, Ledger
from orchestrator.models.register import NANO, Budget, Budgets, Kind
from tests.orchestrator.models.asking import asking, asking_of, question, register
from tests.orchestrator.models.providers import Hangs, Says, providers

DAY = Budget(usd=Decimal(1), per="day")
PAYER = Payer("run_1", "triage", "support", "con_1")


def line(key: str, payer: Payer = PAYER) -> dict[str, str]:
    whose = {"run": payer.run, "workflow": payer.workflow, "team": payer.team, "customer": payer.customer}
    return {**whose, "key": key, "model": "small", "route": "default", "prompt": ""}


@contextmanager
def workers(url: str, number: int) -> Iterator[list[Database]]:
    """The database as several processes have it open, each with connections of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Database(url))) for _ in range(number)]


REQUEST = st.tuples(st.integers(1, NANO), st.floats(0, 1)).map(lambda it: (it[0], int(it[0] * it[1])))
"""The most that a request can cost, and what it does."""


@given(requests=st.lists(REQUEST, min_size=1, max_size=24))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_workers_that_spend_at_the_same_time_never_spend_more_than_there_is(
    database: Database, runs_url: str, requests: list[tuple[int, int]]
) -> None:
    await database.run(lambda connection: connection.execute(delete(spending)))
    budgets = Budgets(workflow=Kind(every=DAY))
    highest: list[int] = []

    async def spend(worker: Database, number: int, most: int, cost: int) -> bool:
        ledger = Ledger(worker, budgets)
        try:
            await ledger.reserve(line(str(number)), PAYER, most)
        except (OverBudget, BudgetHeld):
            return False
        highest.append(await worker.run(_taken))
        await ledger.settle(line(str(number)), {"cost": cost})
        return True

    with workers(runs_url, 3) as several:
        done = await asyncio.gather(
            *(spend(several[number % 3], number, *request) for number, request in enumerate(requests))
        )
    assert max(highest, default=0) <= NANO
    spent = await database.run(_taken)
    assert spent == sum(cost for (_, cost), did in zip(requests, done, strict=True) if did)
    assert all(done) or sum(most for most, _ in requests) > NANO, "nobody is turned away while there is enough for all"


def _taken(connection: Connection) -> int:
    return int(connection.scalar(select(func.coalesce(func.sum(spending.c.cost + spending.c.reserved), 0))) or 0)


async def test_many_runs_at_once_are_answered_exactly_as_often_as_the_budget_allows(
    database: Database, runs_url: str
) -> None:
    more = '[budgets.workflow]\nevery = { usd = "0.01", per = "day" }\n'
    says = Says("yes", tokens=1_000, output=400)  # 1,050 millionths of a dollar
    async with providers(small=[says]) as (server, address):
        with workers(runs_url, 3) as several:

            async def run(number: int) -> bool:
                payer = Payer(f"run_{number}", "triage")
                async with asking(several[number % 3], register(address, more)) as it:
                    while True:
                        try:
                            await it.registry.ask(question(route="small", payer=payer, key=f"run_{number}:m"))
                        except BudgetHeld:  # the worker would take the run up again later
                            await asyncio.sleep(0)
                        except OverBudget:
                            return False
                        else:
                            return True

            answered = await asyncio.gather(*map(run, range(20)))
    spent = await database.run(_taken)
    most = 400 * 2_000 + 3_000 * 250
    assert (sum(answered), server.paid["small"]) == (spent // 1_050_000, spent // 1_050_000)
    assert 10_000_000 - most < spent <= 10_000_000, "until what is left is less than a request can take"


@pytest.mark.parametrize(
    ("kind", "whose"),
    [
        ("workflow", "workflow `triage`"),
        ("team", "team `support`"),
        ("customer", "the customer"),
        ("task", "the run"),
    ],
)
async def test_a_budget_that_is_used_up_stops_the_request_and_says_which_and_until_when(
    database: Database, kind: str, whose: str
) -> None:
    more = f'[budgets.{kind}]\nevery = {{ usd = "0.002", per = "day" }}\n'
    async with asking_of(database, more=more, small=[Says("yes", tokens=1_000, output=400)]) as (it, server):
        await it.registry.ask(question(key="run_1:a"))
        with pytest.raises(OverBudget) as caught:
            await it.registry.ask(question(key="run_1:b"))
        others = Payer("run_2", "refund", "sales", "con_2")
        await it.registry.ask(question(key="run_2:a", payer=others))
        assert {row["reserved"] for row in await it.lines()} == {0}
    assert len(server.asked) == 2
    told = str(caught.value)
    assert told.startswith(f"the budget of {whose} is $0.002 per day: $0.00105 is spent and $0 reserved, and this")
    assert "it is free again at 20" in told
    assert f"[budgets.{kind}]" in told
    assert "con_1" not in told


async def test_a_budget_by_name_goes_before_that_of_all(database: Database) -> None:
    more = '[budgets.team]\nevery = { usd = "0", per = "day" }\nnamed.support = { usd = "1", per = "week" }\n'
    more += '[budgets.task]\nnamed.refund = { usd = "0", per = "ever" }\n'
    async with asking_of(database, more=more, small=[Says("yes")]) as (it, server):
        await it.registry.ask(question(key="a"))
        payer = Payer("run_2", "refund", "support")
        with pytest.raises(OverBudget, match="it does not become free by itself"):
            await it.registry.ask(question(key="b", payer=payer))
    assert len(server.asked) == 1


async def test_money_of_an_earlier_window_is_not_counted(database: Database) -> None:
    more = '[budgets.workflow]\nevery = { usd = "0.002", per = "month" }\n'
    async with asking_of(database, more=more, small=[Says("yes", tokens=1_000, output=400)]) as (it, server):
        await it.registry.ask(question(key="run_1:a"))
        await database.run(lambda one: one.execute(update(spending).values(at=spending.c.at - 32 * 86_400_000)))
        await it.registry.ask(question(key="run_1:b"))
    assert len(server.asked) == 2


async def test_what_a_dead_worker_had_reserved_is_given_back_when_its_step_is_asked_again(database: Database) -> None:
    ledger = Ledger(database, Budgets(task=Kind(every=DAY)))
    await ledger.reserve(line("run_1:a"), PAYER, NANO * 3 // 4)
    with pytest.raises(BudgetHeld):
        await ledger.reserve(line("run_1:b"), PAYER, NANO // 2)
    other_model = {**line("run_1:a"), "model": "claude"}
    await ledger.reserve(other_model, PAYER, NANO * 3 // 4)
    await ledger.settle(other_model, {"cost": 5})
    await ledger.reserve(line("run_1:b"), PAYER, NANO // 2)


async def test_what_a_run_had_reserved_that_is_cancelled_in_whatever_moment_is_given_back(database: Database) -> None:
    more = '[budgets.workflow]\nevery = { usd = "0.002", per = "day" }\n'
    async with asking_of(database, more=more, small=[Hangs()]) as (it, server):
        for moment in range(40):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(it.registry.ask, question(key=f"run_{moment}:a"))
                for _ in range(moment):
                    await checkpoint()
                tasks.cancel_scope.cancel()
            assert {row["reserved"] for row in await it.lines()} <= {0}, f"cancelled after {moment} checkpoints"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.registry.ask, question(key="run_1:b"))
            while not server.asked:  # noqa: ASYNC110 - nothing else tells it
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        assert {row["reserved"] for row in await it.lines()} == {0}


async def test_what_was_reserved_together_with_what_others_wrote_is_given_back_as_well(file: Database) -> None:
    busy, writing, go_on = threading.Event(), threading.Event(), threading.Event()

    def write(_: Connection) -> None:
        writing.set()
        go_on.wait(10)

    async with asking_of(file, vectors=[Hangs()]) as (it, _):
        async with anyio.create_task_group() as others:
            others.start_soon(file.run, lambda _: busy.wait(10))
            await anyio.wait_all_tasks_blocked()
            others.start_soon(file.run, write)
            await anyio.wait_all_tasks_blocked()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(it.registry.embed, ["late"], PAYER, "run_1:a", "internal")
                await anyio.wait_all_tasks_blocked()
                busy.set()
                await anyio.to_thread.run_sync(writing.wait)
                tasks.cancel_scope.cancel()
                go_on.set()
        assert {row["reserved"] for row in await it.lines()} == {0}


async def test_an_answer_that_was_paid_for_is_kept_although_its_run_is_cancelled(file: Database) -> None:
    async with asking_of(file, small=[Says("yes", tokens=1_000, output=400)]) as (it, server):
        asked = it.registry.ledger.settle
        async with anyio.create_task_group() as tasks:

            async def cancelled_then(*given: Any) -> None:
                tasks.cancel_scope.cancel()
                await asked(*given)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Ledger, "settle", lambda _, *given: cancelled_then(*given))
                tasks.start_soon(it.registry.ask, question(key="run_1:a"))
                await anyio.sleep_forever()
        (paid,) = await it.lines()
        await it.registry.ask(question(key="run_1:a"))
    assert (paid["reserved"], paid["cost"], len(server.asked)) == (0, 1_050_000, 1)


async def test_what_costs_nothing_is_done_although_the_budget_is_used_up(file: Database) -> None:
    more = '[budgets.workflow]\nevery = { usd = "0", per = "day" }\n'
    async with asking_of(file, more=more, small=[Says("yes")]) as (it, server):
        await it.registry.ask(question(route="rules"))
        with pytest.raises(OverBudget):
            await it.registry.ask(question(route="small"))
    assert server.asked == []


@pytest.mark.parametrize(
    ("per", "moment", "start", "end"),
    [
        ("day", "2026-11-27T23:59", "2026-11-27", "2026-11-28"),
        ("week", "2026-11-29T12:00", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-23T00:00", "2026-11-23", "2026-11-30"),
        ("month", "2026-12-31T12:00", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T12:00", "2028-02-01", "2028-03-01"),
        ("ever", "2026-11-27T12:00", "1970-01-01", None),
    ],
)
def test_windows_are_those_of_the_calendar(per: str, moment: str, start: str, end: str | None) -> None:
    budget = Budget.model_validate({"usd": 1, "per": per})
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    found = [each and f"{each:%Y-%m-%dT%H:%M:%S}" for each in budget.window(at)]
    assert found == [f"{start}T00:00:00", end and f"{end}T00:00:00"]


async def test_costs_are_summed_up_exactly_by_whatever_is_asked_for(database: Database) -> None:
    says = Says("yes", tokens=1_001, cached=1, output=1)
    async with asking_of(database, small=[says], claude=[says]) as (it, _):
        await it.registry.ask(question(route="small", key="run_1:a"))
        await it.registry.ask(question(route="claude", key="run_1:b"))
        await it.registry.ask(
            question(route="small", key="run_2:a", payer=Payer("run_2", "=refund", "sales", "\n+con_2"))
        )
    small, claude = "0.000252025", "0.0030153"
    both = "0.003267325"
    tasks = await report(database, By.TASK)
    assert [(row[0], row[1], row[-2]) for row in tasks] == [("run_1", 2, both), ("run_2", 1, small)]
    models = await report(database, By.MODEL)
    assert [(row[0], row[4], row[5], row[-2]) for row in models] == [
        ("claude", 1_001, 1, claude),
        ("small", 2_002, 2, "0.00050405"),
    ]
    for by, name in ((By.WORKFLOW, "triage"), (By.TEAM, "support"), (By.CUSTOMER, "con_1")):
        assert next((row[0], row[-2]) for row in await report(database, by)) == (name, both)
    assert (await report(database, By.WORKFLOW))[1][0] == "'=refund", "no formula in a spreadsheet"
    assert (await report(database, By.CUSTOMER))[1][0] == "'\n+con_2", "not behind white space either"
    (day,) = await report(database, By.DAY)
    assert (len(str(day[0])), day[-2]) == (10, "0.00351935")
    assert await report(database, By.DAY, since=2**50) == []
