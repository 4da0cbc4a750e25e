"""What any test may ask for: a PostgreSQL server, and a database on each of the two kinds; options of the suite."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.dev import plain_traceback

from tests.postgres import PostgresServer, postgres_server
from tests.processes import trust_nobody
from tests.sqlite import ready_company


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server of this test run; make a database of your own on it."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database that has its tables, and nothing in them."""
    url = postgres.ready_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def empty_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database without tables."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The setting `database_url`: empty for a file in the home that is to be made, or that of a `postgres_url`."""
    url: str = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def company_url(database_url: str, tmp_path: Path) -> str:
    """A database for embedded back ends with nothing in it."""
    return database_url or ready_company(tmp_path / "company.db")


@pytest.fixture(autouse=True)
def mask() -> Iterator[None]:
    """The command makes files for their owner alone; what runs after it in this process is not to do the same."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


def pytest_configure() -> None:
    gc.disable()  # until everything is imported
    trust_nobody()
    # Rich would draw an exception with all variables around it, which takes seconds and is read by nobody.
    *first, _rich = structlog.get_config()["processors"]
    structlog.configure(processors=[*first, structlog.dev.ConsoleRenderer(exception_formatter=plain_traceback)])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start processes come first: they take longest, and at the end short ones fill what time is left."""
    starting = {item.path for item in items if item.get_closest_marker("process")}
    items.sort(key=lambda item: item.path not in starting)


def pytest_collection_finish() -> None:
    # Whatever is imported by now stays: to look through it again and again for garbage costs a tenth of a run.
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--console-images", metavar="FOLDER", help="keep pictures of the console's pages in a folder")
