"""A person consents in the browser, and the gateway gets a refresh token for it."""

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.vendor.kinds import Consent
from gateway.credentials.consent import NotConsented, consented
from gateway.credentials.kinds import RefreshToken
from tests.backends.serving import serving_app

SCOPES = ("mail.read", "offline_access")


@dataclass
class Vendor:
    """An authorization server that knows PKCE, and the person who is sent to it."""

    answer: dict[str, Any] = field(default_factory=lambda: {"refresh_token": "refresh-0"})
    asked: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    authorization: str = ""
    pages: list[str] = field(default_factory=list)
    visits: "list[asyncio.Task[None]]" = field(default_factory=list)

    def send(self, url: str, **changed: str) -> None:
        self.visits.append(asyncio.create_task(self._visit(url, changed)))

    async def _visit(self, url: str, changed: dict[str, str]) -> None:
        self.asked = dict(parse_qsl(urlsplit(url).query))
        back = {"state": self.asked["state"], "code": "code-1", **changed}
        async with httpx.AsyncClient() as http:
            self.pages.append((await http.get(self.asked["redirect_uri"], params=back)).text)

    async def token(self, request: Request) -> Response:
        self.form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        self.authorization = request.headers.get("authorization", "")
        digest = hashlib.sha256(self.form["code_verifier"].encode()).digest()
        if urlsafe_b64encode(digest).decode().rstrip("=") != self.asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse({"access_token": "access-0", "token_type": "Bearer", **self.answer})

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/token", self.token, methods=["POST"])])


async def ask(vendor: Vendor, *, has_secret: bool = True, seconds: float = 10.0, **changed: str) -> RefreshToken:
    async with serving_app(vendor.app()) as url:
        where = Consent(f"{url}/authorize", f"{url}/token", {"access_type": "offline"})
        kept = SecretStr("client-secret") if has_secret else None
        try:
            return await consented(where, "remit-1", kept, SCOPES, lambda page: vendor.send(page, **changed), seconds)
        finally:
            await asyncio.gather(*vendor.visits)


async def test_who_consents_gives_a_refresh_token_for_what_was_asked() -> None:
    vendor = Vendor()
    got = await ask(vendor)
    assert got.refresh_token.get_secret_value() == "refresh-0"
    assert (got.client_id, got.scopes) == ("remit-1", SCOPES)
    assert vendor.asked["scope"] == "mail.read offline_access"
    assert vendor.asked["code_challenge_method"] == "S256"
    assert vendor.asked["access_type"] == "offline"
    assert vendor.form["redirect_uri"] == vendor.asked["redirect_uri"]
    assert vendor.authorization.startswith("Basic ")
    assert "Remit has your consent" in vendor.pages[0]


async def test_a_client_without_a_secret_shows_none() -> None:
    vendor = Vendor()
    assert (await ask(vendor, has_secret=False)).client_secret is None
    assert (vendor.authorization, vendor.form["client_id"]) == ("", "remit-1")


async def test_who_refuses_is_told_so_and_nothing_is_kept() -> None:
    vendor = Vendor()
    with pytest.raises(NotConsented, match="not given"):
        await ask(vendor, code="", error="access_denied")
    assert vendor.form == {}


async def test_whoever_comes_with_another_state_is_nobody() -> None:
    vendor = Vendor()
    with pytest.raises(NotConsented, match="nobody consented"):
        await ask(vendor, seconds=0.5, state="forged")
    assert "not for Remit" in vendor.pages[0]


async def test_without_a_refresh_token_it_is_said_what_may_be_missing() -> None:
    with pytest.raises(NotConsented, match="offline access"):
        await ask(Vendor(answer={}))


async def test_a_vendor_that_gives_no_token_is_told_without_its_words() -> None:
    with pytest.raises(NotConsented, match="gave no token"):
        await ask(Vendor(answer={"error": "s3cret"}))
