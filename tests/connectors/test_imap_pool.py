"""A mailbox's connections end with whoever wanted them, in whatever moment those go away."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
import pytest

from connectors.email import imap_pool
from connectors.email.imap_pool import Pool


@dataclass(eq=False)
class StandIn:
    """A connection that is checked for as long as a test wants."""

    checked: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        pass

    def check(self) -> None:
        self.checked.set()
        self.closed.wait(10)

    def close(self) -> None:
        self.closed.set()


async def test_a_connection_that_is_being_checked_ends_with_whoever_wanted_it(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = StandIn()
    pool = Pool(lambda: session)
    await pool.read(lambda _: None)
    monkeypatch.setattr(imap_pool, "_FRESH_SECONDS", 0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pool.act, lambda _: None)
        await anyio.to_thread.run_sync(session.checked.wait)
        tasks.cancel_scope.cancel()
    assert session.closed.is_set()


async def test_a_connection_that_is_there_when_nobody_wants_it_any_more_is_closed() -> None:
    session: Any = StandIn()
    may_connect, is_there = threading.Event(), threading.Event()

    def connect() -> Any:
        may_connect.wait(10)
        is_there.set()
        return session

    def connected_while_the_event_loop_stands_still() -> None:
        may_connect.set()
        is_there.wait(10)
        time.sleep(0.1)

    pool = Pool(connect)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pool.read, lambda _: None)
        await anyio.wait_all_tasks_blocked()
        connected_while_the_event_loop_stands_still()
        tasks.cancel_scope.cancel()
    assert session.closed.is_set()


async def test_a_connection_that_comes_when_nobody_wants_it_any_more_is_closed() -> None:
    session: Any = StandIn()
    may_connect = threading.Event()

    def connect() -> Any:
        may_connect.wait(10)
        return session

    pool = Pool(connect)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pool.read, lambda _: None)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    may_connect.set()
    await anyio.to_thread.run_sync(session.closed.wait, 10)
    assert session.closed.is_set()
