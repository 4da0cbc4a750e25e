"""Transactions that come together are carried out together, and each is its own all the same."""

from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from sqlalchemy import Connection, insert, select

from orchestrator.durable.database import Database
from orchestrator.durable.tables import events


async def test_who_gives_up_in_whatever_moment_takes_nobody_along(database: Database) -> None:
    for moment in range(12):
        given_up = anyio.CancelScope()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_give_up, database, given_up, f"{moment}-given-up")
                tasks.start_soon(_write, database, f"{moment}-second")
                tasks.start_soon(_write, database, f"{moment}-third")
                for _ in range(moment):
                    await checkpoint()
                given_up.cancel()
        written = await database.read(lambda connection: set(connection.scalars(select(events.c.name))))
        assert {f"{moment}-second", f"{moment}-third"} <= written


async def test_where_there_is_no_thread_for_who_leads_the_others_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sync, turned_away = anyio.to_thread.run_sync, 0

    async def one_thread_short(*given: Any, **more: Any) -> Any:
        nonlocal turned_away
        await checkpoint()
        if not turned_away:
            turned_away += 1
            raise RuntimeError("can't start new thread")
        return await run_sync(*given, **more)

    async def lead() -> None:
        with pytest.raises(RuntimeError, match="new thread"):
            await _write(database, "leads")

    monkeypatch.setattr(anyio.to_thread, "run_sync", one_thread_short)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lead)
            tasks.start_soon(_write, database, "second")
            tasks.start_soon(_write, database, "third")
    written = await database.read(lambda connection: set(connection.scalars(select(events.c.name))))
    assert written == {"second", "third"}


async def test_one_that_fails_is_told_so_and_the_others_are_written(database: Database) -> None:
    def fail(_: Connection) -> None:
        raise LookupError("this one alone")

    async def failing() -> None:
        with pytest.raises(LookupError, match="this one alone"):
            await database.run(fail)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_write, database, "before")
        tasks.start_soon(failing)
        tasks.start_soon(_write, database, "after")
    written = await database.read(lambda connection: set(connection.scalars(select(events.c.name))))
    assert written == {"before", "after"}


async def _give_up(database: Database, scope: anyio.CancelScope, name: str) -> None:
    with scope:
        await _write(database, name)


async def _write(database: Database, name: str) -> None:
    row = {"name": name, "payload": "{}", "at": 1}
    await database.run(lambda connection: connection.execute(insert(events).values(**row)).rowcount)
