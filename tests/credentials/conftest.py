"""Credentials on each kind of database, a clock that tests move, and processes that share them."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.credentials.endpoint import renew
from gateway.credentials.keys import KeySource, given
from gateway.credentials.kinds import Content, Place, written
from gateway.credentials.renewing import Renew
from gateway.credentials.serving import ServedCredentials
from gateway.credentials.table import CredentialTable
from gateway.database import Database
from gateway.settings import Settings
from tests.sqlite import ready_home
from tests.upstream.conftest import home, policies, up

__all__ = ["home", "policies", "up"]

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
KEY, OTHER_KEY = "k" * 43, "o" * 43
MAIL = Place("larkspur", "mail")
TOKEN = "tok-4f1d0e7b9a"


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **much: float) -> None:
        self.now += timedelta(**much)


@dataclass
class Store:
    """What several processes share."""

    settings: Settings
    opened: ExitStack
    clock: Clock = field(default_factory=Clock)
    source: KeySource = field(default_factory=lambda: given(KEY))

    def database(self) -> Database:
        """A connection to it of one's own, as another process has."""
        database = self.opened.enter_context(self.settings.open_database())
        database.prepare()
        return database

    def table(self) -> CredentialTable:
        return CredentialTable(self.database())

    def process(self, renew: Renew = renew, source: KeySource | None = None) -> ServedCredentials:
        """What back ends in one process ask."""
        return ServedCredentials(self.table(), source or self.source, self.clock, renew)

    def put(self, place: Place = MAIL, *, source: KeySource | None = None, **content: Any) -> None:
        """Have a person set one: a token, unless something else is said."""
        given = {"kind": "token", **content.pop("given", {"token": TOKEN})}
        made = Content.model_validate({"given": given, **content})
        sealed = (source or self.source).keys().seal(written(made), place)
        self.table().put(place, made.given.kind, sealed, "rosa", self.clock.now)


@pytest.fixture
def store(tmp_path: Path, database_url: str) -> Iterator[Store]:
    settings = Settings(home=tmp_path / "home", database_url=SecretStr(database_url))
    ready_home(settings)
    with ExitStack() as opened:
        yield Store(settings, opened)
