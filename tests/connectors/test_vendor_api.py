"""What comes of asking a vendor: which failure is told how, and what is never done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from pydantic import BaseModel, SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from connectors.contract import CallContext
from connectors.credentials import Access
from connectors.errors import Conflict, ConnectorError, InDoubt, InvalidInput, NotFound, Unavailable
from connectors.vendor import network
from connectors.vendor.api import Api, segment
from connectors.vendor.ids import number_of, shown
from connectors.vendor.network import VendorTransport, is_allowed
from connectors.vendor.pace import Pace, retry_after
from connectors.vendor.site import Site
from tests.backends.faults import Fault, Faults, faulty
from tests.backends.serving import serving_app

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
CALL = CallContext(tenant="larkspur", actor="ana@larkspur.example", key="k1", now=NOW)
SECRET = "s3cret-of-larkspur"
FILE = b"x" * 5_000


class Kept(BaseModel):
    id: int


class Shown:
    """Credentials that can be refused once."""

    def __init__(self) -> None:
        self.secrets = [SECRET]

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        return Access(back_end, tenant, person, len(self.secrets), SecretStr(self.secrets[-1]))

    async def refused(self, access: Access) -> Access | None:
        if access.version > 1:
            return None
        self.secrets.append("renewed-secret")
        return await self.of(access.back_end, access.tenant)


async def _status(request: Request) -> Response:
    status = int(request.path_params["status"])
    body = {"error": f"no, {request.headers['authorization']} may not\n  do that"}
    return JSONResponse(body, status, headers={"x-request-id": "req-17"})


async def _echo(request: Request) -> Response:
    told = {"id": 7, "authorization": request.headers.get("authorization"), "path": request.scope["path"]}
    return JSONResponse({**told, "sent": (await request.body()).decode()})


async def _file(_request: Request) -> Response:
    return Response(FILE)


async def _elsewhere(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"])


VENDOR = Starlette(
    routes=[
        Route("/status/{status}", _status, methods=["GET", "POST"]),
        Route("/echo/{rest:path}", _echo, methods=["GET", "POST"]),
        Route("/file", _file),
        Route("/elsewhere", _elsewhere),
    ]
)


@asynccontextmanager
async def reached(**changed: object) -> AsyncIterator[tuple[Api, Faults]]:
    async with serving_app(VENDOR) as target, faulty(target) as faults:
        site = {"inside": True, "request_ids": ("x-request-id",), "explain": lambda body: body["error"], **changed}
        api = Api(Site("The vendor", faults.url, "vendor", **site), Shown())  # type: ignore[arg-type]
        try:
            yield api, faults
        finally:
            await api.close()


async def test_what_is_asked_for_comes_back_typed_and_the_credential_is_shown() -> None:
    async with reached() as (api, _):
        reply = await api.read(CALL, "GET", f"/echo/{segment('a/../b ?#')}")
        assert reply.as_(Kept) == Kept(id=7)
        assert reply.body["authorization"] == f"Bearer {SECRET}"
        assert reply.body["path"] == "/echo/a/../b ?#"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidInput),
        (403, Unavailable),
        (404, NotFound),
        (409, Conflict),
        (410, NotFound),
        (412, Conflict),
        (422, InvalidInput),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_each_status_of_a_read_has_its_error_with_the_vendors_name_of_the_request(
    status: int, error: type[ConnectorError]
) -> None:
    async with reached() as (api, _):
        with pytest.raises(error) as raised:
            await api.read(CALL, "GET", f"/status/{status}")
        assert "[x-request-id req-17]" in raised.value.message
        assert SECRET not in raised.value.message


async def test_a_vendors_words_are_one_line_untrusted_and_without_what_it_was_shown() -> None:
    async with reached() as (api, _):
        with pytest.raises(InvalidInput) as raised:
            await api.read(CALL, "GET", "/status/400")
        assert raised.value.message.endswith("no, Bearer [credential] may not do that")
        assert raised.value.is_untrusted


async def test_a_failure_within_the_vendor_leaves_doubt_about_an_effect() -> None:
    async with reached() as (api, _):
        with pytest.raises(InDoubt):
            await api.act(CALL, "POST", "/status/500", json={})


async def test_calls_at_the_same_moment_share_their_connections_from_the_first_one_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[VendorTransport] = []
    plain = VendorTransport.__init__

    def counted(transport: VendorTransport, *given: Any, **named: Any) -> None:
        made.append(transport)
        plain(transport, *given, **named)

    monkeypatch.setattr(VendorTransport, "__init__", counted)
    monkeypatch.setattr(network, "_TRUSTS", {})
    async with reached() as (api, _), anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(api.read, CALL, "GET", "/echo/")
    assert len(made) == 1


async def test_calls_that_are_given_up_together_leave_their_connections_to_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network, "_AT_ONCE", 2)
    async with reached() as (api, _):
        await api.read(CALL, "GET", "/echo/")
        for moment in range(60):
            await api.close()
            api._http = None  # so that there are no connections yet
            async with anyio.create_task_group() as tasks:
                for _ in range(6):
                    tasks.start_soon(api.read, CALL, "GET", "/echo/")
                for _ in range(moment % 20):
                    await checkpoint()
                tasks.cancel_scope.cancel()
            with anyio.fail_after(5):
                await api.read(CALL, "GET", "/echo/")


async def test_what_is_missing_is_told_in_the_callers_words() -> None:
    async with reached() as (api, _):
        with pytest.raises(NotFound, match="there is no ticket"):
            await api.read(CALL, "GET", "/status/404", missing=NotFound("there is no ticket `tic_0001`"))


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.MALFORMED, Fault.OUTAGE])
async def test_where_nobody_knows_whether_it_was_done_a_read_is_unavailable_and_an_effect_in_doubt(
    fault: Fault,
) -> None:
    async with reached() as (api, faults):
        faults.fail(fault)
        with pytest.raises(Unavailable):
            await api.read(CALL, "GET", "/echo/")
        faults.fail(fault)
        with pytest.raises(InDoubt):
            await api.act(CALL, "POST", "/echo/", json={"a": 1})


async def test_an_effect_that_was_never_sent_leaves_no_doubt() -> None:
    api = Api(Site("The vendor", "http://127.0.0.1:1", "vendor", inside=True), Shown())
    with pytest.raises(Unavailable, match="nothing was done"):
        await api.act(CALL, "POST", "/echo/")
    await api.close()


async def test_a_body_that_is_not_what_it_ought_to_be_is_told_like_a_broken_answer() -> None:
    class Other(BaseModel):
        nothing_like_it: int

    async with reached() as (api, _):
        read, acted = await api.read(CALL, "GET", "/echo/"), await api.act(CALL, "POST", "/echo/")
        with pytest.raises(Unavailable, match="makes no sense"):
            read.as_(Other)
        with pytest.raises(InDoubt, match="makes no sense"):
            acted.as_(Other)


async def test_a_refused_credential_is_renewed_once_and_the_request_sent_again() -> None:
    async with reached() as (api, faults):
        faults.fail(Fault.UNAUTHORIZED)
        assert (await api.act(CALL, "POST", "/echo/")).body["authorization"] == "Bearer renewed-secret"
        faults.fail(Fault.UNAUTHORIZED)
        with pytest.raises(Unavailable, match="refused the credential `vendor`"):
            await api.act(CALL, "POST", "/echo/")
        assert len(faults.seen) == 3


async def test_a_short_pause_is_waited_for_and_a_long_one_told_to_everybody_of_the_tenant() -> None:
    async with reached() as (api, faults):
        faults.fail(Fault.SHORTLY_RATE_LIMITED)
        assert (await api.act(CALL, "POST", "/echo/")).status == 200
        faults.fail(Fault.RATE_LIMITED)
        with pytest.raises(Unavailable, match="come back in 60 s"):
            await api.act(CALL, "POST", "/echo/")
        seen = len(faults.seen)
        with pytest.raises(Unavailable, match=r"come back in \d+ s"):
            await api.read(CALL, "GET", "/echo/")
        assert len(faults.seen) == seen
        other = CallContext(tenant="borealis", actor="bo@borealis.example", key="k2", now=NOW)
        assert (await api.read(other, "GET", "/echo/")).status == 200


async def test_what_a_vendor_says_of_its_quota_pauses_too() -> None:
    async with reached(quota=lambda headers: 60.0 if "content-length" in headers else 0.0) as (api, _):
        await api.read(CALL, "GET", "/echo/")
        with pytest.raises(Unavailable, match="come back in"):
            await api.read(CALL, "GET", "/echo/")


async def test_a_redirect_is_no_answer() -> None:
    async with reached() as (api, faults):
        with pytest.raises(Unavailable):
            await api.read(CALL, "GET", "/elsewhere", params={"to": f"{faults.url}/echo/"})
        assert len(faults.seen) == 1


async def test_a_file_is_fetched_from_the_vendors_own_hosts_up_to_its_size() -> None:
    async with reached() as (api, faults):
        assert await api.download(CALL, "/file", len(FILE)) == FILE
        assert await api.download(CALL, f"{faults.url}/elsewhere?to=/file", len(FILE)) == FILE
        with pytest.raises(InvalidInput, match="more than 100 bytes"):
            await api.download(CALL, "/file", 100)


@pytest.mark.parametrize(
    "to",
    ["http://169.254.169.254/latest/meta-data", "https://evil.example/file", "file:///etc/passwd", "//evil.example"],
)
async def test_a_file_is_never_fetched_from_anywhere_else(to: str) -> None:
    async with reached() as (api, faults):
        with pytest.raises(Unavailable, match="none of its hosts"):
            await api.download(CALL, f"{faults.url}/elsewhere?to={to}", 100)


async def test_another_host_of_the_vendor_is_not_shown_the_credential() -> None:
    async with reached(hosts=frozenset({"files.vendor.example"})) as (api, _):
        api._http = httpx.AsyncClient(
            transport=httpx.MockTransport(lambda r: httpx.Response(200, content=r.headers.get("authorization", "")))
        )
        assert SECRET.encode() not in await api.download(CALL, "https://files.vendor.example/1", 1_000)
        assert SECRET.encode() in await api.download(CALL, "/1", 1_000)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "::ffff:192.168.0.1", "100.64.0.1"])
def test_a_private_address_is_for_what_is_declared_to_be_inside(address: str) -> None:
    assert not is_allowed(address, inside=False)
    assert is_allowed(address, inside=True)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1%eth0",
        "0.0.0.0",  # noqa: S104 - an address, nothing listens
        "224.0.0.1",
    ],
)
def test_some_addresses_are_for_nobody(address: str) -> None:
    assert not is_allowed(address, inside=False)
    assert not is_allowed(address, inside=True)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_a_public_address_is_for_all(address: str) -> None:
    assert is_allowed(address, inside=False)
    assert is_allowed(address, inside=True)


async def test_a_vendor_at_a_private_address_is_not_reached_unless_it_is_inside() -> None:
    async with reached(inside=False) as (api, faults):
        with pytest.raises(Unavailable, match="nothing was done"):
            await api.act(CALL, "POST", "/echo/")
        assert faults.seen == []


def test_retry_after_is_a_number_or_a_date() -> None:
    def told(value: str) -> float | None:
        return retry_after(httpx.Headers({"retry-after": value}), NOW)

    assert told("17") == 17
    assert told(format_datetime(NOW + timedelta(seconds=30), usegmt=True)) == 30
    assert told(format_datetime(NOW - timedelta(seconds=30), usegmt=True)) == 0
    assert told("soon") is None
    assert retry_after(httpx.Headers(), NOW) is None


async def test_a_longer_pause_is_never_made_shorter() -> None:
    pace = Pace("The vendor")
    pace.pause(("larkspur", None), 3_600)
    pace.pause(("larkspur", None), 1)
    with pytest.raises(Unavailable):
        await pace.wait(("larkspur", None))


def test_a_number_and_its_id_are_one() -> None:
    for number in (0, 7, 42, 9_999, 10_000, 2**31):
        assert number_of(shown("tic", number), "ticket", "ticket_id") == number


@pytest.mark.parametrize("id_", ["tic_00042", "tic_42", "tic_abcd", "tic_٤٢٤٢", "tic_"])
def test_another_spelling_is_no_id(id_: str) -> None:
    with pytest.raises(NotFound, match="search for it first"):
        number_of(id_, "ticket", "ticket_id")
