"""A draft as a message in a mailbox's own folder for drafts, where people see it and change it too.

Headers of ours say which draft it is, which call put it there and what it answers.
"""

import re
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import format_datetime

from connectors.contract import CallContext
from connectors.email.compose import Outgoing, compose
from connectors.email.mime import date_of, parse
from connectors.email.showing import UNDATED
from connectors.email.tools import CreateDraft, Draft, UpdateDraft
from connectors.embedded.database import stable_id
from connectors.errors import Conflict, InvalidInput

ID, CALL = "X-Remit-Draft", "X-Remit-Call"
_CREATED, _ANSWERS = "X-Remit-Created", "X-Remit-Answers"
_MESSAGE = re.compile(r"msg_[a-z0-9]{4,40}")


def mark(call: CallContext) -> str:
    """What a call leaves in what it makes."""
    return stable_id("call", call.tenant, call.key)


def message_id(id_: str, mailbox: str) -> str:
    """The Message-ID of a draft, without brackets."""
    return f"{id_.replace('_', '.')}@{mailbox.rpartition('@')[2]}"


def new(call: CallContext, args: CreateDraft) -> Draft:
    """The draft that a call makes, not put anywhere yet."""
    id_ = stable_id("dra", call.tenant, call.key)
    return Draft(id=id_, **args.model_dump(), created_at=call.now, updated_at=call.now, version=1)


def changed(call: CallContext, draft: Draft, args: UpdateDraft) -> Draft:
    """A draft as a call wants it, not put anywhere yet.

    Raises:
        Conflict: If it is at another version than the call knows.
        InvalidInput: If nothing would change.
    """
    check_version(draft, args.version)
    given = args.model_dump(include={"to", "cc", "subject", "body"}, exclude_none=True)
    other = {name: value for name, value in given.items() if value != getattr(draft, name)}
    if not other:
        raise InvalidInput(f"nothing to change in draft `{draft.id}`; give a new `to`, `cc`, `subject` or `body`")
    return draft.model_copy(update={**other, "updated_at": call.now})


def check_version(draft: Draft, version: int) -> None:
    """Refuse a draft that is at another version.

    Raises:
        Conflict: If it is.
    """
    if draft.version != version:
        raise Conflict(
            f"draft `{draft.id}` is now at version {draft.version}, not {version}; have it reviewed again",
            field="version",
        )


def written(call: CallContext, draft: Draft, references: list[str]) -> bytes:
    """The message that a draft is.

    Args:
        call: The call that puts it there.
        draft: The draft.
        references: The conversation that it goes on with.
    """
    outgoing = Outgoing(draft.mailbox, draft.to, draft.subject, draft.body, draft.cc, references)
    lines = {
        ID: draft.id,
        CALL: mark(call),
        _CREATED: format_datetime(draft.created_at),
        _ANSWERS: draft.in_reply_to or "",
    }
    head = "".join(f"{key}: {value}\r\n" for key, value in lines.items() if value)
    return head.encode("ascii") + compose(outgoing, message_id(draft.id, draft.mailbox), draft.updated_at)


def headers(raw: bytes) -> Message:
    """The headers of a message."""
    return BytesHeaderParser().parsebytes(raw)


def read(raw: bytes, mailbox: str, version: int) -> tuple[Draft, list[str]]:
    """The draft that a message is, and the conversation that it goes on with.

    Args:
        raw: The message, with a header that names the draft.
        mailbox: Whose it is.
        version: Of the draft.

    Raises:
        Conflict: If somebody made of it what cannot be sent from here.
    """
    head, parsed = headers(raw), parse(raw)
    id_, answers = str(head.get(ID, "")), str(head.get(_ANSWERS, ""))
    if parsed.attachments or head.get("bcc") or head.get_content_type() != "text/plain" or parsed.truncated:
        raise Conflict(
            f"draft `{id_}` was changed in a mail program to what cannot be sent from here; send it there",
            field="draft_id",
        )
    updated_at = parsed.sent_at or UNDATED
    draft = Draft(
        id=id_,
        mailbox=mailbox,
        to=list(parsed.to),
        cc=list(parsed.cc),
        subject=parsed.subject,
        body=parsed.text,
        in_reply_to=answers if _MESSAGE.fullmatch(answers) else None,
        created_at=date_of(str(head.get(_CREATED, ""))) or updated_at,
        updated_at=updated_at,
        version=version,
    )
    return draft, list(parsed.references)
