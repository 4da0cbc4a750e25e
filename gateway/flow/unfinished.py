"""Writes that have begun and not ended: what they write may be read before its label is known.

A row is committed with a write's intent, before its effect. Until its outcome is recorded, with the labels of what it
wrote, the records that it names count as written by it; where it names none, as of a new record, all of its area do.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, text

from connectors.contract import Tool
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.flow.arguments import named_records
from gateway.flow.labels import CLEAN, Label, label_from
from gateway.flow.ledger import labels_from, labels_queries
from gateway.journal.entry import Beside
from gateway.journal.reading import readable
from gateway.looking import Rows

_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
metadata = MetaData()
_writing = Table(
    "flow_writing",
    metadata,
    Column("position", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    *(Column(name, _TEXT, nullable=False) for name in ("tenant", "area", "call_id", "records", "label")),
    Index("flow_writing_in", "tenant", "area", "position"),
)
_SINCE = """
SELECT position, call_id, records, label,
    EXISTS (SELECT 1 FROM journal WHERE journal.tenant = w.tenant AND journal.once = 'outcome:' || w.call_id)
FROM flow_writing w WHERE tenant = :tenant AND area = :area AND position > :position ORDER BY position
"""
_FORGET = text("""
DELETE FROM flow_writing WHERE EXISTS (
    SELECT 1 FROM journal
    WHERE journal.tenant = flow_writing.tenant AND journal.once = 'outcome:' || flow_writing.call_id
)
""")


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What may be in an area's records without being labelled yet.

    Args:
        records: Labels of records that are being written, with all that stands in them.
        anywhere: The label of what is being written into records that nobody has a name for yet.
    """

    records: Mapping[str, Label] = field(default_factory=dict)
    anywhere: Label = CLEAN


NOTHING = Unfinished()


class Writing:
    """Reads which writes have not ended.

    Args:
        database: Where the journal is; the table is made if absent.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ended: dict[tuple[str, str], int] = {}
        database.prepare()

    async def unfinished(self, tenant: str, area: str, but: str) -> Unfinished:
        """What is being written in an area, but for one call.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        return (await self.known_after(tenant, area, but, ()))[0]

    async def known_after(
        self, tenant: str, area: str, but: str, records: Sequence[str]
    ) -> tuple[Unfinished, dict[str, Label]]:
        """What has to be known of a result, by one look: `unfinished`, and what is known of the records in it.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        # What had ended before stays ended: each look begins behind it.
        before = self._ended.get((tenant, area), 0)
        asked = {"tenant": tenant, "area": area, "position": before}
        with readable(self._database):
            # A write that ends in between is found by the second query.
            rows, *known = await self._database.looks.look(tenant, (_SINCE, asked), *labels_queries(tenant, records))
        if not rows:
            return NOTHING, labels_from(known)
        return self._open(tenant, area, rows, but), labels_from(known)

    def _open(self, tenant: str, area: str, rows: Rows, but: str) -> Unfinished:
        open_rows = [row for row in rows if not row[4]]
        ended = open_rows[0][0] - 1 if open_rows else rows[-1][0]
        self._ended[tenant, area] = max(ended, self._ended.get((tenant, area), 0))
        records: dict[str, Label] = {}
        anywhere = CLEAN
        for _, call_id, named, written, _ended in open_rows:
            if call_id == but:
                continue
            label, names = label_from(json.loads(written)), json.loads(named)
            records |= {name: records.get(name, CLEAN) | label for name in names}
            anywhere |= CLEAN if names else label
        return Unfinished(records, anywhere) if open_rows else NOTHING

    def forget(self) -> int:
        """Remove the rows of what has ended; says how many that were."""
        with self._database.changing(EVERY_TENANT) as connection:
            return connection.execute(_FORGET).rowcount


def writing_rows(
    tool: Tool, tenant: str, call_id: str, arguments: Mapping[str, Any], label: Label
) -> tuple[Beside, ...]:
    """What is to be committed with a write's intent; nothing where it writes nothing that needs a label."""
    if label == CLEAN:
        return ()
    values = (tenant, tool.area, call_id, json.dumps(_records(tool, arguments)), json.dumps(label.told()))
    return (Beside("flow_writing", ("tenant", "area", "call_id", "records", "label"), values),)


def _records(tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """The names of the records that a call writes into; none where it may write into records without a name yet."""
    if "structured" in tool.output.model_fields:
        return []  # nobody knows what somebody else's server does with an id
    # A mailbox is named by what is written from it, and is no record.
    return [name for name in named_records(tool, arguments) if "@" not in name]
