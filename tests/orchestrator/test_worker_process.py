"""The real `remit worker`: takes a webhook, works on what it began, and lets go of the rest when it is told to stop."""

import asyncio
import json
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from orchestrator.durable.database import Database
from orchestrator.durable.store import Begin, Kept, State, Store
from tests.orchestrator.fake_gateway import TOKEN, FakeGateway, over_http
from tests.processes import REMIT, clean, free_port

pytestmark = pytest.mark.process

SECRET = "a-secret-of-enough-characters"
OWN = """
import asyncio
from pydantic import BaseModel
from orchestrator.work import Work
from orchestrator.workflow import workflow

class Given(BaseModel):
    name: str

@workflow("echo", version=1)
async def echo(work: Work, given: Given) -> Given:
    return given

@workflow("endless", version=1)
async def endless(work: Work, given: Given) -> Given:
    async def begun() -> None:
        return None

    async def never() -> None:
        await asyncio.sleep(3_600)

    await work.step("begun", begun)
    await work.step("never", never)
    return given
"""
TRIGGERS = '[shop]\nkind = "webhook"\nworkflow = "echo"\nsecret = "SHOP_SECRET"\ninput = {name = "$body.name"}\n'


@asynccontextmanager
async def working(home: Path, url: str, address: str, patience: str) -> AsyncIterator[Process]:
    settings = {"HOME": home, "URL": url, "TOKEN": TOKEN, "WORKFLOWS": home / "own", "PATIENCE": patience}
    env = {**clean(), "SHOP_SECRET": SECRET, **{f"REMIT_{name}": str(value) for name, value in settings.items()}}
    with (home / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(REMIT, "worker", "--http", address, env=env, stderr=log)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def until(store: Store, run: str, is_there: Callable[[Kept, set[str]], bool]) -> Kept:
    while True:
        kept, done = await store.find(run)
        if is_there(kept, set(done)):
            return kept
        await asyncio.sleep(0.05)


async def answering(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    while True:
        try:
            return await ask()
        except httpx.ConnectError:
            await asyncio.sleep(0.05)


async def test_a_worker_takes_a_webhook_and_lets_go_when_it_is_told_to_stop(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "flows.py").write_text(OWN)
    (tmp_path / "triggers.toml").write_text(TRIGGERS)
    database = Database(f"sqlite:///{tmp_path}/orchestrator.db")
    database.prepare()
    store, address = Store(database), f"127.0.0.1:{free_port()}"
    endless = await store.begin(Begin("endless", 1, '{"name": "Lena Vogt"}'))
    async with (
        over_http(FakeGateway()) as (url, _),
        working(tmp_path, url, address, "0") as process,
        httpx.AsyncClient(headers={"authorization": f"Bearer {SECRET}", "webhook-id": "d1"}) as http,
    ):
        answer = await answering(lambda: http.post(f"http://{address}/hooks/shop", json={"name": "Otto Krug"}))
        assert answer.status_code == 202
        echoed = await until(store, answer.json()["run"], lambda kept, _: kept.state is State.DONE)
        assert json.loads(echoed.result) == {"name": "Otto Krug"}
        await until(store, endless, lambda _, done: "begun" in done)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    [kept] = await store.claim("another", 5, 60)
    done = await store.steps(kept.id)
    assert (kept.id, set(done)) == (endless, {"begun"}), "another worker takes it up at once, where it stood"
    database.close()
    log = (tmp_path / "log").read_text()
    assert {"worker_begins", "worker_stops", "worker_ends"} <= {json.loads(line)["event"] for line in log.splitlines()}
    assert not any(each in log for each in ("Vogt", "Krug", SECRET, TOKEN))


@pytest.mark.parametrize(
    ("address", "triggers", "told"),
    [
        ("nowhere", "", "error: `nowhere` is no address"),
        ("127.0.0.1:0", TRIGGERS.replace("echo", "other"), "no workflow `other`"),
        ("127.0.0.1:0", TRIGGERS.replace("SHOP_SECRET", "NOT_SET"), "shop.webhook.secret"),
    ],
)
async def test_a_worker_that_is_set_up_wrong_does_not_begin(
    tmp_path: Path, address: str, triggers: str, told: str
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "flows.py").write_text(OWN)
    (tmp_path / "triggers.toml").write_text(triggers)
    async with working(tmp_path, "http://127.0.0.1:1/mcp", address, "0") as process:
        assert await process.wait() == 1
    [line] = (tmp_path / "log").read_text().splitlines()
    assert line.startswith("error: ")
    assert told in line
