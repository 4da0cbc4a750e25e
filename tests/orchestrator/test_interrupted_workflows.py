"""A run whose worker dies at every step, before or after it is kept, ends as one that nobody disturbed."""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.durable.store import Done, Fenced, State, Store
from orchestrator.durable.tables import ratings, runs
from tests.orchestrator.company import MAYA, SALES, SUPPORT, TOM, Company, deal, mail, open_company, ticket

Begins = Callable[[Company], Awaitable[tuple[str, dict[str, Any]]]]


class Dying(Store):
    """Dies once at each step: by turns before the step is kept, so that it is done again, and right after."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.database)
        self.died: set[str] = set()

    async def add_step(self, run: str, fence: int, step: Done) -> None:
        is_new, comes_before = step.name not in self.died, len(self.died) % 2 == 0
        self.died.add(step.name)
        if not is_new or not comes_before:
            await super().add_step(run, fence, step)
        if is_new:
            raise Fenced("the worker died")


_OVER = update(runs).where(runs.c.state == State.RUNNING).values(due=0)


async def revived(company: Company) -> None:
    """Work until every run waits or has ended, however often workers die; their leases are over at once."""
    while True:
        await company.work()
        if not await company.store.database.run(lambda connection: connection.execute(_OVER).rowcount):
            return


async def refund(company: Company) -> tuple[str, dict[str, Any]]:
    await company.load("ticket", ticket("Refund", "Please refund LI-20417, it arrived damaged."))
    return "refund_request", {"ticket_id": (await company.ticket("Refund"))["id"]}


async def complain(company: Company) -> tuple[str, dict[str, Any]]:
    await company.load("ticket", ticket("Broken", "It is broken again, this is unacceptable."))
    return "complaint", {"ticket_id": (await company.ticket("Broken"))["id"]}


async def lead(company: Company) -> tuple[str, dict[str, Any]]:
    await company.load("email", mail("Offer", "Please send us a quotation.", mailbox=SALES))
    found = await company.see("email_search_messages", TOM, mailbox=SALES, query="quotation")
    return "sales_lead", {"mailbox": SALES, "thread_id": found["messages"][0]["thread_id"], "days": 0.000_01}


async def summary(company: Company) -> tuple[str, dict[str, Any]]:
    await company.load("crm", deal("Balances", next_step="call"))
    found = await company.see("crm_search_accounts", TOM, query="Vogt")
    return "account_summary", {"account_id": found["accounts"][0]["id"]}


async def through(folder: Path, agent: str, begins: Begins, *, dying: bool) -> tuple[Any, Any, int]:
    """A run to its end, with each person saying yes; gives its outcome, what it changed, and how often it died."""
    async with open_company(folder, agent) as company:
        await company.load("email", mail("Hello", "x"), mail("Hello there", "x", mailbox=SALES))
        name, given = await begins(company)
        if dying:
            company.store = Dying(company.store)
        run = await company.store.begin(company.workflows.find(name).begin(given, "the-run"))
        await revived(company)
        said = {"choice": "accept", "note": "", "by": "ana"}
        while await company.state(run) is State.WAITING:
            waiting = [each for each in await company.store.awaited("answer:") if await company.store.tell(each, said)]
            if not waiting and not await company.approve():
                await company.store.resume(run)
            await revived(company)
        outcome = await company.outcome(run)
        return outcome, await changed(company), len(getattr(company.store, "died", ()))


async def changed(company: Company) -> Any:
    """All that a run may have changed, without the ids that chance gives."""
    orders = (await company.see("crm_get_orders"))["orders"]
    tickets = (await company.see("ticket_search_tickets"))["tickets"]
    whole = [await company.see("ticket_get_ticket", ticket_id=each["id"]) for each in tickets]
    sent = [await company.see("email_search_messages", who, mailbox=box, folder="sent") for who, box in _BOXES]
    query = ratings.select().with_only_columns(ratings.c.name, ratings.c.choice).order_by(ratings.c.name)
    rated = await company.store.database.run(lambda connection: [tuple(row) for row in connection.execute(query)])
    return {
        "refunds": [each["amount"] for one in orders for each in one["refunds"]],
        "comments": [[each["kind"], each["body"]] for one in whole for each in one["comments"]],
        "tags": [[one["status"], one["tags"], one["version"]] for one in whole],
        "sent": [[each["subject"] for each in page["messages"]] for page in sent],
        "rated": rated,
    }


def plain(seen: Any) -> Any:
    """What was seen, without the marks that each call of a person's draws anew."""
    return json.loads(re.sub("⟦/?outsider [0-9a-f]+⟧", "", json.dumps(seen, ensure_ascii=False)))


def folder_in(place: Path, name: str) -> Path:
    (place / name).mkdir()
    return place / name


_BOXES = ((MAYA, SUPPORT), (TOM, SALES))


@pytest.mark.parametrize(
    ("agent", "begins"), [("triage", refund), ("triage", complain), ("sales", lead), ("sales", summary)]
)
async def test_it_ends_the_same_and_every_effect_happens_once(tmp_path: Path, agent: str, begins: Begins) -> None:
    whole = await through(folder_in(tmp_path, "whole"), agent, begins, dying=False)
    broken = await through(folder_in(tmp_path, "broken"), agent, begins, dying=True)
    assert broken[2] >= 10
    assert plain(broken[:2]) == plain(whole[:2])
