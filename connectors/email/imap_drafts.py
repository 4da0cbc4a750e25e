"""Drafts over IMAP: messages in the mailbox's own folder for drafts.

A message there cannot be changed, only put there anew. So a draft's version is the UID of the message that it now is:
whoever changes it, by whatever program, changes that.
"""

from connectors.email import draft_message
from connectors.email.imap_session import Session, Text
from connectors.email.writing import Kept
from connectors.errors import NotFound

_LARGEST = 1_000_000
_ID = draft_message.ID.upper()


def put(session: Session, raw: bytes) -> None:
    """Put a draft into the folder, as another version if it is there already."""
    session.append("drafts", raw, r"\Draft", r"\Seen")


def get(session: Session, id_: str) -> Kept:
    """A draft as it stands.

    Raises:
        NotFound: If the mailbox has no such draft.
        Conflict: If somebody made of it what cannot be sent from here.
    """
    session.open("drafts")
    for uid in reversed(session.search("HEADER", _ID, Text(id_))):
        raw = _raw(session, uid)
        head = draft_message.headers(raw)
        if head.get(draft_message.ID) == id_:
            draft, references = draft_message.read(raw, session.mailbox, uid)
            return Kept(id_, draft, references, str(head.get(draft_message.CALL, "")))
    raise NotFound(f"there is no draft `{id_}` in `{session.mailbox}`; create one first", field="draft_id")


def discard(session: Session, id_: str, below: int = 2**32) -> bool:
    """Delete the versions of a draft that came before one, by default all; False if there are none."""
    session.open("drafts", to_write=True)
    uids = [uid for uid in session.search("HEADER", _ID, Text(id_)) if uid < below]
    session.delete(uids)
    return bool(uids)


def _raw(session: Session, uid: int) -> bytes:
    # One larger than that is cut, and then found to be nothing that was written here.
    parts = session.fetch([uid], f"BODY.PEEK[]<0.{_LARGEST}>").get(uid, {})
    return bytes(parts.get(b"BODY[]<0>") or b"")
