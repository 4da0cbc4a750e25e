"""Finding and reading messages in the embedded mailbox. Reading changes nothing, not even what is unread."""

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, select

from connectors.email.mime import parse
from connectors.email.showing import MAX_BODY, MAX_THREAD_MESSAGES, MAX_THREAD_TEXT, no_attachment, part_of
from connectors.email.tables import attachments, mailboxes, messages, raw_messages
from connectors.email.tools import (
    Attachment,
    AttachmentContent,
    GetThread,
    Message,
    MessagePage,
    MessageSummary,
    ReadAttachment,
    SearchEmail,
    Thread,
)
from connectors.embedded.queries import holding, newest_first, within
from connectors.embedded.sources import select_among
from connectors.errors import NotFound

_SUMMARY = [messages.c[name] for name in MessageSummary.model_fields]


def check_mailbox(connection: Connection, tenant: str, mailbox: str) -> None:
    """Raise `NotFound` if the tenant has no such mailbox."""
    this = select(mailboxes.c.id).where(mailboxes.c.tenant == tenant, mailboxes.c.id == mailbox)
    if connection.execute(this).first() is None:
        raise NotFound(f"there is no mailbox `{mailbox}`; use one that you were given", field="mailbox")


def search(connection: Connection, tenant: str, args: SearchEmail) -> MessagePage:
    """One page of a mailbox's messages that hold every word of the query, newest first."""
    check_mailbox(connection, tenant, args.mailbox)
    wanted = within(
        messages, tenant, mailbox=args.mailbox, folder=args.folder, sender_email=args.sender, unread=args.unread
    )
    query = select(*_SUMMARY).where(*wanted, *holding(args.query, messages.c.search))
    rows, cursor = newest_first(connection, query, messages.c.at, messages.c.id, args.cursor, args.limit)
    return MessagePage(messages=[MessageSummary.model_validate(dict(row)) for row in rows], next_cursor=cursor)


def get_thread(connection: Connection, tenant: str, args: GetThread) -> Thread:
    """A conversation's last `MAX_THREAD_MESSAGES` messages; long bodies are cut so that all fit `MAX_THREAD_TEXT`."""
    check_mailbox(connection, tenant, args.mailbox)
    query = select(*_SUMMARY, messages.c.body, messages.c.truncated)
    query = query.where(*within(messages, tenant, mailbox=args.mailbox, thread_id=args.thread_id))
    query = query.order_by(messages.c.at.desc(), messages.c.id.desc()).limit(MAX_THREAD_MESSAGES)
    rows = connection.execute(query).mappings().all()[::-1]
    if not rows:
        raise NotFound(f"there is no conversation `{args.thread_id}` in `{args.mailbox}`", field="thread_id")
    attached = _attachments(connection, tenant, [row["id"] for row in rows])
    room = min(MAX_BODY, MAX_THREAD_TEXT // len(rows))
    return Thread(
        id=args.thread_id,
        mailbox=args.mailbox,
        subject=rows[0]["subject"],
        messages=[_message(row, room, attached.get(row["id"], [])) for row in rows],
    )


def _message(row: RowMapping, room: int, attached: list[Attachment]) -> Message:
    cut = {"body": row["body"][:room], "truncated": row["truncated"] or len(row["body"]) > room}
    return Message.model_validate({**row, **cut, "attachments": attached})


def _attachments(connection: Connection, tenant: str, ids: Sequence[str]) -> dict[str, list[Attachment]]:
    query = select(attachments).where(attachments.c.tenant == tenant).order_by(attachments.c.part)
    found: dict[str, list[Attachment]] = {}
    for row in select_among(connection, query, attachments.c.message, ids):
        found.setdefault(row["message"], []).append(
            Attachment(id=row["id"], name=row["name"], media_type=row["media_type"], size=row["size"])
        )
    return found


def read_attachment(connection: Connection, tenant: str, args: ReadAttachment) -> AttachmentContent:
    """Part of an attachment. Text counts in UTF-8, and a part ends with a whole character.

    Raises:
        NotFound: If the mailbox has no such attachment.
        InvalidInput: If the offset is at or beyond its end.
    """
    check_mailbox(connection, tenant, args.mailbox)
    mine = (attachments.c.message == messages.c.id) & (messages.c.tenant == tenant)
    query = select(attachments).join(messages, mine).where(messages.c.mailbox == args.mailbox)
    query = query.where(attachments.c.tenant == tenant, attachments.c.id == args.attachment_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise no_attachment(args)
    return part_of(parse(get_raw(connection, tenant, row["message"])), row["part"], args)


def get_message(
    connection: Connection, tenant: str, mailbox: str, id_: str, field: str = "message_id"
) -> MessageSummary:
    """One message of a mailbox.

    Raises:
        NotFound: If there is no such mailbox or message; `field` is at fault for the latter.
    """
    check_mailbox(connection, tenant, mailbox)
    query = select(*_SUMMARY).where(*within(messages, tenant, mailbox=mailbox, id=id_))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no message `{id_}` in `{mailbox}`; search for it first", field=field)
    return MessageSummary.model_validate(dict(row))


def get_raw(connection: Connection, tenant: str, id_: str) -> bytes:
    """The bytes of a message that is known to be there."""
    query = select(raw_messages.c.raw).where(raw_messages.c.tenant == tenant, raw_messages.c.id == id_)
    raw: bytes = connection.execute(query).scalar_one()
    return raw
