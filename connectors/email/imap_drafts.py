"""Drafts over IMAP: messages in the mailbox's own folder for drafts, where people see and change them too.

A message there cannot be changed, only put there anew. So a draft is known by a header of ours, and its version is the
UID of the message that it now is: whoever changes it, by whatever program, changes that.
"""

import re
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import format_datetime

from connectors.contract import CallContext
from connectors.email.compose import Outgoing, compose
from connectors.email.imap_session import Session, Text
from connectors.email.mime import ParsedMessage, date_of, parse
from connectors.email.showing import UNDATED
from connectors.email.tools import CreateDraft, Draft, UpdateDraft
from connectors.embedded.database import stable_id
from connectors.errors import Conflict, InvalidInput, NotFound

_ID, _CALL, _CREATED, _ANSWERS = "X-Remit-Draft", "X-Remit-Call", "X-Remit-Created", "X-Remit-Answers"
_MESSAGE_ID = re.compile(r"msg_[a-z0-9]{4,40}")
_LARGEST = 1_000_000


def new(call: CallContext, args: CreateDraft) -> Draft:
    """The draft that a call makes, not put anywhere yet."""
    id_ = stable_id("dra", call.tenant, call.key)
    return Draft(id=id_, **args.model_dump(), created_at=call.now, updated_at=call.now, version=1)


def changed(session: Session, call: CallContext, args: UpdateDraft) -> tuple[Draft, list[str]]:
    """A draft as the call wants it, not put anywhere yet, and the conversation that it goes on with.

    Raises:
        NotFound: If the mailbox has no such draft.
        Conflict: If it changed since it was read.
        InvalidInput: If nothing would change.
    """
    draft, references = get(session, args.mailbox, args.draft_id, args.version)
    given = args.model_dump(include={"to", "cc", "subject", "body"}, exclude_none=True)
    new = {name: value for name, value in given.items() if value != getattr(draft, name)}
    if not new:
        raise InvalidInput(f"nothing to change in draft `{draft.id}`; give a new `to`, `cc`, `subject` or `body`")
    return draft.model_copy(update={**new, "updated_at": call.now}), references


def put(session: Session, call: CallContext, draft: Draft, references: list[str]) -> None:
    """Put a draft into the folder, as another version if it is there already."""
    session.append("drafts", _written(call, draft, references), r"\Draft", r"\Seen")


def get(session: Session, mailbox: str, id_: str, version: int) -> tuple[Draft, list[str]]:
    """The draft as it was read, and the conversation that it goes on with.

    Raises:
        NotFound: If the mailbox has no such draft.
        Conflict: If it changed since it was read.
    """
    session.open("drafts")
    uids = session.search("HEADER", _ID.upper(), Text(id_))
    if not uids:
        raise NotFound(f"there is no draft `{id_}` in `{mailbox}`; create one first", field="draft_id")
    if uids[-1] != version:
        raise Conflict(
            f"draft `{id_}` is now at version {uids[-1]}, not {version}; have it reviewed again", field="version"
        )
    return _get(session, mailbox, id_, version)


def made_by(session: Session, call: CallContext, mailbox: str) -> Draft | None:
    """The draft that a call made or changed, as it then was; None if there is none."""
    session.open("drafts")
    for uid in session.search("HEADER", _CALL.upper(), Text(_mark(call))):
        head = _head(session, uid)
        if head and head.get(_CALL) == _mark(call):
            return _get(session, mailbox, str(head.get(_ID, "")), uid)[0]
    return None


def discard(session: Session, id_: str, below: int = 2**32) -> None:
    """Delete the versions of a draft that came before one, by default all."""
    session.open("drafts", to_write=True)
    session.delete([uid for uid in session.search("HEADER", _ID.upper(), Text(id_)) if uid < below])


def _get(session: Session, mailbox: str, id_: str, uid: int) -> tuple[Draft, list[str]]:
    session.open("drafts")
    head = _head(session, uid)
    raw = session.fetch([uid], f"BODY.PEEK[]<0.{_LARGEST}>").get(uid, {}).get(b"BODY[]<0>")
    if head is None or not raw or str(head.get(_ID, "")) != id_:
        raise NotFound(f"there is no draft `{id_}` in `{mailbox}`; create one first", field="draft_id")
    parsed = parse(raw)
    if parsed.attachments or head.get("bcc") or head.get_content_type() != "text/plain" or len(raw) == _LARGEST:
        raise Conflict(
            f"draft `{id_}` was changed in a mail program to what cannot be sent from here; send it there",
            field="draft_id",
        )
    return _draft(mailbox, id_, uid, head, parsed), list(parsed.references)


def _draft(mailbox: str, id_: str, uid: int, head: Message, parsed: ParsedMessage) -> Draft:
    answers = str(head.get(_ANSWERS, ""))
    updated_at = parsed.sent_at or UNDATED
    return Draft(
        id=id_,
        mailbox=mailbox,
        to=list(parsed.to),
        cc=list(parsed.cc),
        subject=parsed.subject,
        body=parsed.text,
        in_reply_to=answers if _MESSAGE_ID.fullmatch(answers) else None,
        created_at=date_of(str(head.get(_CREATED, ""))) or updated_at,
        updated_at=updated_at,
        version=uid,
    )


def _head(session: Session, uid: int) -> Message | None:
    raw = session.fetch([uid], "BODY.PEEK[HEADER]").get(uid, {}).get(b"BODY[HEADER]")
    return BytesHeaderParser().parsebytes(raw) if raw else None


def _written(call: CallContext, draft: Draft, references: list[str]) -> bytes:
    outgoing = Outgoing(draft.mailbox, draft.to, draft.subject, draft.body, draft.cc, references)
    name = f"{_mark(call).replace('_', '.')}@{draft.mailbox.rpartition('@')[2]}"
    lines = {
        _ID: draft.id,
        _CALL: _mark(call),
        _CREATED: format_datetime(draft.created_at),
        _ANSWERS: draft.in_reply_to or "",
    }
    head = "".join(f"{key}: {value}\r\n" for key, value in lines.items() if value)
    return head.encode("ascii") + compose(outgoing, name, draft.updated_at)


def _mark(call: CallContext) -> str:
    """What a call leaves in what it makes."""
    return stable_id("call", call.tenant, call.key)
