"""Webhooks: who knows the secret begins a run, once a delivery."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from pydantic import BaseModel, SecretStr
from sqlalchemy.exc import OperationalError
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from orchestrator.durable.database import Database
from orchestrator.durable.store import Store
from orchestrator.gateway_client import GatewayClient
from orchestrator.hooks import MOST_BYTES, hooks_app
from orchestrator.triggers import Hook, Search, Triggers
from orchestrator.work import Work
from orchestrator.workflow import Workflows, workflow

SECRET = "a-secret-of-enough-characters"
NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
BODY = b'{"order": {"number": "LI-1"}}'


class Given(BaseModel):
    order: str

    @property
    def customer(self) -> str:
        return self.order


@workflow("ordered", version=1)
async def ordered(work: Work, given: Given) -> Given:
    return given


def never() -> AbstractAsyncContextManager[GatewayClient]:
    raise AssertionError("a webhook needs no gateway")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    database = Database(f"sqlite:///{tmp_path}/orchestrator.db")
    database.prepare()
    yield Store(database)
    database.close()


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    hook = Hook(kind="webhook", workflow="ordered", secret=SecretStr(SECRET), input={"order": "$body.order.number"})
    known: dict[str, Any] = {"shop": hook, "new": Search(kind="ticket", workflow="ordered", query={})}
    triggers = Triggers(known, store, Workflows([ordered]), never, now=lambda: NOW)
    beside = Route("/beside", lambda _: PlainTextResponse("there"))
    transport = httpx.ASGITransport(hooks_app(triggers, [beside]))
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as http:
        yield http


def bearer(secret: str = SECRET, id_: str = "d1") -> dict[str, str]:
    return {"authorization": f"Bearer {secret}", "webhook-id": id_}


def signed(body: bytes = BODY, id_: str = "d1", at: int = int(NOW.timestamp()), secret: str = SECRET) -> dict[str, str]:
    digest = hmac.digest(secret.encode(), f"{id_}.{at}.".encode() + body, hashlib.sha256)
    signature = f"v1,old v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": id_, "webhook-timestamp": str(at), "webhook-signature": signature}


@pytest.mark.parametrize("headers", [bearer(), signed()])
async def test_a_delivery_begins_one_run_however_often_it_comes(
    client: httpx.AsyncClient, store: Store, headers: dict[str, str]
) -> None:
    answers = [await client.post("/hooks/shop", content=BODY, headers=headers) for _ in range(2)]
    assert [each.status_code for each in answers] == [202, 202]
    [kept] = await store.list()
    assert [each.json()["run"] for each in answers] == [kept.id, kept.id]
    assert Given.model_validate_json(kept.given).order == "LI-1"


async def test_another_delivery_begins_another_run(client: httpx.AsyncClient, store: Store) -> None:
    for id_ in ("d1", "d2"):
        assert (await client.post("/hooks/shop", content=BODY, headers=bearer(id_=id_))).status_code == 202
    assert len(await store.list()) == 2


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/hooks/shop", BODY, {"webhook-id": "d1"}, 401),
        ("/hooks/shop", BODY, bearer("another-secret-of-characters"), 401),
        ("/hooks/shop", BODY, bearer(""), 401),
        ("/hooks/shop", BODY, signed(secret="another-secret-of-characters"), 401),
        ("/hooks/shop", b'{"order": {"number": "LI-2"}}', signed(), 401),
        ("/hooks/shop", BODY, {**signed(), "webhook-id": "d2"}, 401),
        ("/hooks/shop", BODY, signed(at=int(NOW.timestamp()) - 301), 401),
        ("/hooks/shop", BODY, signed(at=int(NOW.timestamp()) + 301), 401),
        ("/hooks/shop", BODY, {**signed(), "webhook-timestamp": "²"}, 401),
        ("/hooks/other", BODY, bearer(), 401),
        ("/hooks/new", BODY, bearer(), 401),
        ("/hooks/shop", BODY, {"authorization": f"Bearer {SECRET}"}, 400),
        ("/hooks/shop", BODY, bearer(id_="x" * 201), 400),
        ("/hooks/shop", b"{", bearer(), 400),
        ("/hooks/shop", b"{}", bearer(), 422),
        ("/hooks/shop", b"[]", bearer(), 422),
        ("/hooks/shop", b"[" * 100_000, bearer(), 400),
        ("/hooks/shop", b'{"order": {"number": "' + b"x" * 201 + b'"}}', bearer(), 422),
        ("/hooks/shop", b" " * (MOST_BYTES + 1), bearer(), 413),
    ],
)
async def test_whatever_is_wrong_with_a_delivery_begins_nothing(
    client: httpx.AsyncClient, store: Store, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = await client.post(path, content=body, headers=sent)
    assert answer.status_code == status
    assert SECRET not in answer.text
    assert await store.list() == []


async def test_a_body_that_does_not_come_is_not_waited_for(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.hooks._BODY_SECONDS", 0)

    async def half() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    assert (await client.post("/hooks/shop", content=half(), headers=bearer())).status_code == 408


async def test_a_delivery_that_cannot_be_kept_just_now_is_to_be_repeated(
    client: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> None:
        raise OperationalError("", {}, Exception("server closed the connection"))

    monkeypatch.setattr(store.database, "run", away)
    answer = await client.post("/hooks/shop", content=BODY, headers=bearer())
    assert (answer.status_code, answer.json()) == (503, {"error": "it cannot be kept just now: repeat it"})


async def test_other_pages_can_stand_beside_the_hooks(client: httpx.AsyncClient) -> None:
    assert (await client.get("/beside")).text == "there"
