"""The one place where the gateway's parts are put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from connectors.embedded.database import Database
from connectors.registry import TOOLS, embedded
from gateway.approval_book import ApprovalBook
from gateway.call import Gateway
from gateway.catalog import Catalog
from gateway.journal import Journal
from gateway.policy_source import PolicySource
from gateway.run_history import RunHistory
from gateway.settings import Settings
from gateway.settled import SettledAnswers
from gateway.slots import Slots


def utc_now() -> datetime:
    """The time, with zone."""
    return datetime.now(UTC)


def make_home(settings: Settings) -> None:
    """Make the home folder for its owner alone: it holds customers' data."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)


@asynccontextmanager
async def open_approvals(settings: Settings) -> AsyncIterator[ApprovalBook]:
    """Open the approvals alone, for a person who answers beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    make_home(settings)
    journal = Journal(settings.database, settings.journal_timeout)
    try:
        yield ApprovalBook(journal, settings.database, timedelta(seconds=settings.approval_ttl))
    finally:
        journal.close()


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Open a gateway on its home folder and close it again.

    Raises:
        PolicyError: If the policy folder cannot be loaded.
        JournalUnavailable: If the journal cannot be written.
    """
    make_home(settings)
    policy = PolicySource(settings.policies, TOOLS)
    journal = Journal(settings.database, settings.journal_timeout)
    database = Database(settings.company_url)
    try:
        yield Gateway(
            catalog=Catalog(TOOLS),
            policy=policy,
            journal=journal,
            approvals=ApprovalBook(journal, settings.database, timedelta(seconds=settings.approval_ttl)),
            settled=SettledAnswers(settings.database),
            history=RunHistory(settings.database, timedelta(seconds=settings.run_window)),
            back_ends=embedded(database, settings.outbox),
            slots=Slots(settings.max_calls, settings.max_waiting),
            timeout=settings.call_timeout,
            now=utc_now,
        )
    finally:
        journal.close()
        database.close()
