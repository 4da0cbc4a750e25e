"""`remit credentials`: set, listed, removed and sealed anew, on the record, and no secret is shown."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.cli import app
from gateway.credentials.keys import key_source
from gateway.credentials.kinds import Content, Place, RefreshToken
from gateway.credentials.reading import opened
from gateway.credentials.table import CredentialTable
from gateway.journal import Entry, read_journal
from gateway.journal.personal import unlisted
from gateway.journal.telling import told_entry
from gateway.settings import Settings
from tests.credentials.conftest import KEY, OTHER_KEY, TOKEN

OAUTH = ("--token-url", "https://id.example/token", "--client-id", "remit")
Run = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("_clean_environment")


@pytest.fixture
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REMIT_HOME", "REMIT_TENANT", "REMIT_PRINCIPAL", "REMIT_CREDENTIALS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def remit(home: Path) -> Run:
    def run(*arguments: str, given: str = "", by: str = "person:rosa") -> Result:
        who = ("--as", by) if by and arguments[0] != "list" else ()
        return CliRunner().invoke(app, ["credentials", *arguments, *who, "--home", str(home)], input=given)

    return run


def kept(home: Path, place: Place = Place("larkspur", "mail")) -> Content:  # noqa: B008 - a plain value
    settings = Settings(home=home)
    with settings.open_database() as database:
        row = CredentialTable(database).find(place)
    assert row
    return opened(row, key_source(settings))


def entries(home: Path) -> list[Entry]:
    with Settings(home=home).open_database() as database:
        found = list(read_journal(database, EVERY_TENANT))
    assert not {name for entry in found for name in unlisted(entry.body)}
    return found


def test_a_token_is_set_listed_and_removed_on_the_record(remit: Run, home: Path) -> None:
    assert "mail of larkspur: set by rosa" in remit("set", "mail", "--scope", "mail.read", given=f"{TOKEN}\n").output
    person = remit("set", "mail", "--person", "ana", "--expires", "2099-01-02", given="another-token")
    assert "mail of ana in larkspur: set by rosa" in person.output
    listed = remit("list").output
    assert "mail.read" in listed
    assert "2099-01-02 00:00" in listed
    assert "good" in listed
    assert "mail of larkspur: removed" in remit("remove", "mail").output
    assert "ana" in remit("list").output
    assert remit("remove", "mail").exit_code == 1
    told = [told_entry(entry) for entry in entries(home)]
    assert told == [
        "rosa sets the credential for mail (token)",
        "rosa sets the credential for mail of ana (token)",
        "rosa removes the credential for mail",
    ]
    assert entries(home)[0].body["scopes"] == ["mail.read"]
    everything = listed + json.dumps([entry.body for entry in entries(home)])
    assert TOKEN not in everything
    assert not [path for path in home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_each_kind_is_read_line_by_line(remit: Run, home: Path) -> None:
    assert remit("set", "mail", "--kind", "password", "--user", "remit", given="pass word 9\n").exit_code == 0
    assert kept(home).given.kind == "password"
    assert remit("set", "mail", "--kind", "client", *OAUTH, "--scope", "a", given="client-secret\n").exit_code == 0
    assert kept(home).asked == ("a",)
    assert remit("set", "mail", "--kind", "refresh", *OAUTH, given="\nrefresh-token\n").exit_code == 0
    given = kept(home).given
    assert isinstance(given, RefreshToken)
    assert (given.client_secret, given.refresh_token.get_secret_value()) == (None, "refresh-token")


@pytest.mark.parametrize(
    ("arguments", "given", "told"),
    [
        (("mail",), "short\n", "`token`"),
        (("mail",), "", "`token`"),
        (("mail",), "of-two\xa0parts", "`token`: value error, it must be made of visible ascii"),
        (("mail",), "of-two parts", "`token`: value error, it must be made of visible ascii"),
        (("mail",), "first-line\nsecond-line\n", "standard input must have 1 lines: token"),
        (("Mail!",), TOKEN, "`Mail!` is no back end's name"),
        (("mail", "--person", "two words"), TOKEN, "is not a name"),
        (("mail", "--kind", "password"), "pass-word-9", "`--user`"),
        (("mail", "--kind", "password", "--user", "a:b"), "pass-word-9", "`--user`"),
        (("mail", "--kind", "client"), "client-secret", "`--token-url`"),
        (
            ("mail", "--kind", "client", *OAUTH[2:], "--token-url", "http://id.example"),
            "client-secret",
            "`--token-url`",
        ),
        (("mail", "--kind", "client", *OAUTH, "--client-auth", "none"), "client-secret", "`--client-auth`"),
        (("mail", "--kind", "client", *OAUTH, "--expires", "2099-01-01"), "client-secret", "say it themselves"),
        (("mail", "--scope", "a b"), TOKEN, "`--"),
        (("mail", "--user", "x"), TOKEN, "`--user`"),
        (("mail", "--kind", "refresh", *OAUTH), "client-secret\n", "`refresh_token`"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_repeated(
    remit: Run, arguments: tuple[str, ...], given: str, told: str
) -> None:
    refused = remit("set", *arguments, given=given)
    assert refused.exit_code == 2
    said = " ".join(refused.output.replace("│", " ").split())
    assert told in said
    assert not [line for line in given.split() if line in said]


def test_only_a_person_sets_one(remit: Run) -> None:
    for by in ("", "agent:triage", "agent:triage+person:rosa"):
        assert remit("set", "mail", given=TOKEN, by=by).exit_code == 2


def test_the_key_is_made_for_its_owner_and_only_while_nothing_is_sealed(remit: Run, home: Path) -> None:
    remit("set", "mail", given=TOKEN)
    key = home / "credentials.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.unlink()
    refused = remit("set", "crm", given=TOKEN)
    assert refused.exit_code == 1
    assert not key.exists()
    assert "cannot be opened" in remit("list").output


def test_everything_is_sealed_anew_under_a_new_key(remit: Run, home: Path) -> None:
    remit("set", "mail", given=TOKEN)
    remit("set", "mail", "--tenant", "other", given=TOKEN)
    key = home / "credentials.key"
    old, new = key.read_text(), CliRunner().invoke(app, ["credentials", "key"]).output
    key.write_text(new + old)
    assert "2 sealed anew" in remit("rekey").output
    assert "0 sealed anew" in remit("rekey").output
    key.write_text(new)
    assert kept(home) == kept(home, Place("other", "mail"))
    assert told_entry(entries(home)[-1]) == "rosa seals 2 credentials under another key"
    key.write_text(OTHER_KEY)
    refused = remit("rekey")
    assert refused.exit_code == 1
    assert "cannot be opened" in str(refused.exception)


def test_the_key_comes_from_the_environment_or_from_one_other_place(
    remit: Run, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REMIT_CREDENTIALS_KEY", KEY)
    remit("set", "mail", given=TOKEN)
    assert not (home / "credentials.key").exists()
    assert "good" in remit("list").output
    monkeypatch.setenv("REMIT_CREDENTIALS_KEY_FILE", str(tmp_path / "key"))
    assert "give one of `credentials_key`, `credentials_key_file`" in str(remit("list").exception)
    monkeypatch.delenv("REMIT_CREDENTIALS_KEY")
    (tmp_path / "key").write_text(KEY)
    assert "good" in remit("list").output


def test_the_key_comes_from_the_systems_keyring(remit: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backend import KeyringBackend
    from keyring.errors import KeyringLocked

    class Memory(KeyringBackend):
        priority = 1
        held: str | None = KEY

        def get_password(self, service: str, username: str) -> str | None:
            if self.held == "locked":
                raise KeyringLocked("locked")
            return self.held if (service, username) == ("remit-test", "credentials") else None

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

    memory = Memory()  # type: ignore[no-untyped-call]
    monkeypatch.setattr(keyring, "get_password", memory.get_password)
    monkeypatch.setenv("REMIT_CREDENTIALS_KEYRING", "remit-test")
    assert remit("set", "mail", given=TOKEN).exit_code == 0
    assert "good" in remit("list").output
    memory.held = None
    assert "there is no key of credentials in the system's keyring under `remit-test`" in remit("list").output
    memory.held = "locked"
    assert "keyring cannot be read: KeyringLocked" in remit("list").output
