"""What runs have seen and what is known of single records, kept in the gateway's database.

Each row is committed with the journal entry of the call that it comes from, under that entry's position. Positions come
one after the other, so whoever has read up to one has missed nothing before it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio.to_thread
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.exc import SQLAlchemyError

from connectors.embedded.engine import reason
from gateway.database import Database
from gateway.flow.labels import CLEAN, Label, label_from
from gateway.journal.entry import Beside, JournalUnavailable

_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
_MOST_NAMES = 5_000
"""In one query: databases take so many values, and an upstream's result may hold more records."""
_metadata = MetaData()
_seen = Table(
    "flow_seen",
    _metadata,
    Column("position", _NUMBER, primary_key=True, autoincrement=False),
    *(Column(name, _TEXT, nullable=False) for name in ("tenant", "principal", "run", "at", "label", "links")),
    Column("values_seen", LargeBinary, nullable=False),
    Index("flow_seen_of", "tenant", "principal", "position"),
    Index("flow_seen_at", "at"),
)
_labels = Table(
    "flow_labels",
    _metadata,
    *(Column(name, _TEXT, primary_key=True) for name in ("tenant", "record")),
    Column("position", _NUMBER, primary_key=True, autoincrement=False),
    Column("label", _TEXT, nullable=False),
)
_READ = "SELECT position, at, label, links, values_seen FROM flow_seen"
_WHOSE = "WHERE tenant = :tenant AND principal = :principal AND position > :position"
_OF_PRINCIPAL = f"{_READ} {_WHOSE} AND at >= :since ORDER BY position"
_OF_RUN = f"{_READ} {_WHOSE} AND (run = :run OR (run = '' AND at >= :since)) ORDER BY position"
_LABELS = "SELECT record, label FROM flow_labels WHERE tenant = :tenant AND record IN"
_RECORDS_AT_ONCE = 500


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
        database.create(_metadata)

    async def seen_after(self, scope: Scope, position: int) -> list[Sighting]:
        """What counts for a scope and stands after a position, oldest first.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        return await anyio.to_thread.run_sync(self._seen_after, scope, position)

    async def labels(self, tenant: str, records: Sequence[str]) -> dict[str, Label]:
        """What is known of records, by their names; of most nothing is.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        return await anyio.to_thread.run_sync(self._labels_of, tenant, records) if records else {}

    def _seen_after(self, scope: Scope, position: int) -> list[Sighting]:
        who = {"tenant": scope.tenant, "principal": scope.principal, "since": scope.since.isoformat()}
        rows = self._read(_OF_RUN if scope.run else _OF_PRINCIPAL, {**who, "position": position, "run": scope.run})
        return [
            Sighting(place, datetime.fromisoformat(at), Sight(label_from(json.loads(label)), _links(links), values))
            for place, at, label, links, values in rows
        ]

    def _labels_of(self, tenant: str, records: Sequence[str]) -> dict[str, Label]:
        # Of calls that wrote at once each added its own: all count.
        labels: dict[str, Label] = {}
        for start in range(0, len(records), _RECORDS_AT_ONCE):
            asked = {f"r{at}": record for at, record in enumerate(records[start : start + _RECORDS_AT_ONCE])}
            query = f"{_LABELS} (:{', :'.join(asked)})"
            for record, label in self._read(query, {"tenant": tenant, **asked}):
                labels[record] = labels.get(record, CLEAN) | label_from(json.loads(label))
        return labels

    def _read(self, query: str, asked: dict[str, Any]) -> Sequence[Any]:
        try:
            return self._database.look(query, asked)
        except SQLAlchemyError as error:
            raise JournalUnavailable(f"what runs have seen cannot be read: {reason(error)}") from error

    def forget(self, before: datetime) -> int:
        """Remove what was seen before a time, and say how many rows that were. What is known of records stays."""
        with self._database.changing() as connection:
            return connection.execute(_seen.delete().where(_seen.c.at < before.isoformat())).rowcount


def seen_row(tenant: str, principal: str, run: str, at: datetime, sight: Sight) -> Beside:
    """The row of what a call showed, to be committed with its outcome."""
    links = json.dumps([sorted(link) for link in sight.links])
    columns = ("tenant", "principal", "run", "at", "label", "links", "values_seen")
    values = (tenant, principal, run, at.isoformat(), json.dumps(sight.label.told()), links, sight.values)
    return Beside("flow_seen", columns, values)


def label_rows(tenant: str, labels: Mapping[str, Label]) -> tuple[Beside, ...]:
    """The rows that say what is known of records from now on, to be committed with the outcome of what wrote them."""
    columns = ("tenant", "record", "label")
    return tuple(
        Beside("flow_labels", columns, (tenant, record, json.dumps(label.told()))) for record, label in labels.items()
    )


def _links(text: str) -> list[frozenset[str]]:
    return [frozenset(link) for link in json.loads(text)]
