"""What any test may ask for: a PostgreSQL server, and a database on each of the two kinds; options of the suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server of this test run; make a database of your own on it."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The setting `database_url`: empty for a file in the home, or that of an empty PostgreSQL database."""
    url: str = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def company_url(database_url: str, tmp_path: Path) -> str:
    """An empty database for embedded back ends."""
    return database_url or f"sqlite:///{tmp_path}/company.db"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--console-images", metavar="FOLDER", help="keep pictures of the console's pages in a folder")
