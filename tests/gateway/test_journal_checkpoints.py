"""Checkpoints: made of everything, published outside the database, and never in a call's way."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio.lowlevel
import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.journal import Journal, read_journal
from gateway.journal.chain import Tree
from gateway.journal.checkpoint import Checkpoint, publish, read_published, sign
from gateway.journal.checkpoints import Checkpoints
from gateway.journal.note import BadKey, BadNote, load_or_make_signer, load_signer
from gateway.journal.schema import checkpoints, tree
from gateway.journal.sealing import CannotSeal
from gateway.journal.snapshot import snapshot
from gateway.journal.verify import check
from tests.gateway.journals import ENTRY, NOW, Kept, tamper


def published_sizes(kept: Kept) -> list[int]:
    return [checkpoint.size for checkpoint in read_published(kept.folder, kept.key)]


def stored_sizes(kept: Kept) -> list[int]:
    with kept.database.looking(EVERY_TENANT) as connection:
        return list(connection.execute(select(checkpoints.c.size).order_by(checkpoints.c.size)).scalars())


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.key"
    made = load_or_make_signer(path)
    assert load_or_make_signer(path) == load_signer(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["journal.key"]
    assert str(made.seed) not in repr(made)


@pytest.mark.parametrize("content", ["", "PRIVATE+KEY+a+00000000+AAAA", "nonsense\x80"])
def test_a_key_file_without_a_key_is_refused_and_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "journal.key"
    path.write_text(content, "latin-1")
    with pytest.raises(BadKey, match=r"journal\.key"):
        load_or_make_signer(path)
    assert path.read_text("latin-1") == content


def test_nothing_is_signed_while_there_is_nothing_or_nothing_new(kept: Kept) -> None:
    kept.append([])
    assert kept.sealer().seal() is None
    kept.grow(3)
    sealer = kept.sealer()
    assert sealer.seal() == sealer.seal() == kept.sealer().seal()
    assert (published_sizes(kept), stored_sizes(kept)) == ([3], [3])


def test_checkpoints_go_on_from_those_before_whether_or_not_the_tree_was_kept(kept: Kept) -> None:
    kept.grow(5, 2)
    tamper(kept.database, "DELETE FROM journal_tree")
    kept.grow(4)
    with kept.database.changing(EVERY_TENANT) as connection:
        connection.execute(tree.update().values(subtrees=bytes(32)))
    kept.grow(1)
    assert published_sizes(kept) == [5, 7, 11, 12]
    with snapshot(kept.database) as journal:
        report = check(journal.items(), kept.key, read_published(kept.folder, kept.key))
    assert (report.finding, report.entries, report.checkpoints, report.signed) == (None, 12, 4, 12)


def test_two_who_seal_one_journal_in_turns_tell_one_story(kept: Kept) -> None:
    one, other = kept.sealer(), kept.sealer()
    for sealer in (one, other, other, one, other):
        kept.append([ENTRY])
        sealer.seal()
    assert published_sizes(kept) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["DELETE FROM journal WHERE position > 8"], "cut off"),
        (["DELETE FROM journal WHERE position = 4"], "missing"),
        (["UPDATE journal SET hash = previous WHERE position = 4"], "altered"),
        (["DELETE FROM journal WHERE position > 8", "DELETE FROM journal_checkpoints"], "cut off"),
        (["UPDATE journal_checkpoints SET note = 'x'"], "newest checkpoint"),
    ],
)
def test_a_journal_that_does_not_continue_what_was_signed_gets_no_checkpoint(
    kept: Kept, changes: list[str], told: str
) -> None:
    kept.grow(10)
    tamper(kept.database, "DELETE FROM journal_tree", *changes)
    with pytest.raises(CannotSeal, match=told):
        kept.sealer().seal()
    assert published_sizes(kept) == [10]


def test_a_journal_restored_from_an_older_copy_gets_no_checkpoint_even_after_it_has_grown(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.grow(5)
    copy = kept.database.path.read_bytes()
    kept.grow(5)
    for path in kept.home.glob("remit.db*"):
        path.unlink()
    kept.database.path.write_bytes(copy)
    kept.append([ENTRY] * 9)
    with pytest.raises(CannotSeal, match="altered"):
        kept.sealer().seal()


def test_another_key_signs_nothing_of_a_journal_that_began_with_the_first(kept: Kept) -> None:
    kept.grow(2)
    (kept.home / "journal.key").unlink()
    kept.append([ENTRY])
    with pytest.raises(CannotSeal, match=r"journal\.key"):
        kept.sealer().seal()


def test_what_could_not_be_published_is_published_when_it_can_be(kept: Kept) -> None:
    kept.folder.write_text("in the way")
    kept.append([ENTRY])
    sealer = kept.sealer()
    with pytest.raises(CannotSeal):
        sealer.seal()
    assert stored_sizes(kept) == [1]
    kept.folder.unlink()
    sealer.seal()
    assert published_sizes(kept) == [1]


def test_what_could_not_be_published_before_the_gateway_stopped_is_published_by_the_next(kept: Kept) -> None:
    kept.folder.write_text("in the way")
    kept.append([ENTRY])
    with pytest.raises(CannotSeal):
        kept.sealer().seal()
    kept.folder.unlink()
    kept.sealer().seal()
    assert published_sizes(kept) == [1]


def checkpoint(kept: Kept, size: int) -> Checkpoint:
    made = Tree()
    for _ in range(size):
        made.append(bytes(32))
    return sign(made, load_or_make_signer(kept.home / "journal.key"))


def test_a_torn_write_is_left_as_it_is_and_hides_nothing_before_or_after_it(kept: Kept) -> None:
    publish(kept.folder, NOW.date(), checkpoint(kept, 1))
    torn = kept.folder / f"{NOW.date()}.txt"
    torn.write_text(torn.read_text() + checkpoint(kept, 2).note[:70])
    for size in (3, 4):
        publish(kept.folder, NOW.date(), checkpoint(kept, size))
    assert published_sizes(kept) == [1, 3, 4]
    assert len(list(kept.folder.iterdir())) == 2


def test_a_published_checkpoint_that_was_changed_is_named(kept: Kept) -> None:
    for size in (1, 2):
        publish(kept.folder, NOW.date(), checkpoint(kept, size))
    [path] = kept.folder.iterdir()
    path.write_text(path.read_text().replace("\n2\n", "\n3\n"))
    with pytest.raises(BadNote, match=rf"checkpoint 2 of `{path}`: its signature is false"):
        published_sizes(kept)


@pytest.fixture
def running(kept: Kept) -> Iterator[Journal]:
    journal = Journal(kept.database, 5, Checkpoints(kept.sealer(), entries=10, seconds=0.02))
    yield journal
    journal.close()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await anyio.lowlevel.checkpoint()


async def test_a_running_journal_is_sealed_by_itself(kept: Kept, running: Journal) -> None:
    await running.append(ENTRY)
    await until(lambda: kept.folder.exists() and published_sizes(kept) == [1])
    assert not running.unsigned


async def test_a_journal_that_is_closed_leaves_nothing_unsigned(kept: Kept) -> None:
    journal = Journal(kept.database, 5, Checkpoints(kept.sealer(), entries=1_000, seconds=3_600))
    await asyncio.gather(*(journal.append(ENTRY) for _ in range(7)))
    journal.close()
    assert published_sizes(kept)[-1] == 7


async def test_many_entries_are_sealed_before_the_time(kept: Kept) -> None:
    journal = Journal(kept.database, 5, Checkpoints(kept.sealer(), entries=10, seconds=3_600))
    await asyncio.gather(*(journal.append(ENTRY) for _ in range(30)))
    await until(lambda: kept.folder.exists() and published_sizes(kept)[-1:] >= [10])
    journal.close()


async def test_a_folder_that_cannot_be_written_is_told_and_stops_no_call(kept: Kept, running: Journal) -> None:
    kept.folder.write_text("in the way")
    await running.append(ENTRY)
    await until(lambda: running.unsigned)
    await running.append(ENTRY)
    assert not running.failing
    kept.folder.unlink()
    await until(lambda: not running.unsigned)
    assert len(list(read_journal(kept.database, EVERY_TENANT))) == 2


async def test_a_checkpoint_that_breaks_in_an_unforeseen_way_is_told_too(
    kept: Kept, running: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("unforeseen")

    with monkeypatch.context() as patch:
        patch.setattr("gateway.journal.sealing.sign", broken)
        await running.append(ENTRY)
        await until(lambda: running.unsigned)
        assert "unforeseen" in running.unsigned
    await until(lambda: not running.unsigned)


def test_checkpoints_cannot_be_changed_or_removed_by_accident(kept: Kept) -> None:
    kept.grow(1)
    for statement in ("UPDATE journal_checkpoints SET note = ''", "DELETE FROM journal_checkpoints"):
        with pytest.raises(IntegrityError, match="append-only"), kept.database.changing(EVERY_TENANT) as connection:
            connection.exec_driver_sql(statement)
