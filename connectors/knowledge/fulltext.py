"""The full-text index on passages: FTS5 on SQLite, a tsvector on PostgreSQL.

Both fold case and accents and know English word stems (Porter). On PostgreSQL words are taken apart here, so that what
is found depends neither on the server's locale nor on its dictionaries.
"""

import itertools
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from sqlalchemy import DDL, Connection, MetaData, Select, column, delete, event, insert, table, text

from connectors.embedded.engine import is_postgresql
from connectors.embedded.tenancy import protecting

_MAX_WORD = 200
_WORD = re.compile(r"[^\W_]+")
_ASCII_WORD = re.compile(r"[a-z]{3,}")

index = table("knowledge_index", *map(column, ("rowid", "title", "heading", "text")))
"""One row for each passage; `rowid` is the passage's id."""

# The weights are those of title, heading and text. FTS5 gives a lower number to a better fit.
_ON_SQLITE = text(
    "SELECT knowledge_index.rowid, -bm25(knowledge_index, 4.0, 3.0, 1.0), sz"
    " FROM knowledge_index JOIN knowledge_index_docsize ON id = knowledge_index.rowid"
    " WHERE knowledge_index MATCH :wanted"
)
# How many passages there are, and then how many words in each column (FTS5's own table, "averages record").
_SIZES_ON_SQLITE = text("SELECT block FROM knowledge_index_data WHERE id = 1")
# As BM25 does it: what is said again counts less each time, and a long passage counts less. Its idea of a usual length
# is a constant: the mean would tell something of passages that the caller may not read.
_USUAL_LENGTH = 100
_ON_POSTGRESQL = text(f"""
SELECT rowid, rank / (rank + 1.2 * (0.25 + 0.75 * length(words) / {_USUAL_LENGTH})) FROM (
    SELECT rowid, words, ts_rank('{{0, 0.25, 0.75, 1}}', words, wanted) AS rank
    FROM knowledge_index, CAST(:wanted AS tsquery) AS wanted WHERE words @@ wanted
) AS ranked
""")  # noqa: S608 - a number
_PUT_ON_POSTGRESQL = text(
    "INSERT INTO knowledge_index (rowid, tenant, title, heading, text, words)"
    " VALUES (:rowid, :tenant, :title, :heading, :text, CAST(:words AS tsvector))"
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


class Entry(NamedTuple):
    """A passage as it is found; `passage` is its id."""

    passage: int
    title: str
    heading: str
    text: str


def put(connection: Connection, tenant: str, entries: Sequence[Entry]) -> None:
    """Index a tenant's passages, at least one."""
    rows: list[dict[str, object]] = [
        {"rowid": entry.passage, "title": entry.title, "heading": entry.heading, "text": entry.text}
        for entry in entries
    ]
    if is_postgresql(connection):
        for row, entry in zip(rows, entries, strict=True):
            words = _vector({"A": entry.title, "B": entry.heading, "C": entry.text})
            row.update(tenant=tenant, words=words)
        connection.execute(_PUT_ON_POSTGRESQL, rows)
    else:
        connection.execute(insert(index), rows)


def count(connection: Connection) -> None:
    """After many changes: without fresh statistics PostgreSQL takes a thousand times as long to answer."""
    if is_postgresql(connection):
        connection.exec_driver_sql(
            "ANALYZE knowledge_documents, knowledge_readers, knowledge_passages, knowledge_index"
        )


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
    found = connection.execute(_ON_SQLITE, {"wanted": f'"{term.word}"{"*" if term.is_prefix else ""}'}).all()
    return _without_means(found, _numbers(connection.execute(_SIZES_ON_SQLITE).scalar_one())) if found else {}


def _without_means(found: Sequence[Any], sizes: list[int]) -> dict[int, float]:
    """What FTS5 says of fits, with a constant for a usual length instead of the mean of all passages.

    Its bm25 is `idf * n * 2.2 / (n + 1.2 * (0.25 + 0.75 * length / mean))` (SQLite, fts5_aux.c), where `n` is the
    weighted number of places in which the word stands: a whole one, which is found by solving that for it.
    """
    passages, words = sizes[0], sum(sizes[1:])
    idf = math.log((passages - len(found) + 0.5) / (len(found) + 0.5))
    fits = {}
    for passage, fit, lengths in found:
        length = sum(_numbers(lengths))
        share = fit / (2.2 * (idf if idf > 0 else 1e-6))
        places = round(share * _damping(length, words / passages) / (1 - share))
        fits[passage] = places / (places + _damping(length, _USUAL_LENGTH))
    return fits


def _damping(length: int, usual: float) -> float:
    return 1.2 * (0.25 + 0.75 * length / usual)


def _numbers(stored: bytes) -> list[int]:
    """SQLite's variable-length integers, of up to eight bytes: seven bits in each, the highest first."""
    found, number = [], 0
    for byte in stored:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            found.append(number)
            number = 0
    return found


def listen(metadata: MetaData) -> None:
    """Have the index made together with the tables."""
    for dialect, statements in _MAKING.items():
        for statement in statements:
            made = DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]
            event.listen(metadata, "after_create", made)


_MAKING = {
    "sqlite": (
        "CREATE VIRTUAL TABLE knowledge_index"
        " USING fts5(title, heading, text, tokenize = 'porter unicode61 remove_diacritics 2')",
    ),
    "postgresql": (
        "CREATE TABLE knowledge_index (rowid integer PRIMARY KEY, tenant varchar(100) NOT NULL, title text NOT NULL,"
        " heading text NOT NULL, text text NOT NULL, words tsvector NOT NULL)",
        "CREATE INDEX knowledge_index_words ON knowledge_index USING gin (words)",
        *protecting(["knowledge_index"]),
    ),
}


def _words(said: str) -> Iterator[str]:
    plain = "".join(each for each in unicodedata.normalize("NFKD", said) if not unicodedata.combining(each))
    for word in _WORD.findall(plain.casefold()):
        yield (_stem(word) if _ASCII_WORD.fullmatch(word) else word)[:_MAX_WORD]


def _vector(fields: dict[str, str]) -> str:
    """The words of fields by weight, as PostgreSQL writes a tsvector; nothing but letters and digits is in quotes."""
    places = itertools.count(1)
    return " ".join(f"'{word}':{next(places)}{weight}" for weight, said in fields.items() for word in _words(said))


def _query(term: Term) -> str:
    words = [f"'{word}'" for word in _words(term.word)]
    return " <-> ".join(words) + (":*" if term.is_prefix and words else "")
