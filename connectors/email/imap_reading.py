"""Finding and reading messages over IMAP. Nothing is marked as read, and nothing is read that is not needed.

The newest message of a folder is the one that arrived last, which is the one with the highest UID. A page goes down
from there; its cursor says how far it got in each folder, so that what arrives or goes meanwhile shifts nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any

from connectors.email.imap_names import FOLDERS, Place, place_of, shown
from connectors.email.imap_session import LARGEST_MESSAGE, Session, Text
from connectors.email.imap_structure import attached_in
from connectors.email.imap_threads import Conversations, read
from connectors.email.mime import ParsedMessage
from connectors.email.showing import (
    MAX_THREAD_MESSAGES,
    attachment_id,
    attachment_of,
    no_attachment,
    part_of,
    summary,
    thread,
)
from connectors.email.tools import (
    AttachmentContent,
    Folder,
    GetThread,
    MessagePage,
    MessageSummary,
    ReadAttachment,
    SearchEmail,
    Thread,
)
from connectors.email.writing import Original
from connectors.embedded.pages import decode_cursor, encode_cursor, not_a_cursor
from connectors.errors import InvalidInput, NotFound

_BEGINNING = 65_536
_LONG_BEGINNING = 1_000_000
_MOST_OF_A_THREAD = 48_000_000
_FIRST_WINDOW = 2_000
_LOOKED_AT = 10
_PARTS = ("RFC822.SIZE", "FLAGS", "INTERNALDATE")


@dataclass(frozen=True)
class Found:
    """A message as far as it was read.

    Args:
        place: Where it is.
        parsed: What was read of it.
        at: When it was sent, or else arrived.
        unread: Whether nobody has read it.
        attached: How many attachments it has.
        size: How many bytes.
    """

    place: Place
    parsed: ParsedMessage
    at: datetime
    unread: bool
    attached: int
    size: int


def search(session: Session, args: SearchEmail) -> MessagePage:
    """One page of a mailbox's messages that hold every word of the query, newest first."""
    position = _position(args.cursor)
    wanted = [folder for folder in FOLDERS if args.folder in {None, folder} and folder in session.folders]
    columns = [_column(session, folder, position[folder], args) for folder in wanted]
    page = list(islice(merge(*(column.found for column in columns), key=attrgetter("at"), reverse=True), args.limit))
    taken = {found.place for found in page}
    for column in columns:
        left = next((found.place for found in column.found if found.place not in taken), None)
        position[column.folder] = column.validity, left.uid + 1 if left else column.below
    goes_on = any(position[folder][1] > 1 for folder in wanted)
    cursor = encode_cursor([part for folder in FOLDERS for part in position[folder]]) if goes_on else ""
    return MessagePage(messages=tell(session, page), next_cursor=cursor)


def tell(session: Session, messages: Sequence[Found]) -> list[MessageSummary]:
    """Messages as they are told, each with the conversation that it belongs to."""
    threads = Conversations(session).ids_of([(each.place, each.parsed, each.at) for each in messages])
    return [_told(session, each, threads[each.place]) for each in messages]


def _told(session: Session, found: Found, thread_id: str) -> MessageSummary:
    return summary(
        found.parsed,
        id_=shown("msg", session.mark, found.place),
        thread_id=thread_id,
        folder=found.place.folder,
        unread=found.unread,
        at=found.at,
        attached=found.attached,
    )


Position = tuple[int, int]
"""How far a page got in a folder: its UIDVALIDITY, or 0, and the UID below which the next one starts."""


def _position(cursor: str) -> dict[Folder, Position]:
    if not cursor:
        return dict.fromkeys(FOLDERS, (0, 0))
    numbers = [int(part) for part in decode_cursor(cursor, (int,) * (2 * len(FOLDERS)))]
    if any(not 0 <= number <= 2**32 for number in numbers):
        raise not_a_cursor()
    return {folder: (numbers[2 * n], numbers[2 * n + 1]) for n, folder in enumerate(FOLDERS)}


@dataclass(frozen=True)
class _Column:
    """What a search finds in one folder, newest first, and the UID below which it has not looked; 1 if nowhere."""

    folder: Folder
    validity: int
    found: list[Found]
    below: int


def _column(session: Session, folder: Folder, position: Position, args: SearchEmail) -> _Column:
    opened = session.open(folder)
    validity, below = position
    if validity not in {0, opened.validity}:
        raise InvalidInput("the mailbox was numbered anew; leave `cursor` out to start again", field="cursor")
    found: list[Found] = []
    looked_at = 0
    for uids in _batches(session, below if validity else opened.next_uid, args):
        found += [each for each in find(session, folder, uids) if args.sender in {None, each.parsed.sender_email}]
        looked_at += len(uids)
        if len(found) > args.limit or looked_at > _LOOKED_AT * (args.limit + 1):
            return _Column(folder, opened.validity, found, uids[-1])
    return _Column(folder, opened.validity, found, 1)


def _batches(session: Session, below: int, args: SearchEmail) -> Iterator[list[int]]:
    """The UIDs that a search finds, newest first, in as many pieces as are asked for.

    A server is asked for a range of UIDs at a time, growing, so that its answer stays small in a large folder.
    """
    criteria = _criteria(args)
    window = _FIRST_WINDOW
    while below > 1:
        low = max(1, below - window)
        found = session.search("UID", f"{low}:{below - 1}", *criteria)[::-1]
        for start in range(0, len(found), args.limit + 1):
            yield found[start : start + args.limit + 1]
        below, window = low, 4 * window


def _criteria(args: SearchEmail) -> list[str | Text]:
    wanted: list[str | Text] = []
    if args.unread is not None:
        wanted.append("UNSEEN" if args.unread else "SEEN")
    if args.sender:
        wanted += ["FROM", Text(args.sender)]
    for word in dict.fromkeys(args.query.split()):
        for place in ("FROM", "TO", "CC", "SUBJECT"):
            wanted += ["OR", place, Text(word)]
        wanted += ["BODY", Text(word)]
    return wanted


def find(session: Session, folder: Folder, uids: Sequence[int]) -> list[Found]:
    """Read the beginnings of messages of the open folder; those that are gone are left out."""
    parts = session.fetch(uids, *_PARTS, f"BODY.PEEK[]<0.{_BEGINNING}>")
    long = [uid for uid, part in parts.items() if int(part.get(b"RFC822.SIZE", 0)) > _BEGINNING]
    structures = session.fetch(long, "BODYSTRUCTURE")
    return [
        _found(Place(folder, session.validity, uid), parts[uid], structures.get(uid, {}).get(b"BODYSTRUCTURE"))
        for uid in uids
        if uid in parts
    ]


def _found(place: Place, parts: Mapping[bytes, Any], structure: object = None) -> Found:
    parsed, at = read(parts)
    return Found(
        place,
        parsed,
        at,
        unread=rb"\Seen" not in parts.get(b"FLAGS", ()),
        attached=len(parsed.attachments) if structure is None else attached_in(structure),
        size=int(parts.get(b"RFC822.SIZE", 0)),
    )


def get_thread(session: Session, args: GetThread) -> Thread:
    """A conversation's last messages. Of those that are too large together only the beginning is read."""
    place = place_of(args.thread_id, session.mark)
    places = Conversations(session).places_of(place) if place else []
    if not places:
        raise NotFound(f"there is no conversation `{args.thread_id}` in `{args.mailbox}`", field="thread_id")
    room = _MOST_OF_A_THREAD
    messages: list[tuple[MessageSummary, ParsedMessage]] = []
    for where in places[-MAX_THREAD_MESSAGES:]:
        if found := _whole(session, where, room):
            room -= found.size
            messages.append((_told(session, found, args.thread_id), found.parsed))
    return thread(args.thread_id, args.mailbox, messages, attachment_id)


def _whole(session: Session, place: Place | None, room: int = LARGEST_MESSAGE) -> Found | None:
    """All of a message, or its beginning if that is more than there is room for; None if there is none."""
    if place is None or not session.go_to(place):
        return None
    size = int(session.fetch([place.uid], "RFC822.SIZE").get(place.uid, {}).get(b"RFC822.SIZE", 0))
    is_small = size <= min(room, LARGEST_MESSAGE)
    what = "BODY.PEEK[]" if is_small else f"BODY.PEEK[]<0.{_LONG_BEGINNING}>"
    parts = session.fetch([place.uid], *_PARTS, what).get(place.uid)
    if not parts:
        return None
    found = _found(place, parts)
    return found if is_small else replace(found, parsed=replace(found.parsed, truncated=True))


def read_attachment(session: Session, args: ReadAttachment) -> AttachmentContent:
    """Part of an attachment.

    Raises:
        NotFound: If the mailbox has no such attachment.
        InvalidInput: If the offset is at or beyond its end.
    """
    message_id, index = attachment_of(args.attachment_id)
    found = _whole(session, place_of(message_id, session.mark))
    if found is None:
        raise no_attachment(args)
    return part_of(found.parsed, index, args)


def get_message(session: Session, id_: str, field: str) -> Original:
    """A whole message by its id.

    Raises:
        NotFound: If the mailbox has none; `field` is at fault.
    """
    found = _whole(session, place_of(id_, session.mark))
    if found is None:
        raise NotFound(f"there is no message `{id_}` in `{session.mailbox}`; search for it first", field=field)
    return Original(found.parsed, found.at)
