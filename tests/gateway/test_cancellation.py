"""A client that gives up over the wire stops a read, in every protocol era."""

from dataclasses import replace
from typing import Any

import anyio
import pytest
from mcp import Client

from connectors.contract import CallContext
from connectors.crm.tools import SearchAccounts
from gateway.principal import Principal
from gateway.server import build_server
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_call import Entries


class HangingCrm:
    def __init__(self) -> None:
        self.started = anyio.Event()
        self.stopped = anyio.Event()

    async def crm_search_accounts(self, call: CallContext, args: SearchAccounts) -> None:
        self.started.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.stopped.set()


@pytest.mark.parametrize("mode", ["2026-07-28", "auto", "legacy"])
async def test_a_client_that_gives_up_stops_the_read_and_the_journal_says_so(
    opened: OpenGateway, entries: Entries, mode: Any
) -> None:
    crm: Any = HangingCrm()
    async with opened() as gateway:
        slow = replace(gateway, back_ends=replace(gateway.back_ends, crm=crm))
        server = build_server(slow, Principal("larkspur", person="ana@larkspur.example"))
        async with Client(server, mode=mode) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "crm_search_accounts", {})
            await crm.started.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(10):
            await crm.stopped.wait()
    assert [entry.body.get("status") for entry in entries()] == [None, "cancelled"]
