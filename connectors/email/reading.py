"""Finding and reading messages in the embedded mailbox. Reading changes nothing, not even what is unread."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, RowMapping, select

from connectors.email.mime import parse
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
from connectors.errors import InvalidInput, NotFound
from connectors.fields import Address

MAX_THREAD_MESSAGES = 100
MAX_THREAD_TEXT = 100_000
MAX_BODY = 20_000

_ADDRESS = TypeAdapter[str](Address)
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
        raise NotFound(f"there is no attachment `{args.attachment_id}` in `{args.mailbox}`", field="attachment_id")
    if args.offset >= max(row["size"], 1):
        raise InvalidInput(
            f"offset {args.offset} is beyond the attachment's {row['size']} bytes; start at 0", field="offset"
        )
    parsed = parse(get_raw(connection, tenant, row["message"]))
    content = next(attached.content for attached in parsed.attachments if attached.index == row["part"])
    is_text = row["media_type"].startswith("text/")
    end = min(args.offset + args.max_bytes, len(content))
    while is_text and end < len(content) and content[end] & 0xC0 == 0x80:
        end += 1
    part = content[args.offset : end]
    return AttachmentContent(
        id=row["id"],
        sender_email=parsed.sender_email,
        name=row["name"],
        media_type=row["media_type"],
        size=len(content),
        offset=args.offset,
        encoding="text" if is_text else "base64",
        content=part.decode("utf-8", "replace") if is_text else b64encode(part).decode("ascii"),
        next_offset=end if end < len(content) else None,
    )


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


def rfc_message_id(connection: Connection, tenant: str, mailbox: str, id_: str) -> str:
    """The RFC 5322 Message-ID of a message that is known to be there."""
    query = select(messages.c.message_id).where(*within(messages, tenant, mailbox=mailbox, id=id_))
    found: Any = connection.execute(query).scalar_one()
    return str(found)


def sender_to_answer(original: MessageSummary, mailbox: str) -> str:
    """The address in `From`, if it can be answered.

    Raises:
        InvalidInput: If it is no address, or the mailbox's own.
    """
    if original.sender_email == mailbox:
        raise InvalidInput(
            f"message `{original.id}` was sent from this mailbox; write to its recipients with `email_send_message`",
            field="message_id",
        )
    try:
        return _ADDRESS.validate_python(original.sender_email)
    except ValidationError:
        raise InvalidInput(
            f"message `{original.id}` has no sender that can be answered; a person should look at it",
            field="message_id",
        ) from None
