"""What any test may ask for: a PostgreSQL server, and a database on each of the two kinds; options of the suite."""

import gc
import os
from collections.abc import Callable, Iterator
from json import dumps
from pathlib import Path
from typing import Any

import pytest
import structlog
from jsonschema import Draft202012Validator
from structlog.dev import plain_traceback

from tests.postgres import PostgresServer, postgres_server
from tests.processes import OF_THE_RUN, trust_nobody, warm_remit
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


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until everything is imported
    trust_nobody()
    _check_each_schema_once()
    if getattr(config.option, "numprocesses", None):
        os.environ[OF_THE_RUN] = warm_remit()  # one for all of pytest's processes
    # Rich would draw an exception with all variables around it, which takes seconds and is read by nobody.
    *first, _rich = structlog.get_config()["processors"]
    structlog.configure(processors=[*first, structlog.dev.ConsoleRenderer(exception_formatter=plain_traceback)])


def _check_each_schema_once() -> None:
    """Whether something is a JSON schema is found out once in a process: an SDK client asks it anew in each session.

    It takes some 20 ms for a tool's output, and is what most of a session's first call costs.
    """
    check: Callable[..., None] = Draft202012Validator.check_schema
    good: set[str] = set()

    def check_new(schema: Any, *how: Any, **more: Any) -> None:
        written = dumps([schema, how, more], sort_keys=True, default=repr)
        if written not in good:
            check(schema, *how, **more)
            good.add(written)

    Draft202012Validator.check_schema = staticmethod(check_new)  # type: ignore[method-assign]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start processes come first: they take longest, and at the end short ones fill what time is left."""
    starting = {item.path for item in items if item.get_closest_marker("process")}
    items.sort(key=lambda item: item.path not in starting)


def pytest_collection_finish() -> None:
    # Whatever is imported by now stays: to look through it again and again for garbage costs a tenth of a run.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--console-images", metavar="FOLDER", help="keep pictures of the console's pages in a folder")
