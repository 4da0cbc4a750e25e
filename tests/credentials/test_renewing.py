"""New tokens of OAuth: got ahead of time, by one process at a time, and never lost."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from connectors.errors import Unavailable
from gateway.credentials import renewing
from gateway.credentials.endpoint import NotRenewed, renew
from gateway.credentials.kinds import Content, RefreshToken
from gateway.credentials.reading import opened
from gateway.credentials.serving import ServedCredentials
from tests.credentials.conftest import MAIL, START, Store
from tests.credentials.endpoint import CLIENT, CLIENT_SECRET, Endpoint, token_endpoint

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def refresh(endpoint: Endpoint, **more: Any) -> dict[str, Any]:
    given = {"kind": "refresh", "token_url": endpoint.url, "client_id": CLIENT, "client_secret": CLIENT_SECRET}
    return {"given": {**given, "refresh_token": endpoint.refresh, **more}}


def client(endpoint: Endpoint, **more: Any) -> dict[str, Any]:
    given = {"kind": "client", "token_url": endpoint.url, "client_id": CLIENT, "client_secret": CLIENT_SECRET}
    return {"given": {**given, **more}}


async def shown(process: ServedCredentials) -> str:
    return (await process.of("mail", "larkspur")).secret.get_secret_value()


def kept(store: Store) -> Content:
    [row] = store.table().all()
    return opened(row, store.source)


@asynccontextmanager
async def refreshing(store: Store, **more: Any) -> AsyncIterator[Endpoint]:
    async with token_endpoint() as endpoint:
        store.put(**refresh(endpoint, **more))
        yield endpoint


async def test_many_callers_in_several_processes_use_a_refresh_token_once(store: Store) -> None:
    async with refreshing(store) as endpoint:
        processes, found = [store.process() for _ in range(3)], list[str]()

        async def call(process: ServedCredentials) -> None:
            found.append(await shown(process))

        for _round in range(3):
            async with anyio.create_task_group() as tasks:
                for process in processes * 4:
                    tasks.start_soon(call, process)
            store.clock.forward(seconds=290)
        # In the later rounds the token is good still: those who do not renew may show either.
        assert found[:12] == ["access-1"] * 12
        assert set(found) == {"access-1", "access-2", "access-3"}
        assert not endpoint.revoked
        assert [form["refresh_token"] for form in endpoint.forms] == ["refresh-0", "refresh-1", "refresh-2"]
        given = kept(store).given
        assert isinstance(given, RefreshToken)
        assert given.refresh_token.get_secret_value() == "refresh-3"


@on_sqlite
async def test_a_token_is_used_until_shortly_before_it_ends(store: Store) -> None:
    async with refreshing(store) as endpoint:
        process = store.process()
        for seconds, expected in ((0, "access-1"), (239, "access-1"), (1, "access-2")):
            store.clock.forward(seconds=seconds)
            assert await shown(process) == expected
        endpoint.life = 30
        store.clock.forward(seconds=250)
        assert await shown(process) == "access-3"
        store.clock.forward(seconds=19)
        assert await shown(process) == "access-3"  # a third of a short life is left
        store.clock.forward(seconds=1)
        assert await shown(process) == "access-4"


@on_sqlite
async def test_nobody_waits_for_a_renewal_while_the_token_is_good(store: Store) -> None:
    async with refreshing(store) as endpoint:
        one, other = store.process(), store.process()
        await shown(one)
        store.clock.forward(seconds=250)
        endpoint.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shown, one)
            while len(endpoint.forms) < 2:  # noqa: ASYNC110 - it is looked at from outside
                await anyio.sleep(0.01)
            assert await shown(one) == "access-1"
            assert await shown(other) == "access-1"
            endpoint.gate.set()
        assert await shown(one) == "access-2"


async def test_a_caller_who_goes_away_does_not_lose_what_was_renewed(store: Store) -> None:
    async with refreshing(store) as endpoint:
        endpoint.gate = anyio.Event()
        with anyio.CancelScope() as leaving:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(shown, store.process())
                while not endpoint.forms:  # noqa: ASYNC110 - it is looked at from outside
                    await anyio.sleep(0.01)
                leaving.cancel()
                endpoint.gate.set()
        assert await shown(store.process()) == "access-1"
        assert len(endpoint.forms) == 1


@on_sqlite
async def test_what_was_renewed_is_kept_before_it_is_used_even_if_the_database_falters(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "_BETWEEN_TRIES_SECONDS", 0.0)
    async with refreshing(store):
        process = store.process()
        table, failures = process._reading.table, iter([True, True])
        renewed = table.renewed

        def falters(*arguments: Any) -> bool:
            if next(failures, False):
                raise OperationalError("", {}, Exception("gone"))
            return renewed(*arguments)

        monkeypatch.setattr(table, "renewed", falters)
        assert await shown(process) == "access-1"
        access = kept(store).access
        assert access is not None
        assert access.get_secret_value() == "access-1"


@on_sqlite
async def test_a_token_that_could_not_be_kept_is_not_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "_BETWEEN_TRIES_SECONDS", 0.0)
    async with refreshing(store):
        process = store.process()

        def fails(*_arguments: Any) -> bool:
            raise OperationalError("", {}, Exception("gone"))

        monkeypatch.setattr(process._reading.table, "renewed", fails)
        with pytest.raises(Unavailable, match="what is new could not be kept"):
            await shown(process)


async def test_what_a_person_sets_during_a_renewal_stays(store: Store) -> None:
    async def renew_slowly(content: Content, now: datetime) -> Content:
        store.put(given={"token": "set-by-a-person"})
        return content.model_copy(update={"access": "stale", "expires_at": now + timedelta(hours=1), "got_at": now})

    async with refreshing(store) as endpoint:
        with pytest.raises(Unavailable, match="it was changed meanwhile"):
            await shown(store.process(renew_slowly))
        assert await shown(store.process()) == "set-by-a-person"
        assert not endpoint.forms


@on_sqlite
async def test_a_lease_whose_process_died_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "_PATIENCE_SECONDS", 0.2)
    async with refreshing(store) as endpoint:
        [row] = store.table().all()
        assert store.table().lease(row, "died", START, START + renewing.LEASE)
        with pytest.raises(Unavailable, match="another process is getting a new token"):
            await shown(store.process())
        assert not endpoint.forms
        store.clock.now += renewing.LEASE
        assert await shown(store.process()) == "access-1"


@on_sqlite
async def test_a_failed_renewal_is_told_noted_and_not_tried_again_at_once(store: Store) -> None:
    async with refreshing(store) as endpoint:
        endpoint.down = True
        process = store.process()
        for _ in range(3):
            with pytest.raises(Unavailable) as refused:
                await shown(process)
            said = "the credential for `mail` is not good: it cannot be renewed; nothing was done, tell the operator"
            assert str(refused.value) == said
        assert len(endpoint.forms) == 1
        assert store.table().all()[0].trouble == f"`{endpoint.url}` answered 503 `server_error`"
        endpoint.down = False
        store.clock.forward(seconds=5)
        assert await shown(process) == "access-2"
        assert store.table().all()[0].trouble == ""


@on_sqlite
async def test_a_failed_renewal_leaves_a_good_token_in_use(store: Store) -> None:
    async with refreshing(store) as endpoint:
        process = store.process()
        await shown(process)
        endpoint.down = True
        store.clock.forward(seconds=250)
        assert await shown(process) == "access-1"
        store.clock.forward(seconds=50)
        with pytest.raises(Unavailable, match="it cannot be renewed"):
            await shown(process)


@on_sqlite
async def test_a_refused_token_is_renewed_and_only_once_for_all_that_it_was_refused_to(store: Store) -> None:
    async with refreshing(store) as endpoint:
        one, other = store.process(), store.process()
        first = await one.of("mail", "larkspur")
        new = [await one.refused(first), await other.refused(first), await one.refused(first)]
        assert [each.secret.get_secret_value() for each in new if each] == ["access-2"] * 3
        assert len(endpoint.forms) == 2
        endpoint.down = True
        assert new[0]
        with pytest.raises(Unavailable, match="it cannot be renewed"):
            await one.refused(new[0])


@on_sqlite
async def test_the_gateways_own_account_asks_for_its_scopes_and_resource_alone(store: Store) -> None:
    async with token_endpoint() as endpoint:
        store.put(**client(endpoint, scopes=("mail.read",), resource="https://mail.example/"))
        endpoint.scope = None
        assert await shown(store.process()) == "access-1"
        [form] = endpoint.forms
        assert form == {"grant_type": "client_credentials", "scope": "mail.read", "resource": "https://mail.example/"}
        assert kept(store).scopes == ("mail.read",)
        store.put(**client(endpoint, client_auth="post"))
        endpoint.scope, endpoint.life = "mail.read mail.read calendar", None
        assert await shown(store.process()) == "access-2"
        assert endpoint.forms[1]["client_secret"] == CLIENT_SECRET
        assert (kept(store).scopes, kept(store).expires_at) == (
            ("calendar", "mail.read"),
            START + timedelta(minutes=5),
        )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (PlainTextResponse("tok-secret"), "answered 200"),
        (JSONResponse(["tok-secret"]), "answered 200"),
        (JSONResponse({"access_token": "tok-secret", "token_type": "mac"}), "another type"),
        (JSONResponse({"access_token": "", "token_type": "bearer"}), "gave no token"),
        (JSONResponse({"access_token": "tok\r\nsecret", "token_type": "bearer"}), "gave no token"),
        (JSONResponse({"token_type": "bearer"}), "gave no token"),
        (JSONResponse({"error": "tok-secret"}, 400), "answered 400$"),
        (JSONResponse({"error": ["invalid_grant"]}, 400), "answered 400$"),
        (PlainTextResponse("[" * 100_000, 400), "cannot be reached: StreamError"),
        (PlainTextResponse("[" * 60_000), "answered 200$"),
        (RedirectResponse("http://169.254.169.254/", 307), "answered 307$"),
    ],
)
async def test_an_answer_that_is_none_gives_no_token_and_is_not_repeated(answer: Response, told: str) -> None:
    async with token_endpoint() as endpoint:
        endpoint.answer = answer
        with pytest.raises(NotRenewed, match=told) as refused:
            await renew(Content.model_validate(client(endpoint)), START)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("life", [-1, 0, 1e400, "x", True, None, 10**12])
async def test_an_odd_life_is_bounded(life: Any) -> None:
    async with token_endpoint() as endpoint:
        endpoint.life = None
        endpoint.answer = Response(
            f'{{"access_token": "abcdefgh", "token_type": "Bearer", "expires_in": {_written(life)}}}',
            media_type="application/json",
        )
        content = await renew(Content.model_validate(client(endpoint)), START)
    assert content.expires_at
    assert START < content.expires_at <= START + timedelta(days=366)


def _written(life: Any) -> str:
    return {True: "true", None: "null", "x": '"x"'}.get(life, "1e400" if life == 1e400 else str(life))


async def test_an_endpoint_that_is_not_there_is_told_without_a_secret(
    unused: Callable[[], Awaitable[Endpoint]],
) -> None:
    endpoint = await unused()
    with pytest.raises(NotRenewed, match=r"`http://127.0.0.1:\d+/token` cannot be reached: ConnectError"):
        await renew(Content.model_validate(client(endpoint)), START)


@pytest.fixture
def unused() -> Callable[[], Awaitable[Endpoint]]:
    async def once() -> Endpoint:
        async with token_endpoint() as endpoint:
            return endpoint

    return once


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example/token",
        "http://127.0.0.1.example/token",
        "http://localhost@evil.example/token",
        "https://user:word@id.example/token",
        "ftp://id.example",
        "https://id.example/token#x",
        "https://",
    ],
)
def test_tokens_are_asked_for_over_tls_or_on_this_machine_alone(url: str) -> None:
    with pytest.raises(ValidationError, match="token_url"):
        Content.model_validate({"given": {**client(Endpoint(1))["given"], "token_url": url}})


@on_sqlite
async def test_sealing_anew_waits_for_a_renewal(store: Store) -> None:
    async with refreshing(store):
        table = store.table()
        [row] = table.all()
        assert table.lease(row, "me", START, START + renewing.LEASE)
        assert not table.resealed(row, b"anew", START)
        assert table.renewed(row, "me", row.sealed, START)
        [row] = table.all()
        assert table.resealed(row, row.sealed, START)
        assert table.find(MAIL) is not None
