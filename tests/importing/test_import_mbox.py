import io
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.importing import Kind, UnreadableSource
from connectors.importing.mail import Marks, message
from connectors.importing.mbox import index_of, read_mbox
from connectors.importing.source import Accepted, Place
from connectors.records import MessageRecord
from tests.importing.recorder import MAILBOX, bring_in

FROM = b"From ada@example.com Mon Jan  1 00:00:00 2024\n"


def mail(number: int = 1, body: bytes = b"Hello\n", headers: bytes = b"") -> bytes:
    return (
        b"From: ada@example.com\nTo: support@larkspur.example\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n"
        b"Subject: Question %d\nMessage-ID: <%d@example.com>\n%s\n%s" % (number, number, headers, body)
    )


async def messages(tmp_path: Path, content: bytes) -> list[MessageRecord]:
    path = tmp_path / "inbox.mbox"
    path.write_bytes(content)
    return (await bring_in(Kind.MBOX, path)).loaded.all(MessageRecord)


async def test_every_message_is_kept_with_exactly_its_bytes(tmp_path: Path) -> None:
    odd = mail(2, b"caf\xe9 \x00 \xff\xfe\n", b"X-Name: J\xfcrgen\n")
    found = await messages(tmp_path, FROM + mail(1) + b"\n" + FROM + odd + b"\n")
    assert [each.raw for each in found] == [mail(1), odd]
    assert [each.source_id for each in found] == ["1@example.com", "2@example.com"]


async def test_lines_that_were_quoted_to_protect_them_are_unquoted_once(tmp_path: Path) -> None:
    (found,) = await messages(tmp_path, FROM + mail(1, b">From here\n>>From there\n> From a quote\n"))
    assert found.raw.endswith(b"\nFrom here\n>From there\n> From a quote\n")


async def test_a_body_line_that_begins_with_from_does_not_split_a_message(tmp_path: Path) -> None:
    found = await messages(tmp_path, FROM + mail(1, b"Dear all,\n\nFrom now on we close at 5.\n\nFrom Ada\n"))
    assert len(found) == 1


async def test_separators_without_a_date_split_where_an_empty_line_stands_before_them(tmp_path: Path) -> None:
    found = await messages(tmp_path, b"From ada\n" + mail(1, b"a\nFrom b\n") + b"\nFrom ada\n" + mail(2))
    assert [each.source_id for each in found] == ["1@example.com", "2@example.com"]


async def test_windows_line_ends_are_understood_and_kept(tmp_path: Path) -> None:
    content = b"".join((FROM + mail(n) + b"\n").replace(b"\n", b"\r\n") for n in (1, 2))
    assert [each.raw for each in await messages(tmp_path, content)] == [mail(n).replace(b"\n", b"\r\n") for n in (1, 2)]


async def test_what_the_mailbox_itself_sent_goes_to_sent_and_is_read(tmp_path: Path) -> None:
    sent = mail(1).replace(b"From: ada@example.com", b"From: Support <SUPPORT@larkspur.example>")
    (found,) = await messages(tmp_path, FROM + sent)
    assert (found.folder, found.unread) == ("sent", False)


@pytest.mark.parametrize(
    ("headers", "folder", "unread"),
    [
        (b"", "inbox", True),
        (b"Status: RO\n", "inbox", False),
        (b"Status: O\n", "inbox", True),
        (b"X-Mozilla-Status: 0001\n", "inbox", False),
        (b"X-Mozilla-Status: 0000\n", "inbox", True),
        (b"X-Gmail-Labels: Inbox,Unread\n", "inbox", True),
        (b"X-Gmail-Labels: Important,\n Archived,Opened\n", "archive", False),
        (b"X-Gmail-Labels: Sent,Opened\n", "sent", False),
    ],
)
async def test_the_marks_of_mail_programs_say_where_a_message_lay_and_whether_it_was_read(
    tmp_path: Path, headers: bytes, folder: str, unread: bool
) -> None:
    (found,) = await messages(tmp_path, FROM + mail(1, headers=headers))
    assert (found.folder, found.unread) == (folder, unread)


async def test_a_message_without_an_id_is_named_by_its_bytes(tmp_path: Path) -> None:
    (found,) = await messages(tmp_path, FROM + b"From: a@b.example\n\nHello\n")
    assert re.fullmatch("sha256:[0-9a-f]{64}", found.source_id)


async def test_a_second_message_with_the_same_id_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "inbox.mbox"
    path.write_bytes(FROM + mail(1) + b"\n" + FROM + mail(1, b"Something else\n"))
    done = await bring_in(Kind.MBOX, path)
    assert (done.report.read, done.report.added, done.report.duplicates) == (2, 1, 1)
    assert done.loaded.one(MessageRecord).raw == mail(1)


async def test_messages_without_a_header_or_too_large_are_rejected_with_line_and_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.importing.mail.MAX_MESSAGE", 2_000_000)
    path = tmp_path / "inbox.mbox"
    first = FROM + b"no header here\n\n"
    path.write_bytes(first + FROM + mail(2, b"x" * 3_000_000 + b"\n") + b"\n" + FROM + mail(3))
    done = await bring_in(Kind.MBOX, path)
    assert [each.source_id for each in done.loaded.all(MessageRecord)] == ["3@example.com"]
    assert [(each["line"], each["byte"], each["reason"]) for each in done.rejects] == [
        (1, 0, "header: there is none"),
        (4, len(first), "message: 3 MB, at most 2 MB can be kept"),
    ]
    assert all(len(each["raw"]) <= 2_000 for each in done.rejects)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"\n\n", "does not start"),
        (b"hello\n" + FROM, "does not start"),
        (b"\x89PNG\r\n\x1a\n\x00", "does"),
    ],
)
async def test_what_is_no_mbox_is_refused_in_one_clear_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "inbox.mbox"
    path.write_bytes(content)
    with pytest.raises(UnreadableSource, match=f"`inbox.mbox` {complaint}.*expected an mbox file") as error:
        await bring_in(Kind.MBOX, path)
    assert "\n" not in str(error.value)


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [FROM, b"From ", b"\n", b"\r\n", b"\n\nFrom x\n", b">From y\n", b"Subject: s\n", b"\x00", b"\xff"]
        ),
        st.binary(max_size=40),
    ),
    max_size=30,
).map(b"".join)


@given(content=PIECES, dated=st.booleans())
def test_any_bytes_give_as_many_messages_and_rejects_as_there_are_separators(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, dated: bool
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.mbox"
    path.write_bytes((FROM if dated else b"From ada\n") + content)
    shape = rb"^From .*Jan  1 00:00:00 2024" if dated else rb"(?:\A|(?:\A|\n)\r*\n)From |^From .*Jan  1 00:00:00 2024"
    separators = len(re.findall(shape, path.read_bytes(), re.MULTILINE))
    assert len(list(read_mbox(path, MAILBOX).items)) == separators


@given(content=st.binary(max_size=300))
def test_any_bytes_at_all_are_read_or_refused(content: bytes) -> None:
    index = index_of(io.BytesIO(content))
    assert list(index.starts) == sorted(set(index.starts))
    assert all(content[start:].startswith(b"From ") for start in index.starts)


def test_an_mbox_of_twenty_thousand_messages_is_read_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Understanding each message would take most of a minute under a memory tracer; it keeps nothing.
    one = message(mail(1), Place("large.mbox"), MAILBOX, Marks())
    monkeypatch.setattr("connectors.importing.mbox.message", lambda *_: one)
    path = tmp_path / "large.mbox"
    with path.open("wb") as file:
        for number in range(20_000):
            file.write(FROM + mail(number, b"x" * 2_000 + b"\n") + b"\n")
    tracemalloc.start()
    try:
        source = read_mbox(path, MAILBOX)
        read = sum(isinstance(item, Accepted) for item in source.items)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == source.total == 20_000
    assert peak < path.stat().st_size / 20
