"""The chain: each entry's hash covers everything that is stored of it and the hash of the entry before.

The hash is at the same time the entry's leaf hash in the Merkle tree that checkpoints sign (RFC 9162, section 2.1.1).
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from gateway.journal.entry import Row

GENESIS = bytes(32)
"""What stands for the hash of the entry before the first."""

_LEAF, _NODE = b"\x00", b"\x01"
_FORM = b"remit entry 1\n"
# The position and the length of each stored text; -1 says that there is none.
_LENGTHS = Struct(">Q7i")


class Stored(NamedTuple):
    """An entry as it stands in the journal."""

    position: int
    previous: bytes
    row: Row
    hash: bytes

    @property
    def own_hash(self) -> bytes:
        """What its hash should be, by its own account of the entry before."""
        return entry_hash(self.position, self.previous, self.row)


class Key(NamedTuple):
    """What opens the personal parts of the entry at a position. No hash covers it: it can be destroyed."""

    position: int
    key: bytes


def entry_bytes(position: int, previous: bytes, row: Row) -> bytes:
    """The bytes that an entry's hash is taken over: no two entries share them.

    Args:
        position: Where it stands, from 1.
        previous: The hash of the entry before, 32 bytes.
        row: The stored values.
    """
    texts = [None if text is None else text.encode() for text in row]
    lengths = [-1 if text is None else len(text) for text in texts]
    return b"".join((_FORM, previous, _LENGTHS.pack(position, *lengths), *filter(None, texts)))


def entry_hash(position: int, previous: bytes, row: Row) -> bytes:
    """SHA-256 over a zero byte and `entry_bytes`."""
    return sha256(_LEAF + entry_bytes(position, previous, row)).digest()


def chained(rows: Iterable[Row], position: int, head: bytes) -> Iterator[Stored]:
    """Give rows their places after an entry.

    Args:
        rows: What is to be written.
        position: The position of the last entry, 0 if there is none.
        head: The hash of the last entry.
    """
    for row in rows:
        position += 1
        stored = Stored(position, head, row, entry_hash(position, head, row))
        head = stored.hash
        yield stored


class Tree:
    """A Merkle tree that grows, kept as the roots of its whole subtrees: as many hashes as `size` has one bits.

    Args:
        size: How many leaves it has.
        subtrees: Their roots, largest first, 32 bytes each.
    """

    def __init__(self, size: int = 0, subtrees: bytes = b"") -> None:
        self.size = size
        self._subtrees = [subtrees[start : start + 32] for start in range(0, len(subtrees), 32)]

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its hash."""
        full = self.size
        while full & 1:
            leaf = sha256(_NODE + self._subtrees.pop() + leaf).digest()
            full >>= 1
        self._subtrees.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        """The tree's hash (RFC 9162, section 2.1.1)."""
        if not self._subtrees:
            return sha256().digest()
        root = self._subtrees[-1]
        for left in reversed(self._subtrees[:-1]):
            root = sha256(_NODE + left + root).digest()
        return root

    @property
    def subtrees(self) -> bytes:
        """What another `Tree` can go on from."""
        return b"".join(self._subtrees)
