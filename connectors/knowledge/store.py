"""Documents in a database: found by their passages, read only by whom they are for.

A document is readable if each set in `call.readers` shares a group with the document's readers; a call without any set
reads nothing. What a caller may not read has no part in any answer, not even in the order of results.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, false, insert, select

from connectors.contract import CallContext
from connectors.embedded.database import stable_id
from connectors.embedded.loading import LoadReport
from connectors.embedded.pages import decode_cursor, encode_cursor
from connectors.embedded.sources import select_among
from connectors.errors import InvalidInput, NotFound
from connectors.knowledge import fulltext
from connectors.knowledge.chunks import split
from connectors.knowledge.fulltext import Entry, index
from connectors.knowledge.ranking import rank
from connectors.knowledge.tables import documents, passages, readers
from connectors.knowledge.tools import (
    MAX_DOCUMENT_READ,
    Document,
    GetDocument,
    Passage,
    PassagePage,
    SearchKnowledge,
)
from connectors.records import DocumentRecord

_AT_ONCE = 500
_MANY = 100
_Order = tuple[float, float, str, int]


def _readable(call: CallContext) -> list[ColumnElement[bool]]:
    """Conditions for the tenant's documents that every acting party may read."""
    if not call.readers:
        return [false()]
    return [documents.c.tenant == call.tenant, *(_for_one_of(call.tenant, groups) for groups in call.readers)]


def _for_one_of(tenant: str, groups: frozenset[str]) -> ColumnElement[bool]:
    wanted = select(readers.c.document_id).where(readers.c.tenant == tenant, readers.c.group.in_(sorted(groups)))
    return documents.c.id.in_(wanted)


def search(connection: Connection, call: CallContext, args: SearchKnowledge) -> PassagePage:
    """One page of the passages that answer a question best."""
    after: _Order | None = None
    if args.cursor:
        after = tuple(decode_cursor(args.cursor, (float, float, str, int)))
    readable = _readable(call)
    if args.origin:
        readable.append(documents.c.origin == args.origin)
    scores = rank(connection, readable, call.tenant, args.query)
    ordered = sorted(_orders(connection, call.tenant, scores).items(), key=lambda item: item[1])
    left = [(id_, order) for id_, order in ordered if after is None or order > after]
    page = left[: args.limit]
    shown = _passages(connection, call.tenant, {id_: scores[id_] for id_, _ in page})
    return PassagePage(passages=shown, next_cursor=encode_cursor([*page[-1][1]]) if len(left) > args.limit else "")


def _orders(connection: Connection, tenant: str, scores: Mapping[int, float]) -> dict[int, _Order]:
    """Where each passage stands: best first, then newest, then as in the document."""
    query = _with_document(select(passages, documents.c.updated_at), tenant)
    return {
        row["id"]: (-scores[row["id"]], -row["updated_at"].timestamp(), row["document_id"], row["position"])
        for row in select_among(connection, query, passages.c.id, scores)
    }


def _passages(connection: Connection, tenant: str, scores: Mapping[int, float]) -> list[Passage]:
    columns = [documents.c[name] for name in ("title", "source", "origin", "readers", "updated_at")]
    query = select(passages.c.id, passages.c.document_id, index.c.heading, index.c.text, *columns)
    query = _with_document(query, tenant).join(index, index.c.rowid == passages.c.id)
    rows = {row["id"]: dict(row) for row in select_among(connection, query, passages.c.id, scores)}
    return [Passage.model_validate({**_without_id(rows[id_]), "score": score}) for id_, score in scores.items()]


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}


def _with_document(query: Select[Any], tenant: str) -> Select[Any]:
    mine = (documents.c.tenant == passages.c.tenant) & (documents.c.id == passages.c.document_id)
    return query.select_from(passages).join(documents, mine).where(passages.c.tenant == tenant)


def get(connection: Connection, call: CallContext, args: GetDocument) -> Document:
    """Part of a document.

    Raises:
        NotFound: If there is none that the caller may read.
        InvalidInput: If the offset is beyond its end.
    """
    query = select(documents).where(documents.c.id == args.document_id, *_readable(call))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no document `{args.document_id}`; search for it first", field="document_id")
    length = len(row["text"])
    if args.offset >= max(length, 1):
        raise InvalidInput(f"offset {args.offset} is beyond the document's {length} characters", field="offset")
    end = args.offset + MAX_DOCUMENT_READ
    return Document(
        id=row["id"],
        title=row["title"],
        text=row["text"][args.offset : end],
        source=row["source"],
        origin=row["origin"],
        readers=row["readers"],
        updated_at=row["updated_at"],
        offset=args.offset,
        next_offset=end if end < length else None,
    )


def load(connection: Connection, tenant: str, records: Sequence[DocumentRecord]) -> LoadReport:
    """Store the documents that are new or changed; of several with one source id the last counts."""
    latest = {stable_id("doc", tenant, record.source_id): record for record in records}
    digests = {id_: hashlib.sha256(record.model_dump_json().encode()).hexdigest() for id_, record in latest.items()}
    query = select(documents.c.id, documents.c.digest).where(documents.c.tenant == tenant)
    before = {row["id"]: row["digest"] for row in select_among(connection, query, documents.c.id, latest)}
    fresh = {id_: record for id_, record in latest.items() if before.get(id_) != digests[id_]}
    _remove(connection, tenant, [id_ for id_ in fresh if id_ in before])
    if fresh:
        _add(connection, tenant, fresh, digests)
    added = sum(id_ not in before for id_ in fresh)
    return LoadReport(added=added, changed=len(fresh) - added, unchanged=len(records) - len(fresh))


def forget(connection: Connection, tenant: str, source_ids: Iterable[str]) -> None:
    """Remove the documents of these sources, as far as they are there."""
    _remove(connection, tenant, [stable_id("doc", tenant, source_id) for source_id in source_ids])


def _remove(connection: Connection, tenant: str, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        here = (passages.c.tenant == tenant) & passages.c.document_id.in_(some)
        fulltext.remove(connection, select(passages.c.id).where(here))
        for table in (passages, readers):
            connection.execute(delete(table).where(table.c.tenant == tenant, table.c.document_id.in_(some)))
        connection.execute(delete(documents).where(documents.c.tenant == tenant, documents.c.id.in_(some)))


def _add(
    connection: Connection, tenant: str, records: Mapping[str, DocumentRecord], digests: Mapping[str, str]
) -> None:
    rows = [
        {"tenant": tenant, "id": id_, "digest": digests[id_], **record.model_dump(exclude={"source_id"})}
        for id_, record in records.items()
    ]
    connection.execute(insert(documents), rows)
    groups = [
        {"tenant": tenant, "document_id": id_, "group": group}
        for id_, record in records.items()
        for group in dict.fromkeys(record.readers)
    ]
    connection.execute(insert(readers), groups)
    parts = [
        (id_, position, chunk) for id_, record in records.items() for position, chunk in enumerate(split(record.text))
    ]
    new = insert(passages).returning(passages.c.id, sort_by_parameter_order=True)
    places = [{"tenant": tenant, "document_id": id_, "position": position} for id_, position, _ in parts]
    fulltext.put(
        connection,
        tenant,
        [
            Entry(passage, records[id_].title, chunk.heading, chunk.text)
            for passage, (id_, _, chunk) in zip(connection.scalars(new, places), parts, strict=True)
        ],
    )
    if len(records) >= _MANY:
        fulltext.count(connection)
