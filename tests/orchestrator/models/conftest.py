"""What tests of models ask for: an empty database, of each kind where that matters."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.durable.database import Database
from tests.orchestrator.durable.conftest import database, runs_url

__all__ = ["database", "runs_url"]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Database]:
    """A database in a file, for what is the same on each kind."""
    made = Database(f"sqlite:///{tmp_path}/orchestrator.db")
    made.prepare()
    yield made
    made.close()
