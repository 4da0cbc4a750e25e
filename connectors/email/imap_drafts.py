"""Drafts over IMAP: messages in the mailbox's own folder for drafts.

A message there cannot be changed, only put there anew. So a draft's version is the UID of the message that it now is:
whoever changes it, by whatever program, changes that.
"""

from connectors.contract import CallContext
from connectors.email import draft_message
from connectors.email.imap_session import Session, Text
from connectors.email.tools import Draft
from connectors.errors import NotFound

_LARGEST = 1_000_000
_ID, _CALL = draft_message.ID.upper(), draft_message.CALL.upper()


def put(session: Session, raw: bytes) -> None:
    """Put a draft into the folder, as another version if it is there already."""
    session.append("drafts", raw, r"\Draft", r"\Seen")


def get(session: Session, mailbox: str, id_: str) -> tuple[Draft, list[str]]:
    """A draft as it stands, and the conversation that it goes on with.

    Raises:
        NotFound: If the mailbox has no such draft.
        Conflict: If somebody made of it what cannot be sent from here.
    """
    session.open("drafts")
    for uid in reversed(session.search("HEADER", _ID, Text(id_))):
        raw = _raw(session, uid)
        if draft_message.headers(raw).get(draft_message.ID) == id_:
            return draft_message.read(raw, mailbox, uid)
    raise NotFound(f"there is no draft `{id_}` in `{mailbox}`; create one first", field="draft_id")


def made_by(session: Session, call: CallContext, mailbox: str) -> Draft | None:
    """The draft that a call made or changed, as it then was; None if there is none."""
    session.open("drafts")
    mark = draft_message.mark(call)
    for uid in session.search("HEADER", _CALL, Text(mark)):
        raw = _raw(session, uid)
        if draft_message.headers(raw).get(draft_message.CALL) == mark:
            return draft_message.read(raw, mailbox, uid)[0]
    return None


def discard(session: Session, id_: str, below: int = 2**32) -> None:
    """Delete the versions of a draft that came before one, by default all."""
    session.open("drafts", to_write=True)
    session.delete([uid for uid in session.search("HEADER", _ID, Text(id_)) if uid < below])


def _raw(session: Session, uid: int) -> bytes:
    # One larger than that is cut, and then found to be nothing that was written here.
    parts = session.fetch([uid], f"BODY.PEEK[]<0.{_LARGEST}>").get(uid, {})
    return bytes(parts.get(b"BODY[]<0>") or b"")
