"""Checkpoints: signed statements of how many entries the journal has and which (C2SP tlog-checkpoint).

They are published in a folder outside the database: text files, one for each day, to which notes are only ever added,
each followed by an empty line. Copy them to where the operator of the gateway cannot write.
"""

import base64
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gateway.journal.chain import Tree
from gateway.journal.note import BadNote, PublicKey, Signer

_TEXT = re.compile(r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n")


@dataclass(frozen=True)
class Checkpoint:
    """The state of a journal as its key signed it.

    Args:
        size: How many entries it had.
        root: The Merkle tree's root over their hashes, 32 bytes.
        note: The signed note that says so.
    """

    size: int
    root: bytes
    note: str


def sign(tree: Tree, signer: Signer) -> Checkpoint:
    """Make a checkpoint of a tree."""
    text = f"{signer.name}\n{tree.size}\n{base64.b64encode(tree.root).decode()}\n"
    return Checkpoint(tree.size, tree.root, signer.sign(text))


def open_checkpoint(note: str, key: PublicKey) -> Checkpoint:
    """Read a checkpoint and check its signature.

    Raises:
        BadNote: If it is malformed, signed by another key or another journal's.
    """
    found = _TEXT.fullmatch(key.open(note))
    if not found or found["origin"] != key.name:
        raise BadNote("it is no checkpoint of this journal")
    return Checkpoint(int(found["size"]), base64.b64decode(found["root"]), note)


def publish(folder: Path, day: date, checkpoint: Checkpoint) -> None:
    """Add a checkpoint to the day's file and wait until it is on the disk.

    Raises:
        OSError: If that fails.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _file_to_add_to(folder, day)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        # In one write, so that processes do not write into each other's notes.
        note = f"{checkpoint.note}\n".encode()
        if os.write(file, note) != len(note):
            raise OSError(f"`{path}` could not be written whole")
        os.fsync(file)
    finally:
        os.close(file)


def _file_to_add_to(folder: Path, day: date) -> Path:
    number, path = 1, folder / f"{day}.txt"
    # After a torn write the file is left as it is.
    while not _is_whole(path):
        number += 1
        path = folder / f"{day}-{number}.txt"
    return path


def _is_whole(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 2, 0))
            return end == 0 or file.read() == b"\n\n"
    except FileNotFoundError:
        return True


def read_published(place: Path, key: PublicKey) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a published file, or of all files of a folder.

    What a torn write left at a file's end is passed over: it was never told to anybody.

    Raises:
        BadNote: If one is malformed or not signed with the key; names the file and the note's place in it.
        OSError: If something cannot be read.
    """
    for path in sorted(place.glob("*.txt"), key=_in_order) if place.is_dir() else [place]:
        *notes, _torn = _split(path.read_text("utf-8", errors="replace"))
        for number, note in enumerate(notes, start=1):
            try:
                yield open_checkpoint(note, key)
            except BadNote as error:
                raise BadNote(f"checkpoint {number} of `{path}`: {error}") from None


def newest_published(folder: Path, key: PublicKey) -> Checkpoint | None:
    """The last checkpoint that was published in a folder, if there is any.

    Raises:
        BadNote: If one of the last file is malformed or not signed with the key.
        OSError: If something cannot be read.
    """
    for path in sorted(folder.glob("*.txt"), key=_in_order, reverse=True):
        found = list(read_published(path, key))
        if found:
            return max(found, key=lambda checkpoint: checkpoint.size)
    return None


def _in_order(path: Path) -> tuple[str, int, str]:
    return path.stem[:10], len(path.stem), path.stem


def _split(text: str) -> list[str]:
    # A note is three lines, an empty one and its signatures; an empty line ends it.
    parts = text.split("\n\n")
    pairs = [f"{body}\n\n{signatures}\n" for body, signatures in zip(parts[0:-1:2], parts[1:-1:2], strict=False)]
    return [*pairs, parts[-1]]
