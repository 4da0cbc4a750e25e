"""The official Python client signs in by itself: from the gateway's 401 to a token, and to more scopes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.oauth.conftest import SCOPES, OpenSite, Site
from tests.oauth.provider import CALLBACK, SECRET, Provider

pytestmark = pytest.mark.node

ANYBODYS = ('desktop = "person"', '"*" = "person"')


class Storage:
    """What the client keeps."""

    def __init__(self, client: str | None = None) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None
        if client:
            self.client = OAuthClientInformationFull(
                client_id=client, redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none"
            )

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Browser:
    """The person's browser: goes where the client sends it, and remembers what was asked for there."""

    def __init__(self, issuer: Provider) -> None:
        self._issuer = issuer
        self._back = ""
        self.asked: list[dict[str, list[str]]] = []

    async def go(self, url: str) -> None:
        self.asked.append(parse_qs(urlsplit(url).query))
        self._back = self._issuer.sign_in(url)

    async def came_back(self) -> AuthorizationCodeResult:
        answer = parse_qs(urlsplit(self._back).query)
        return AuthorizationCodeResult(code=answer["code"][0], state=answer["state"][0], iss=answer["iss"][0])


@asynccontextmanager
async def connected(here: Site, auth: httpx2.Auth) -> AsyncIterator[Client]:
    mounts = {here.url: httpx2.ASGITransport(here.app)}
    async with (
        httpx2.AsyncClient(mounts=mounts, auth=auth, timeout=30) as http,
        Client(streamable_http_client(here.resource, http_client=http), mode="2026-07-28") as client,
    ):
        yield client


async def status(client: Client, tool: str, **arguments: Any) -> Any:
    answer = await client.call_tool(tool, arguments)
    assert answer.structured_content is not None
    return answer.structured_content["status"]


def signing_in(here: Site, storage: Storage, browser: Browser) -> OAuthClientProvider:
    metadata = OAuthClientMetadata(
        client_name="test", redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none"
    )
    return OAuthClientProvider(here.resource, metadata, storage, browser.go, browser.came_back)


async def test_a_client_that_knows_only_the_gateways_url_registers_and_signs_its_person_in(
    site: OpenSite, issuer: Provider
) -> None:
    issuer.signs_in("ana")
    storage, browser = Storage(), Browser(issuer)
    async with site(changed=(ANYBODYS,)) as here:
        async with connected(here, signing_in(here, storage, browser)) as client:
            assert await status(client, "crm_search_accounts") == "ok"
        assert here.entries()[0].principal == "person:ana.ruiz@larkspur.example"
    assert storage.client is not None
    assert storage.client.client_id not in {None, "desktop"}
    [asked] = browser.asked
    assert (asked["resource"], asked["code_challenge_method"]) == ([here.resource], ["S256"])


async def test_a_client_that_lacks_a_scope_is_sent_for_it_and_the_call_then_succeeds(
    site: OpenSite, issuer: Provider
) -> None:
    issuer.signs_in("ana")
    browser = Browser(issuer)
    async with site(SCOPES) as here, connected(here, signing_in(here, Storage("desktop"), browser)) as client:
        assert await status(client, "crm_search_accounts") == "ok"
        assert "remit.write" not in browser.asked[0]["scope"][0], "no more than it is told to begin with"
        created = await status(client, "crm_create_contact", name="Kim", email="kim@customer.example")
        assert created == "ok"
        assert "remit.write" in browser.asked[1]["scope"][0].split()
        assert await status(client, "crm_search_accounts") == "ok"
        assert len(browser.asked) == 2


async def test_an_agent_gets_its_token_by_client_credentials(site: OpenSite, issuer: Provider) -> None:
    async with site() as here:
        auth = ClientCredentialsOAuthProvider(here.resource, Storage(), "triage-bot", SECRET, issuer=issuer.url)
        async with connected(here, auth) as client:
            assert await status(client, "crm_search_accounts") == "ok"
        assert here.entries()[0].principal == "agent:triage"
