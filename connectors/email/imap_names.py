"""The ids of what is in an IMAP mailbox: they say where it is, so that nothing has to be kept.

A message is where its folder, the folder's UIDVALIDITY and its UID say (RFC 9051, section 2.3.1.1). A server that
numbers a folder anew changes its UIDVALIDITY, and then an old id names nothing. Each id bears a mark of its mailbox.
"""

import re
from base64 import b32encode
from dataclasses import dataclass
from hashlib import sha256

from connectors.email.tools import Folder

FOLDERS: tuple[Folder, ...] = ("inbox", "sent", "archive")
"""Those that are shown."""

_LETTERS: dict[Folder, str] = {folder: folder[0] for folder in FOLDERS}
_FOLDERS: dict[str, Folder] = {letter: folder for folder, letter in _LETTERS.items()}
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID = re.compile(r"(?:msg|thr)_([a-z2-7]{8})([isa])([0-9a-z]{7})([0-9a-z]{7})")


@dataclass(frozen=True, order=True)
class Place:
    """Where a message is."""

    folder: Folder
    validity: int
    uid: int


def mark_of(tenant: str, mailbox: str) -> str:
    """What the ids of a mailbox have in common, and no other's."""
    return b32encode(sha256(f"{tenant}\x1f{mailbox}".encode()).digest()).decode().lower()[:8]


def shown(kind: str, mark: str, place: Place) -> str:
    """The id of what is at a place.

    Args:
        kind: `msg`, or `thr` for the conversation that the message there stands for.
        mark: The mailbox's.
        place: Where.
    """
    return f"{kind}_{mark}{_LETTERS[place.folder]}{_digits(place.validity, 7)}{_digits(place.uid, 7)}"


def place_of(id_: str, mark: str) -> Place | None:
    """Where the message of an id is; None if the id was not made for this mailbox."""
    found = _ID.fullmatch(id_)
    if not found or found[1] != mark:
        return None
    return Place(_FOLDERS[found[2]], int(found[3], 36), int(found[4], 36))


def _digits(number: int, width: int) -> str:
    found = ""
    for _ in range(width):
        number, digit = divmod(number, 36)
        found = _DIGITS[digit] + found
    return found
