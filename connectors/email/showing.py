"""How a message is told, by whatever back end it was read from: as an output of the contract, and to be answered."""

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from connectors.email.charset import visible_line
from connectors.email.compose import Outgoing, quoted, reply_subject
from connectors.email.mime import ParsedMessage
from connectors.email.threads import Node, bare_subject
from connectors.email.tools import (
    Attachment,
    AttachmentContent,
    Folder,
    Message,
    MessageSummary,
    OutgoingMail,
    ReadAttachment,
    SentMessage,
    Thread,
)
from connectors.errors import InvalidInput, NotFound
from connectors.fields import Address

MAX_THREAD_MESSAGES = 100
MAX_THREAD_TEXT = 100_000
MAX_BODY = 20_000
UNDATED = datetime(1970, 1, 1, tzinfo=UTC)
NO_MESSAGE_ID = "@no-message-id.invalid"
"""What ends the Message-ID that stands in place of one that is missing."""

_SNIPPET = 160
_INDEX = re.compile(r"[0-9a-f]{2}")
_ADDRESS = TypeAdapter[str](Address)


def snippet(text: str) -> str:
    """The first words of a body that are no quotation."""
    unquoted = "\n".join(line for line in text.splitlines() if not line.startswith(">"))
    return visible_line(unquoted[: 10 * _SNIPPET], _SNIPPET)


def summary(
    parsed: ParsedMessage, *, id_: str, thread_id: str, folder: Folder, unread: bool, at: datetime, attached: int
) -> MessageSummary:
    """A message without its body.

    Args:
        parsed: What was read of it, its beginning at least.
        id_: Its id.
        thread_id: Its conversation's.
        folder: Where it is.
        unread: Whether nobody has read it.
        at: When it was sent.
        attached: How many attachments it has.
    """
    return MessageSummary(
        id=id_,
        thread_id=thread_id,
        folder=folder,
        sender_name=parsed.sender_name,
        sender_email=parsed.sender_email,
        to=list(parsed.to),
        cc=list(parsed.cc),
        subject=parsed.subject,
        snippet=snippet(parsed.text),
        unread=unread,
        attachment_count=attached,
        at=at,
    )


def sent_as(told: MessageSummary, mailbox: str) -> SentMessage:
    """A message among the sent as what its sending gives."""
    return SentMessage(
        id=told.id,
        thread_id=told.thread_id,
        mailbox=mailbox,
        to=told.to,
        cc=told.cc,
        subject=told.subject,
        sent_at=told.at,
    )


def thread(
    id_: str,
    mailbox: str,
    messages: Sequence[tuple[MessageSummary, ParsedMessage]],
    attachment_id: Callable[[str, int], str],
) -> Thread:
    """A conversation; long bodies are cut so that all fit `MAX_THREAD_TEXT`.

    Args:
        id_: Its id.
        mailbox: Whose it is.
        messages: Oldest first, at least one and at most `MAX_THREAD_MESSAGES`.
        attachment_id: Gives an attachment's id for its message's and its index.
    """
    room = min(MAX_BODY, MAX_THREAD_TEXT // len(messages))
    return Thread(
        id=id_,
        mailbox=mailbox,
        subject=messages[0][0].subject,
        messages=[_message(told, parsed, room, attachment_id) for told, parsed in messages],
    )


def _message(
    told: MessageSummary, parsed: ParsedMessage, room: int, attachment_id: Callable[[str, int], str]
) -> Message:
    attachments = [
        Attachment(id=attachment_id(told.id, each.index), name=each.name, media_type=each.media_type, size=each.size)
        for each in parsed.attachments
    ]
    return Message(
        **told.model_dump(),
        body=parsed.text[:room],
        truncated=parsed.truncated or len(parsed.text) > room,
        attachments=attachments,
    )


def attachment_id(message_id: str, index: int) -> str:
    """The id of a message's attachment: that of the message, and the attachment's index in it."""
    return f"att{message_id.removeprefix('msg')}{index:02x}"


def attachment_of(id_: str) -> tuple[str, int]:
    """The id of an attachment's message, and the attachment's index in it; -1 if it has none."""
    index = id_[-2:]
    return f"msg{id_[3:-2]}", int(index, 16) if _INDEX.fullmatch(index) else -1


def no_attachment(args: ReadAttachment) -> NotFound:
    """What is raised where there is no such attachment."""
    return NotFound(f"there is no attachment `{args.attachment_id}` in `{args.mailbox}`", field="attachment_id")


def part_of(message: ParsedMessage, index: int, args: ReadAttachment) -> AttachmentContent:
    """Part of an attachment. Text counts in UTF-8, and a part ends with a whole character.

    Args:
        message: The message that it is in.
        index: Which of that message's it is.
        args: Which part is wanted.

    Raises:
        NotFound: If the message has no such attachment.
        InvalidInput: If the offset is at or beyond its end.
    """
    attachment = next((each for each in message.attachments if each.index == index), None)
    if attachment is None:
        raise no_attachment(args)
    content = attachment.content
    if args.offset >= max(len(content), 1):
        raise InvalidInput(
            f"offset {args.offset} is beyond the attachment's {len(content)} bytes; start at 0", field="offset"
        )
    is_text = attachment.media_type.startswith("text/")
    end = min(args.offset + args.max_bytes, len(content))
    while is_text and end < len(content) and content[end] & 0xC0 == 0x80:
        end += 1
    part = content[args.offset : end]
    return AttachmentContent(
        id=args.attachment_id,
        sender_email=message.sender_email,
        name=attachment.name,
        media_type=attachment.media_type,
        size=len(content),
        offset=args.offset,
        encoding="text" if is_text else "base64",
        content=part.decode("utf-8", "replace") if is_text else b64encode(part).decode("ascii"),
        next_offset=end if end < len(content) else None,
    )


def own_message_id(parsed: ParsedMessage, id_: str) -> str:
    """A message's Message-ID, or one in its place if it has none."""
    return parsed.message_id or f"{id_}{NO_MESSAGE_ID}"


def node(parsed: ParsedMessage, id_: str, mailbox: str, at: datetime) -> Node:
    """What matters of a message for its conversation.

    Args:
        parsed: Its headers at least.
        id_: Its id in the mailbox.
        mailbox: Whose mail it is.
        at: When it was sent.
    """
    own_id = own_message_id(parsed, id_)
    parent = next((found for found in (*parsed.references, parsed.in_reply_to) if found and found != own_id), "")
    bare, is_reply = bare_subject(parsed.subject)
    outside = parsed.sender_email if parsed.sender_email != mailbox else "".join(parsed.to[:1])
    return Node(
        id=id_,
        message_id=own_id,
        parent=parent,
        subject_key=f"{bare}\n{outside}" if bare else "",
        by_subject=is_reply and bool(bare) and not parent,
        at=at,
    )


def conversation(parsed: ParsedMessage, id_: str) -> list[str]:
    """The Message-IDs that an answer to a message refers to, oldest first."""
    own = own_message_id(parsed, id_)
    earlier = parsed.references or tuple(filter(None, [parsed.in_reply_to]))
    return [*(found for found in earlier if found != own), own]


def answer(original: ParsedMessage, id_: str, at: datetime, mailbox: str, body: str) -> Outgoing:
    """The answer to a message's sender, in its conversation, with the original quoted below.

    Args:
        original: What is answered.
        id_: Its id.
        at: When it was sent.
        mailbox: Who answers.
        body: With what.

    Raises:
        InvalidInput: If the message has no sender that can be answered.
    """
    return Outgoing(
        mailbox,
        [sender_to_answer(original.sender_email, id_, mailbox)],
        reply_subject(original.subject),
        body.rstrip(),
        references=conversation(original, id_),
        quote=quoted(original, at),
    )


def sender_to_answer(sender: str, id_: str, mailbox: str) -> str:
    """The address in `From`, if it can be answered.

    Raises:
        InvalidInput: If it is no address, or the mailbox's own.
    """
    if sender == mailbox:
        raise InvalidInput(
            f"message `{id_}` was sent from this mailbox; write to its recipients with `email_send_message`",
            field="message_id",
        )
    try:
        return _ADDRESS.validate_python(sender)
    except ValidationError:
        raise InvalidInput(
            f"message `{id_}` has no sender that can be answered; a person should look at it", field="message_id"
        ) from None


def preview(outgoing: Outgoing) -> OutgoingMail:
    """A message as it would be sent."""
    return OutgoingMail(
        mailbox=outgoing.mailbox,
        to=list(outgoing.to),
        cc=list(outgoing.cc),
        subject=outgoing.subject,
        body=outgoing.body,
        quoted=outgoing.quote,
    )
