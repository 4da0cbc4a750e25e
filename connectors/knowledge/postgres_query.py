"""What a table of documents is asked: which of its rows a caller may read, and which of these answer best.

Nothing is counted but what the caller may read: how rare a word is, how well the best fits it, and how many there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql import dialect

from connectors.knowledge.tools import MAX_DOCUMENT_READ, Trust

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^\x00-\x1f\"]+$")]
"""A name in the database, as it is written there."""

MOST_READ = 200_000
"""How much of a document is looked through for its best passage, in characters."""

_quoted = dialect().identifier_preparer.quote_identifier  # type: ignore[no-untyped-call]


class Columns(BaseModel):
    """The columns of a table or view of documents, by what they hold.

    Args:
        id: Tells one document from another: a number, a UUID or a text.
        title: Its title.
        text: Its text, plain or Markdown.
        updated: When it last changed: a moment, best with its zone, else in UTC.
        readers: The groups that may read it: an array of texts, `everyone` for all. None if only row-level security
            says so.
        source: Where a reader finds it. None: the id stands for it.
        origin: `official`, `internal` or `external`; anything else counts as `external`. None: all are of one origin.
        words: Its words as a `tsvector`, with an index. None: they are made of title and text at each question.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: Name = "id"
    title: Name = "title"
    text: Name = "text"
    updated: Name = "updated"
    readers: Name | None = None
    source: Name | None = None
    origin: Name | None = None
    words: Name | None = None


class Table(BaseModel):
    """Which table or view, and how its texts are taken apart.

    Args:
        schema_name: Its schema.
        table: Its name.
        columns: What its columns hold.
        language: The text search configuration, such as `english`; one of your own with its schema.
        setting: With row-level security: the name of the setting that its policies read, such as `remit.readers`.
        origin: What its documents count as where no column says.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    schema_name: Annotated[Name, Field(alias="schema")] = "public"
    name: Name
    columns: Columns = Columns()
    language: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]{0,120}$")] = "english"
    setting: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,30}\.[a-z_][a-z0-9_]{0,30}$")] | None = None
    origin: Trust = "internal"

    @model_validator(mode="after")
    def _says_who_may_read(self) -> Self:
        if self.columns.readers is None and self.setting is None:
            raise ValueError("say who may read: a column `readers`, or a `setting` for row-level security")
        return self

    @property
    def quoted(self) -> str:
        """Its name as a statement has it."""
        return f"{_quoted(self.schema_name)}.{_quoted(self.name)}"


@dataclass(frozen=True)
class Statements:
    """The statements for one table; whatever a caller says comes in as a parameter."""

    table: Table

    def search(self, parties: int, *, of_origin: bool, after: bool) -> TextClause:
        """One page of the documents that fit best, and one more.

        Args:
            parties: How many parties act.
            of_origin: Whether only documents of `:origin` are meant.
            after: Whether only those after `:score`, `:at` and `:id` are meant.
        """
        where = self._may_read(parties) + (f" AND {self._origin} = :origin" if of_origin else "")
        later = "WHERE (score, at, id) < (:score, CAST(:at AS timestamptz), :id)" if after else ""
        return text(f"""
WITH term AS ({_TERMS}),
hit AS (
    SELECT term.number, {self._key} AS key, {self._preference} AS preference,
        ts_rank({self._words}, term.query, 1) AS fit
    FROM term JOIN {self.table.quoted} AS t ON {self._words} @@ term.query WHERE {where}
),
counted AS (
    SELECT number, count(key) AS found, max(fit) AS best FROM term LEFT JOIN hit USING (number) GROUP BY number
),
readable AS (SELECT count(*) AS many FROM {self.table.quoted} AS t WHERE {where}),
worth AS (SELECT number, best, ln(1 + (many - found + 0.5) / (found + 0.5)) AS worth FROM counted, readable),
scored AS (
    SELECT key, greatest(round((
        sum(preference * worth * fit / best) / (SELECT sum(worth) FROM worth)
    )::numeric, 4), 0.0001)::float8 AS score
    FROM hit JOIN worth USING (number) GROUP BY key
),
placed AS (
    SELECT scored.key, scored.score, {self._updated} AS at, {self._id} AS id
    FROM scored JOIN {self.table.quoted} AS t ON {self._key} = scored.key
),
page AS (SELECT * FROM placed {later} ORDER BY score DESC, at DESC, id DESC LIMIT :limit)
SELECT page.id, page.score, page.at, {self._shown}, left({self._text}, {MOST_READ}) AS text
FROM page JOIN {self.table.quoted} AS t ON {self._key} = page.key WHERE {where}
ORDER BY page.score DESC, page.at DESC, page.id DESC
""")  # noqa: S608 - names are quoted, and values are parameters

    @property
    def best_passages(self) -> TextClause:
        """Of passages `:texts` of the documents `:of` the number, from 1, of each document's best one."""
        return text(f"""
WITH term AS ({_TERMS}),
wanted AS (SELECT string_agg('(' || query::text || ')', ' | ')::tsquery AS query FROM term)
SELECT DISTINCT ON (document) number FROM wanted,
    unnest(CAST(:of AS int[]), CAST(:texts AS text[])) WITH ORDINALITY AS passage (document, said, number)
ORDER BY document, ts_rank(to_tsvector(CAST(:language AS regconfig), said), query) DESC, number
""")  # noqa: S608 - as above

    def get(self, parties: int) -> TextClause:
        """One document `:id`, from `:offset` on."""
        part = f"substr({self._text}, CAST(:offset AS int) + 1, {MAX_DOCUMENT_READ})"
        return text(f"""
SELECT {self._updated} AS at, {self._shown}, length({self._text}) AS length, {part} AS text
FROM {self.table.quoted} AS t WHERE {self._id} = :id AND {self._may_read(parties)} LIMIT 2
""")  # noqa: S608 - as above

    @property
    def look(self) -> TextClause:
        """How many rows there are; fails if a column is missing or unfit."""
        fit = f"count({self._updated}), count({self._words}), count({self._id}), count({self._text})"
        return text(f"SELECT count(*), {fit}, bool_or({self._may_read(1)}) FROM {self.table.quoted} AS t")  # noqa: S608

    def _column(self, name: str) -> str:
        return f"t.{_quoted(name)}"

    @property
    def _key(self) -> str:
        return self._column(self.table.columns.id)

    @property
    def _id(self) -> str:
        """The id that callers know: ours have letters and digits only, whatever stands in the table."""
        # Made of immutable functions alone, so that a table can have an index on it.
        plain = f"decode(replace({self._key}::text, '\\', '\\\\'), 'escape')"
        return f"('doc_' || left(encode(sha256({plain}), 'hex'), 32))"

    @property
    def _text(self) -> str:
        return f"coalesce({self._column(self.table.columns.text)}, '')::text"

    @property
    def _title(self) -> str:
        return f"coalesce({self._column(self.table.columns.title)}, '')::text"

    @property
    def _updated(self) -> str:
        return f"coalesce({self._column(self.table.columns.updated)}::timestamptz, 'epoch')"

    @property
    def _words(self) -> str:
        if self.table.columns.words is not None:
            return self._column(self.table.columns.words)
        made = "to_tsvector(CAST(:language AS regconfig), {})"
        return f"(setweight({made.format(self._title)}, 'A') || {made.format(self._text)})"

    @property
    def _origin(self) -> str:
        if self.table.columns.origin is None:
            return f"'{self.table.origin}'"
        column = f"{self._column(self.table.columns.origin)}::text"
        return f"CASE WHEN {column} IN ('official', 'internal') THEN {column} ELSE 'external' END"

    @property
    def _preference(self) -> str:
        return f"CASE {self._origin} WHEN 'official' THEN 1 WHEN 'internal' THEN 0.95 ELSE 0.85 END"

    @property
    def _shown(self) -> str:
        columns = self.table.columns
        source = self._column(columns.source) if columns.source is not None else self._key
        readers = f"{self._column(columns.readers)}::text[]" if columns.readers is not None else "ARRAY[]::text[]"
        return f"{self._title} AS title, {source}::text AS source, {self._origin} AS origin, {readers} AS readers"

    def _may_read(self, parties: int) -> str:
        """That a row shares a group with each of the parties `:party_0` and so on."""
        if self.table.columns.readers is None:
            return "true"  # row-level security says which rows there are
        column = f"{self._column(self.table.columns.readers)}::text[]"
        return " AND ".join(f"{column} && CAST(:party_{number} AS text[])" for number in range(parties))


def parties_of(readers: Sequence[frozenset[str]]) -> dict[str, Any]:
    """The parameters that say who acts."""
    return {f"party_{number}": sorted(groups) for number, groups in enumerate(readers)}


# A word is a prefix of longer ones where it is long enough; what has nothing but stop words asks for nothing.
_TERMS = r"""
    SELECT number, (query::text || CASE WHEN is_prefix THEN '\:*' ELSE '' END)::tsquery AS query
    FROM unnest(CAST(:words AS text[]), CAST(:prefixes AS bool[])) WITH ORDINALITY AS said (word, is_prefix, number),
        plainto_tsquery(CAST(:language AS regconfig), word) AS query
    WHERE numnode(query) > 0
"""
