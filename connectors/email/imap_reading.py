"""Finding and reading messages over IMAP. Nothing is marked as read, and nothing is read that is not needed.

The newest message of a folder is the one that arrived last, which is the one with the highest UID. A page goes down
from there; its cursor says how far it got in each folder, so that what arrives or goes meanwhile shifts nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from connectors.email.imap_names import Place, mark_of, place_of, shown
from connectors.email.imap_session import LARGEST_MESSAGE, Session, Text
from connectors.email.imap_structure import attached_in
from connectors.email.imap_threads import Conversations
from connectors.email.mime import ParsedMessage, parse
from connectors.email.showing import (
    MAX_THREAD_MESSAGES,
    UNDATED,
    attachment_id,
    attachment_of,
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
from connectors.embedded.pages import decode_cursor, encode_cursor
from connectors.errors import InvalidInput, NotFound

_FOLDERS: tuple[Folder, ...] = ("inbox", "sent", "archive")
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


def search(session: Session, tenant: str, args: SearchEmail) -> MessagePage:
    """One page of a mailbox's messages that hold every word of the query, newest first."""
    mark = mark_of(tenant, args.mailbox)
    folders = [folder for folder in _FOLDERS if args.folder in {None, folder} and folder in session.folders]
    position = _position(args.cursor)
    columns = [_Column(session, folder, position[folder], args) for folder in folders]
    page: list[Found] = []
    while len(page) < args.limit and (
        heads := [(column.head.at, n) for n, column in enumerate(columns) if column.head]
    ):
        _, newest = max(heads)
        page.append(columns[newest].take())
    conversations = Conversations(session, mark, args.mailbox)
    threads = conversations.ids_of([(found.place, found.parsed, found.at) for found in page])
    for column in columns:
        position[column.folder] = column.position
    more = any(column.goes_on for column in columns)
    return MessagePage(
        messages=[told(found, mark, threads[found.place]) for found in page],
        next_cursor=encode_cursor([part for folder in _FOLDERS for part in position[folder]]) if more else "",
    )


def told(found: Found, mark: str, thread_id: str) -> MessageSummary:
    """A message as it is told."""
    return summary(
        found.parsed,
        id_=shown("msg", mark, found.place),
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
        return dict.fromkeys(_FOLDERS, (0, 0))
    numbers = [int(part) for part in decode_cursor(cursor, (int,) * (2 * len(_FOLDERS)))]
    if any(not 0 <= number <= 2**32 for number in numbers):
        raise InvalidInput("not a cursor of this tool; leave `cursor` out to start from the first page", field="cursor")
    return {folder: (numbers[2 * n], numbers[2 * n + 1]) for n, folder in enumerate(_FOLDERS)}


class _Column:
    """A folder's part of a page: what is found in it, newest first, and how much of that the page takes."""

    def __init__(self, session: Session, folder: Folder, position: Position, args: SearchEmail) -> None:
        opened = session.open(folder)
        validity, below = position
        if validity not in {0, opened.validity}:
            raise InvalidInput("the mailbox was numbered anew; leave `cursor` out to start again", field="cursor")
        self.folder = folder
        self._validity = opened.validity
        self._below = below if validity else opened.next_uid
        self._looked_at: list[tuple[int, Found | None]] = []
        self._is_whole = True
        for uids in _batches(session, self._below, args):
            self._looked_at += _matching(session, Place(folder, opened.validity, 0), uids, args)
            found = sum(each is not None for _, each in self._looked_at)
            if found > args.limit or len(self._looked_at) > _LOOKED_AT * (args.limit + 1):
                self._is_whole = False
                break

    @property
    def head(self) -> Found | None:
        """The newest that the page has not taken."""
        while self._looked_at:
            uid, found = self._looked_at[0]
            if found:
                return found
            self._below = uid
            self._looked_at.pop(0)
        return None

    def take(self) -> Found:
        """Let the page have it."""
        assert self.head  # noqa: S101 - whoever takes it has looked
        self._below, found = self._looked_at.pop(0)
        assert found  # noqa: S101 - or it would be no head
        return found

    @property
    def position(self) -> Position:
        return self._validity, self._below

    @property
    def goes_on(self) -> bool:
        """Whether there may be more than the page took."""
        return self.head is not None or not self._is_whole


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


def _matching(
    session: Session, folder: Place, uids: Sequence[int], args: SearchEmail
) -> list[tuple[int, Found | None]]:
    found = find(session, folder, uids)
    return [(uid, each if each and args.sender in {None, each.parsed.sender_email} else None) for uid, each in found]


def find(session: Session, folder: Place, uids: Sequence[int]) -> list[tuple[int, Found | None]]:
    """Read the beginnings of messages of the open folder; None stands for one that is gone."""
    parts = session.fetch(uids, *_PARTS, f"BODY.PEEK[]<0.{_BEGINNING}>")
    long = [uid for uid, part in parts.items() if int(part.get(b"RFC822.SIZE", 0)) > _BEGINNING]
    structures = session.fetch(long, "BODYSTRUCTURE")
    return [
        (uid, _found(replace(folder, uid=uid), parts[uid], structures.get(uid, {}).get(b"BODYSTRUCTURE")))
        if uid in parts
        else (uid, None)
        for uid in uids
    ]


def _found(place: Place, parts: dict[bytes, Any], structure: object = None) -> Found:
    raw = next((value for name, value in parts.items() if name.startswith(b"BODY[]")), None) or b""
    parsed = parse(raw)
    return Found(
        place,
        parsed,
        at=parsed.sent_at or parts.get(b"INTERNALDATE") or UNDATED,
        unread=rb"\Seen" not in parts.get(b"FLAGS", ()),
        attached=len(parsed.attachments) if structure is None else attached_in(structure),
        size=int(parts.get(b"RFC822.SIZE", 0)),
    )


def get_thread(session: Session, tenant: str, args: GetThread) -> Thread:
    """A conversation's last messages. Of those that are too large together only the beginning is read."""
    mark = mark_of(tenant, args.mailbox)
    place = place_of(args.thread_id, mark)
    places = Conversations(session, mark, args.mailbox).places_of(place) if place else []
    if not places:
        raise NotFound(f"there is no conversation `{args.thread_id}` in `{args.mailbox}`", field="thread_id")
    room = _MOST_OF_A_THREAD
    messages: list[tuple[MessageSummary, ParsedMessage]] = []
    for where in places[-MAX_THREAD_MESSAGES:]:
        if session.go_to(where) and (found := _whole(session, where, room)):
            room -= found.size
            messages.append((told(found, mark, args.thread_id), found.parsed))
    return thread(args.thread_id, args.mailbox, messages, attachment_id)


def _whole(session: Session, place: Place, room: int) -> Found | None:
    size = int(session.fetch([place.uid], "RFC822.SIZE").get(place.uid, {}).get(b"RFC822.SIZE", 0))
    is_small = size <= min(room, LARGEST_MESSAGE)
    what = "BODY.PEEK[]" if is_small else f"BODY.PEEK[]<0.{_LONG_BEGINNING}>"
    parts = session.fetch([place.uid], *_PARTS, what).get(place.uid)
    if not parts:
        return None
    found = _found(place, parts)
    return found if is_small else replace(found, parsed=replace(found.parsed, truncated=True))


def read_attachment(session: Session, tenant: str, args: ReadAttachment) -> AttachmentContent:
    """Part of an attachment.

    Raises:
        NotFound: If the mailbox has no such attachment.
        InvalidInput: If the offset is at or beyond its end.
    """
    message_id, index = attachment_of(args.attachment_id)
    place = place_of(message_id, mark_of(tenant, args.mailbox))
    found = _whole(session, place, LARGEST_MESSAGE) if place and session.go_to(place) else None
    attached = [each for each in found.parsed.attachments if each.index == index] if found else []
    if not found or not attached:
        raise NotFound(f"there is no attachment `{args.attachment_id}` in `{args.mailbox}`", field="attachment_id")
    return part_of(attached[0], found.parsed.sender_email, args)


def get_message(session: Session, tenant: str, mailbox: str, id_: str, field: str = "message_id") -> Found:
    """A whole message by its id.

    Raises:
        NotFound: If the mailbox has none; `field` is at fault.
    """
    place = place_of(id_, mark_of(tenant, mailbox))
    found = _whole(session, place, LARGEST_MESSAGE) if place and session.go_to(place) else None
    if found is None:
        raise NotFound(f"there is no message `{id_}` in `{mailbox}`; search for it first", field=field)
    return found
