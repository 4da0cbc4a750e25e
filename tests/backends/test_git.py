"""Knowledge in a Git repository."""

import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.knowledge.git import GitRepository, GitSource
from connectors.knowledge.indexed import IndexedKnowledge
from tests.backends.knowledge import TENANT, LosableContract, Written
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


def commit(repository: Path, files: dict[str, str]) -> str:
    """Make a commit of exactly these files on `main`."""
    entries = [f"M 100644 inline {name}\ndata {len(text.encode())}\n{text}\n" for name, text in files.items()]
    before = git(repository, "for-each-ref", "--format=from %(objectname)\n", "refs/heads/main")
    head = "commit refs/heads/main\ncommitter a <a@b.example> 1750000000 +0000\ndata 0\n"
    git(repository, "fast-import", "--quiet", given=f"{head}{before}\ndeleteall\n{''.join(entries)}")
    return git(repository, "rev-parse", "main")


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
