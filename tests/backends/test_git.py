"""Knowledge in a Git repository."""

import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.errors import Unavailable
from connectors.knowledge.git import GitRepository, GitSource
from connectors.knowledge.git_command import Git, GitFailed
from connectors.knowledge.indexed import IndexedKnowledge
from tests.backends.knowledge import TENANT, LosableContract, Written, call, found, given_up_after, titles
from tests.backends.written import markdown, readers_toml

_WHO = {f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **_WHO}


def git(repository: Path, *arguments: str, given: str = "") -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *arguments],
        check=True,
        input=given,
        capture_output=True,
        text=True,
        env=_ENVIRONMENT,
    )
    return done.stdout.strip()


def commit(
    repository: Path, files: dict[str, str], *, parents: Sequence[str] | None = None, at: int = 1_750_000_000
) -> str:
    """Make a commit of exactly these files on `main`, after what is there unless other parents are given."""
    if parents is None:
        parents = git(repository, "for-each-ref", "--format=%(objectname)", "refs/heads/main").split()
    after = "".join(f"{how} {parent}\n" for how, parent in zip(("from", "merge"), parents, strict=False))
    entries = "".join(f"M 100644 inline {name}\ndata {len(text.encode())}\n{text}\n" for name, text in files.items())
    head = f"commit refs/heads/main\ncommitter a <a@b.example> {at} +0000\ndata 0\n"
    start = "" if parents else "reset refs/heads/main\n\n"
    git(repository, "fast-import", "--quiet", "--force", given=f"{start}{head}{after}deleteall\n{entries}")
    return git(repository, "rev-parse", "refs/heads/main")


@dataclass
class GitWorld:
    repository: Path
    knowledge: IndexedKnowledge
    keeps_origin: bool = True
    tells_readers: bool = True

    async def hold(self, documents: Sequence[Written]) -> None:
        pages = {f"{each.name}.md": markdown(each) for each in documents}
        commit(self.repository, {**pages, "readers.toml": readers_toml(documents)})

    @asynccontextmanager
    async def lost(self) -> AsyncIterator[None]:
        elsewhere = self.repository.rename(self.repository.with_name("elsewhere"))
        yield
        elsewhere.rename(self.repository)


class TestGit(LosableContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[GitWorld]:
        repository = tmp_path / "handbook.git"
        repository.mkdir()
        git(repository, "init", "--quiet", "--bare", "--initial-branch=main")
        declared = GitRepository.model_validate({"tenant": TENANT, "kind": "git", "path": repository})
        knowledge = IndexedKnowledge(TENANT, GitSource(declared))
        yield GitWorld(repository, knowledge)
        await knowledge.close()


def declared(repository: Path, **more: object) -> GitRepository:
    return GitRepository.model_validate({"tenant": TENANT, "path": repository, **more})


@asynccontextmanager
async def opened(repository: Path, **more: object) -> AsyncIterator[GitWorld]:
    made = IndexedKnowledge(TENANT, GitSource(declared(repository, **more)))
    yield GitWorld(repository, made)
    await made.close()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    found = tmp_path / "handbook.git"
    found.mkdir()
    git(found, "init", "--quiet", "--bare", "--initial-branch=main")
    return found


ALL = '[[rules]]\npaths = ["*"]\nreaders = ["everyone"]\n'


# What is served


async def test_a_document_is_cited_by_the_commit_that_changed_it_last(repository: Path) -> None:
    first = commit(repository, {"readers.toml": ALL, "a.md": "lamp", "b c.md": "lamp"})
    second = commit(repository, {"readers.toml": ALL, "a.md": "lamp", "b c.md": "lamp desk"})
    async with opened(repository) as world:
        assert {passage.source for passage in await found(world, "lamp")} == {
            f"a.md@{first[:12]}",
            f"b%20c.md@{second[:12]}",
        }
        [passage] = await found(world, "desk")
        assert passage.updated_at == datetime.fromtimestamp(1750000000, UTC)
    async with opened(repository, link="https://git.example/blob/{commit}/{path}") as world:
        [passage] = await found(world, "desk")
        assert passage.source == f"https://git.example/blob/{second[:12]}/b%20c.md"


async def test_the_branch_is_served_whatever_a_tag_of_its_name_says(repository: Path) -> None:
    old = commit(repository, {"readers.toml": ALL, "a.md": "lamp secret"})
    commit(repository, {"readers.toml": ALL, "a.md": "lamp"})
    git(repository, "tag", "main", old)
    git(repository, "update-ref", "refs/heads/side", old)
    async with opened(repository, branch="main") as world:
        assert await titles(world, "secret") == []
    async with opened(repository, branch="side") as world:
        assert await titles(world, "secret") == ["a"]
    async with opened(repository, branch="nothing") as world:
        with pytest.raises(Unavailable, match="cannot be read"):
            await titles(world, "lamp")


async def test_a_folder_of_a_repository_has_rules_of_its_own(repository: Path) -> None:
    inner = '[[rules]]\npaths = ["/board/"]\nreaders = ["board"]\n' + ALL
    files = {"docs/readers.toml": inner, "docs/a.md": "lamp", "docs/board/b.md": "lamp", "src/c.md": "lamp"}
    commit(repository, {**files, "readers.toml": ALL})
    commit(repository, {**files, "readers.toml": ALL, "src/c.md": "desk"})
    async with opened(repository, folder="docs") as world:
        assert await titles(world, "lamp") == ["a"]
        assert set(await titles(world, "lamp", call(frozenset({"everyone", "board"})))) == {"a", "b"}


async def test_links_and_other_repositories_in_a_repository_are_left_out(repository: Path) -> None:
    commit(repository, {"readers.toml": ALL, "a.md": "lamp"})
    blob = git(repository, "hash-object", "-w", "--stdin", given="/etc/passwd")
    head = git(repository, "rev-parse", "main")
    listed = git(repository, "ls-tree", "main")
    tree = git(
        repository, "mktree", "--missing", given=f"{listed}\n120000 blob {blob}\tb.md\n160000 commit {head}\tc.md\n"
    )
    git(repository, "update-ref", "refs/heads/main", git(repository, "commit-tree", "-m", "x", "-p", head, tree))
    async with opened(repository) as world:
        assert await world.knowledge.look(call()) == "the repository `handbook.git`: 1 documents"


async def test_a_repository_without_rules_is_read_by_nobody(repository: Path) -> None:
    async with opened(repository) as world:
        with pytest.raises(Unavailable):
            await found(world, "lamp")
        commit(repository, {"a.md": "lamp"})
        with pytest.raises(Unavailable, match=r"no `readers\.toml`"):
            await found(world, "lamp")
        commit(repository, {"a.md": "lamp", "readers.toml": ALL})
        assert await titles(world, "lamp") == ["a"]


async def test_a_folder_that_is_no_repository_does_not_mean_the_one_around_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path, {"a.md": "lamp", "readers.toml": ALL})
    (tmp_path / "inner").mkdir()
    async with opened(tmp_path / "inner") as world:
        with pytest.raises(Unavailable, match="not a git repository"):
            await found(world, "lamp")
    async with opened(tmp_path) as world:
        assert await titles(world, "lamp") == ["a"]


# Following it


@settings(deadline=None, max_examples=12, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.dictionaries(st.sampled_from("wxyz"), st.integers(0, 2), max_size=3), st.integers(0, 3)),
        min_size=1,
        max_size=5,
    )
)
async def test_whoever_followed_every_commit_knows_what_a_newcomer_reads(
    tmp_path: Path, steps: list[tuple[dict[str, int], int]]
) -> None:
    """Also where the branch was set back, or moved to where a merge brought it."""
    with TemporaryDirectory(dir=tmp_path) as name:
        place = Path(name)
        git(place, "init", "--quiet", "--bare", "--initial-branch=main")
        made: list[str] = []
        source = GitSource(declared(place))
        for files, how in steps:
            parents = [made[-1]] if made else []
            if how == 1:
                parents = made[-2:]  # a merge
            if how == 2:
                parents = made[:1]  # set back, and on from there
            contents = {"readers.toml": ALL, **{f"{name}.md": f"lamp {text}" for name, text in files.items()}}
            made.append(commit(place, contents, parents=parents))
            followed = await source.listing()
            newcomer = GitSource(declared(place))
            assert await newcomer.listing() == followed
            assert await newcomer.read([*followed]) == await source.read([*followed])


# What git is kept from


async def test_nothing_that_a_repository_configures_is_run(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"readers.toml": ALL, "a.md": "lamp", ".gitattributes": "*.md diff=evil filter=evil\n"})
    evil, ran = tmp_path / "evil", tmp_path / "ran"
    evil.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    evil.chmod(0o755)
    for setting in (
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "filter.evil.smudge",
        "filter.evil.clean",
        "core.pager",
        "core.fsmonitor",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "gpg.program",
        "uploadpack.packObjectsHook",
        "alias.log",
        "alias.ls-tree",
    ):
        git(repository, "config", setting, f"!{evil}" if setting.startswith("alias") else str(evil))
    git(repository, "config", "log.showSignature", "true")
    git(repository, "config", "log.showRoot", "false")
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (repository / "hooks").mkdir(exist_ok=True)
        (repository / "hooks" / hook).symlink_to(evil)
    async with opened(repository) as world:
        assert await titles(world, "lamp") == ["a"]
    assert not ran.exists()


async def test_objects_that_are_missing_are_not_fetched_from_elsewhere(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"readers.toml": ALL, "a.md": "lamp"})
    git(repository, "repack", "-adq")
    ran = tmp_path / "ran"
    git(repository, "config", "extensions.partialClone", "evil")
    git(repository, "config", "core.repositoryFormatVersion", "1")
    git(repository, "config", "remote.evil.url", f"ext::touch {ran}")
    git(repository, "config", "protocol.ext.allow", "always")
    blob = "1" * 40
    listed = git(repository, "ls-tree", "main")
    tree = git(repository, "mktree", "--missing", given=f"{listed}\n100644 blob {blob}\tgone.md\n")
    head = git(repository, "rev-parse", "main")
    git(repository, "update-ref", "refs/heads/main", git(repository, "commit-tree", "-m", "x", "-p", head, tree))
    async with opened(repository) as world:
        with pytest.raises(Unavailable):
            await found(world, "lamp")
    assert not ran.exists()


def test_a_command_that_takes_too_long_or_writes_too_much_is_ended(repository: Path) -> None:
    commit(repository, {"readers.toml": ALL, "a.md": "lamp " * 5_000})
    blob = git(repository, "rev-parse", "main:a.md")
    with pytest.raises(GitFailed, match="wrote more than 10,000 bytes"):
        Git(repository, 20).run(["cat-file", "-p", blob], most=10_000)
    with pytest.raises(GitFailed, match=r"took more than 0\.2 s"):
        # It asks whoever cannot answer.
        Git(repository, 0.2, {"alias.wait": "!exec sleep 60"}).run(["wait"])


async def test_a_commit_of_any_time_is_taken(repository: Path) -> None:
    commit(repository, {"readers.toml": ALL, "a.md": "lamp"}, at=2**60)
    async with opened(repository) as world:
        assert await titles(world, "lamp") == ["a"]


async def test_a_look_that_was_given_up_opens_nothing_that_was_closed_meanwhile(repository: Path) -> None:
    commit(repository, {"readers.toml": ALL, "a.md": "lamp"})
    source, newcomer = GitSource(declared(repository)), GitSource(declared(repository))
    async with given_up_after("_look", source):
        commit(repository, {"readers.toml": ALL.replace("everyone", "leads"), "a.md": "lamp"})
        assert await source.listing() == await newcomer.listing()
    assert await source.read(["a.md"]) == await newcomer.read(["a.md"])
    await source.close()
    await newcomer.close()
