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
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "remit.toml").write_text(text)
    with pytest.raises(BadSettings, match=told):
        load_settings(home=tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_a_loopback_address_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gateway.example", "", "127.0.0.1.nip.example"])  # noqa: S104
def test_anything_else_can_be_reached_from_outside(host: str) -> None:
    assert not is_loopback(host)
