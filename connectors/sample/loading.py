"""Putting the sample company into back ends."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from connectors.embedded.loading import LoadReport
from connectors.sample.company import TENANT, Company

BATCH = 250

Progress = Callable[[str, int, int], None]
"""Told what is being loaded, how many records are in, and how many there are."""


class Loads(Protocol):
    """A back end that takes records."""

    async def load(self, tenant: str, records: Sequence[Any]) -> LoadReport:
        """Store the records that are new or changed."""
        ...


def silent(what: str, done: int, total: int) -> None:
    """The progress of a caller who does not watch."""


async def load_company(
    company: Company,
    crm: Loads,
    ticketing: Loads,
    email: Loads,
    knowledge: Loads,
    tenant: str = TENANT,
    progress: Progress = silent,
) -> LoadReport:
    """Load everything in batches; loading it again changes nothing.

    Args:
        company: What to load.
        crm: Takes accounts, contacts, deals, orders and activities.
        ticketing: Takes tickets.
        email: Takes messages.
        knowledge: Takes documents.
        tenant: Whose data it becomes.
        progress: Called before the first and after every batch.

    Raises:
        Unavailable: If a back end does not answer; load again later.
    """
    plan: tuple[tuple[str, Loads, Sequence[object]], ...] = (
        ("accounts", crm, company.accounts),
        ("contacts", crm, company.contacts),
        ("deals", crm, company.deals),
        ("orders", crm, company.orders),
        ("activities", crm, company.activities),
        ("tickets", ticketing, company.tickets),
        ("messages", email, company.messages),
        ("documents", knowledge, company.documents),
    )
    report, done, total = LoadReport(), 0, sum(len(records) for _, _, records in plan)
    for what, back_end, records in plan:
        progress(what, done, total)
        for start in range(0, len(records), BATCH):
            batch = records[start : start + BATCH]
            report += await back_end.load(tenant, batch)
            done += len(batch)
            progress(what, done, total)
    return report
