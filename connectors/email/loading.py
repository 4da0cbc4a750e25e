"""Putting messages into the embedded mailbox: each once, and into the conversation it belongs to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select

from connectors.email.mime import ParsedMessage, parse
from connectors.email.showing import UNDATED, node, snippet
from connectors.email.tables import attachments, mailboxes, messages, raw_messages
from connectors.email.threads import Node, roots
from connectors.embedded.database import stable_id
from connectors.embedded.loading import LoadReport
from connectors.embedded.queries import folded
from connectors.embedded.sources import select_among
from connectors.records import MessageRecord

Row = dict[str, Any]

_NODE = (*(messages.c[name] for name in Node.__dataclass_fields__), messages.c.thread_id)


def message_row_id(record: MessageRecord, tenant: str) -> str:
    """The id under which a mailbox keeps a message: it follows from the mailbox and the message's source id."""
    return stable_id("msg", tenant, record.mailbox, record.source_id.strip("<> "))


def load(connection: Connection, tenant: str, records: Sequence[MessageRecord]) -> LoadReport:
    """Store the messages that are new, and the folder and unread mark of those that moved.

    A message never changes once it is stored: whoever sends another one under the same Message-ID replaces nothing.

    Args:
        connection: In a transaction.
        tenant: Whose mail.
        records: In any order; of several with one source id the first one counts.
    """
    by_id: dict[str, MessageRecord] = {}
    for record in records:
        by_id.setdefault(message_row_id(record, tenant), record)
    _add_mailboxes(connection, tenant, {record.mailbox for record in records})
    query = select(messages.c.id, messages.c.folder, messages.c.unread).where(messages.c.tenant == tenant)
    known = {row["id"]: row for row in select_among(connection, query, messages.c.id, by_id)}
    moved = [id_ for id_, row in known.items() if (row["folder"], row["unread"]) != _place(by_id[id_])]
    _update(
        connection,
        tenant,
        [dict(zip(("this", "folder", "unread"), (i, *_place(by_id[i])), strict=True)) for i in moved],
    )
    fresh = {id_: record for id_, record in by_id.items() if id_ not in known}
    rows = _store(connection, tenant, fresh)
    for mailbox in sorted({record.mailbox for record in fresh.values()}):
        _gather(connection, tenant, mailbox, [row for row in rows if row["mailbox"] == mailbox])
    return LoadReport(added=len(fresh), changed=len(moved), unchanged=len(records) - len(fresh) - len(moved))


def _place(record: MessageRecord) -> tuple[str, bool]:
    return record.folder, record.unread


def _add_mailboxes(connection: Connection, tenant: str, addresses: Iterable[str]) -> None:
    query = select(mailboxes.c.id).where(mailboxes.c.tenant == tenant)
    known = {row["id"] for row in select_among(connection, query, mailboxes.c.id, addresses)}
    _insert(connection, mailboxes, [{"tenant": tenant, "id": address} for address in sorted(set(addresses) - known)])


def _store(connection: Connection, tenant: str, fresh: Mapping[str, MessageRecord]) -> list[Row]:
    parsed = {id_: parse(record.raw) for id_, record in fresh.items()}
    rows = [_message(tenant, id_, record, parsed[id_]) for id_, record in fresh.items()]
    _insert(connection, messages, rows)
    raws = [{"tenant": tenant, "id": id_, "raw": record.raw} for id_, record in fresh.items()]
    _insert(connection, raw_messages, raws)
    _insert(connection, attachments, [row for id_ in fresh for row in _attached(tenant, id_, parsed[id_])])
    return rows


def _attached(tenant: str, id_: str, parsed: ParsedMessage) -> list[Row]:
    return [
        {
            "tenant": tenant,
            "id": stable_id("att", tenant, id_, str(attached.index)),
            "message": id_,
            "name": attached.name,
            "media_type": attached.media_type,
            "part": attached.index,
            "size": attached.size,
        }
        for attached in parsed.attachments
    ]


def _message(tenant: str, id_: str, record: MessageRecord, parsed: ParsedMessage) -> Row:
    people = " ".join((parsed.sender_name, parsed.sender_email, *parsed.to, *parsed.cc))
    at = parsed.sent_at or UNDATED
    of_thread = node(parsed, id_, record.mailbox, at)
    return {
        "tenant": tenant,
        "id": id_,
        "mailbox": record.mailbox,
        "folder": record.folder,
        "unread": record.unread,
        "sender_name": parsed.sender_name,
        "sender_email": parsed.sender_email,
        "to": list(parsed.to),
        "cc": list(parsed.cc),
        "subject": parsed.subject,
        "snippet": snippet(parsed.text),
        "body": parsed.text,
        "truncated": parsed.truncated,
        "search": folded(people, parsed.subject, parsed.text),
        "attachment_count": len(parsed.attachments),
        "at": at,
        "thread_id": "",
        "message_id": of_thread.message_id,
        "parent": of_thread.parent,
        "subject_key": of_thread.subject_key,
        "by_subject": of_thread.by_subject,
    }


def _gather(connection: Connection, tenant: str, mailbox: str, fresh: Sequence[Row]) -> None:
    """Put new messages, and those that they bring together, into their conversations.

    Only conversations that touch a new message can change: those with its Message-ID, parent or subject.
    """
    here = select(*_NODE).where(messages.c.tenant == tenant, messages.c.mailbox == mailbox)
    names = {name for row in fresh for name in (row["message_id"], row["parent"]) if name}
    keys = {row["subject_key"] for row in fresh if row["subject_key"]}
    touched: dict[str, Mapping[str, Any]] = {}
    for column, values in ((messages.c.message_id, names), (messages.c.parent, names), (messages.c.subject_key, keys)):
        touched |= {row["id"]: row for row in select_among(connection, here, column, values)}
    threads = {row["thread_id"] for row in touched.values()} - {""}
    rows = touched | {row["id"]: row for row in select_among(connection, here, messages.c.thread_id, threads)}
    nodes = (Node(**{name: row[name] for name in Node.__dataclass_fields__}) for row in rows.values())
    thread_ids = {id_: stable_id("thr", tenant, mailbox, root) for id_, root in roots(nodes).items()}
    changed = [{"this": id_, "thread_id": thread_ids[id_]} for id_ in rows if rows[id_]["thread_id"] != thread_ids[id_]]
    _update(connection, tenant, changed)


def _insert(connection: Connection, table: Table, rows: list[Row]) -> None:
    if rows:
        connection.execute(table.insert(), rows)


def _update(connection: Connection, tenant: str, rows: list[Row]) -> None:
    if rows:
        this = (messages.c.tenant == tenant, messages.c.id == bindparam("this"))
        connection.execute(messages.update().where(*this), rows)
