"""The sample company reaches the back ends, and leaves as files that the importers read."""

import json
import mailbox
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from connectors.contract import CallContext
from connectors.crm.embedded import EmbeddedCrm
from connectors.crm.tools import GetOrders
from connectors.email.embedded import EmbeddedEmail
from connectors.email.tools import SearchEmail
from connectors.embedded.database import Database
from connectors.embedded.loading import LoadReport
from connectors.knowledge.embedded import EmbeddedKnowledge
from connectors.knowledge.tools import SearchKnowledge
from connectors.sample.company import NOW, TENANT, Company
from connectors.sample.export import export
from connectors.sample.loading import load_company
from connectors.ticketing.embedded import EmbeddedTicketing
from connectors.ticketing.tools import SearchTickets


class Counting:
    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def load(self, tenant: str, records: Sequence[Any]) -> LoadReport:
        self.sizes.append(len(records))
        return LoadReport(added=len(records))


async def test_it_loads_in_batches_and_tells_how_far_it_is(company: Company) -> None:
    back_end, told = Counting(), []

    def progress(what: str, done: int, total: int) -> None:
        told.append((what, done, total))

    report = await load_company(company, back_end, back_end, back_end, back_end, progress=progress)
    total = sum(1 for _ in company.records())
    assert report.added == sum(back_end.sizes) == total
    assert max(back_end.sizes) <= 250
    assert told[0] == ("accounts", 0, total)
    assert told[-1] == ("documents", total, total)


async def test_loaded_into_the_embedded_back_ends_the_open_work_is_found(company: Company, tmp_path: Path) -> None:
    small = replace(company, messages=tuple(one for one in company.messages if one.unread))
    database = Database(f"sqlite:///{tmp_path}/company.db")
    crm, ticketing = EmbeddedCrm(database), EmbeddedTicketing(database)
    mail, knowledge = EmbeddedEmail(database), EmbeddedKnowledge(database)
    first = await load_company(small, crm, ticketing, mail, knowledge)
    again = await load_company(small, crm, ticketing, mail, knowledge)
    assert first.added == again.unchanged == sum(1 for _ in small.records())
    assert again.added == again.changed == 0

    call = CallContext(TENANT, "test", "key", NOW, readers=(frozenset({"everyone"}),))
    tickets = await ticketing.ticket_search_tickets(call, SearchTickets(status="new", limit=50))
    unread = await mail.email_search_messages(
        call, SearchEmail(mailbox="support@larkspur.example", folder="inbox", unread=True, limit=50)
    )
    assert len(tickets.tickets) + len(unread.messages) == len(company.waiting) >= 25
    orders = await crm.crm_get_orders(call, GetOrders(number=company.orders[7].number))
    assert orders.orders[0].total == sum(line.quantity * line.unit_price for line in company.orders[7].lines)
    found = await knowledge.knowledge_search_documents(call, SearchKnowledge(query="refund after 30 days"))
    assert "Refund rules" in {passage.title for passage in found.passages}
    database.close()


def test_it_is_exported_as_files_that_other_programs_read(company: Company, tmp_path: Path) -> None:
    export(company, tmp_path)
    counts = {}
    for path in (tmp_path / "mail").iterdir():
        with closing(mailbox.mbox(path, create=False)) as box:
            counts[path.stem] = len(box)
    assert counts["support@larkspur.example"] > 1000
    assert sum(counts.values()) == len(company.messages)
    tickets = [json.loads(line) for line in (tmp_path / "tickets.jsonl").read_text("utf-8").splitlines()]
    assert [ticket["id"] for ticket in tickets] == [ticket.source_id for ticket in company.tickets]
    assert (tmp_path / "contacts.csv").read_text("utf-8").count("\n") == 601
    rules = (tmp_path / "knowledge" / "refund-rules.md").read_text("utf-8")
    assert rules.startswith("---\ntitle: Refund rules\nupdated: 2026-03-01\norigin: official\nreaders: everyone\n---\n")
