"""A backup that is made while calls run is whole, and a gateway goes on from it elsewhere."""

import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from connectors.embedded.database import Database as CompanyDatabase
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.answer import Answer
from gateway.app import open_gateway
from gateway.backup.checking import Older
from gateway.backup.making import make_backup
from gateway.backup.manifest import BadBackup, Manifest, may_be_in
from gateway.backup.restoring import restore_backup
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.home import utc_now
from gateway.journal import Entry, Kind, read_journal
from gateway.settings import Settings
from tests.gateway.crashing import open_calls
from tests.gateway.test_call import ANA
from tests.processes import remit

pytestmark = pytest.mark.usefixtures("for_its_owner_alone")

CALLERS = 4


@pytest.fixture
def database_url() -> str:
    return ""


@pytest.fixture
def settings(home: Path, policies: Path) -> Settings:
    return Settings(home=home, policies=policies)


def silent(_what: str, _done: int, _of: int) -> None: ...


async def add(gateway: Gateway, key: str) -> Answer[Any]:
    contact = {"name": "Kim", "email": f"{key}@customer.example"}
    declared = Declared.model_validate({"remit/key": key})
    return await call_tool(gateway, ToolCall(ANA, "crm_create_contact", contact, declared=declared))


def journal(settings: Settings) -> list[Entry]:
    with settings.open_database() as database:
        return list(read_journal(database, EVERY_TENANT))


def contacts(settings: Settings) -> list[str]:
    with closing(CompanyDatabase(settings.company_database)) as company, company.engine.connect() as connection:
        return list(connection.exec_driver_sql("SELECT email FROM crm_contacts").scalars())


def in_use(settings: Settings, calls: int = 3) -> None:
    async def run() -> None:
        async with open_gateway(settings) as gateway:
            for number in range(calls):
                await add(gateway, f"n{number}")

    anyio.run(run)


def backed_up(settings: Settings, tmp_path: Path) -> Path:
    make_backup(settings, tmp_path / "b.tar", utc_now(), silent)
    return tmp_path / "b.tar"


async def test_made_while_calls_run_nothing_is_missing_that_was_acknowledged_before_and_calls_go_on_elsewhere(
    settings: Settings, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    file, there = tmp_path / "b.tar", settings.model_copy(update={"home": tmp_path / "there"})

    async def call_on(gateway: Gateway, caller: int) -> None:
        number = 0
        while True:
            number += 1
            assert (await add(gateway, f"k{caller}x{number}")).status == "ok"
            acknowledged.append(f"k{caller}x{number}@customer.example")

    async with open_gateway(settings) as gateway, anyio.create_task_group() as callers:
        for caller in range(CALLERS):
            callers.start_soon(call_on, gateway, caller)
        while len(acknowledged) < 20:  # noqa: ASYNC110 - a count
            await anyio.sleep(0.01)
        before = list(acknowledged)
        await anyio.to_thread.run_sync(make_backup, settings, file, utc_now(), silent)
        after = len(acknowledged)
        callers.cancel_scope.cancel()
    assert after > len(before), "calls went on meanwhile"

    restored = await anyio.to_thread.run_sync(restore_backup, file, there.home, [], silent)
    entries, effects = journal(there), contacts(there)
    assert restored.entries == len(entries)
    done = {entry.call_id for entry in entries if entry.kind is Kind.OUTCOME}
    assert set(before) <= set(effects)
    assert len(effects) == len(set(effects))
    assert len(done) <= len(effects) <= len(done | open_calls(entries)), "no effect without its intent, none told twice"
    async with open_gateway(there) as gateway:
        last = before[-1].partition("@")[0]
        assert (await add(gateway, last)).status == "ok", "a repetition is answered from the record"
        assert (await add(gateway, "new")).status == "ok"
    assert sorted(contacts(there)) == sorted([*effects, "new@customer.example"])
    assert "are what was written" in remit("journal", "verify", "--home", str(there.home)).stdout


def test_a_restored_home_is_for_its_owner_alone_and_so_is_the_backup(settings: Settings, tmp_path: Path) -> None:
    in_use(settings)
    os.umask(0o022)
    try:
        file, home = backed_up(settings, tmp_path), tmp_path / "there"
        restore_backup(file, home, [], silent)
    finally:
        os.umask(0o077)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (file, home, *home.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert (home / "journal.key").read_bytes() == settings.journal_key.read_bytes()
    assert (home / "policies" / "rules.csv").read_bytes() == (settings.policies / "rules.csv").read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_that_is_there_and_empty_is_filled_in_place(settings: Settings, tmp_path: Path) -> None:
    in_use(settings)
    there = settings.model_copy(update={"home": tmp_path / "volume"})
    there.home.mkdir(mode=0o755)
    before = there.home.stat().st_ino
    restore_backup(backed_up(settings, tmp_path), there.home, [], silent)
    assert (there.home.stat().st_ino, stat.S_IMODE(there.home.stat().st_mode)) == (before, 0o700)
    assert len(journal(there)) == 6
    assert not [path for path in there.home.iterdir() if path.name.startswith(".")]


def test_nothing_is_overwritten(settings: Settings, tmp_path: Path) -> None:
    in_use(settings)
    file = backed_up(settings, tmp_path)
    content = file.read_bytes()
    with pytest.raises(BadBackup, match="is there already"):
        backed_up(settings, tmp_path)
    assert file.read_bytes() == content
    with pytest.raises(BadBackup, match="is not empty"):
        restore_backup(file, settings.home, [], silent)
    assert len(journal(settings)) == 6


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("name", ["journal.key", "remit.db", "company.db"])
def test_what_comes_to_be_in_a_home_while_a_backup_is_restored_there_is_not_overwritten(
    settings: Settings, tmp_path: Path, is_there: bool, name: str
) -> None:
    in_use(settings)
    file, there = backed_up(settings, tmp_path), tmp_path / "there"
    if is_there:
        there.mkdir()

    def starting(what: str, done: int, of: int) -> None:
        if (what, done) == ("verifying", of):
            there.mkdir(exist_ok=True)
            (there / name).write_text("a gateway's own")

    with pytest.raises(BadBackup):
        restore_backup(file, there, [], starting)
    assert [path.name for path in there.iterdir()] == [name]
    assert (there / name).read_text() == "a gateway's own"
    assert not [path for path in tmp_path.iterdir() if "restoring" in path.name]


def test_a_backup_that_is_older_than_a_checkpoint_kept_elsewhere_is_told_and_not_restored(
    settings: Settings, tmp_path: Path
) -> None:
    in_use(settings)
    file = backed_up(settings, tmp_path)
    restore_backup(file, tmp_path / "fine", [settings.checkpoints], silent)
    in_use(settings.model_copy(update={"policies": settings.policies}), calls=5)
    with pytest.raises(Older, match=r"it ends at entry 6, and 1[0-9] were signed for elsewhere"):
        restore_backup(file, tmp_path / "there", [settings.checkpoints], silent)
    assert not (tmp_path / "there").exists()


def rewritten(file: Path, change: Callable[[str, bytes], bytes | None], **more: bytes) -> None:
    """The backup with other contents."""
    with tarfile.open(file) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    with tarfile.open(file, "w") as archive:
        changed = {name: change(name, content) for name, content in contents.items()}
        for name, content in {**changed, **more}.items():
            if content is not None:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda name, content: content[:-1] + b"x" if name == "company.db" else content,
            "`company.db` in it is damaged",
        ),
        (lambda name, content: None if name == "journal.key" else content, "`journal.key` is missing"),
        (lambda name, content: b"{}" if name == "backup.json" else content, "table of contents"),
        (lambda name, content: None if name == "backup.json" else content, "is no backup"),
    ],
)
def test_a_backup_that_is_damaged_leaves_no_home(
    settings: Settings, tmp_path: Path, change: Callable[[str, bytes], bytes | None], said: str
) -> None:
    in_use(settings)
    file = backed_up(settings, tmp_path)
    rewritten(file, change)
    with pytest.raises(BadBackup, match=said):
        restore_backup(file, tmp_path / "there", [], silent)
    assert not (tmp_path / "there").exists()
    file.write_bytes(file.read_bytes()[:5_000])
    with pytest.raises(BadBackup):
        restore_backup(file, tmp_path / "there", [], silent)
    assert not [path for path in tmp_path.iterdir() if "restoring" in path.name]


@pytest.mark.parametrize("outside", ["../x", "policies/é\0"])
def test_a_backup_cannot_write_outside_the_home(settings: Settings, tmp_path: Path, outside: str) -> None:
    in_use(settings)
    file = backed_up(settings, tmp_path)

    def named(name: str, content: bytes) -> bytes:
        if name != "backup.json":
            return content
        manifest = Manifest.model_validate_json(content)
        return json.dumps({**manifest.model_dump(mode="json"), "files": {**manifest.files, outside: "0" * 64}}).encode()

    rewritten(file, named, **{outside: b"out"})
    with pytest.raises(BadBackup, match="does not name"):
        restore_backup(file, tmp_path / "there", [], silent)
    assert not (tmp_path / "x").exists()


@given(st.text(st.sampled_from("ab./\\"), max_size=12), st.sampled_from(["", "policies/", "outbox/", "/"]))
def test_no_name_in_a_backup_leads_out_of_the_home(name: str, before: str) -> None:
    if may_be_in(before + name):
        home = Path("/home")
        path = Path(os.path.normpath(home / (before + name)))
        assert path.is_relative_to(home)
        assert path != home
        assert path.parts[2] in {"policies", "outbox"}


def test_a_journal_that_is_not_good_makes_no_backup(settings: Settings, tmp_path: Path) -> None:
    in_use(settings)
    settings.journal_key.unlink()
    with pytest.raises(BadBackup, match="holds no journal key"):
        backed_up(settings, tmp_path)
    in_use(settings.model_copy(update={"home": tmp_path / "foreign"}))
    settings.journal_key.write_bytes((tmp_path / "foreign" / "journal.key").read_bytes())
    with pytest.raises(BadBackup, match="cannot be checked"):
        backed_up(settings, tmp_path)
    assert not [path for path in tmp_path.iterdir() if "b.tar" in path.name]


def test_on_a_server_it_holds_the_home_alone(postgres_url: str, settings: Settings, tmp_path: Path) -> None:
    on_server = settings.model_copy(update={"database_url": SecretStr(postgres_url)})
    in_use(on_server)
    manifest = make_backup(on_server, tmp_path / "b.tar", utc_now(), silent)
    assert manifest.entries is None
    assert {"journal.key", "policies/rules.csv"} < manifest.files.keys()
    assert not {"remit.db", "company.db"} & manifest.files.keys()
    restore_backup(tmp_path / "b.tar", tmp_path / "there", [], silent)
    assert (tmp_path / "there" / "journal.key").exists()


def test_two_databases_in_one_file_are_both_in_it(settings: Settings, tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path / 'all.db'}")
    shared = settings.model_copy(update={"database_url": url, "company_url": url})
    in_use(shared)
    manifest = make_backup(shared, tmp_path / "b.tar", utc_now(), silent)
    assert manifest.entries == 6
    assert {"remit.db", "company.db"} < manifest.files.keys()


@pytest.mark.process
def test_the_commands_say_what_they_did_and_what_is_left_to_do(settings: Settings, tmp_path: Path) -> None:
    in_use(settings)
    file, there = tmp_path / "b.tar", tmp_path / "there"
    made = remit("backup", str(file), "--home", str(settings.home))
    assert "6 entries of the journal, verified" in made.stdout
    assert "in the clear" in made.stderr
    restored = remit("restore", str(file), "--home", str(there), "--checkpoints", str(settings.checkpoints))
    assert "6 entries of the journal, verified" in restored.stdout
    again = remit("restore", str(file), "--home", str(there), check=False)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
