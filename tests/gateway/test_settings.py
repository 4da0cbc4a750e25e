"""Settings: flags over environment over the home's file over defaults, and nothing unknown."""

from pathlib import Path

import pytest

from gateway.settings import BadSettings, is_loopback, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMIT_TENANT", raising=False)
    monkeypatch.delenv("REMIT_HOME", raising=False)


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "remit.toml").write_text('tenant = "from-file"\n')
    assert load_settings(home=tmp_path).tenant == "from-file"
    monkeypatch.setenv("REMIT_TENANT", "from-environment")
    assert load_settings(home=tmp_path).tenant == "from-environment"
    assert load_settings(home=tmp_path, tenant="from-flag").tenant == "from-flag"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tenat = 'x'", "`tenat`: Extra inputs"),
        ("call_timeout = -1", "`call_timeout`"),
        ("tenant = ", "remit.toml"),
        ("notify_webhook = 'http://hooks.example/x'", "setting `notify_webhook`"),
        ("notify_webhook = 'https://hooks.example/x'\nnotify_secret = 'short'", "needs a `notify_secret` of 24"),
        ("approval_hold = 51", "`approval_hold`"),
        ("console_url = 'remit.example'", "`console_url`"),
        ("console_url = 'https://remit.example/?a=b'", "`console_url`"),
        ("console_url = 'https://remit.example/'", "`console_url`"),
        ("console_url = 'https://maya:secret@remit.example'", "`console_url`"),
        ("state_key = 'short'", "`state_key`"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "remit.toml").write_text(text)
    with pytest.raises(BadSettings, match=told):
        load_settings(home=tmp_path)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://u:s3cret@h/x", "expected `sqlite"),
        ("s3cret", "expected `sqlite"),
        ("postgresql://u:s3cret@h:port/x", "expected `sqlite"),
        ("postgresql+psycopg2://u:s3cret@h/x", "expected `sqlite"),
        ("postgresql://u:s3cret@h", "names no database"),
        ("sqlite://", "names no database"),
    ],
)
def test_a_url_that_names_no_database_is_refused_without_being_shown(tmp_path: Path, url: str, told: str) -> None:
    for name in ("database_url", "company_url"):
        (tmp_path / "remit.toml").write_text(f'{name} = "{url}"')
        with pytest.raises(BadSettings, match=rf"setting `{name}`: .*{told}") as refused:
            load_settings(home=tmp_path)
        assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
def test_one_url_moves_everything_to_postgresql(tmp_path: Path, driver: str) -> None:
    settings = load_settings(home=tmp_path, database_url=f"{driver}://u:s3cret@h/x")
    assert settings.company_database == settings.open_database().url
    assert "s3cret" not in repr(settings) + repr(settings.open_database()) + settings.open_database().label


def test_data_of_the_embedded_back_ends_can_stay_elsewhere(tmp_path: Path) -> None:
    files = load_settings(home=tmp_path)
    assert (files.open_database().path, files.company_database.database) == (
        tmp_path / "remit.db",
        str(tmp_path / "company.db"),
    )
    moved = load_settings(home=tmp_path, database_url=f"sqlite:///{tmp_path}/other.db")
    assert (moved.open_database().path, moved.company_database) == (tmp_path / "other.db", files.company_database)
    apart = load_settings(home=tmp_path, database_url="postgresql://h/x", company_url=f"sqlite:///{tmp_path}/c.db")
    assert apart.company_database.database == f"{tmp_path}/c.db"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_a_loopback_address_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gateway.example", "", "127.0.0.1.nip.example"])  # noqa: S104
def test_anything_else_can_be_reached_from_outside(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("given", "host", "expected"),
    [
        ("", "127.0.0.1", "http://127.0.0.1:8900"),
        ("", "::1", "http://[::1]:8900"),
        ("", "gateway.example", "http://gateway.example:8900"),
        ("", "0.0.0.0", ""),  # noqa: S104 - leads nowhere from another machine
        ("", "::", ""),
        ("https://remit.example/approve", "0.0.0.0", "https://remit.example/approve"),  # noqa: S104
    ],
)
def test_the_console_is_where_it_is_said_to_be_or_at_the_address_served_on(
    tmp_path: Path, given: str, host: str, expected: str
) -> None:
    assert load_settings(home=tmp_path, console_url=given).served_at(host, 8900).console_url == expected


def test_a_secret_setting_is_not_shown(tmp_path: Path) -> None:
    assert "k" * 32 not in repr(load_settings(home=tmp_path, state_key="k" * 32))
    with pytest.raises(BadSettings) as told:
        load_settings(home=tmp_path, state_key="hush")
    assert "hush" not in str(told.value)
