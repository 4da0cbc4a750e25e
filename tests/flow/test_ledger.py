"""What runs have seen is kept with the entry of the call that saw it, for exactly those whom it concerns."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from anyio import Event, fail_after, from_thread
from pydantic import SecretStr

from connectors.contract import Confidentiality
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.app import open_gateway
from gateway.background import background
from gateway.database import Database
from gateway.flow.labels import CLEAN, Label
from gateway.flow.ledger import Ledger, Scope, Sight, label_rows, seen_row
from gateway.journal import AlreadyRecorded, Entry, Journal, Kind, read_journal
from gateway.journal.entry import Beside
from gateway.policy.language.flow import Integrity
from gateway.settings import Settings

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
TRIAGE = Scope("larkspur", "agent:triage", NOW - timedelta(days=1))
HOSTILE = Label(Integrity.ANYONE, Confidentiality.CUSTOMER, frozenset({"lena@brightlab.example"}))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database(tmp_path: Path, database_url: str) -> Iterator[Database]:
    with Settings(home=tmp_path, database_url=SecretStr(database_url)).open_database() as database:
        yield database


@asynccontextmanager
async def writing(database: Database) -> AsyncIterator[Journal]:
    journal = Journal(database, timeout=10)
    yield journal
    journal.close()


def outcome(*beside: Beside, once: str | None = None) -> Entry:
    return Entry("call_1", "larkspur", "agent:triage", NOW, Kind.OUTCOME, {"status": "ok"}, once, beside=beside)


def seen(index: bytes, run: str = "", principal: str = "agent:triage", at: datetime = NOW) -> Beside:
    return seen_row("larkspur", principal, run, at, Sight(HOSTILE, [frozenset({"a", "b"})], index))


async def indexes(ledger: Ledger, scope: Scope, after: int = 0) -> list[bytes]:
    return [each.sight.values for each in await ledger.seen_after(scope, after)]


async def test_what_was_seen_is_read_back_as_it_was_in_the_order_of_the_journal(database: Database) -> None:
    ledger = Ledger(database)
    async with writing(database) as journal:
        await journal.append(outcome(seen(b"one")))
        await journal.append(outcome())
        await journal.append(outcome(seen(b"two")))
        await journal.append(outcome(seen_row("other", "agent:triage", "", NOW, Sight(CLEAN, [], b"x"))))

    first, second = await ledger.seen_after(TRIAGE, 0)
    assert first.sight == Sight(HOSTILE, [frozenset({"a", "b"})], b"one")
    assert (first.position, second.position, first.at) == (1, 3, NOW)
    assert await indexes(ledger, TRIAGE, after=1) == [b"two"]


async def test_an_entry_that_is_refused_leaves_nothing_beside_it(database: Database) -> None:
    ledger = Ledger(database)
    async with writing(database) as journal:
        await journal.append(outcome(once="outcome:call_1"))
        with pytest.raises(AlreadyRecorded):
            await journal.append(outcome(seen(b"late"), once="outcome:call_1"))

    assert await indexes(ledger, TRIAGE) == []
    assert len(list(read_journal(database, EVERY_TENANT))) == 1


async def test_without_a_grant_everything_of_the_principal_within_the_window_counts(database: Database) -> None:
    ledger = Ledger(database)
    async with writing(database) as journal:
        await journal.append(outcome(seen(b"old", at=NOW - timedelta(days=2))))
        await journal.append(outcome(seen(b"loose")))
        await journal.append(outcome(seen(b"granted", run="run_a")))
        await journal.append(outcome(seen(b"another's", principal="agent:assistant")))

    assert await indexes(ledger, TRIAGE) == [b"loose", b"granted"]


async def test_with_a_grant_its_own_run_counts_and_what_was_seen_without_any_since(database: Database) -> None:
    ledger = Ledger(database)
    async with writing(database) as journal:
        await journal.append(outcome(seen(b"before", at=NOW - timedelta(hours=2))))
        await journal.append(outcome(seen(b"own", run="run_a")))
        await journal.append(outcome(seen(b"other run", run="run_b")))
        await journal.append(outcome(seen(b"without")))

    granted = replace(TRIAGE, since=NOW - timedelta(hours=1), run="run_a")
    assert await indexes(ledger, granted) == [b"own", b"without"]


async def test_labels_of_a_record_add_up_and_are_the_tenants_own(database: Database) -> None:
    ledger = Ledger(database)
    anyone, secret = Label(Integrity.ANYONE), Label(Integrity.ORGANISATION, Confidentiality.SECRET)
    async with writing(database) as journal:
        await journal.append(outcome(*label_rows("larkspur", {"crm::con_1": anyone, "crm::con_2": anyone})))
        await journal.append(outcome(*label_rows("larkspur", {"crm::con_1": secret})))

    assert await ledger.labels("larkspur", ["crm::con_1", "crm::con_3"]) == {"crm::con_1": anyone | secret}
    assert await ledger.labels("other", ["crm::con_1"]) == {}
    assert await ledger.labels("larkspur", []) == {}


async def test_what_was_seen_is_forgotten_and_what_is_known_of_records_stays(database: Database) -> None:
    ledger = Ledger(database)
    async with writing(database) as journal:
        await journal.append(outcome(seen(b"old", at=NOW - timedelta(days=2))))
        await journal.append(outcome(seen(b"new")))
        await journal.append(outcome(*label_rows("larkspur", {"crm::con_1": HOSTILE})))

    assert ledger.forget(NOW - timedelta(days=1)) == 1
    everything = replace(TRIAGE, since=NOW - timedelta(days=9))
    assert await indexes(ledger, everything) == [b"new"]
    assert await ledger.labels("larkspur", ["crm::con_1"]) == {"crm::con_1": HOSTILE}


async def test_a_running_gateway_forgets_what_no_run_reaches_back_to(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    everything = replace(TRIAGE, since=NOW - timedelta(days=9_999))
    async with open_gateway(settings) as gateway:
        ledger = gateway.runs.ledger
        await gateway.journal.append(outcome(seen(b"old", at=gateway.now() - timedelta(days=9))))
        await gateway.journal.append(outcome(seen(b"new", at=gateway.now())))
        forgotten = Event()

        def forget(before: datetime) -> int:
            count = Ledger.forget(ledger, before)
            from_thread.run_sync(forgotten.set)
            return count

        ledger.forget = forget  # type: ignore[method-assign]
        async with background(gateway, settings):
            with fail_after(20):
                await forgotten.wait()
        assert await indexes(ledger, everything) == [b"new"]
