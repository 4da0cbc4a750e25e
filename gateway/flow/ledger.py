"""What runs have seen and what is known of single records, kept in the gateway's database.

Each row is committed with the journal entry of the call that it comes from, under that entry's position. Positions come
one after the other, so whoever has read up to one has missed nothing before it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.exc import SQLAlchemyError

from connectors.embedded.engine import reason
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.flow.labels import CLEAN, Label, label_from
from gateway.journal.entry import Beside, JournalUnavailable
from gateway.looking import Query, Rows

_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
metadata = MetaData()
_seen = Table(
    "flow_seen",
    metadata,
    Column("position", _NUMBER, primary_key=True, autoincrement=False),
    *(Column(name, _TEXT, nullable=False) for name in ("tenant", "principal", "run", "at", "label", "links")),
    Column("values_seen", LargeBinary, nullable=False),
    Index("flow_seen_of", "tenant", "principal", "position"),
    Index("flow_seen_at", "at"),
)
_labels = Table(
    "flow_labels",
    metadata,
    *(Column(name, _TEXT, primary_key=True) for name in ("tenant", "record")),
    Column("position", _NUMBER, primary_key=True, autoincrement=False),
    Column("label", _TEXT, nullable=False),
)
_READ = "SELECT position, at, label, links, values_seen FROM flow_seen"
_WHOSE = "WHERE tenant = :tenant AND principal = :principal AND position > :position"
_OF_PRINCIPAL = f"{_READ} {_WHOSE} AND at >= :since ORDER BY position"
_OF_RUN = f"{_READ} {_WHOSE} AND (run = :run OR (run = '' AND at >= :since)) ORDER BY position"
_LABELS = "SELECT record, label FROM flow_labels WHERE tenant = :tenant AND record IN"
_RECORDS_AT_ONCE = 512
"""In one query: databases take so many values, and an upstream's result may hold more records."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows count for a call.

    Args:
        tenant: The tenant.
        principal: The name of the principal.
        since: Older rows do not count.
        run: The run of the call's grant; "" without one. With one, its own rows count, and those without any run.
    """

    tenant: str
    principal: str
    since: datetime
    run: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one call showed: its label, sets of owners that are one customer, and the values in it."""

    label: Label
    links: Sequence[frozenset[str]]
    values: bytes


@dataclass(frozen=True, slots=True)
class Sighting:
    """A sight in its place."""

    position: int
    at: datetime
    sight: Sight


class Ledger:
    """Reads the rows, and makes those that are to be committed.

    Args:
        database: Where they are; the tables are made if absent.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.prepare()

    async def seen_after(self, scope: Scope, position: int) -> list[Sighting]:
        """What counts for a scope and stands after a position, oldest first.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        return (await self.known_before(scope, position, ()))[0]

    async def labels(self, tenant: str, records: Sequence[str]) -> dict[str, Label]:
        """What is known of records, by their names; of most nothing is.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        if not records:
            return {}
        return labels_from(await self.look(tenant, *labels_queries(tenant, records)))

    async def known_before(
        self, scope: Scope, position: int, records: Sequence[str]
    ) -> tuple[list[Sighting], dict[str, Label]]:
        """What a call has to know before it is decided, by one look: `seen_after`, and `labels` of what it names.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        # Labels first: what is seen of a record is then not older than what is known of it.
        *known, seen = await self.look(
            scope.tenant, *labels_queries(scope.tenant, records), _seen_query(scope, position)
        )
        return [_sighting(row) for row in seen], labels_from(known)

    async def look(self, tenant: str, *queries: Query) -> Sequence[Rows]:
        """What some queries of a tenant find, in order, by one look.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        try:
            return await self._database.looks.look(tenant, *queries)
        except SQLAlchemyError as error:
            raise JournalUnavailable(f"what runs have seen cannot be read: {reason(error)}") from error

    def forget(self, before: datetime) -> int:
        """Remove what was seen before a time, and say how many rows that were. What is known of records stays."""
        with self._database.changing(EVERY_TENANT) as connection:
            return connection.execute(_seen.delete().where(_seen.c.at < before.isoformat())).rowcount


def seen_row(tenant: str, principal: str, run: str, at: datetime, sight: Sight) -> Beside:
    """The row of what a call showed, to be committed with its outcome."""
    links = json.dumps([sorted(link) for link in sight.links]) if sight.links else "[]"
    columns = ("tenant", "principal", "run", "at", "label", "links", "values_seen")
    values = (tenant, principal, run, at.isoformat(), _told(sight.label), links, sight.values)
    return Beside("flow_seen", columns, values)


@lru_cache(maxsize=1_000)
def _told(label: Label) -> str:
    return json.dumps(label.told())


def label_rows(tenant: str, labels: Mapping[str, Label]) -> tuple[Beside, ...]:
    """The rows that say what is known of records from now on, to be committed with the outcome of what wrote them."""
    columns = ("tenant", "record", "label")
    return tuple(Beside("flow_labels", columns, (tenant, record, _told(label))) for record, label in labels.items())


def labels_queries(tenant: str, records: Sequence[str]) -> list[Query]:
    """What to ask for what is known of records, by their names."""
    return [
        _labels_query(tenant, records[start : start + _RECORDS_AT_ONCE])
        for start in range(0, len(records), _RECORDS_AT_ONCE)
    ]


def _labels_query(tenant: str, records: Sequence[str]) -> Query:
    size = 1 << (len(records) - 1).bit_length()
    asked = {f"r{at}": record for at, record in enumerate(records)}
    # By powers of two, so that few statements are ever prepared.
    asked |= {f"r{at}": records[0] for at in range(len(records), size)}
    return _labels_statement(size), {"tenant": tenant, **asked}


@cache
def _labels_statement(size: int) -> str:
    return f"{_LABELS} ({', '.join(f':r{at}' for at in range(size))})"


def labels_from(answers: Iterable[Rows]) -> dict[str, Label]:
    """What is known of records, by what `labels_queries` found."""
    # Of calls that wrote at once each added its own: all count.
    labels: dict[str, Label] = {}
    for record, label in chain.from_iterable(answers):
        labels[record] = labels.get(record, CLEAN) | label_from(json.loads(label))
    return labels


def _seen_query(scope: Scope, position: int) -> Query:
    who = {"tenant": scope.tenant, "principal": scope.principal, "since": scope.since.isoformat()}
    return _OF_RUN if scope.run else _OF_PRINCIPAL, {**who, "position": position, "run": scope.run}


def _sighting(row: tuple[Any, ...]) -> Sighting:
    place, at, label, links, values = row
    return Sighting(place, datetime.fromisoformat(at), Sight(label_from(json.loads(label)), _links(links), values))


def _links(text: str) -> list[frozenset[str]]:
    return [frozenset(link) for link in json.loads(text)]
