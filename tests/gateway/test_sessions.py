"""A session of a client up to 2025-11-25: what is sent into it wrongly, and by whom."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from benchmarks.fuzzing.asgi import Request, Response, send
from benchmarks.fuzzing.model import CALLERS
from benchmarks.fuzzing.world import World, open_session, opened


@asynccontextmanager
async def session(folder: Path) -> AsyncIterator[tuple[World, str]]:
    async with opened(folder) as world:
        yield world, world.sessions[CALLERS[0]]


async def post(world: World, session_id: bytes, request_id: int, method: str = "tools/list", **params: Any) -> Response:
    message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
    return await sent(world, "POST", session_id, json.dumps(message).encode())


async def sent(world: World, http_method: str, session_id: bytes, body: bytes) -> Response:
    headers = (
        (b"host", b"127.0.0.1:8000"),
        (b"authorization", b"Bearer " + world.tokens[CALLERS[0]].encode()),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
        (b"mcp-protocol-version", b"2025-06-18"),
        (b"mcp-session-id", session_id),
    )
    return await send(world.app, Request(http_method, "/mcp", headers, body))


async def test_two_requests_at_once_under_one_id_never_get_each_others_answer(tmp_path: Path) -> None:
    async with session(tmp_path) as (world, session_id):
        answers: list[tuple[str, Response]] = []

        async def asked(method: str, **params: Any) -> None:
            answers.append((method, await post(world, session_id.encode(), 7, method, **params)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asked, "tools/list")
            tasks.start_soon(lambda: asked("tools/call", name="crm_search_contacts", arguments={}))
    refused = [response for _, response in answers if response.status == 400]
    served = [(method, response.body) for method, response in answers if response.status == 200]
    assert len(served) >= 1
    assert all((b'"tools":[' in body) is (method == "tools/list") for method, body in served)
    assert all(b"take another id" in response.body for response in refused)
    assert len(served) + len(refused) == 2


async def test_the_same_id_one_after_the_other_is_served(tmp_path: Path) -> None:
    async with session(tmp_path) as (world, session_id):
        assert [(await post(world, session_id.encode(), 7)).status for _ in range(2)] == [200, 200]


async def test_a_session_id_of_other_letters_than_ascii_is_an_unknown_one(tmp_path: Path) -> None:
    async with session(tmp_path) as (world, _):
        assert (await post(world, b"\xff" * 20, 1)).status == 404


async def test_a_notice_into_a_session_that_ends_at_the_same_time_is_answered_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        statuses: list[int] = []

        async def told(method: str, session_id: str, body: bytes) -> None:
            statuses.append((await sent(world, method, session_id.encode(), body)).status)

        notice = b'{"jsonrpc": "2.0", "method": "notifications/initialized"}'
        for _ in range(10):
            session_id = await open_session(world.app, world.tokens[CALLERS[0]])
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(told, "POST", session_id, notice)
                tasks.start_soon(told, "DELETE", session_id, b"")
    assert set(statuses) <= {200, 202, 404}
