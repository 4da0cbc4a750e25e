"""Knowledge in a folder of files."""

import itertools
import os
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from connectors.errors import Unavailable
from connectors.knowledge.folder import Folder, FolderSource
from connectors.knowledge.indexed import IndexedKnowledge, StillReading
from connectors.knowledge.readers import read_rules
from connectors.records import DocumentRecord
from tests.backends.knowledge import TENANT, LosableContract, Written, call, found, given_up_after
from tests.backends.written import markdown, readers_toml


@dataclass
class FolderWorld:
    folder: Path
    knowledge: IndexedKnowledge
    keeps_origin: bool = True
    tells_readers: bool = True

    async def hold(self, documents: Sequence[Written]) -> None:
        for old in self.folder.glob("*.md"):
            if old.stem not in {each.name for each in documents}:
                old.unlink()
        (self.folder / "readers.toml").write_text(readers_toml(documents))
        for each in documents:
            (self.folder / f"{each.name}.md").write_text(markdown(each))

    @asynccontextmanager
    async def lost(self) -> AsyncIterator[None]:
        elsewhere = self.folder.rename(self.folder.with_name("elsewhere"))
        yield
        elsewhere.rename(self.folder)


class TestFolder(LosableContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[FolderWorld]:
        folder = tmp_path / "handbook"
        folder.mkdir()
        declared = Folder.model_validate({"tenant": TENANT, "kind": "folder", "path": folder})
        knowledge = IndexedKnowledge(TENANT, FolderSource(declared))
        yield FolderWorld(folder, knowledge)
        await knowledge.close()


def put(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def rule(paths: str, readers: str = "everyone", origin: str = "internal") -> str:
    return f'[[rules]]\npaths = ["{paths}"]\nreaders = ["{readers}"]\norigin = "{origin}"\n'


def declared(folder: Path, **more: object) -> Folder:
    return Folder.model_validate({"tenant": TENANT, "path": folder, **more})


def indexed(folder: Path, **more: object) -> IndexedKnowledge:
    return IndexedKnowledge(TENANT, FolderSource(declared(folder, **more)))


@asynccontextmanager
async def opened(folder: Path, files: Mapping[str, str | bytes], **more: object) -> AsyncIterator[FolderWorld]:
    put(folder, files)
    knowledge = indexed(folder, **more)
    yield FolderWorld(folder, knowledge)
    await knowledge.close()


def times_of(path: Path) -> tuple[float, float]:
    found = path.stat()
    return found.st_mtime, found.st_ctime


async def served(world: FolderWorld, *groups: str) -> set[str]:
    """The sources of all documents that have the word `lamp` and that somebody of these groups may read."""
    return {passage.source for passage in await found(world, "lamp", call(frozenset({"everyone", *groups})))}


# Who may read


async def test_the_first_rule_that_matches_counts_and_what_none_matches_is_read_by_nobody(tmp_path: Path) -> None:
    rules = rule("/board/", "board") + rule("*.md") + rule("never.txt", "board")
    files = {"board/a.md": "lamp", "a.md": "lamp", "deep/er/a.md": "lamp", "a.txt": "lamp", "deep/board/b.md": "lamp"}
    async with opened(tmp_path, {**files, "readers.toml": rules}) as world:
        assert await served(world) == {"a.md", "deep/er/a.md", "deep/board/b.md"}
        assert await served(world, "board") == {"a.md", "deep/er/a.md", "deep/board/b.md", "board/a.md"}
        assert "1 left out (`a.txt`: readers: no rule names any)" in await world.knowledge.look(call())


def test_a_beginning_of_the_rules_opens_nothing_that_the_whole_does_not() -> None:
    """Whoever writes the file anew may have written half of it."""
    rules = rule("/board/", "board") + rule("*")
    understood = 0
    for end in range(len(rules)):
        with suppress(Unavailable):
            allowed = read_rules(rules[:end].encode(), "here").of("board/a.md")
            assert allowed is None or allowed.readers == ["board"]
            understood += 1
    assert understood


@pytest.mark.parametrize(
    "rules",
    [
        "",
        "[[rules]]\n",
        "rules = [",
        rule("!a.md"),
        rule("*", origin="certain"),
        rule("*").replace("readers", "reader"),
        rule("*").replace('["everyone"]', '"everyone"'),
        "\xff",
    ],
)
async def test_rules_that_cannot_be_understood_let_nobody_read_and_leave_no_word_of_before(
    tmp_path: Path, rules: str
) -> None:
    async with opened(tmp_path, {"a.md": "lamp", "readers.toml": rule("*")}) as world:
        assert await served(world) == {"a.md"}
        put(tmp_path, {"readers.toml": rules.encode("latin-1")})
        with pytest.raises(Unavailable, match=r"readers\.toml"):
            await served(world)
        (tmp_path / "readers.toml").unlink()
        with pytest.raises(Unavailable, match=r"readers\.toml"):
            await served(world)


@pytest.mark.parametrize(
    ("own", "may_read"),
    [
        ("readers: everyone", {"leads", "sales"}),
        ("readers: leads", {"leads"}),
        ("readers: [leads, board]", {"leads"}),
        ('readers: "leads"', {"leads"}),
        ("readers: board", set()),
        ("readers:", set()),
        ("readers:\n  - leads", set()),
        ("title: lamp", {"leads", "sales"}),
    ],
)
async def test_a_document_can_only_narrow_who_reads_it(tmp_path: Path, own: str, may_read: set[str]) -> None:
    rules = '[[rules]]\npaths = ["*"]\nreaders = ["leads", "sales"]\n'
    async with opened(tmp_path, {"a.md": f"---\n{own}\n---\nlamp", "readers.toml": rules}) as world:
        assert {group for group in ("leads", "sales", "board") if await served(world, group)} == may_read


@pytest.mark.parametrize(
    ("given", "own", "counts_as"),
    [
        ("external", "official", "external"),
        ("internal", "official", "internal"),
        ("official", "external", "external"),
        ("internal", "external", "external"),
        ("official", "", "official"),
    ],
)
async def test_a_document_cannot_make_itself_more_official(
    tmp_path: Path, given: str, own: str, counts_as: str
) -> None:
    text = f"---\norigin: {own}\n---\nlamp" if own else "lamp"
    async with opened(tmp_path, {"a.md": text, "readers.toml": rule("*", origin=given)}) as world:
        assert [passage.origin for passage in await found(world, "lamp")] == [counts_as]


# What is read


async def test_nothing_outside_the_folder_is_read_whatever_a_link_says(tmp_path: Path) -> None:
    folder, outside = tmp_path / "handbook", tmp_path / "outside"
    put(outside, {"secret.md": "lamp", "readers.toml": rule("*")})
    put(folder, {"a.md": "lamp", "readers.toml": rule("*")})
    (folder / "file.md").symlink_to(outside / "secret.md")
    (folder / "folder").symlink_to(outside)
    (folder / "self").symlink_to(folder)
    os.mkfifo(folder / "pipe.md")
    async with opened(folder, {}) as world:
        assert await served(world) == {"a.md"}
        # Between listing and reading, as well.
        source = FolderSource(declared(folder))
        assert set(await source.listing()) == {"a.md"}
        (folder / "a.md").unlink()
        (folder / "a.md").symlink_to(outside / "secret.md")
        assert await source.read(["a.md"]) == {"a.md": "file: cannot be read: too many levels of symbolic links"}
        (folder / "readers.toml").unlink()
        (folder / "readers.toml").symlink_to(outside / "readers.toml")
        with pytest.raises(Unavailable):
            await served(world)


async def test_hidden_and_strangely_named_files_are_left_alone(tmp_path: Path) -> None:
    names = [
        ".hidden.md",
        ".git/a.md",
        "a\nb.md",
        "\u202egnp.md",
        "a\x1b[31m.md",
        "a.pdf",
        "noend",
        "\udcff.md",
        f"{'x' * 240}.md",
    ]
    files: dict[str, str | bytes] = dict.fromkeys((*names, "ordentlich größer 1.md"), "lamp")
    put(tmp_path, {**files, "readers.toml": rule("*")})
    async with opened(tmp_path, {}) as world:
        assert await served(world) == {"ordentlich%20gr%C3%B6%C3%9Fer%201.md", f"{'x' * 240}.md"}


async def test_what_cannot_be_read_as_text_is_left_out_and_told(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "binary.md": b"lamp\x00lamp",
        "huge.md": b"lamp " * 500_000,
        "front.md": "---\nnonsense!\n---\nlamp",
        "latin.txt": "Stra\xdfe lamp".encode("latin-1"),
        "page.html": "<h1>Lamps</h1><script>lamp</script><p>A lamp",
        "bom.md": "\ufeff# Lamps\n\nlamp",
        "empty.md": "",
    }
    async with opened(tmp_path, {**files, "readers.toml": rule("*")}) as world:
        assert await served(world) == {"latin.txt", "page.html", "bom.md"}
        told = await world.knowledge.look(call())
        assert "4 documents, 3 left out (`binary.md`: file: holds binary data; `front.md`:" in told
        assert await found(world, "straße")


async def test_a_link_names_the_document_where_people_read_it(tmp_path: Path) -> None:
    files = {"a b/c.md": "lamp", "readers.toml": rule("*")}
    async with opened(tmp_path, files, link="https://wiki.larkspur.example/{path}") as world:
        assert await served(world) == {"https://wiki.larkspur.example/a%20b/c.md"}


async def test_a_look_tells_what_a_keeper_should_look_at(tmp_path: Path) -> None:
    old = "---\nupdated: 2019-01-02\n---\n"
    files = {"a.md": "lamp", "b.md": "lamp", "old.md": f"{old}desk", "readers.toml": rule("*")}
    async with opened(tmp_path, files) as world:
        told = await world.knowledge.look(call())
        assert told == (f"the folder `{tmp_path.name}`: 3 documents, 1 the same as another, 1 unchanged for 2 years")


# Following it


async def test_a_file_that_changed_a_moment_ago_is_read_once_more_when_it_has_settled(tmp_path: Path) -> None:
    """Within one tick of the file system's clock it may have changed again and look the same."""
    put(tmp_path, {"a.md": "lamp", "readers.toml": rule("*")})
    changed = max(*times_of(tmp_path / "a.md"))
    times = iter([changed, changed + 5, changed + 60])
    source = FolderSource(declared(tmp_path), lambda: next(times))
    fresh, settled, later = [await source.listing() for _ in range(3)]
    assert fresh != settled == later


async def test_many_files_that_changed_one_after_the_other_are_answered_from_at_any_moment(tmp_path: Path) -> None:
    put(tmp_path, {**{f"{n}.md": "lamp" for n in range(40)}, "readers.toml": rule("*")})
    now = time.time()
    for n in range(40):
        os.utime(tmp_path / f"{n}.md", (now + 3, now + 3 + n / 10))
    ticks = itertools.count()
    source = FolderSource(declared(tmp_path), lambda: now + next(ticks) / 4)
    knowledge = IndexedKnowledge(TENANT, source)
    for _ in range(50):
        assert len(await served(FolderWorld(tmp_path, knowledge))) == 40
    await knowledge.close()


async def test_a_document_that_was_closed_and_changed_while_it_was_read_is_not_answered_with(tmp_path: Path) -> None:
    """Somebody closes a document, and then writes into it what only few may know, between our two looks at it."""
    put(tmp_path, {"a.md": "lamp", "readers.toml": rule("*")})

    class Meddled(FolderSource):
        async def read(self, names: list[str]) -> Mapping[str, DocumentRecord | str]:
            if "board" not in (tmp_path / "readers.toml").read_text():
                put(tmp_path, {"readers.toml": rule("*", "board"), "a.md": "lamp merger"})
            return await super().read(names)

    knowledge = IndexedKnowledge(TENANT, Meddled(declared(tmp_path)))
    world = FolderWorld(tmp_path, knowledge)
    assert await found(world, "lamp") == []
    assert [passage.text for passage in await found(world, "merger", call(frozenset({"board"})))] == ["lamp merger"]
    await knowledge.close()


async def test_much_to_read_is_read_by_several_calls_and_answered_when_all_of_it_is(tmp_path: Path) -> None:
    put(tmp_path, {**{f"{n}.md": "lamp" for n in range(120)}, "readers.toml": rule("*")})
    ticks = itertools.count(0, 6)
    knowledge = IndexedKnowledge(TENANT, FolderSource(declared(tmp_path)), patience=10, clock=lambda: next(ticks))
    world = FolderWorld(tmp_path, knowledge)
    with pytest.raises(StillReading, match="50 of 120 documents so far"):
        await served(world)
    assert "still being read" in await knowledge.look(call())
    assert len(await found(world, "lamp", limit=50)) == 50
    await knowledge.close()


async def test_many_calls_at_once_get_the_same_answer(tmp_path: Path) -> None:
    async with opened(tmp_path, {**{f"{n}.md": "lamp" for n in range(30)}, "readers.toml": rule("*")}) as world:
        answers: list[set[str]] = []

        async def ask() -> None:
            answers.append(await served(world))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)
        assert answers == [{f"{n}.md" for n in range(30)}] * 20


async def test_a_folder_that_hangs_is_given_up_and_so_is_one_with_too_much_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, {"a.md": "lamp", "b.md": "lamp", "readers.toml": rule("*")}) as world:
        monkeypatch.setattr("connectors.knowledge.folder.MOST_DOCUMENTS", 1)
        with pytest.raises(Unavailable, match="more than 1 documents"):
            await served(world)
    put(tmp_path / "hung", {"readers.toml": rule("*")})
    goes_on = threading.Event()
    monkeypatch.setattr("connectors.knowledge.folder.read_rules", lambda *_: goes_on.wait(60))
    hung = indexed(tmp_path / "hung", seconds=0.05)
    before = threading.active_count()
    for _ in range(20):
        with pytest.raises(Unavailable, match=r"does not answer within 0\.05 s"):
            await served(FolderWorld(tmp_path, hung))
    assert threading.active_count() <= before + 2
    goes_on.set()
    await hung.close()


async def test_a_look_that_was_given_up_opens_nothing_that_was_closed_meanwhile(tmp_path: Path) -> None:
    put(tmp_path, {"readers.toml": rule("*"), "a.md": "lamp"})
    source, newcomer = FolderSource(declared(tmp_path)), FolderSource(declared(tmp_path))
    async with given_up_after("_written_rules", source):
        put(tmp_path, {"readers.toml": rule("*", "leads")})
        assert (await source.listing()).keys() == (await newcomer.listing()).keys()
    assert await source.read(["a.md"]) == await newcomer.read(["a.md"])
    await source.close()
    await newcomer.close()
