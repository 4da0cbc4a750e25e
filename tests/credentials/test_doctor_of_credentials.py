"""`remit doctor` says which credentials cannot be opened, have ended, or can do more than the tools need."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.credentials.keys import given
from gateway.credentials.kinds import Content, Place, written
from gateway.credentials.table import CredentialTable
from gateway.doctor.checks import CHECKS
from gateway.doctor.credentials import credentials
from gateway.doctor.finding import Level
from gateway.settings import Settings
from tests.credentials.conftest import KEY, OTHER_KEY, TOKEN
from tests.upstream.conftest import Upstream, wire_tool

NOW = datetime.now(UTC)
Put = Callable[..., None]


@pytest.fixture
def settings(home: Path) -> Settings:
    home.mkdir()
    return Settings(home=home, credentials_key=KEY)


@pytest.fixture
def put(settings: Settings) -> Put:
    def put_one(
        tenant: str = "larkspur", person: str = "", back_end: str = "up", key: str = KEY, **content: Any
    ) -> None:
        place = Place(tenant, back_end, person)
        said = {"kind": "token", **content.pop("given", {"token": TOKEN})}
        made = Content.model_validate({"given": said, **content})
        with settings.open_database() as database:
            database.prepare()
            sealed = given(key).keys().seal(written(made), place)
            CredentialTable(database).put(place, made.given.kind, sealed, "rosa", NOW)

    return put_one


def declare(up: Upstream, *, more: str = "", **scopes: list[str] | None) -> None:
    """Have a server want a credential whose tools need scopes; with None a tool is not accepted."""
    for name, needed in scopes.items():
        up.offers(wire_tool(name), "read", f"scopes = {needed!r}" if needed else "")
    up.write()
    up.accept(*(name for name, needed in scopes.items() if needed is not None))
    head = 'prefix = "up"\n[http]\nurl = "https://up.example/mcp"\n[http.credential]\nlooks_as = "larkspur"\n'
    (up.folder / "up.toml").write_text(f"{head}{more}\n{up.declared}")


async def told(settings: Settings) -> list[str]:
    return [f"{each.level} {each.about}: {each.told}" for each in await credentials(settings)]


async def test_one_that_can_do_what_is_needed_and_no_more_is_good(up: Upstream, settings: Settings, put: Put) -> None:
    declare(up, look=["mail.read"], send=["mail.read", "mail.send"])
    put(scopes=("mail.read", "mail.send"))
    assert await told(settings) == ["ok credential up of larkspur: token, good"]
    assert credentials in CHECKS


@pytest.mark.parametrize("granted", ["scopes", "asked"])
async def test_one_that_can_do_more_than_the_accepted_tools_need_is_found(
    up: Upstream, settings: Settings, put: Put, granted: str
) -> None:
    declare(up, look=["mail.read"], send=None)
    if granted == "scopes":
        put(scopes=("mail.read", "mail.send", "admin"))
    else:
        oauth = {"kind": "client", "token_url": "https://id.example/t", "client_id": "x", "client_secret": TOKEN}
        put(given={**oauth, "scopes": ("mail.read", "mail.send", "admin")})
    assert await told(settings) == [
        "warning credential up of larkspur: it can do more than the tools need: `admin`, `mail.send`"
    ]


async def test_one_that_can_do_less_is_found_with_the_tools_that_need_more(
    up: Upstream, settings: Settings, put: Put
) -> None:
    declare(up, more='scopes = ["offline_access"]', send=["mail.send"])
    put(scopes=("mail.read",))
    assert await told(settings) == [
        "wrong credential up of larkspur: it lacks the scope `mail.send`, which up_send needs",
        "wrong credential up of larkspur: it lacks the scope `offline_access`, which every call needs",
        "warning credential up of larkspur: it can do more than the tools need: `mail.read`",
    ]


async def test_what_cannot_be_told_is_said(up: Upstream, settings: Settings, put: Put) -> None:
    declare(up, look=["mail.read"], other=[])
    put()
    [unknown] = await told(settings)
    assert "which scopes it has is not known" in unknown
    put(scopes=("mail.read", "admin"))
    [more] = await told(settings)
    assert "it can do more than the tools need, as far as they say: `admin`" in more


async def test_tools_that_do_not_say_what_they_need_are_found(up: Upstream, settings: Settings, put: Put) -> None:
    declare(up, look=[])
    put(scopes=("admin",))
    [said] = await told(settings)
    assert "no tool says which scopes it needs" in said


@pytest.mark.parametrize(
    ("days", "expected"), [(-1, "wrong credential up of larkspur: it expired on"), (3, "warning"), (60, "ok")]
)
async def test_one_that_has_ended_or_ends_soon_is_found(
    up: Upstream, settings: Settings, put: Put, days: int, expected: str
) -> None:
    declare(up, look=["a"])
    put(scopes=("a",), expires_at=NOW + timedelta(days=days))
    [said] = await told(settings)
    assert said.startswith(expected)


async def test_one_that_cannot_be_opened_or_renewed_is_found(up: Upstream, settings: Settings, put: Put) -> None:
    declare(up, look=[])
    put(key=OTHER_KEY)
    [said] = await told(settings)
    assert said == "wrong credential up of larkspur: it cannot be opened: its key is not among those at hand"
    put()
    with settings.open_database() as database:
        table = CredentialTable(database)
        [row] = table.all()
        table.lease(row, "me", NOW, NOW + timedelta(minutes=1))
        table.failed(row, "me", "`https://id.example/token` answered 400 `invalid_grant`")
    said = (await told(settings))[0]
    assert said.startswith("wrong credential up of larkspur: it cannot be renewed: `https://id.example/token` answered")


async def test_one_that_nothing_shows_and_one_that_is_missing_are_found(
    up: Upstream, settings: Settings, put: Put
) -> None:
    declare(up, look=["a"])
    put(back_end="gone")
    put(scopes=("a",), person="ana")
    found = await told(settings)
    assert found[0] == "warning credential gone of larkspur: no back end shows it"
    assert found[1].endswith("it is a person's own, and the back end shows only the tenant's")
    assert found[2].startswith("wrong credentials: `up` has no credential of the tenant `larkspur`")


async def test_a_key_that_is_badly_kept_is_found(up: Upstream, home: Path, settings: Settings, put: Put) -> None:
    declare(up, look=["a"])
    put(scopes=("a",))
    (home / "credentials.key").write_text(KEY)
    (home / "credentials.key").chmod(0o640)
    in_home = Settings(home=home)
    found = await credentials(in_home)
    assert [each.level for each in found] == [Level.WRONG, Level.WARNING, Level.OK]
    assert "others can read the key" in found[0].told
    assert "lies beside the database" in found[1].told


async def test_before_the_first_start_nothing_is_found_and_nothing_is_made(tmp_path: Path) -> None:
    assert await told(Settings(home=tmp_path / "none")) == []
    assert not (tmp_path / "none").exists()
