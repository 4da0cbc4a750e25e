"""Knowledge in a folder of files."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.knowledge.folder import Folder, FolderSource
from connectors.knowledge.indexed import IndexedKnowledge
from tests.backends.knowledge import TENANT, LosableContract, Written
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
