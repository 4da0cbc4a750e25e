"""The one place where the gateway's parts are put together."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from secrets import token_hex

import anyio
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from connectors.embedded.database import Database as CompanyDatabase
from connectors.registry import BackEnds, embedded
from connectors.vendor.kinds import Declarable, Surroundings
from gateway.activity.activity import Activity
from gateway.activity.recipients import Recipients
from gateway.approvals.book import ApprovalBook
from gateway.canonical import keyed_hash
from gateway.catalog import Catalog
from gateway.credentials.book import CredentialBook
from gateway.credentials.keys import key_source
from gateway.credentials.serving import ServedCredentials
from gateway.credentials.table import CredentialTable
from gateway.database import Database
from gateway.doubts import Doubts
from gateway.flow.ledger import Ledger
from gateway.flow.runs import Runs
from gateway.flow.unfinished import Writing
from gateway.gateway import Gateway
from gateway.grants.book import Durations, GrantBook
from gateway.held import HeldRequests, Patience
from gateway.home import make_home, utc_now
from gateway.journal import Journal, JournalUnavailable
from gateway.journal.calls import RecordedCalls
from gateway.journal.checkpoints import Checkpoints
from gateway.journal.note import BadKey, load_or_make_signer
from gateway.journal.sealing import Sealer
from gateway.leaving import Leaving
from gateway.limits.kept import LimitUses
from gateway.metrics import Metrics, State
from gateway.oauth.own import OwnTokens
from gateway.policy_source import PolicySource
from gateway.resilience import Resilience
from gateway.results.bounding import Limits
from gateway.roles import tell_if_above
from gateway.run_history import RunHistory
from gateway.running import Running
from gateway.secret import naming_secret
from gateway.settings import Settings
from gateway.settled import SettledAnswers
from gateway.slots import Slots
from gateway.stopping.book import StopBook
from gateway.stopping.in_force import StopsInForce
from gateway.telemetry.exporting import telemetry_to_collector
from gateway.upstream.catalogue import known_tools
from gateway.upstream.watching import Upstreams

_HELD_POLL_SECONDS = 0.5
_MOST_FINGERPRINTS = 2_500_000  # some 200 MB


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
        answer_seconds=settings.answer_wait,
    )


def _state_key(settings: Settings) -> bytes:
    """The same in every process of a home, and of no use for signing the journal."""
    if settings.state_key:
        return settings.state_key.get_secret_value().encode()
    return _derived_key(settings, b"remit request state")


def _derived_key(settings: Settings, purpose: bytes) -> bytes:
    """A key of the home for one purpose: from none of them follows another, nor the journal's."""
    seed = load_or_make_signer(settings.journal_key).seed
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(seed)


def _grant_book(settings: Settings, journal: Journal, database: Database, catalog: Catalog) -> GrantBook:
    usual = min(settings.grant_ttl, settings.grant_longest)
    durations = Durations(timedelta(seconds=usual), timedelta(seconds=settings.grant_longest))
    return GrantBook(journal, database, _derived_key(settings, b"remit grants"), catalog, durations, token_hex)


def _open_journal(settings: Settings, database: Database, took: Callable[[float], None] | None = None) -> Journal:
    checkpoints = Checkpoints(
        journal_sealer(settings, database), settings.checkpoint_entries, settings.checkpoint_seconds
    )
    return Journal(database, settings.journal_timeout, checkpoints, took)


@contextmanager
def _beside_a_gateway(settings: Settings) -> Iterator[tuple[Journal, Database]]:
    """The journal and its database alone, for a command beside a running gateway."""
    make_home(settings)
    with settings.open_database() as database, closing(_open_journal(settings, database)) as journal:
        yield journal, database


@asynccontextmanager
async def open_to_erase(settings: Settings) -> AsyncIterator[tuple[Journal, Database]]:
    """Open the journal alone, to erase something beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    with _beside_a_gateway(settings) as (journal, database):
        yield journal, database


@asynccontextmanager
async def open_approvals(settings: Settings) -> AsyncIterator[ApprovalBook]:
    """Open the approvals alone, for a person who answers beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    with _beside_a_gateway(settings) as (journal, database):
        history, secret = _run_history(settings, database), naming_secret(database)
        yield _approval_book(settings, journal, database, Catalog(known_tools(settings)), history, secret)


def _run_history(settings: Settings, database: Database) -> RunHistory:
    return RunHistory(database, timedelta(seconds=settings.run_window))


def _runs(settings: Settings, database: Database, secret: bytes) -> Runs:
    key = keyed_hash("what runs have seen", secret)[:32].encode()
    window = timedelta(seconds=settings.run_window)
    return Runs(Ledger(database), Writing(database), key, window, _MOST_FINGERPRINTS)


def _approval_book(
    settings: Settings, journal: Journal, database: Database, catalog: Catalog, history: RunHistory, secret: bytes
) -> ApprovalBook:
    ttl = timedelta(seconds=settings.approval_ttl)
    return ApprovalBook(journal, database, catalog.tools, history, ttl, secret)


@asynccontextmanager
async def open_grants(settings: Settings) -> AsyncIterator[GrantBook]:
    """Open the grants alone, for whoever issues one beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    with _beside_a_gateway(settings) as (journal, database):
        yield _grant_book(settings, journal, database, Catalog(known_tools(settings)))


@asynccontextmanager
async def open_doubts(settings: Settings) -> AsyncIterator[Doubts]:
    """Open the doubts alone, for a person who settles one beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    with _beside_a_gateway(settings) as (journal, database):
        yield Doubts(journal, RecordedCalls(database))


@asynccontextmanager
async def open_stops(settings: Settings) -> AsyncIterator[StopBook]:
    """Open the stops alone, for a person who stops something beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    with _beside_a_gateway(settings) as (journal, database):
        yield StopBook(journal, database)


@contextmanager
def open_credentials(settings: Settings) -> Iterator[ServedCredentials]:
    """Open what back ends show alone, for whoever reaches one without a gateway."""
    make_home(settings)
    with settings.open_database() as database:
        database.prepare()
        yield _credentials(settings, database)


@asynccontextmanager
async def open_credential_book(settings: Settings) -> AsyncIterator[CredentialBook]:
    """Open the credentials alone, for a person who sets one beside a running gateway.

    Raises:
        JournalUnavailable: If the journal cannot be written.
    """
    with _beside_a_gateway(settings) as (journal, database):
        yield CredentialBook(CredentialTable(database), key_source(settings), journal)


def _credentials(settings: Settings, database: Database) -> ServedCredentials:
    return ServedCredentials(CredentialTable(database), key_source(settings), utc_now)


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Open a gateway on its home folder and close it again.

    Raises:
        PolicyError: If the policy folder cannot be loaded.
        BadUpstream: If an upstream server's files cannot be used.
        BadFile: If the file of declared back ends cannot be used.
        JournalUnavailable: If the journal cannot be written.
    """
    make_home(settings)
    with settings.open_database() as database:
        credentials = _credentials(settings, database)
        upstreams = Upstreams(settings.upstreams_folder, credentials)
        async with (
            _back_ends(settings, credentials, upstreams) as back_ends,
            _opened(settings, database, upstreams, back_ends) as gateway,
        ):
            yield gateway


@asynccontextmanager
async def _back_ends(
    settings: Settings, credentials: ServedCredentials, upstreams: Upstreams
) -> AsyncIterator[BackEnds]:
    with closing(CompanyDatabase(settings.company_database)) as company:
        async with _declared(settings.back_ends_file, Surroundings(credentials, company)) as declared:
            yield embedded(company, settings.outbox, upstreams.back_ends, declared)


@asynccontextmanager
async def _declared(file: Path, surroundings: Surroundings) -> AsyncIterator[Mapping[tuple[str, str], Declarable]]:
    if not await anyio.Path(file).exists():
        yield {}
        return
    # What speaks to systems elsewhere is a third of all that a start imports: most gateways and commands need none.
    from connectors.declared import open_declared, read_declared

    async with open_declared(read_declared(file), surroundings) as declared:
        yield declared


@asynccontextmanager
async def _opened(
    settings: Settings, database: Database, upstreams: Upstreams, back_ends: BackEnds
) -> AsyncIterator[Gateway]:
    catalog = Catalog(upstreams.catalogue, lambda: upstreams.withheld, back_ends.offers)
    policy = PolicySource(settings.policies, upstreams.catalogue)
    metrics = Metrics(catalog.tools)
    with (
        telemetry_to_collector(settings.telemetry) as telemetry,
        closing(_open_journal(settings, database, metrics.appended)) as journal,
    ):
        tell_if_above(database)
        history = _run_history(settings, database)
        slots = Slots(settings.max_calls, settings.max_waiting, settings.max_calls_of_area, settings.max_wait)
        stops = StopsInForce(StopBook(journal, database), settings.stop_poll, settings.stop_unread)
        secret = naming_secret(database)
        approvals = _approval_book(settings, journal, database, catalog, history, secret)
        gateway = Gateway(
            catalog=catalog,
            policy=policy,
            journal=journal,
            approvals=approvals,
            grants=_grant_book(settings, journal, database, catalog),
            exchanged=OwnTokens(_derived_key(settings, b"remit exchanged tokens")),
            settled=SettledAnswers(database),
            history=history,
            runs=_runs(settings, database, secret),
            back_ends=back_ends,
            upstreams=upstreams,
            slots=slots,
            metrics=metrics,
            telemetry=telemetry,
            patience=_patience(settings, approvals),
            resilience=Resilience(settings.call_tries, settings.breaker_failures, settings.breaker_pause),
            running=Running(),
            recorded=RecordedCalls(database),
            stops=stops,
            activity=Activity(database, Recipients(database, secret), timedelta(seconds=settings.run_window)),
            uses=LimitUses(database),
            leaving=Leaving(),
            timeout=settings.call_timeout,
            given_up_after=timedelta(seconds=settings.call_timeout + 2 * settings.journal_timeout),
            limits=Limits(settings.max_result_text, settings.max_field_text),
            secret=secret,
            now=utc_now,
        )
        metrics.registry.register(State(gateway, database))
        yield gateway
