"""Which credential a call shows, and what happens where there is none that is good."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from connectors.errors import Unavailable
from gateway.credentials.keys import given, in_file
from gateway.credentials.kinds import Place
from gateway.credentials.reading import FRESH_SECONDS, Reading
from gateway.credentials.serving import ServedCredentials
from tests.credentials.conftest import KEY, MAIL, OTHER_KEY, START, TOKEN, Clock, Store

ANA = Place("larkspur", "mail", "ana")


async def shown(credentials: ServedCredentials, tenant: str = "larkspur", person: str | None = None) -> str:
    return (await credentials.of("mail", tenant, person)).secret.get_secret_value()


async def test_a_persons_own_goes_before_the_tenants(store: Store) -> None:
    store.put()
    store.put(ANA, given={"token": "anas-own-token"})
    process = store.process()
    assert await shown(process, person="ana") == "anas-own-token"
    assert await shown(process, person="ben") == TOKEN
    assert await shown(process) == TOKEN


async def test_a_persons_own_that_is_not_good_is_not_replaced_by_the_tenants(store: Store) -> None:
    store.put()
    store.put(ANA, given={"token": "anas-own-token"}, expires_at=START)
    with pytest.raises(Unavailable, match="your own credential for `mail` is not good: it has expired; nothing was"):
        await store.process().of("mail", "larkspur", "ana")


async def test_without_a_credential_nothing_is_shown(store: Store) -> None:
    store.put()
    process = store.process()
    for back_end, tenant in (("mail", "other"), ("crm", "larkspur"), ("mail", "")):
        with pytest.raises(Unavailable, match=f"there is no credential for `{back_end}`"):
            await process.of(back_end, tenant, "ana")


async def test_a_row_of_another_tenant_is_not_opened_even_if_it_is_put_in_the_place(store: Store) -> None:
    store.put(Place("other", "mail"))
    [row] = store.table().all()
    store.table().put(MAIL, "token", row.sealed, "mallory", START)
    with pytest.raises(Unavailable, match="cannot be opened"):
        await store.process().of("mail", "larkspur")


async def test_under_another_key_nothing_is_opened(store: Store) -> None:
    store.put()
    with pytest.raises(Unavailable, match="the credential for `mail` cannot be opened; nothing was done"):
        await store.process(source=given(OTHER_KEY)).of("mail", "larkspur")


async def test_a_token_counts_until_it_ends(store: Store) -> None:
    store.put(expires_at=START + timedelta(minutes=1))
    process = store.process()
    assert await shown(process) == TOKEN
    store.clock.forward(minutes=1)
    with pytest.raises(Unavailable, match="it has expired"):
        await process.of("mail", "larkspur")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_another_one_is_shown_within_a_second_and_a_removed_one_no_longer(store: Store) -> None:
    seconds = [0.0]
    reading = Reading(store.table(), store.source, store.clock, lambda: seconds[0])

    async def version() -> int | None:
        found = await reading.find(MAIL)
        return found.row.version if found else None

    assert await version() is None
    store.put()
    seconds[0] = FRESH_SECONDS + 0.01
    assert await version() == 1
    store.put(given={"token": "another-token"})
    assert await version() == 1
    seconds[0] *= 2.1
    assert await version() == 2
    store.table().remove(MAIL)
    seconds[0] *= 2
    assert await version() is None
    assert seconds[0] / 4 < 1


async def test_what_a_system_refused_is_looked_up_at_once(store: Store) -> None:
    store.put()
    process = store.process()
    access = await process.of("mail", "larkspur")
    assert await process.refused(access) is None
    store.put(given={"token": "another-token"})
    other = await process.refused(access)
    assert other is not None
    assert other.secret.get_secret_value() == "another-token"
    store.table().remove(MAIL)
    assert await process.refused(other) is None


async def test_a_user_and_password_are_shown_as_basic_authentication(store: Store) -> None:
    store.put(given={"kind": "password", "user": "remit", "password": "päss:wörd"})
    access = await store.process().of("mail", "larkspur")
    assert access.header() == "Basic cmVtaXQ6cMOkc3M6d8O2cmQ="


async def test_what_was_used_is_noted_from_time_to_time(store: Store) -> None:
    store.put()
    await store.process().of("mail", "larkspur")
    [row] = store.table().all()
    assert (row.used_at, row.version) == (START, 1)
    store.clock.forward(seconds=10)
    await store.process().of("mail", "larkspur")
    assert store.table().all()[0].used_at == START
    store.clock.forward(minutes=5)
    await store.process().of("mail", "larkspur")
    assert store.table().all()[0].used_at == store.clock.now


async def test_a_use_that_cannot_be_noted_fails_no_call(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put()
    process = store.process()

    def locked(*_arguments: object) -> None:
        raise OperationalError("", {}, Exception("database is locked"))

    monkeypatch.setattr(process._reading.table, "used", locked)
    assert await shown(process) == TOKEN
    assert store.table().all()[0].used_at is None


async def test_a_key_file_is_changed_beside_a_running_gateway(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(KEY)
    store.put(source=in_file(file))
    process = store.process(source=in_file(file))
    assert await shown(process) == TOKEN
    file.write_text(f"{OTHER_KEY}\n{KEY}\n")
    store.put(source=in_file(file), given={"token": "another-token"})
    access = await process.of("mail", "larkspur")
    other = await process.refused(access)
    assert other is not None
    assert other.secret.get_secret_value() == "another-token"


async def test_a_database_that_does_not_answer_shows_nothing(store: Store) -> None:
    store.put()
    with store.settings.open_database() as database:
        database.prepare()
        process = ServedCredentials(store.table(), store.source, Clock())
    with store.database().changing("larkspur") as connection:
        connection.exec_driver_sql("ALTER TABLE credentials RENAME TO hidden")
    with pytest.raises(Unavailable, match="the credential for `mail` cannot be read"):
        await process.of("mail", "larkspur")
