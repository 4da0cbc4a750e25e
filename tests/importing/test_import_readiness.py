from datetime import timedelta
from pathlib import Path

import pytest

from connectors.importing import Kind
from connectors.importing.readiness import Tally
from connectors.importing.source import Accepted, Facts, Likeness, Place
from connectors.records import AccountRecord
from tests.importing.recorder import NOW, bring_in


def item(source_id: str, facts: Facts = Facts()) -> Accepted:  # noqa: B008 - frozen
    record = AccountRecord(source_id=source_id, name="Mill", created_at=NOW, updated_at=NOW)
    return Accepted(record, Place("source", line=1), facts)


@pytest.mark.parametrize(("seconds", "alike"), [(0, 1), (60, 1), (61, 0), (-60, 1), (-61, 0)])
def test_two_mails_are_alike_within_a_minute_of_each_other(seconds: int, alike: int) -> None:
    tally = Tally(NOW)
    for number, at in enumerate((NOW, NOW + timedelta(seconds=seconds))):
        tally.observe(item(str(number), Facts(likenesses=(Likeness("same", "key", at=at),))))
    assert sum(each.count for each in tally.report().duplicates) == alike


def test_a_record_is_new_once() -> None:
    tally = Tally(NOW)
    assert [tally.observe(item(name)) for name in ("a", "b", "a")] == [True, True, False]
    assert (tally.records, tally.doubles) == (3, 1)


@pytest.mark.parametrize(("days", "stale"), [(729, 0), (731, 1)])
def test_staleness_is_measured_against_the_given_moment(days: int, stale: int) -> None:
    tally = Tally(NOW)
    facts = Facts(changed_at=NOW - timedelta(days=days), stale_after=timedelta(days=730))
    tally.observe(item("a", facts))
    assert tally.report().stale.count == stale


def test_nothing_valid_is_not_ready() -> None:
    tally = Tally(NOW)
    tally.refuse()
    assert tally.report().verdict == "not ready: no record could be read"


async def test_what_is_odd_about_mail_is_counted(tmp_path: Path) -> None:
    head = b"From: ada@example.com\nSubject: S\nMessage-ID: <%d@x.example>\nDate: Mon, 1 Jan 2024 00:00:%02d +0000\n"
    folder = tmp_path / "mails"
    folder.mkdir()
    for number, rest in enumerate(
        [
            b"\nplain\n",
            b"Content-Type: text/plain; charset=utf-8\n\nhid\xe2\x80\x8bden\n",
            b"Content-Type: text/plain; charset=us-ascii\nX-Odd: J\xfcrgen\n\nfine\n",
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/pdf\n\n%PDF\n--b--\n",
        ]
    ):
        (folder / f"{number}.eml").write_bytes(head % (number, number) + rest)
    (folder / "bare.eml").write_bytes(b"X-Nothing: here\n\ntext\n")
    readiness = (await bring_in(Kind.EML, folder)).report.readiness
    assert {each.what: each.count for each in readiness.signs} == {
        "8-bit text in headers, charset guessed": 1,
        "hidden characters": 1,
        "messages with attachments": 1,
        "unread messages": 5,
    }
    missing = dict.fromkeys(("date", "message_id", "sender", "subject"), 1)
    assert {each.what: each.count for each in readiness.missing} == missing
    assert {each.what: each.count for each in readiness.duplicates} == {"same sender and subject within a minute": 3}
