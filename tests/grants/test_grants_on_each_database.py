"""What several processes share: limits, what was taken back, what was forgotten on request."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.app import open_grants
from gateway.database import Database
from gateway.erasing.erasure import Erasure, carry_out, erasures, record
from gateway.erasing.mentions import find_mentions
from gateway.grants.book import CACHED
from gateway.grants.grant import BadGrant
from gateway.journal import Entry, Kind
from gateway.settings import Settings
from tests.gateway.conftest import OpenGateway
from tests.grants.granting import ANA, create, granted


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return url


async def test_what_one_process_takes_back_another_refuses_within_a_second(
    opened: OpenGateway, home: Path, database_url: str
) -> None:
    assert timedelta(seconds=1) > CACHED
    async with opened() as gateway, open_grants(Settings(home=home, database_url=SecretStr(database_url))) as elsewhere:
        now = gateway.now()
        issued = await granted(gateway, now=now)
        assert await gateway.grants.verify(issued.token, ANA, now) == issued.grant
        assert await elsewhere.revoke("larkspur", issued.grant.id, now, "test")
        with pytest.raises(BadGrant, match="taken back"):
            await gateway.grants.verify(issued.token, ANA, now + CACHED)
        with pytest.raises(BadGrant, match="taken back"):
            await elsewhere.verify(issued.token, ANA, now)


async def test_a_grant_issued_by_one_process_is_good_in_another_which_counts_its_calls_too(
    opened: OpenGateway, home: Path, database_url: str
) -> None:
    async with opened() as one, opened() as two:
        issued = await granted(one, limits={"crm_create_contact": 2})
        statuses = [
            (await create(each, issued.token, number)).status for number, each in enumerate((one, two, one, two))
        ]
    assert statuses == ["ok", "ok", "denied", "denied"]


async def test_a_grant_whose_words_are_erased_is_over_and_they_stand_nowhere(
    opened: OpenGateway, database: Database, entries: Callable[[], list[Entry]]
) -> None:
    async with opened() as gateway:
        issued = await granted(gateway, request="Refund Kim Possible", values=["kim@customer.example"])
        found = find_mentions(database, "larkspur", ["Possible"], gateway.now())
        assert (found.entries, found.calls, dict(found.open)) == (1, 1, {})
        await record(gateway.journal, Erasure("larkspur", found.positions, "maya", "request"), gateway.now())
        assert carry_out(database, erasures(database)) == 1
        answer = await create(gateway, issued.token)
    assert (answer.status, "no longer kept" in (answer.reason or "")) == ("denied", True)
    [entry] = [entry for entry in entries() if entry.kind is Kind.GRANTED]
    assert entry.erased
    assert entry.body["grant"] == issued.grant.id
    with database.looking(EVERY_TENANT) as connection:
        assert connection.execute(text("SELECT count(*) FROM grants")).scalar() == 0
