"""What was sent, over IMAP: put among the sent, and found there again by its Message-ID."""

from connectors.email.imap_names import Place, mark_of
from connectors.email.imap_reading import find, told
from connectors.email.imap_session import Session, Text
from connectors.email.imap_threads import Conversations
from connectors.email.tools import SentMessage


def find_sent(session: Session, tenant: str, mailbox: str, message_id: str) -> SentMessage | None:
    """The message among the sent that has a Message-ID; None if there is none.

    Args:
        session: A connection to the mailbox.
        tenant: Whose it is.
        mailbox: Its address.
        message_id: Without brackets.
    """
    opened = session.open("sent")
    uids = session.search("HEADER", "MESSAGE-ID", Text(f"<{message_id}>"))
    found = [each for _, each in find(session, Place("sent", opened.validity, 0), uids) if each]
    mine = [each for each in found if each.parsed.message_id == message_id]
    if not mine:
        return None
    mark = mark_of(tenant, mailbox)
    threads = Conversations(session, mark, mailbox).ids_of([(mine[0].place, mine[0].parsed, mine[0].at)])
    summary = told(mine[0], mark, threads[mine[0].place])
    return SentMessage(
        id=summary.id,
        thread_id=summary.thread_id,
        mailbox=mailbox,
        to=summary.to,
        cc=summary.cc,
        subject=summary.subject,
        sent_at=summary.at,
    )


def keep_sent(session: Session, message_id: str, raw: bytes) -> None:
    """Put a message among the sent, unless it is there already; of several who do so at once, one copy stays."""
    name = Text(f"<{message_id}>")
    session.open("sent")
    if session.search("HEADER", "MESSAGE-ID", name):
        return
    uid = session.append("sent", raw, r"\Seen")
    session.open("sent", to_write=True)
    if any(other < uid for other in session.search("HEADER", "MESSAGE-ID", name)):
        session.delete([uid])
