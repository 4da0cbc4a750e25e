from collections import Counter
from importlib import resources
from pathlib import Path

import pytest

from connectors.email.embedded import EmbeddedEmail
from connectors.embedded.database import Database
from connectors.importing import Kind
from connectors.records import MessageRecord
from tests.importing.public_mail import NotToBeHad, export_mbox, inbox
from tests.importing.recorder import Recorder, bring_in


async def test_a_public_inbox_is_imported_whole_and_twice_with_the_same_result(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    try:
        content = inbox(pytestconfig.cache.mkdir("agentdojo"))
    except NotToBeHad as reason:
        pytest.skip(f"needs the wheel agentdojo 0.1.35 from a package index: {reason}")
    path, owner = tmp_path / "inbox.mbox", content["account_email"]
    count = export_mbox(content, path)
    mine = Counter("sent" if entry["sender"] == owner else "inbox" for entry in content["initial_emails"])

    recorder = Recorder()
    done = await bring_in(Kind.MBOX, path, recorder, mailbox=owner)
    assert (done.report.read, done.report.added, done.report.rejected) == (count, count, 0)
    assert Counter(each.folder for each in recorder.all(MessageRecord)) == mine

    database = Database(f"sqlite:///{tmp_path / 'company.db'}")
    mail = EmbeddedEmail(database)
    try:
        first = await bring_in(Kind.MBOX, path, mail, mailbox=owner)
        again = await bring_in(Kind.MBOX, path, mail, mailbox=owner)
    finally:
        database.close()
    assert (first.report.added, first.report.unchanged) == (count, 0)
    assert (again.report.added, again.report.changed, again.report.unchanged) == (0, 0, count)
    assert again.report.readiness == first.report.readiness
    assert first.report.readiness.missing == []


async def test_the_odd_messages_that_python_is_tested_with_are_all_kept_as_they_are(tmp_path: Path) -> None:
    try:
        data = resources.files("test.test_email") / "data"
        originals = {each.name: each.read_bytes() for each in data.iterdir() if each.name.startswith("msg_")}
    except (ModuleNotFoundError, FileNotFoundError):
        pytest.skip("needs the standard library's own tests, which this Python was installed without")
    folder = tmp_path / "mails"
    folder.mkdir()
    for name, raw in originals.items():
        (folder / f"{name}.eml").write_bytes(raw)
    done = await bring_in(Kind.EML, folder)
    kept = {each.raw for each in done.loaded.all(MessageRecord)}
    assert done.report.read == len(originals) > 40
    assert done.report.read == done.report.added + done.report.duplicates + done.report.rejected
    assert done.report.rejected <= 1
    assert kept <= set(originals.values())
