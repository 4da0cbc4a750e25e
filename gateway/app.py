"""The one place where the gateway's parts are put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from connectors.embedded.database import Database
from connectors.registry import TOOLS, embedded
from gateway.approvals.book import ApprovalBook
from gateway.call import Gateway
from gateway.catalog import Catalog
from gateway.journal import Journal, JournalUnavailable
from gateway.journal.checkpoints import Checkpoints
from gateway.journal.note import BadKey, load_or_make_signer
from gateway.journal.sealing import Sealer
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


def journal_sealer(settings: Settings) -> Sealer:
    """What signs the home's journal; its key is made at the first time.

    Raises:
        JournalUnavailable: If the key can be neither read nor made.
    """
    try:
        signer = load_or_make_signer(settings.journal_key)
    except (BadKey, OSError) as error:
        raise JournalUnavailable(f"the journal cannot be signed: {error}") from error
    return Sealer(settings.database, settings.checkpoints, signer, utc_now, settings.journal_timeout)


def _open_journal(settings: Settings) -> Journal:
    checkpoints = Checkpoints(journal_sealer(settings), settings.checkpoint_entries, settings.checkpoint_seconds)
    return Journal(settings.database, settings.journal_timeout, checkpoints)


@asynccontextmanager
async def open_approvals(settings: Settings) -> AsyncIterator[ApprovalBook]:
    """Open the approvals alone, for a person who answers beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    make_home(settings)
    journal = _open_journal(settings)
    try:
        yield _approval_book(settings, journal, Catalog(TOOLS), _run_history(settings))
    finally:
        journal.close()


def _run_history(settings: Settings) -> RunHistory:
    return RunHistory(settings.database, timedelta(seconds=settings.run_window))


def _approval_book(settings: Settings, journal: Journal, catalog: Catalog, history: RunHistory) -> ApprovalBook:
    ttl = timedelta(seconds=settings.approval_ttl)
    return ApprovalBook(journal, settings.database, catalog.tools, history, ttl)


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Open a gateway on its home folder and close it again.

    Raises:
        PolicyError: If the policy folder cannot be loaded.
        JournalUnavailable: If the journal cannot be written.
    """
    make_home(settings)
    policy = PolicySource(settings.policies, TOOLS)
    journal = _open_journal(settings)
    database = Database(settings.company_url)
    catalog, history = Catalog(TOOLS), _run_history(settings)
    try:
        yield Gateway(
            catalog=catalog,
            policy=policy,
            journal=journal,
            approvals=_approval_book(settings, journal, catalog, history),
            settled=SettledAnswers(settings.database),
            history=history,
            back_ends=embedded(database, settings.outbox),
            slots=Slots(settings.max_calls, settings.max_waiting),
            timeout=settings.call_timeout,
            now=utc_now,
        )
    finally:
        journal.close()
        database.close()
