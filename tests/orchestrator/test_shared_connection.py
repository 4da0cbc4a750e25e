import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import pytest

from orchestrator.gateway_client import Declared, Failed, GatewayClient, GatewayError, Ok, connect
from orchestrator.shared_connection import SharedConnection
from tests.orchestrator.fake_gateway import TOKEN, FakeGateway, over_http

DECLARED = Declared(run="run-1", model="stand-in", prompt="triage@1", key="run-1:k")


@dataclass
class Counted:
    """Connects as `connect` does, and counts."""

    url: str
    opened: int = 0
    closed: int = 0
    goes_on: anyio.Event = field(default_factory=anyio.Event)
    has_closed: anyio.Event = field(default_factory=anyio.Event)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[GatewayClient]:
        self.opened += 1
        await self.goes_on.wait()
        try:
            async with connect(url=self.url, token=TOKEN) as client:
                yield client
        finally:
            self.closed += 1
            self.has_closed.set()


async def call(shared: SharedConnection) -> object:
    async with shared() as client:
        return await client.call("crm_search_contacts", {}, DECLARED)


async def test_all_who_come_at_the_same_time_and_later_use_one_connection() -> None:
    async with over_http(FakeGateway()) as (url, _), anyio.create_task_group() as tasks:
        shared = SharedConnection(counted := Counted(url))
        tasks.start_soon(shared.hold)
        counted.goes_on.set()
        async with anyio.create_task_group() as users:
            for _ in range(5):
                users.start_soon(call, shared)
        assert isinstance(await call(shared), Ok)
        assert (counted.opened, counted.closed) == (1, 0)
        tasks.cancel_scope.cancel()
    assert counted.closed == 1, "it ends with the worker"


async def test_whoever_gives_up_while_it_is_opened_takes_it_from_nobody_else() -> None:
    async with over_http(FakeGateway()) as (url, _), anyio.create_task_group() as tasks:
        shared = SharedConnection(counted := Counted(url))
        tasks.start_soon(shared.hold)
        with anyio.move_on_after(0.01):
            await call(shared)
        counted.goes_on.set()
        assert isinstance(await call(shared), Ok)
        assert counted.opened == 1
        tasks.cancel_scope.cancel()


async def test_after_a_call_without_an_answer_the_next_gets_a_new_one_and_the_old_one_is_used_to_its_end() -> None:
    gateway = FakeGateway()
    async with over_http(gateway) as (url, _), anyio.create_task_group() as tasks:
        shared = SharedConnection(counted := Counted(url))
        tasks.start_soon(shared.hold)
        counted.goes_on.set()
        async with shared() as old:
            gateway.away = 503
            assert isinstance(await call(shared), Failed)
            gateway.away = 0
            async with shared() as new:
                assert new is not old
            assert isinstance(await old.call("crm_search_contacts", {}, DECLARED), Ok)
            assert (counted.opened, counted.closed) == (2, 0)
        with anyio.fail_after(5):
            await counted.has_closed.wait()
        async with shared() as still:
            assert still is new
        assert (counted.opened, counted.closed) == (2, 1)
        tasks.cancel_scope.cancel()


async def test_each_user_is_told_that_there_is_no_gateway_and_the_next_looks_again() -> None:
    gateway = FakeGateway()
    async with over_http(gateway) as (url, _), anyio.create_task_group() as tasks:
        shared = SharedConnection(partial(connect, url=url, token="remit_wrong"))
        tasks.start_soon(shared.hold)
        for _ in range(2):
            with pytest.raises(GatewayError, match="refuses the token"):
                await call(shared)
        shared.connect = partial(connect, url=url, token=TOKEN)
        assert isinstance(await call(shared), Ok)
        tasks.cancel_scope.cancel()


async def test_a_gateway_that_goes_away_and_comes_back_is_found_again() -> None:
    async with anyio.create_task_group() as tasks:
        async with over_http(FakeGateway()) as (url, server):
            shared = SharedConnection(lambda: connect(url=url, token=TOKEN))
            tasks.start_soon(shared.hold)
            assert isinstance(await call(shared), Ok)
            async with shared() as client:
                server.should_exit = server.force_exit = True
                for listening in server.servers:
                    listening.close()
                with anyio.fail_after(10), pytest.raises(GatewayError, match="closed the connection"):  # noqa: PT012
                    while True:  # until it has gone
                        await client.call("crm_search_contacts", {}, DECLARED)
            with anyio.fail_after(10), pytest.raises(GatewayError):
                await call(shared)
        async with over_http(FakeGateway()) as (url, _):
            assert isinstance(await call(shared), Ok)
        tasks.cancel_scope.cancel()


async def test_a_gateway_over_stdio_that_reads_nothing_any_more_holds_nobody_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "server.py"
    program.write_text(
        "import anyio, time\n"
        "from mcp.server.stdio import stdio_server\n"
        "from tests.orchestrator.fake_gateway import FakeGateway\n"
        "async def stuck(arguments):\n"
        "    time.sleep(600)\n"
        "async def main():\n"
        "    server = FakeGateway(answers={'email_get_thread': stuck}).server()\n"
        "    async with stdio_server() as (reading, writing):\n"
        "        await server.run(reading, writing, server.create_initialization_options())\n"
        "anyio.run(main)\n"
    )
    shared = SharedConnection(partial(connect, command=[sys.executable, str(program)]))
    got: list[object] = []

    async def told(tool: str, arguments: dict[str, str]) -> None:
        async with shared() as client:
            got.append(await client.call(tool, arguments, DECLARED))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shared.hold)
        assert isinstance(await call(shared), Ok)
        monkeypatch.setattr("orchestrator.gateway_client.CALL_TIMEOUT", 0.5)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as users:
                users.start_soon(told, "email_get_thread", {})
                for _ in range(3):  # more than a pipe holds, so that it cannot even be written
                    await anyio.sleep(0.1)
                    users.start_soon(told, "crm_search_contacts", {"email": "a" * 400_000})
        assert [each.error.kind for each in got if isinstance(each, Failed)] == ["timeout"] * 4
        monkeypatch.undo()
        assert isinstance(await call(shared), Ok)
        tasks.cancel_scope.cancel()
