"""Whoever has the public key finds out whether a journal is what was written, in its order, and all of it."""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.journal.chain import GENESIS, Stored, chained
from gateway.journal.checkpoint import Checkpoint, read_published
from gateway.journal.findings import Problem
from gateway.journal.lines import from_lines, heading_of, to_lines
from gateway.journal.note import PublicKey, Signer
from gateway.journal.snapshot import snapshot
from gateway.journal.verify import Report, check, check_file
from tests.gateway.journals import ENTRY, Kept, change_a_byte, change_a_row, tamper

SIZES = (10, 5, 15)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    kept = Kept(tmp_path_factory.mktemp("kept"))
    kept.grow(*SIZES)
    return kept


@pytest.fixture
def grown(kept: Kept) -> Kept:
    kept.grow(*SIZES)
    return kept


def exported(kept: Kept) -> list[bytes]:
    with snapshot(kept.database) as journal:
        heading = heading_of(kept.key, *journal.count())
        return [f"{line}\n".encode() for line in to_lines(heading, journal.items())]


def checked(lines: list[bytes], key: PublicKey, *published: Checkpoint) -> Report:
    return check_file(from_lines(lines), key, published)


def test_an_untouched_export_is_good_with_nothing_but_the_public_key(made: Kept) -> None:
    assert checked(exported(made), made.key) == Report(30, 3, 30, None)


def test_an_empty_journal_is_good(kept: Kept) -> None:
    kept.append([])
    assert checked(exported(kept), kept.key) == Report(0, 0, 0, None)


def test_entries_with_any_text_are_read_back_as_they_were_written(kept: Kept) -> None:
    odd = ['","body":{"x":1}}', "\u2028\x1b[2J", "ä\U0001f600", "\\", "a\nb"]
    kept.append(replace(ENTRY, call_id=text, once=text, body={text: [text, "\0", 1.0, 10**30, 1e-7]}) for text in odd)
    kept.sealer().seal()
    assert checked(exported(kept), kept.key).finding is None


@pytest.mark.parametrize("change", [change_a_byte, change_a_row])
def test_every_change_of_one_byte_or_one_row_is_found(
    made: Kept, change: Callable[[list[bytes], random.Random], list[bytes]]
) -> None:
    lines, random_ = exported(made), random.Random(4)
    for _ in range(150):
        altered = change(lines, random_)
        if b"".join(altered) != b"".join(lines):
            assert checked(altered, made.key).finding, set(altered) ^ set(lines)


def test_a_number_that_is_spelt_as_another_value_is_found(made: Kept) -> None:
    lines = exported(made)
    for before, after in ((b'"position":1,', b'"position":true,'), (b'"position":1,', b'"position":1.0,')):
        changed = [line.replace(before, after) for line in lines]
        assert checked(changed, made.key).finding
    assert checked([line.replace(b'"entries":30', b'"entries":"30"') for line in lines], made.key).finding


def test_another_key_proves_nothing(made: Kept) -> None:
    other = Signer(made.key.name, bytes(32)).public
    report = checked(exported(made), other)
    assert report.finding
    assert report.finding.problem is Problem.UNSIGNED


def stored(lines: list[bytes]) -> tuple[list[Stored], list[str]]:
    items = list(from_lines(lines))
    return [item for item in items if isinstance(item, Stored)], [item for item in items if isinstance(item, str)]


def edited(entry: Stored) -> Stored:
    return entry._replace(row=entry.row._replace(body='{"tool":"harmless"}'))


def rehashed(entry: Stored) -> Stored:
    return entry._replace(hash=entry.own_hash)


def renumbered(entries: list[Stored]) -> list[Stored]:
    return [entry._replace(position=number) for number, entry in enumerate(entries, start=1)]


def rewritten(entries: list[Stored]) -> list[Stored]:
    """As somebody with everything but the key would do it: each hash made anew."""
    return list(chained((entry.row for entry in entries), 0, GENESIS))


def without(entries: list[Stored], position: int) -> list[Stored]:
    return [*entries[: position - 1], *entries[position:]]


def forged(entries: list[Stored], position: int) -> list[Stored]:
    """Another entry before the one at a position, which follows the one before it well."""
    before = entries[position - 2]
    [new] = chained([edited(before).row], before.position, before.hash)
    return [*entries[: position - 1], new, *entries[position - 1 :]]


def exchanged(entries: list[Stored], one: int, other: int) -> list[Stored]:
    changed = list(entries)
    changed[one - 1], changed[other - 1] = changed[other - 1], changed[one - 1]
    return changed


def at(entries: list[Stored], position: int, change: Callable[[Stored], Stored]) -> list[Stored]:
    return [change(entry) if entry.position == position else entry for entry in entries]


@pytest.mark.parametrize(
    ("change", "problem", "position"),
    [
        (lambda entries: at(entries, 7, edited), Problem.ALTERED, 7),
        (lambda entries: at(entries, 30, edited), Problem.ALTERED, 30),
        (lambda entries: at(entries, 7, lambda entry: rehashed(edited(entry))), Problem.ALTERED, 7),
        (lambda entries: rewritten(at(entries, 12, edited)), Problem.REWRITTEN, 11),
        (lambda entries: without(entries, 7), Problem.MISSING, 7),
        (lambda entries: without(entries, 1), Problem.MISSING, 1),
        (lambda entries: renumbered(without(entries, 7)), Problem.MISSING, 7),
        (lambda entries: rewritten(without(entries, 7)), Problem.REWRITTEN, 1),
        (lambda entries: without(entries, 30), Problem.TRUNCATED, 30),
        (lambda entries: entries[:22], Problem.TRUNCATED, 23),
        (lambda entries: entries[:10], Problem.TRUNCATED, 11),
        (lambda entries: forged(entries, 7), Problem.INSERTED, 8),
        (lambda entries: renumbered(forged(entries, 7)), Problem.INSERTED, 7),
        (lambda entries: rewritten(forged(entries, 7)), Problem.REWRITTEN, 1),
        (lambda entries: exchanged(entries, 7, 8), Problem.REORDERED, 7),
        (lambda entries: exchanged(entries, 7, 20), Problem.REORDERED, 7),
        (lambda entries: renumbered(exchanged(entries, 7, 8)), Problem.REORDERED, 7),
        (
            lambda entries: at(entries, 1, lambda entry: rehashed(entry._replace(previous=b"x" * 32))),
            Problem.ALTERED,
            1,
        ),
    ],
)
def test_what_was_done_to_the_entries_is_named_with_the_first_bad_position(
    made: Kept, change: Callable[[list[Stored]], list[Stored]], problem: Problem, position: int
) -> None:
    entries, notes = stored(exported(made))
    report = check(with_notes(change(entries), notes), made.key)
    assert report.finding
    assert (report.finding.problem, report.finding.position) == (problem, position), report.finding.detail


def with_notes(entries: list[Stored], notes: list[str]) -> Iterator[Stored | str]:
    """Each note after as many entries as it is of, the rest at the end."""
    left = [(int(note.split("\n")[1]), note) for note in notes]
    for number, entry in enumerate(entries, start=1):
        yield entry
        while left and left[0][0] == number:
            yield left.pop(0)[1]
    yield from (note for _size, note in left)


def test_an_end_that_was_cut_off_with_its_checkpoints_shows_against_one_kept_elsewhere(made: Kept) -> None:
    entries, notes = stored(exported(made))
    cut = list(with_notes(entries[:15], notes[:2]))
    lines = [f"{line}\n".encode() for line in to_lines(heading_of(made.key, 15, 2), cut)]
    *_others, newest = read_published(made.folder, made.key)
    assert checked(lines, made.key).finding is None
    report = checked(lines, made.key, newest)
    assert report.finding
    assert (report.finding.problem, report.finding.position) == (Problem.TRUNCATED, 16)


def test_an_end_without_a_checkpoint_is_told(made: Kept) -> None:
    entries, notes = stored(exported(made))
    lines = [f"{line}\n".encode() for line in to_lines(heading_of(made.key, 30, 2), with_notes(entries, notes[:2]))]
    report = checked(lines, made.key)
    assert report.finding
    assert (report.finding.problem, report.finding.position) == (Problem.UNSIGNED, 16)


def test_a_journal_that_went_on_in_two_ways_is_told_from_either_side(made: Kept, tmp_path: Path) -> None:
    kept, twin = (Kept(shutil.copytree(made.home, tmp_path / name)) for name in ("one", "twin"))
    kept.append([ENTRY, ENTRY])
    twin.append([replace(ENTRY, call_id="call_other"), ENTRY])
    for one in (kept, twin):
        one.sealer().seal()
    for one, other in ((kept, twin), (twin, kept)):
        assert checked(exported(one), one.key, *read_published(one.folder, one.key)).finding is None
        report = checked(exported(one), one.key, *read_published(other.folder, one.key))
        assert report.finding
        assert (report.finding.problem, report.finding.position) == (Problem.FORKED, 31)


@pytest.mark.parametrize(
    ("statement", "problem", "position"),
    [
        ("UPDATE journal SET body = '{}' WHERE position = 9", Problem.ALTERED, 9),
        ("UPDATE journal SET once = '' WHERE position = 9", Problem.ALTERED, 9),
        ("UPDATE journal SET at = at || '0' WHERE position = 9", Problem.ALTERED, 9),
        ("DELETE FROM journal WHERE position = 9", Problem.MISSING, 9),
        ("DELETE FROM journal WHERE position > 20", Problem.TRUNCATED, 21),
        ("UPDATE journal_checkpoints SET note = replace(note, '—', '-')", Problem.UNSIGNED, 10),
    ],
)
def test_a_change_in_the_database_itself_is_found(grown: Kept, statement: str, problem: Problem, position: int) -> None:
    tamper(grown.database, statement)
    with snapshot(grown.database) as journal:
        report = check(journal.items(), grown.key)
    assert report.finding
    assert (report.finding.problem, report.finding.position) == (problem, position), report.finding.detail


def test_a_value_of_another_type_than_the_journal_writes_is_found(made: Kept, tmp_path: Path) -> None:
    kept = Kept(shutil.copytree(made.home, tmp_path / "home"))
    tamper(kept.database, "UPDATE journal SET body = CAST(body AS BLOB) WHERE position = 9")
    with snapshot(kept.database) as journal:
        report = check(journal.items(), kept.key)
    assert report.finding
    assert (report.finding.problem, report.finding.position) == (Problem.UNREADABLE, 9)


@pytest.mark.parametrize("lines", [[], [b"{}\n"], [b"\n"], [b'{"checkpoint":1}\n'], [b"[1]\n"], [b"\xff\n"]])
def test_what_is_no_export_is_told(made: Kept, lines: list[bytes]) -> None:
    report = checked(lines, made.key)
    assert report.finding
    assert report.finding.problem is Problem.UNREADABLE


@pytest.mark.parametrize("line", [b'{"checkpoint":1}\n', b'{"position":null,"body":{}}\n'])
def test_a_line_of_another_form_is_told_with_its_number(made: Kept, line: bytes) -> None:
    lines = exported(made)
    report = checked([*lines[:4], line, *lines[4:]], made.key)
    assert report.finding
    assert (report.finding.position, report.finding.detail) == (4, "line 5 is not as the journal writes it")


def test_an_unreadable_line_after_a_bad_entry_does_not_hide_it(made: Kept) -> None:
    lines = exported(made)
    report = checked([*lines[:4], *lines[5:9], b"?\n"], made.key)
    assert report.finding
    assert (report.finding.position, report.finding.problem) == (4, Problem.MISSING)
