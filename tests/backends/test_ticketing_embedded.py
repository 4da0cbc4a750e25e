"""The embedded help desk keeps the contract of every other."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.embedded.database import Database
from connectors.records import TicketRecord
from connectors.ticketing.embedded import EmbeddedTicketing
from connectors.ticketing.tools import GetTicket, UpdateTicket
from tests.backends.ticketing import HERE, MANY, TicketingContract, World, a_call
from tests.sqlite import ready_company

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
REQUESTER = "many@nordwind.example"


def a_record(number: int) -> TicketRecord:
    at = NOON + timedelta(seconds=number // 7)
    said = {"author": REQUESTER, "body": f"Scarf {number} arrived torn", "at": at}
    fields = {"source_id": f"t{number}", "subject": f"Question {number}", "requester_email": REQUESTER}
    return TicketRecord.model_validate({**fields, "comments": [said], "created_at": at, "updated_at": at})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = Database(ready_company(tmp_path / "company.db"))
    desk = EmbeddedTicketing(database)

    async def colleague_changes(ticket_id: str) -> None:
        version = (await desk.ticket_get_ticket(a_call(), GetTicket(ticket_id=ticket_id))).version
        change = UpdateTicket(ticket_id=ticket_id, version=version, priority="high")
        await desk.ticket_update_ticket(a_call(), change)

    async def many() -> str:
        await desk.load(HERE, [a_record(number) for number in range(MANY)])
        return REQUESTER

    yield World(desk, desk, "agent@larkspur.example", colleague_changes, many)
    database.close()


class TestEmbedded(TicketingContract):
    """The contract of every help desk."""
