"""Knowledge in a table of a company's own PostgreSQL database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from connectors.credentials import Access
from connectors.knowledge.postgres_text import PostgresText, PostgresTextKnowledge
from tests.backends.knowledge import TENANT, KnowledgeContract, LosableContract, Written
from tests.postgres import PostgresServer

READER = "reader"
TABLE = """
CREATE TABLE handbook (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE, "the text" text, groups text[], origin text,
    updated timestamptz
)
"""
COLUMNS = {"title": "name", "text": "the text", "readers": "groups", "source": "name", "origin": "origin"}
# The setting holds the groups of each acting party; all of them must share one with the row.
SECURED = """
ALTER TABLE handbook ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON handbook FOR SELECT USING (NOT EXISTS (
    SELECT 1 FROM jsonb_array_elements(current_setting('remit.readers', true)::jsonb) AS party
    WHERE NOT party ?| groups
));
"""


class Shown:
    """Credentials of one user."""

    def __init__(self, user: str = READER) -> None:
        self.user = user
        self.refusals = 0

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        return Access(back_end, tenant, person, 1, SecretStr("s3cret"), self.user)

    async def refused(self, access: Access) -> Access | None:
        self.refusals += 1
        return None


@dataclass
class PostgresWorld:
    server: PostgresServer
    url: str
    knowledge: PostgresTextKnowledge
    keeps_origin: bool = True
    tells_readers: bool = True

    async def hold(self, documents: Sequence[Written]) -> None:
        with psycopg.connect(self.url) as connection:
            names = [each.name for each in documents]
            connection.execute("DELETE FROM handbook WHERE name <> ALL(%s)", [names])
            connection.cursor().executemany(
                'INSERT INTO handbook (name, "the text", groups, origin, updated) VALUES (%s, %s, %s, %s, %s)'
                ' ON CONFLICT (name) DO UPDATE SET "the text" = excluded."the text", groups = excluded.groups,'
                " origin = excluded.origin, updated = excluded.updated",
                [(each.name, each.text, list(each.readers), each.origin, each.updated_at) for each in documents],
            )

    @asynccontextmanager
    async def lost(self) -> AsyncIterator[None]:
        self.server.run("ALTER TABLE handbook RENAME TO elsewhere", self.url)
        yield
        self.server.run("ALTER TABLE elsewhere RENAME TO handbook", self.url)


def declared(url: str, **table: Any) -> PostgresText:
    bare = url.replace("remit@", "")
    given = {"name": "handbook", "columns": COLUMNS, **table}
    return PostgresText.model_validate({"tenant": TENANT, "url": bare, "table": given})


def prepare(server: PostgresServer, url: str, *more: str) -> str:
    """A database with a handbook in it, which a user may read who owns nothing."""
    server.run(f"DO $$ BEGIN CREATE ROLE {READER} LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    with psycopg.connect(url) as connection:
        for statement in (TABLE, *more, f"GRANT SELECT ON handbook TO {READER}"):
            connection.execute(statement.encode())
    return url


@asynccontextmanager
async def opened(server: PostgresServer, url: str, **table: Any) -> AsyncIterator[PostgresWorld]:
    knowledge = PostgresTextKnowledge(declared(url, **table), Shown())
    try:
        yield PostgresWorld(server, url, knowledge)
    finally:
        await knowledge.close()


class TestAColumnOfGroups(LosableContract):
    @pytest.fixture
    async def world(self, postgres: PostgresServer, postgres_url: str) -> AsyncIterator[PostgresWorld]:
        async with opened(postgres, prepare(postgres, postgres_url)) as world:
            yield world


class TestRowLevelSecurity(KnowledgeContract):
    """The policy's own column of groups is not told to the gateway, which tells the policy who acts."""

    @pytest.fixture
    async def world(self, postgres: PostgresServer, postgres_url: str) -> AsyncIterator[PostgresWorld]:
        url = prepare(postgres, postgres_url, SECURED)
        columns = {name: column for name, column in COLUMNS.items() if name != "readers"}
        async with opened(postgres, url, setting="remit.readers", columns=columns) as world:
            world.tells_readers = False
            yield world
