"""The full-text index on passages: FTS5 on SQLite, a tsvector on PostgreSQL.

Both fold case and accents and know English word stems (Porter). On PostgreSQL words are taken apart here, so that what
is found depends neither on the server's locale nor on its dictionaries.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import count
from typing import Any, NamedTuple

from sqlalchemy import Connection, MetaData, Select, column, delete, event, insert, table, text

from connectors.embedded.engine import is_postgresql

_MAX_WORD = 200
_WORD = re.compile(r"[^\W_]+")
_ASCII_WORD = re.compile(r"[a-z]{3,}")

index = table("knowledge_index", *map(column, ("rowid", "title", "heading", "text")))
"""One row for each passage; `rowid` is the passage's id."""

# The weights are those of title, heading and text. FTS5 gives a lower number to a better fit.
_ON_SQLITE = text(
    "SELECT rowid, -bm25(knowledge_index, 4.0, 3.0, 1.0) FROM knowledge_index WHERE knowledge_index MATCH :wanted"
)
# As BM25 does it: what is said again counts less each time, and a long passage counts less. Its idea of a usual length
# is a constant: the mean would tell something of passages that the caller may not read.
_ON_POSTGRESQL = text("""
SELECT rowid, rank / (rank + 1.2 * (0.25 + 0.75 * length(words) / 100)) FROM (
    SELECT rowid, words, ts_rank('{0, 0.25, 0.75, 1}', words, wanted) AS rank
    FROM knowledge_index, CAST(:wanted AS tsquery) AS wanted WHERE words @@ wanted
) AS ranked
""")
_PUT_ON_POSTGRESQL = text(
    "INSERT INTO knowledge_index (rowid, title, heading, text, words)"
    " VALUES (:rowid, :title, :heading, :text, CAST(:words AS tsvector))"
)


@cache
def _stemmer() -> Any:  # noqa: ANN401 - it has no types
    import snowballstemmer  # all its languages at once: most commands need none

    return snowballstemmer.stemmer("porter")


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    stem: str = _stemmer().stemWord(word)
    return stem


class Term(NamedTuple):
    """A word to look for.

    Args:
        word: Letters, digits and `_`.
        is_prefix: Whether longer words that begin like it are meant too.
    """

    word: str
    is_prefix: bool


def put(connection: Connection, passage: int, title: str, heading: str, body: str) -> None:
    """Index a passage."""
    row: dict[str, object] = {"rowid": passage, "title": title, "heading": heading, "text": body}
    if is_postgresql(connection):
        connection.execute(_PUT_ON_POSTGRESQL, row | {"words": _vector({"A": title, "B": heading, "C": body})})
    else:
        connection.execute(insert(index).values(row))


def remove(connection: Connection, passages: Select[Any]) -> None:
    """Forget passages.

    Args:
        connection: Where.
        passages: Selects their ids.
    """
    connection.execute(delete(index).where(index.c.rowid.in_(passages)))


def fits(connection: Connection, term: Term) -> dict[int, float]:
    """How well each passage that has a word fits it: above 0, the more the better, comparable within one answer."""
    if is_postgresql(connection):
        wanted = _query(term)
        return dict(connection.execute(_ON_POSTGRESQL, {"wanted": wanted}).all()) if wanted else {}
    # Quoted, so that nothing in it is syntax.
    return dict(connection.execute(_ON_SQLITE, {"wanted": f'"{term.word}"{"*" if term.is_prefix else ""}'}).all())


def listen(metadata: MetaData) -> None:
    """Have the index made together with the tables."""
    event.listen(metadata, "after_create", _create)


def _create(_target: MetaData, connection: Connection, **_: object) -> None:
    if not is_postgresql(connection):
        connection.exec_driver_sql(
            "CREATE VIRTUAL TABLE IF NOT EXISTS knowledge_index"
            " USING fts5(title, heading, text, tokenize = 'porter unicode61 remove_diacritics 2')"
        )
        return
    connection.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS knowledge_index (rowid integer PRIMARY KEY, title text NOT NULL,"
        " heading text NOT NULL, text text NOT NULL, words tsvector NOT NULL)"
    )
    connection.exec_driver_sql("CREATE INDEX IF NOT EXISTS knowledge_index_words ON knowledge_index USING gin (words)")


def _words(said: str) -> Iterator[str]:
    plain = "".join(each for each in unicodedata.normalize("NFKD", said) if not unicodedata.combining(each))
    for word in _WORD.findall(plain.casefold()):
        yield (_stem(word) if _ASCII_WORD.fullmatch(word) else word)[:_MAX_WORD]


def _vector(fields: dict[str, str]) -> str:
    """The words of fields by weight, as PostgreSQL writes a tsvector; nothing but letters and digits is in quotes."""
    places = count(1)
    return " ".join(f"'{word}':{next(places)}{weight}" for weight, said in fields.items() for word in _words(said))


def _query(term: Term) -> str:
    words = [f"'{word}'" for word in _words(term.word)]
    return " <-> ".join(words) + (":*" if term.is_prefix and words else "")
