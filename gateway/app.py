"""The one place where the gateway's parts are put together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from connectors.embedded.database import Database as CompanyDatabase
from connectors.registry import TOOLS, embedded
from gateway.approvals.book import ApprovalBook
from gateway.catalog import Catalog
from gateway.database import Database
from gateway.doubts import Doubts
from gateway.gateway import Gateway
from gateway.held import HeldRequests, Patience
from gateway.home import make_home, utc_now
from gateway.journal import Journal, JournalUnavailable
from gateway.journal.calls import RecordedCalls
from gateway.journal.checkpoints import Checkpoints
from gateway.journal.note import BadKey, load_or_make_signer
from gateway.journal.sealing import Sealer
from gateway.metrics import Metrics, State
from gateway.policy_source import PolicySource
from gateway.resilience import Resilience
from gateway.results.bounding import Limits
from gateway.run_history import RunHistory
from gateway.running import Running
from gateway.secret import naming_secret
from gateway.settings import Settings
from gateway.settled import SettledAnswers
from gateway.slots import Slots

_HELD_POLL_SECONDS = 0.5


def journal_sealer(settings: Settings, database: Database) -> Sealer:
    """What signs the home's journal; its key is made at the first time.

    Raises:
        JournalUnavailable: If the key can be neither read nor made.
    """
    try:
        signer = load_or_make_signer(settings.journal_key)
    except (BadKey, OSError) as error:
        raise JournalUnavailable(f"the journal cannot be signed: {error}") from error
    return Sealer(database, settings.checkpoints, signer, utc_now)


def _patience(settings: Settings, approvals: ApprovalBook) -> Patience:
    held = HeldRequests(approvals.find, utc_now, settings.max_held, _HELD_POLL_SECONDS)
    approvals.listeners.append(held.heard)
    return Patience(
        console_url=settings.console_url if settings.console else "",
        seconds=settings.approval_hold,
        held=held,
        state_key=_state_key(settings),
        state_ttl=2 * settings.approval_ttl,  # as long as the question's end is remembered
    )


def _state_key(settings: Settings) -> bytes:
    """The same in every process of a home, and of no use for signing the journal."""
    if settings.state_key:
        return settings.state_key.get_secret_value().encode()
    seed = load_or_make_signer(settings.journal_key).seed
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"remit request state").derive(seed)


def _open_journal(settings: Settings, database: Database, took: Callable[[float], None] | None = None) -> Journal:
    checkpoints = Checkpoints(
        journal_sealer(settings, database), settings.checkpoint_entries, settings.checkpoint_seconds
    )
    return Journal(database, settings.journal_timeout, checkpoints, took)


@asynccontextmanager
async def open_to_erase(settings: Settings) -> AsyncIterator[tuple[Journal, Database]]:
    """Open the journal alone, to erase something beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    make_home(settings)
    with settings.open_database() as database, closing(_open_journal(settings, database)) as journal:
        SettledAnswers(database)
        yield journal, database


@asynccontextmanager
async def open_approvals(settings: Settings) -> AsyncIterator[ApprovalBook]:
    """Open the approvals alone, for a person who answers beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    make_home(settings)
    with settings.open_database() as database, closing(_open_journal(settings, database)) as journal:
        history, secret = _run_history(settings, database), naming_secret(database)
        yield _approval_book(settings, journal, database, Catalog(TOOLS), history, secret)


def _run_history(settings: Settings, database: Database) -> RunHistory:
    return RunHistory(database, timedelta(seconds=settings.run_window))


def _approval_book(
    settings: Settings, journal: Journal, database: Database, catalog: Catalog, history: RunHistory, secret: bytes
) -> ApprovalBook:
    ttl = timedelta(seconds=settings.approval_ttl)
    return ApprovalBook(journal, database, catalog.tools, history, ttl, secret)


@asynccontextmanager
async def open_doubts(settings: Settings) -> AsyncIterator[Doubts]:
    """Open the doubts alone, for a person who settles one beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    make_home(settings)
    with settings.open_database() as database, closing(_open_journal(settings, database)) as journal:
        yield Doubts(journal, RecordedCalls(database))


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Open a gateway on its home folder and close it again.

    Raises:
        PolicyError: If the policy folder cannot be loaded.
        JournalUnavailable: If the journal cannot be written.
    """
    make_home(settings)
    policy = PolicySource(settings.policies, TOOLS)
    metrics = Metrics(tool.name for tool in TOOLS)
    with (
        settings.open_database() as database,
        closing(_open_journal(settings, database, metrics.appended)) as journal,
        closing(CompanyDatabase(settings.company_database)) as company,
    ):
        catalog, history = Catalog(TOOLS), _run_history(settings, database)
        slots = Slots(settings.max_calls, settings.max_waiting, settings.max_calls_of_area)
        metrics.registry.register(State(policy, journal, slots))
        secret = naming_secret(database)
        approvals = _approval_book(settings, journal, database, catalog, history, secret)
        yield Gateway(
            catalog=catalog,
            policy=policy,
            journal=journal,
            approvals=approvals,
            settled=SettledAnswers(database),
            history=history,
            back_ends=embedded(company, settings.outbox),
            slots=slots,
            metrics=metrics,
            patience=_patience(settings, approvals),
            resilience=Resilience(settings.call_tries, settings.breaker_failures, settings.breaker_pause),
            running=Running(),
            recorded=RecordedCalls(database),
            timeout=settings.call_timeout,
            given_up_after=timedelta(seconds=settings.call_timeout + 2 * settings.journal_timeout),
            limits=Limits(settings.max_result_text, settings.max_field_text),
            secret=secret,
            now=utc_now,
        )
