"""Knowledge in a table of a company's own PostgreSQL database."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr, ValidationError

from connectors.credentials import Access
from connectors.embedded.pages import encode_cursor
from connectors.errors import InvalidInput, Unavailable
from connectors.knowledge.postgres_query import Statements
from connectors.knowledge.postgres_text import PostgresText, PostgresTextKnowledge, url_for
from connectors.knowledge.tools import SearchKnowledge
from tests.backends.knowledge import (
    LEADS,
    NOW,
    REFUNDS,
    TENANT,
    KnowledgeContract,
    LosableContract,
    Written,
    call,
    found,
    titles,
    whole,
)
from tests.postgres import OWNER, PostgresServer

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


# Tables as companies have them


async def test_a_view_serves_groups_that_are_kept_in_another_table(postgres: PostgresServer, postgres_url: str) -> None:
    view = """
    CREATE TABLE shared (document text, with_group text);
    CREATE VIEW "Shared Documents" AS SELECT handbook.id, name AS title, "the text" AS text, updated::timestamp,
        array(SELECT with_group FROM shared WHERE document = name) AS readers FROM handbook;
    INSERT INTO shared VALUES ('a', 'everyone'), ('b', 'leads'), ('b', 'sales');
    GRANT SELECT ON "Shared Documents" TO reader
    """
    url = prepare(postgres, postgres_url, view)
    async with opened(postgres, url, name="Shared Documents", columns={"readers": "readers"}) as world:
        await world.hold([Written(name, "lamp", readers=()) for name in ("a", "b", "c")])
        assert await titles(world, "lamp") == ["a"]
        assert set(await titles(world, "lamp", call(LEADS))) == {"a", "b"}
        [passage] = await found(world, "lamp")
        assert (passage.updated_at, passage.origin) == (NOW, "internal")


async def test_empty_columns_are_no_obstacle_and_an_unknown_origin_is_an_outsiders(
    postgres: PostgresServer, postgres_url: str
) -> None:
    async with opened(postgres, prepare(postgres, postgres_url), columns={**COLUMNS, "source": None}) as world:
        rows = (
            "INSERT INTO handbook (name, groups, origin) VALUES ('lamp', '{everyone}', 'their own'), (NULL, NULL, NULL)"
        )
        postgres.run(rows, postgres_url)
        [passage] = await found(world, "lamp")
        assert (passage.text, passage.origin, passage.updated_at) == ("", "external", datetime(1970, 1, 1, tzinfo=UTC))
        assert (await whole(world, passage.document_id)).text == ""


async def test_a_column_of_words_answers_as_what_is_made_at_each_question(
    postgres: PostgresServer, postgres_url: str
) -> None:
    made = """setweight(to_tsvector('english', coalesce(name, '')), 'A')
        || to_tsvector('english', coalesce("the text", ''))"""
    kept = f"""ALTER TABLE handbook ADD COLUMN words tsvector GENERATED ALWAYS AS ({made}) STORED;
        CREATE INDEX ON handbook USING gin (words)"""
    url = prepare(postgres, postgres_url, kept)
    async with opened(postgres, url) as one, opened(postgres, url, columns={**COLUMNS, "words": "words"}) as other:
        await one.hold([Written("lamps", REFUNDS), Written("x", "desk lamp"), Written("y", "lamp lamp")])
        for query in ("lamp", "late refund lamp", "desk", "nothing"):
            assert await found(one, query) == await found(other, query)


async def test_a_document_is_looked_up_by_an_index_where_there_is_one(
    postgres: PostgresServer, postgres_url: str
) -> None:
    page = (Path(__file__).parents[2] / "docs/back-ends/postgres_text.md").read_text()
    [index] = re.findall(r"^    (CREATE INDEX .*);$", page, re.MULTILINE)
    url = prepare(postgres, postgres_url, index)
    async with opened(postgres, url) as world:
        await world.hold([Written(f"d{n}", "lamp") for n in range(300)])
        [passage, *_] = await found(world, "lamp")
        assert (await whole(world, passage.document_id)).title == passage.title
        asked = Statements(world.knowledge._declared.table).get(1).text.replace(":party_0", "'{everyone}'")
        asked = asked.replace(":offset", "0").replace("= :id", f"= '{passage.document_id}'")
        postgres.run("ANALYZE handbook", url)
        plan = "\n".join(str(row[0]) for row in postgres.run(f"EXPLAIN {asked}", url))
        assert "Index Scan" in plan, plan


@pytest.mark.parametrize("key", ["a", "with space", "back\\slash", "größe", "", "x" * 900, "'quoted'", "\\x41"])
async def test_any_key_names_its_row(postgres: PostgresServer, postgres_url: str, key: str) -> None:
    table = """CREATE TABLE other (key text PRIMARY KEY, title text, text text, updated timestamptz, groups text[]);
        GRANT SELECT ON other TO reader"""
    url = prepare(postgres, postgres_url, table)
    with psycopg.connect(url) as connection:
        rows = [(key, "lamp"), ("another", "desk")]
        connection.cursor().executemany("INSERT INTO other VALUES (%s, %s, 'lamp', now(), '{everyone}')", rows)
    async with opened(postgres, url, name="other", columns={"id": "key", "readers": "groups"}) as world:
        [one] = [passage for passage in await found(world, "lamp") if passage.title == "lamp"]
        assert (one.source, (await whole(world, one.document_id)).title) == (key, "lamp")


async def test_a_cursor_with_something_else_than_a_time_is_refused(postgres: PostgresServer, postgres_url: str) -> None:
    async with opened(postgres, prepare(postgres, postgres_url)) as world:
        with pytest.raises(InvalidInput, match="not a cursor"):
            await found(world, "lamp", cursor=encode_cursor([0.5, "now'", "doc_a"]))


# Who is let in


async def test_a_credential_that_is_refused_is_told_without_its_secret(
    postgres: PostgresServer, postgres_url: str
) -> None:
    shown = Shown("stranger")
    knowledge = PostgresTextKnowledge(declared(prepare(postgres, postgres_url)), shown)
    with pytest.raises(Unavailable, match="refused the credential") as refused:
        await knowledge.look(call())
    assert shown.refusals == 1
    assert "s3cret" not in refused.value.message
    await knowledge.close()


async def test_another_credential_is_shown_once_if_there_is_one(postgres: PostgresServer, postgres_url: str) -> None:
    class Renewed(Shown):
        async def refused(self, access: Access) -> Access | None:
            return replace(access, version=2, user=READER)

    knowledge = PostgresTextKnowledge(declared(prepare(postgres, postgres_url)), Renewed("stranger"))
    assert "as `reader`; `handbook` is there, with 0 documents" in await knowledge.look(call())
    await knowledge.close()


async def test_row_level_security_that_does_not_hold_for_the_user_is_not_relied_on(
    postgres: PostgresServer, postgres_url: str
) -> None:
    url = prepare(postgres, postgres_url, SECURED)
    for user in (OWNER, "postgres"):
        knowledge = PostgresTextKnowledge(declared(url, setting="remit.readers"), Shown(user))
        with pytest.raises(Unavailable, match="does not hold"):
            await knowledge.knowledge_search_documents(call(), SearchKnowledge(query="lamp"))
        await knowledge.close()


async def test_a_server_that_stands_still_is_given_up(postgres: PostgresServer, postgres_url: str) -> None:
    given = declared(prepare(postgres, postgres_url)).model_copy(update={"seconds": 0.3})
    knowledge = PostgresTextKnowledge(given, Shown())
    await knowledge.look(call())
    with postgres.frozen(), pytest.raises(Unavailable):
        await knowledge.look(call())
    assert "0 documents" in await knowledge.look(call())
    await knowledge.close()


async def test_nothing_can_be_changed_over_the_connection(postgres: PostgresServer, postgres_url: str) -> None:
    """Not even by what a view or a policy of the company's calls."""
    meddling = """
    CREATE TABLE seen (who text);
    CREATE FUNCTION meddle() RETURNS text[] LANGUAGE sql VOLATILE SECURITY DEFINER
        AS $$ INSERT INTO public.seen VALUES ('x') RETURNING ARRAY['everyone'] $$;
    CREATE VIEW meddled AS SELECT id, name AS title, "the text" AS text, updated, meddle() AS readers FROM handbook;
    GRANT SELECT ON meddled TO reader
    """
    url = prepare(postgres, postgres_url, meddling)
    async with opened(postgres, url, name="meddled", columns={"readers": "readers"}) as world:
        await world.hold([Written("a", "lamp")])
        with pytest.raises(Unavailable, match="read-only transaction"):
            await found(world, "lamp")


# What an operator may say


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "postgresql://ana:secret@db.example/handbook"},
        {"url": "sqlite:////etc/passwd"},
        {"table": {"name": "handbook"}},
        {"table": {"name": 'a"; DROP TABLE handbook; --', "setting": "remit.readers"}},
        {"table": {"name": "handbook", "columns": {"readers": 'x" OR true'}}},
        {"table": {"name": "handbook", "setting": "readers"}},
        {"table": {"name": "handbook", "setting": "remit.readers", "language": "english'); --"}},
    ],
)
def test_what_is_unfit_is_refused_before_anything_is_connected(wrong: dict[str, object]) -> None:
    good = {"tenant": TENANT, "url": "postgresql://db.example/x", "table": {"name": "a", "setting": "remit.readers"}}
    PostgresText.model_validate(good)
    with pytest.raises(ValidationError) as refused:
        PostgresText.model_validate({**good, **wrong})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://db.larkspur.example/x", "verify-full"),
        ("postgresql://10.1.2.3/x", "verify-full"),
        ("postgresql://db.larkspur.example/x?sslmode=verify-ca", "verify-ca"),
        ("postgresql://localhost/x", None),
        ("postgresql://127.0.0.1/x", None),
        ("postgresql:///x?host=/run/postgresql", None),
    ],
)
def test_another_machine_must_prove_who_it_is(url: str, mode: str | None) -> None:
    access = Access("postgres_text", TENANT, None, 1, SecretStr("s3cret"), READER)
    assert url_for(url, access).query.get("sslmode") == mode
