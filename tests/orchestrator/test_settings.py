"""The orchestrator's settings: wrong ones are named without their value, and each is documented."""

import re
from pathlib import Path

import pytest

from orchestrator.settings import BadSettings, Settings, load_settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"REMIT_{name.upper()}", raising=False)
    monkeypatch.setenv("REMIT_HOME", str(tmp_path))


def test_every_setting_is_in_the_documented_table_and_nothing_else() -> None:
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text("utf-8")
    listed = re.findall(r"^\| `REMIT_([A-Z_]+)` \|", page, re.MULTILINE)
    assert [name.lower() for name in listed] == list(Settings.model_fields)


def test_runs_are_kept_in_the_home_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().database_url == f"sqlite:///{tmp_path}/orchestrator.db"
    monkeypatch.setenv("REMIT_DATABASE", "postgresql://u:s3cret@h/x")
    assert load_settings().database_url == "postgresql://u:s3cret@h/x"
    assert "s3cret" not in repr(load_settings())


def test_triggers_are_those_of_the_home_if_there_are_any(tmp_path: Path) -> None:
    assert load_settings().triggers_file is None
    (tmp_path / "triggers.toml").touch()
    assert load_settings().triggers_file == tmp_path / "triggers.toml"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("REMIT_AT_ONCE", "0", "setting `REMIT_AT_ONCE`"),
        ("REMIT_LEASE", "s3cret", "setting `REMIT_LEASE`"),
        ("REMIT_URL", "ftp://s3cret", "setting `REMIT_URL`"),
    ],
)
def test_a_wrong_setting_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=told) as refused:
        load_settings()
    assert "s3cret" not in str(refused.value)


def test_a_token_for_grants_is_refused_where_none_can_be_issued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMIT_COMMAND", "remit serve --stdio")
    monkeypatch.setenv("REMIT_GRANT_TOKEN", "s3cret")
    with pytest.raises(BadSettings, match="needs a gateway by `REMIT_URL`"):
        load_settings()
