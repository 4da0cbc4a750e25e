"""What was sent, over IMAP: put among the sent, and found there again by its Message-ID."""

from connectors.email.imap_reading import find, tell
from connectors.email.imap_session import Session, Text
from connectors.email.showing import sent_as
from connectors.email.tools import SentMessage


def find_sent(session: Session, message_id: str) -> SentMessage | None:
    """The message among the sent that has a Message-ID; None if there is none.

    Args:
        session: A connection to the mailbox.
        message_id: Without brackets.
    """
    session.open("sent")
    found = find(session, "sent", session.search("HEADER", "MESSAGE-ID", Text(f"<{message_id}>")))
    mine = [each for each in found if each.parsed.message_id == message_id]
    return sent_as(tell(session, mine[:1])[0], session.mailbox) if mine else None


def keep_sent(session: Session, message_id: str, raw: bytes) -> None:
    """Put a message among the sent, unless it is there already; of several who do so at once, one copy stays."""
    name = Text(f"<{message_id}>")
    session.open("sent")
    if session.search("HEADER", "MESSAGE-ID", name):
        return
    session.append("sent", raw, r"\Seen")
    session.open("sent", to_write=True)
    session.delete(session.search("HEADER", "MESSAGE-ID", name)[1:])
