from pathlib import Path

import pytest

from connectors.importing import Kind, UnreadableSource
from connectors.records import MessageRecord
from tests.importing.recorder import bring_in


def mail(number: int) -> bytes:
    return b"From: ada@example.com\nSubject: %d\nMessage-ID: <%d@example.com>\n\nHi \xff\x00\n" % (number, number)


def put(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mail(number))


async def test_a_maildir_gives_its_messages_with_folder_and_read_mark(tmp_path: Path) -> None:
    box = tmp_path / "Maildir"
    put(box / "new" / "1.host", 1)
    put(box / "cur" / "2.host:2,S", 2)
    put(box / "cur" / "3.host:2,", 3)
    put(box / "cur" / "4.host:2,ST", 4)
    put(box / ".Sent" / "cur" / "5.host:2,S", 5)
    put(box / ".INBOX.Projects" / "cur" / "6.host:2,", 6)
    put(box / "tmp" / "7.host", 7)
    done = await bring_in(Kind.MAILDIR, box)
    found = {each.source_id.partition("@")[0]: each for each in done.loaded.all(MessageRecord)}
    assert {name: (each.folder, each.unread) for name, each in found.items()} == {
        "1": ("inbox", True),
        "2": ("inbox", False),
        "3": ("inbox", True),
        "4": ("archive", False),
        "5": ("sent", False),
        "6": ("archive", False),
    }
    assert found["1"].raw == mail(1)


async def test_links_that_lead_out_of_a_maildir_are_not_followed(tmp_path: Path) -> None:
    box, secret = tmp_path / "Maildir", tmp_path / "secret"
    put(box / "cur" / "1.host:2,S", 1)
    put(secret, 2)
    (box / "cur" / "2.host:2,S").symlink_to(secret)
    assert (await bring_in(Kind.MAILDIR, box)).report.read == 1


async def test_a_single_message_file_is_imported(tmp_path: Path) -> None:
    put(tmp_path / "letter.eml", 1)
    assert (await bring_in(Kind.EML, tmp_path / "letter.eml")).loaded.one(MessageRecord).raw == mail(1)


async def test_a_folder_of_message_files_is_imported_with_its_subfolders(tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    put(folder / "a.eml", 1)
    put(folder / "more" / "b.EML", 2)
    put(folder / "notes.txt", 3)
    (folder / "broken.eml").write_bytes(b"\x00\x01\x02")
    done = await bring_in(Kind.EML, folder)
    assert [each.source_id for each in done.loaded.all(MessageRecord)] == ["1@example.com", "2@example.com"]
    assert [(each["file"], each["reason"]) for each in done.rejects] == [("broken.eml", "header: there is none")]


async def test_what_is_no_maildir_or_has_no_message_is_refused(tmp_path: Path) -> None:
    for name in ("empty", "cur"):
        (tmp_path / "box" / name).mkdir(parents=True)
    with pytest.raises(UnreadableSource, match="`empty` is not a Maildir; expected a folder with `cur` and `new`"):
        await bring_in(Kind.MAILDIR, tmp_path / "box" / "empty")
    with pytest.raises(UnreadableSource, match="`box` is a Maildir without any message"):
        await bring_in(Kind.MAILDIR, tmp_path / "box")
    with pytest.raises(UnreadableSource, match=r"`box` holds no \.eml file"):
        await bring_in(Kind.EML, tmp_path / "box")
