"""What tests of durable runs ask for: an empty database of each kind, and a store in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.durable.database import Database
from orchestrator.durable.store import Store
from tests.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def runs_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database for runs."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/runs/orchestrator.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def database(runs_url: str) -> Iterator[Database]:
    """A database with its tables."""
    made = Database(runs_url)
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def store(database: Database) -> Store:
    """The runs of an empty database."""
    return Store(database)
