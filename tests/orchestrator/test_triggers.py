"""What begins runs by itself: each item begins one run ever, whichever of several workers looks first."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from pydantic import BaseModel
from sqlalchemy import update

from orchestrator.durable.database import Database
from orchestrator.durable.store import State, Store
from orchestrator.durable.tables import remembered
from orchestrator.gateway_client import Declared, Denied, GatewayClient, GatewayError, Ok
from orchestrator.triggers import BadTriggers, Schedule, Search, Triggers, load_triggers
from orchestrator.work import Work
from orchestrator.workflow import BadInput, Workflows, workflow

TICKETS = Search(kind="ticket", workflow="handling", query={"status": "new"}, input={"item": "$id"})
MAIL = Search(kind="mail", workflow="handling", query={"mailbox": "support@x.example"}, input={"item": "$thread_id"})
MORNING = Schedule(kind="schedule", workflow="handling", cron="0 9 * * *", input={"item": "$at"})
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Given(BaseModel):
    item: str


class Nothing(BaseModel):
    pass


@workflow("handling", version=1)
async def handling(work: Work, given: Given) -> Nothing:
    return Nothing()


class GivenOf(Given):
    customer: str


@workflow("caring", version=1)
async def caring(work: Work, given: GivenOf) -> Nothing:
    return Nothing()


@dataclass
class Gateway:
    """Answers searches with `records`, two a page, and counts them."""

    records: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0
    denies: bool = False

    async def call(self, tool: str, arguments: Mapping[str, Any], _declared: Declared) -> Ok | Denied:
        self.looks += not arguments["cursor"]
        if self.denies:
            return Denied(reason="no")
        first = int(arguments["cursor"] or 0)
        more = str(first + 2) if len(self.records) > first + 2 else ""
        name = "tickets" if tool.startswith("ticket") else "messages"
        return Ok(result={name: self.records[first : first + 2], "next_cursor": more})


@dataclass
class Office:
    """A database with any number of workers' triggers, a gateway and a clock."""

    url: str
    store: Store
    gateway: Gateway = field(default_factory=Gateway)
    now: datetime = START

    def triggers(self, store: Store | None = None, **known: Search | Schedule) -> Triggers:
        @asynccontextmanager
        async def connect() -> AsyncIterator[GatewayClient]:
            yield cast("GatewayClient", self.gateway)

        return Triggers(known, store or self.store, Workflows([handling, caring]), connect, now=lambda: self.now)

    async def passes(self, seconds: float) -> None:
        """Time goes by, also on the database's clock."""
        self.now += timedelta(seconds=seconds)
        earlier = (
            update(remembered).where(remembered.c.id.startswith("look:")).values(at=remembered.c.at - seconds * 1_000)
        )
        await self.store.database.run(lambda connection: connection.execute(earlier))

    async def items(self) -> list[str]:
        return sorted(Given.model_validate_json(each.given).item for each in await self.store.list(most=1_000))


@pytest.fixture(params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    on_server = request.param == "postgresql"
    url = request.getfixturevalue("empty_postgres_url") if on_server else f"sqlite:///{tmp_path}/orchestrator.db"
    database = Database(url)
    database.prepare()
    yield Office(url, Store(database))
    database.close()


async def test_each_item_begins_one_run_however_many_workers_begin_it_at_once(office: Office) -> None:
    others = [Database(office.url) for _ in range(3)]
    beginners = [office.triggers(Store(each), new=TICKETS) for each in others]
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            for each in beginners:
                tasks.start_soon(each.begin, "new", TICKETS, f"tic_{number}", {"id": f"tic_{number}"})
    assert await office.items() == sorted(f"tic_{number}" for number in range(20))
    for database in others:
        database.close()


async def test_new_tickets_begin_runs_over_all_pages_and_only_once(office: Office) -> None:
    office.gateway.records = [{"id": f"tic_{number}"} for number in range(5)]
    triggers = office.triggers(new=TICKETS)
    await triggers.look("new", TICKETS)
    await office.passes(60)
    office.gateway.records.insert(0, {"id": "tic_9"})
    await triggers.look("new", TICKETS)
    assert await office.items() == ["tic_0", "tic_1", "tic_2", "tic_3", "tic_4", "tic_9"]


async def test_of_several_workers_one_looks_in_each_interval(office: Office) -> None:
    first, second = office.triggers(new=TICKETS), office.triggers(new=TICKETS)
    async with anyio.create_task_group() as tasks:
        for each in (first, second, first, second):
            tasks.start_soon(each.look, "new", TICKETS)
    assert office.gateway.looks == 1
    await office.passes(TICKETS.every)
    await second.look("new", TICKETS)
    assert office.gateway.looks == 2


async def test_a_worker_whose_clock_is_ahead_keeps_no_other_from_looking(office: Office) -> None:
    office.now += timedelta(days=1)
    await office.triggers(new=TICKETS).look("new", TICKETS)
    office.now -= timedelta(days=1)
    await office.passes(TICKETS.every)
    await office.triggers(new=TICKETS).look("new", TICKETS)
    assert office.gateway.looks == 2


async def test_an_item_does_not_begin_again_when_its_run_is_forgotten(office: Office) -> None:
    triggers = office.triggers(new=TICKETS)
    run = await triggers.begin("new", TICKETS, "tic_1", {"id": "tic_1"})
    [kept] = await office.store.claim("w", 1, 60)
    await office.store.end(run, kept.fence, State.DONE, "{}")
    assert await office.store.forget(-1) == 1
    await triggers.begin("new", TICKETS, "tic_1", {"id": "tic_1"})
    assert await office.items() == []


async def test_a_conversation_with_several_unread_messages_begins_one_run_and_a_later_message_another(
    office: Office,
) -> None:
    office.gateway.records = [{"id": f"msg_{number}", "thread_id": "thr_1"} for number in (3, 2, 1)]
    triggers = office.triggers(mail=MAIL)
    await triggers.look("mail", MAIL)
    assert await office.items() == ["thr_1"]
    office.gateway.records.insert(0, {"id": "msg_4", "thread_id": "thr_1"})
    await office.passes(60)
    await triggers.look("mail", MAIL)
    assert await office.items() == ["thr_1", "thr_1"]


async def test_a_schedule_fires_once_across_workers_and_not_for_the_time_before_it_was_there(office: Office) -> None:
    workers = [office.triggers(morning=MORNING) for _ in range(2)]
    for each in workers:
        await each.look("morning", MORNING)
    assert await office.items() == []
    office.now = START + timedelta(hours=1, seconds=3)
    async with anyio.create_task_group() as tasks:
        for each in workers * 2:
            tasks.start_soon(each.look, "morning", MORNING)
    assert await office.items() == ["2026-03-02T09:00:00+00:00"]


async def test_firings_missed_while_no_worker_ran_happen_once(office: Office) -> None:
    triggers = office.triggers(morning=MORNING)
    await triggers.look("morning", MORNING)
    office.now = START + timedelta(days=3, hours=5)
    for _ in range(2):
        await triggers.look("morning", MORNING)
    assert await office.items() == ["2026-03-05T09:00:00+00:00"]


async def test_a_schedule_is_by_the_clock_of_its_timezone(office: Office) -> None:
    berlin = Schedule.model_validate(MORNING.model_dump() | {"timezone": "Europe/Berlin"})
    triggers = office.triggers(morning=berlin)
    office.now = datetime(2026, 7, 1, 6, 59, 30, tzinfo=UTC)
    await triggers.look("morning", berlin)
    office.now += timedelta(minutes=1)
    await triggers.look("morning", berlin)
    assert await office.items() == ["2026-07-01T07:00:00+00:00"]


async def test_what_may_not_be_looked_through_or_does_not_fit_begins_nothing(office: Office) -> None:
    office.gateway.denies = True
    with pytest.raises(GatewayError, match="may not be looked through: denied"):
        await office.triggers(new=TICKETS).look("new", TICKETS)
    with pytest.raises(BadInput, match=r"no `\$id` in what the trigger was told"):
        await office.triggers(new=TICKETS).begin("new", TICKETS, "tic_1", {})
    assert await office.items() == []


async def test_an_item_that_does_not_fit_holds_no_other_up_and_is_tried_again(office: Office) -> None:
    office.gateway.records = [{"id": "tic_2", "number": None}, {"id": "tic_1", "number": "1"}]
    fussy = Search(kind="ticket", workflow="handling", query={}, input={"item": "$number"})
    await office.triggers(new=fussy).look("new", fussy)
    assert await office.items() == ["1"]
    office.gateway.records[0]["number"] = "2"
    await office.passes(60)
    await office.triggers(new=fussy).look("new", fussy)
    assert await office.items() == ["1", "2"]


@pytest.mark.parametrize("customer", ["x" * 201, "a\0b"])
async def test_an_item_with_more_than_a_run_keeps_holds_no_other_up(office: Office, customer: str) -> None:
    office.gateway.records = [{"id": "tic_2", "of": customer}, {"id": "tic_1", "of": "Vogt GmbH"}]
    of_customers = Search(kind="ticket", workflow="caring", query={}, input={"item": "$id", "customer": "$of"})
    await office.triggers(new=of_customers).look("new", of_customers)
    assert await office.items() == ["tic_1"]
    with pytest.raises(BadInput, match="a run's `customer` has at most 200 letters"):
        await office.triggers(new=of_customers).begin("new", of_customers, "tic_2", office.gateway.records[0])


GOOD = '[new]\nkind = "ticket"\nworkflow = "handling"\nquery = {status = "new"}\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("handling", "nobody"), "no workflow `nobody`"),
        (GOOD + "evry = 3\n", r"new\.ticket\.evry.*not permitted"),
        (GOOD.replace("[new]", "[New]"), "pattern"),
        ('[x]\nkind = "schedule"\nworkflow = "handling"\ncron = "61 * * * *"\n', "no cron expression"),
        ('[x]\nkind = "webhook"\nworkflow = "handling"\nsecret = "NOT_SET"\n', r"x\.webhook\.secret.*at least 24"),
        ('[x]\nkind = "webhook"\nworkflow = "handling"\nsecret = "SHORT"\n', r"x\.webhook\.secret.*at least 24"),
        ("x = 3", "`x`"),
        ("[x", "triggers"),
    ],
)
def test_a_file_of_triggers_that_is_wrong_is_refused_with_the_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "triggers.toml"
    path.write_text(text)
    with pytest.raises(BadTriggers, match=told) as refused:
        load_triggers(path, Workflows([handling]), {"SHORT": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_a_file_of_triggers_is_read_and_none_is_none(tmp_path: Path) -> None:
    path = tmp_path / "triggers.toml"
    path.write_text(GOOD)
    assert load_triggers(path, Workflows([handling]), {}) == {
        "new": Search(kind="ticket", workflow="handling", query={"status": "new"})
    }
    assert load_triggers(None, Workflows([handling]), {}) == {}
