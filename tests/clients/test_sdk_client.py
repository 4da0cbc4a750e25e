"""The official Python client, in every protocol era, over HTTP and stdio, against the real command."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal import Kind, read_journal
from tests.processes import Served, make_token, serving, warm_remit

pytestmark = pytest.mark.process

MODES = ["2026-07-28", "auto", "legacy"]
ANA = "person:ana.ruiz@larkspur.example"
KIM = {"name": "Kim Doe", "email": "kim@customer.example"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def token(home: Path) -> str:
    return make_token(home, "--person", "ana.ruiz@larkspur.example")


@pytest.fixture(scope="module")
def served(home: Path, token: str) -> Iterator[Served]:
    with serving(home) as gateway:
        yield gateway


@asynccontextmanager
async def over_http(served: Served, token: str, mode: Any) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http,
        Client(streamable_http_client(served.mcp, http_client=http), mode=mode) as client,
    ):
        yield client


@asynccontextmanager
async def over_stdio(home: Path, mode: Any) -> AsyncIterator[Client]:
    arguments = ["serve", "--stdio", "--home", str(home), "--as", ANA]
    async with Client(StdioServerParameters(command=warm_remit(), args=arguments), mode=mode) as client:
        yield client


async def check(client: Client) -> None:
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert "crm_get_contact" in listed
    assert "crm_update_deal" not in listed
    assert listed["crm_get_contact"].annotations is not None
    assert listed["crm_get_contact"].annotations.read_only_hint is True
    assert listed["crm_get_contact"].output_schema is not None

    found = await client.call_tool("crm_search_contacts", {"query": "nobody by this name"})
    assert not found.is_error
    assert found.structured_content is not None
    assert found.structured_content["result"] == {"contacts": [], "next_cursor": ""}

    wrong = await client.call_tool("crm_get_contact", {"contact": "con_abcd"})
    assert wrong.is_error
    assert wrong.structured_content is not None
    assert wrong.structured_content["error"]["field"] == "contact_id"

    for hidden in ("crm_update_deal", "crm_launch_rocket"):
        with pytest.raises(MCPError, match=f"unknown tool: `{hidden}`"):
            await client.call_tool(hidden, {})


@pytest.mark.parametrize("mode", MODES)
async def test_tools_are_listed_and_called_over_http(served: Served, token: str, mode: str) -> None:
    async with over_http(served, token, mode) as client:
        await check(client)


@pytest.mark.parametrize("mode", MODES)
async def test_tools_are_listed_and_called_over_stdio(home: Path, mode: str) -> None:
    with anyio.fail_after(60):
        async with over_stdio(home, mode) as client:
            await check(client)


@pytest.mark.parametrize("mode", MODES)
async def test_progress_is_told_to_a_client_that_listens(served: Served, token: str, mode: str) -> None:
    told: list[str | None] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with over_http(served, token, mode) as client:
        await client.call_tool("crm_search_accounts", {}, progress_callback=listen)
    assert told == ["allowed and recorded", "done"]


@pytest.mark.parametrize("mode", MODES)
async def test_the_journal_names_the_client_and_what_it_declares(
    served: Served, token: str, home: Path, mode: str
) -> None:
    meta: Any = {"remit/run": f"run-{mode}", "remit/model": "stand-in"}
    async with over_http(served, token, mode) as client:
        answer = await client.call_tool("crm_search_accounts", {}, meta=meta)
    assert answer.structured_content is not None
    intent, outcome = read_journal(
        Database.in_file(home / "remit.db"), EVERY_TENANT, call_id=answer.structured_content["call_id"]
    )
    assert (intent.kind, outcome.kind) == (Kind.INTENT, Kind.OUTCOME)
    assert (intent.body["run"], intent.body["model"]) == (f"run-{mode}", "stand-in")
    assert intent.body["person"] == "ana.ruiz@larkspur.example"


@pytest.mark.parametrize("mode", MODES)
async def test_a_declaration_of_the_wrong_form_is_named(served: Served, token: str, mode: str) -> None:
    meta: Any = {"remit/run": "x" * 201}
    async with over_http(served, token, mode) as client:
        with pytest.raises(MCPError, match="remit/run"):
            await client.call_tool("crm_search_accounts", {}, meta=meta)
