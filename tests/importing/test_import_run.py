import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import InvalidInput, Unavailable
from connectors.importing import Kind, UnreadableSource, render
from connectors.importing.contacts import read_contacts_csv
from connectors.importing.source import Item, Source
from connectors.records import ContactRecord, Record
from tests.importing.recorder import NOW, Recorder, accept_all, bring_in


def table(folder: Path, addresses: Sequence[str]) -> Path:
    path = folder / "contacts.csv"
    path.write_text("".join(f"{line}\n" for line in ("email", *addresses)))
    return path


def numbered(count: int) -> list[str]:
    return [f"n{number}@b.example" for number in range(count)]


def refuse(*addresses: str) -> Recorder:
    def check(records: Sequence[Record]) -> None:
        for record in records:
            if record.source_id in addresses:
                raise InvalidInput(f"`{record.source_id}` is not wanted here")

    return Recorder(check)


async def test_a_second_import_of_the_same_source_changes_nothing(tmp_path: Path) -> None:
    path = table(tmp_path, [*numbered(450), "n3@b.example", "broken"])
    first = await bring_in(Kind.CONTACTS, path)
    again = await bring_in(Kind.CONTACTS, path, first.loaded)
    assert (first.report.added, first.report.changed, first.report.unchanged) == (450, 0, 0)
    assert (again.report.added, again.report.changed, again.report.unchanged) == (0, 0, 450)
    assert again.report.readiness == first.report.readiness
    assert again.loaded.tenants == {"larkspur"}


async def test_records_are_loaded_in_batches(tmp_path: Path) -> None:
    assert (await bring_in(Kind.CONTACTS, table(tmp_path, numbered(450)))).loaded.batches == [200, 200, 50]


async def test_large_records_make_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.importing.run._BATCH_CHARACTERS", 5_000)
    folder = tmp_path / "mails"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.eml").write_bytes(b"Subject: %d\n\n" % number + b"x" * 3_000)
    assert (await bring_in(Kind.EML, folder)).loaded.batches == [2, 2, 1]


async def test_records_that_the_back_end_refuses_cost_only_themselves(tmp_path: Path) -> None:
    recorder = refuse("n7@b.example", "n199@b.example", "n230@b.example")
    done = await bring_in(Kind.CONTACTS, table(tmp_path, numbered(250)), recorder)
    assert len(done.loaded.all(ContactRecord)) == done.report.added == 247
    assert [(each["line"], each["reason"]) for each in done.rejects] == [
        (9, "record: `n7@b.example` is not wanted here"),
        (201, "record: `n199@b.example` is not wanted here"),
        (232, "record: `n230@b.example` is not wanted here"),
    ]


@given(bad=st.sets(st.integers(0, 39)))
async def test_exactly_the_refused_records_are_missing(tmp_path_factory: pytest.TempPathFactory, bad: set[int]) -> None:
    recorder = refuse(*(f"n{number}@b.example" for number in bad))
    done = await bring_in(Kind.CONTACTS, table(tmp_path_factory.mktemp("run"), numbered(40)), recorder)
    assert set(done.loaded.kept) == {f"n{number}@b.example" for number in range(40) if number not in bad}
    assert len(done.rejects) == done.report.rejected == len(bad)


async def test_a_back_end_that_stops_answering_ends_the_import_and_leaves_the_reject_file_alone(tmp_path: Path) -> None:
    def check(records: Sequence[Record]) -> None:
        if any(record.source_id == "n300@b.example" for record in records):
            raise Unavailable("the embedded database does not answer now; repeat the call later")

    recorder = Recorder(check)
    (tmp_path / "rejects.jsonl").write_text('{"of": "the last run"}\n')
    with pytest.raises(Unavailable):
        await bring_in(Kind.CONTACTS, table(tmp_path, ["broken", *numbered(450)]), recorder)
    assert (tmp_path / "rejects.jsonl").read_text() == '{"of": "the last run"}\n'
    assert not (tmp_path / "rejects.jsonl.part").exists()
    recorder.check = accept_all
    assert (await bring_in(Kind.CONTACTS, tmp_path / "contacts.csv", recorder)).report.read == 451


async def test_a_source_that_breaks_off_while_it_is_read_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> Source:
        def items() -> Iterator[Item]:
            yield from read_contacts_csv(path).items
            raise OSError(5, "Input/output error")

        return Source(items())

    monkeypatch.setattr("connectors.importing.run.read_contacts_csv", broken)
    recorder = Recorder()
    with pytest.raises(UnreadableSource, match="stopped: input/output error; what was loaded until then stays"):
        await bring_in(Kind.CONTACTS, table(tmp_path, numbered(250)), recorder)
    assert len(recorder.kept) == 200


async def test_the_reject_file_is_written_anew_by_every_run_and_gone_when_nothing_was_rejected(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.jsonl"
    await bring_in(Kind.CONTACTS, table(tmp_path, ["broken", "also broken"]))
    assert len(rejects.read_text().splitlines()) == 2
    await bring_in(Kind.CONTACTS, table(tmp_path, ["x" * 5_000]))
    (entry,) = map(json.loads, rejects.read_text().splitlines())
    assert (entry["file"], entry["line"], len(entry["raw"])) == ("contacts.csv", 2, 2_000)
    done = await bring_in(Kind.CONTACTS, table(tmp_path, ["good@b.example"]))
    assert (rejects.exists(), done.report.rejects) == (False, None)


async def test_progress_is_told_after_every_record(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = table(tmp_path, ["a@b.example", "broken", "a@b.example"])
    await bring_in(Kind.CONTACTS, path, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (Kind.MBOX, "is a folder; expected a file of mbox; a folder of mail is imported with `maildir` or `eml`"),
        (Kind.CONTACTS, "is a folder; expected a file of contacts"),
        (Kind.TICKETS, "is a folder; expected a file of tickets"),
        (Kind.MAILDIR, "is not a Maildir; expected a folder with `cur` and `new` in it"),
        (Kind.EML, "holds no .eml file"),
        (Kind.KNOWLEDGE, r"holds no document; expected .md, .html or .txt files in it"),
    ],
)
async def test_a_folder_of_the_wrong_kind_is_refused(tmp_path: Path, kind: Kind, complaint: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnreadableSource) as error:
        await bring_in(kind, tmp_path / "folder")
    assert str(error.value).endswith(complaint)


@pytest.mark.parametrize("kind", Kind)
async def test_a_path_that_does_not_exist_is_refused(tmp_path: Path, kind: Kind) -> None:
    with pytest.raises(UnreadableSource, match="does not exist"):
        await bring_in(kind, tmp_path / "nothing")
    assert not (tmp_path / "rejects.jsonl").exists()


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.KNOWLEDGE])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(500), b"\xff" * 500])
async def test_an_empty_or_binary_file_never_gets_in(tmp_path: Path, kind: Kind, content: bytes) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(content)
    if kind is Kind.EML:
        done = await bring_in(kind, path)
        assert (done.report.added, done.report.rejected) == (0, 1)
    else:
        with pytest.raises(UnreadableSource, match=r"^`garbage` [^\n]+$"):
            await bring_in(kind, path)


@pytest.mark.parametrize("mailbox", [None, "", "nobody", "a@b.example\nBcc: x@y.example"])
async def test_mail_needs_the_address_of_its_mailbox(tmp_path: Path, mailbox: str | None) -> None:
    (tmp_path / "a.eml").write_bytes(b"Subject: a\n\na")
    with pytest.raises(InvalidInput) as error:
        await bring_in(Kind.EML, tmp_path / "a.eml", mailbox=mailbox)
    assert error.value.field == "mailbox"


async def test_a_reject_file_that_cannot_be_written_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    path, recorder = table(tmp_path, ["good@b.example", "broken"]), Recorder()
    for unwritable in (path / "rejects.jsonl", tmp_path):
        with pytest.raises(InvalidInput, match="cannot write `") as error:
            await bring_in(Kind.CONTACTS, path, recorder, rejects=unwritable)
        assert error.value.field == "rejects"
    assert recorder.kept == {}


async def test_the_report_counts_every_record_once_and_says_what_it_is_worth(tmp_path: Path) -> None:
    old = (NOW - timedelta(days=731)).isoformat()
    path = tmp_path / "contacts.csv"
    rows = [f"N{number},n{number}@b.example,+44 {number},{old if number < 3 else ''}" for number in range(40)]
    path.write_text("\n".join(["name,email,phone,updated", *rows, "X,n1@b.example,,", "Y,broken,,", ""]))
    report = (await bring_in(Kind.CONTACTS, path)).report
    parts = report.added + report.changed + report.unchanged + report.duplicates + report.rejected
    assert report.read == parts == 42
    assert report.readiness.stale.count == 3
    assert {each.what: each.count for each in report.readiness.missing}["updated"] == 38
    said = "usable, with gaps: 1 rejected; 1 × same email, another name; 1 × same id as an earlier one, left out;"
    assert report.readiness.verdict.startswith(said)
    assert json.loads(report.to_json())["added"] == 40


async def test_the_report_reads_well_and_prints_nothing_that_a_terminal_would_obey(tmp_path: Path) -> None:
    path = tmp_path / "contacts\x1b[2J.csv"
    path.write_text("name,email\nAda,a@b.example\nBob,a@b.example\nEve,broken\n")
    text = render((await bring_in(Kind.CONTACTS, path)).report)
    assert text.splitlines()[2:8] == [
        "  read        3",
        "  added       1",
        "  changed     0",
        "  unchanged   0",
        "  duplicates  1  left out",
        f"  rejected    1  see {tmp_path / 'rejects.jsonl'}",
    ]
    assert "Readiness: not ready: 1 of 3 rejected; mend the source and import it again" in text
    assert "contacts\ufffd[2J.csv, line 3" in text
    assert "\x1b" not in text


async def test_data_without_a_flaw_is_ready(tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(
        "name,email,phone,company,title,language,updated\nAda,a@b.example,+44 1,Mill,Countess,en,2024-01-01T00:00:00Z\n"
    )
    assert (await bring_in(Kind.CONTACTS, path)).report.readiness.verdict == "ready"
