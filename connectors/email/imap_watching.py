"""Hearing of new mail over IMAP: the server tells while it is listened to (IDLE, RFC 2177), or is asked now and then.

It is listened to for a few seconds at a time, on one of the mailbox's connections, so that a connection that is dead
without a word is noticed, and whoever listens can stop.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import anyio
from structlog import get_logger

from connectors.email.imap_reading import find, tell
from connectors.email.imap_session import Opened, Session
from connectors.email.tools import MessageSummary
from connectors.errors import Unavailable

log = get_logger("remit.mail")

_LISTENS_SECONDS = 10
_POLLS_SECONDS = 15
_LONGEST_PAUSE_SECONDS = 300
_AT_ONCE = 50


@dataclass(frozen=True)
class Heard:
    """What came, oldest first, from where to go on, and whether it was worth the wait: the server tells by itself."""

    messages: list[MessageSummary]
    position: Opened
    was_told: bool = True


Listen: TypeAlias = Callable[[Callable[[Session], Heard]], Awaitable[Heard]]


def listen(session: Session, position: Opened | None) -> Heard:
    """Wait a while for new messages in the inbox; without a position, only find out where it is now."""
    heard = _new(session, position)
    if heard.messages or heard.position != position:
        return heard
    was_told = session.listen(_LISTENS_SECONDS)
    heard = _new(session, heard.position)
    return Heard(heard.messages, heard.position, was_told)


def _new(session: Session, position: Opened | None) -> Heard:
    opened = session.open("inbox")
    if position is None:
        return Heard([], opened)
    if position.validity != opened.validity:
        # Numbered anew, everything would look new; in what was empty it is.
        position = Opened(opened.validity, 1 if position.next_uid == 1 else opened.next_uid)
    # `*` is the last message there is, also if that one is known.
    uids = [uid for uid in session.search("UID", f"{position.next_uid}:*") if uid >= position.next_uid][:_AT_ONCE]
    next_uid = uids[-1] + 1 if uids else position.next_uid
    return Heard(tell(session, find(session, "inbox", uids)), Opened(opened.validity, next_uid))


async def watch(mailbox: str, with_session: Listen) -> AsyncIterator[MessageSummary]:
    """Tell of every message that comes into the inbox from now on, each once, for as long as somebody listens.

    While the server is away it is tried again, ever more seldom; what came meanwhile is told then.

    Args:
        mailbox: Its address.
        with_session: Does something with a connection to it.

    Raises:
        NotFound: If there is no such mailbox.
    """
    position: Opened | None = None
    pause = 1.0
    while True:
        try:
            heard = await with_session(partial(listen, position=position))
        except Unavailable as error:
            log.warning("mail_not_watched", mailbox=mailbox, error=error.message)
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            continue
        position, pause = heard.position, 1.0
        for message in heard.messages:
            yield message
        if not heard.was_told:
            await anyio.sleep(_POLLS_SECONDS)
