"""Seals what the journal holds: extends the Merkle tree by what is new, signs it and publishes the checkpoint.

Nothing is signed that does not continue what was signed before: a journal that was altered or cut off under a running
gateway gets no further checkpoint.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from gateway.journal.chain import Tree
from gateway.journal.checkpoint import Checkpoint, newest_published, open_checkpoint, publish, sign
from gateway.journal.database import connect
from gateway.journal.note import BadNote, Signer

_SIZE = "SELECT coalesce(max(position), 0) FROM journal"
_NEWEST = "SELECT note FROM journal_checkpoints ORDER BY size DESC LIMIT 1"
_TREE = "SELECT size, subtrees FROM journal_tree"
_HASHES = "SELECT hash FROM journal WHERE position > ? AND position <= ? ORDER BY position"


class CannotSeal(Exception):
    """No checkpoint can be made of the journal as it stands; says why."""


class Sealer:
    """Makes checkpoints of one journal.

    Args:
        database: The journal's file.
        folder: Where checkpoints are published.
        signer: The journal's key.
        now: The time; names the file that a checkpoint goes into.
        patience: Seconds to wait for another writer.
    """

    def __init__(
        self, database: Path, folder: Path, signer: Signer, now: Callable[[], datetime], patience: float
    ) -> None:
        self._database = database
        self._folder = folder
        self._signer = signer
        self._now = now
        self._patience = patience
        self._key = signer.public
        self._tree = Tree()
        self._newest: Checkpoint | None = None
        self._unpublished: Checkpoint | None = None
        self._looked_back = False

    def seal(self) -> Checkpoint | None:
        """Sign all entries there are, unless that is done, and publish the newest checkpoint, unless that is done.

        Returns:
            The newest checkpoint; None while the journal is empty.

        Raises:
            CannotSeal: If the journal does not continue what was signed, or something cannot be read or written.
        """
        try:
            with closing(connect(self._database, self._patience)) as connection:
                newest = self._sign_new(connection)
            if self._unpublished:
                publish(self._folder, self._now().date(), self._unpublished)
                self._unpublished = None
        except BadNote as error:
            raise CannotSeal(f"{error}; is `journal.key` the one that this journal began with?") from error
        except (sqlite3.Error, OSError) as error:
            raise CannotSeal(str(error)) from error
        return newest

    def _sign_new(self, connection: sqlite3.Connection) -> Checkpoint | None:
        signed = self._signed_before(connection)
        [size] = connection.execute(_SIZE).fetchone()
        if signed and size < signed.size:
            raise CannotSeal(f"the journal ends at {size}, but {signed.size} entries were signed: it was cut off")
        self._tree = self._tree_of(connection, signed) if signed else Tree()
        if size == (signed.size if signed else 0):
            return signed
        _extend(connection, self._tree, size)
        checkpoint = sign(self._tree, self._signer)
        _store(connection, checkpoint, self._tree)
        self._newest = self._unpublished = checkpoint
        return checkpoint

    def _signed_before(self, connection: sqlite3.Connection) -> Checkpoint | None:
        stored = self._newest_stored(connection)
        if not self._looked_back:
            published = newest_published(self._folder, self._key)
            # What was signed and could not be published then is published now.
            self._unpublished = stored if stored and (published is None or published.size < stored.size) else None
            self._newest = max(filter(None, (stored, published)), key=_size, default=None)
            self._looked_back = True
        return max(filter(None, (stored, self._newest)), key=_size, default=None)

    def _newest_stored(self, connection: sqlite3.Connection) -> Checkpoint | None:
        row = connection.execute(_NEWEST).fetchone()
        try:
            return open_checkpoint(row[0], self._key) if row else None
        except BadNote as error:
            raise BadNote(f"the newest checkpoint in the database: {error}") from None

    def _tree_of(self, connection: sqlite3.Connection, signed: Checkpoint) -> Tree:
        row = connection.execute(_TREE).fetchone()
        for tree in (self._tree, Tree(*row) if row else Tree()):
            if (tree.size, tree.root) == (signed.size, signed.root):
                return tree
        tree = Tree()
        _extend(connection, tree, signed.size)
        if tree.root != signed.root:
            raise CannotSeal(f"the first {signed.size} entries are not those that were signed: the journal was altered")
        return tree


def _size(checkpoint: Checkpoint) -> int:
    return checkpoint.size


def _extend(connection: sqlite3.Connection, tree: Tree, size: int) -> None:
    for (leaf,) in connection.execute(_HASHES, (tree.size, size)):
        tree.append(leaf)
    if tree.size != size:
        raise CannotSeal(f"{size - tree.size} of the first {size} entries are missing")


def _store(connection: sqlite3.Connection, checkpoint: Checkpoint, tree: Tree) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT OR IGNORE INTO journal_checkpoints VALUES (?, ?)", (checkpoint.size, checkpoint.note))
    connection.execute("REPLACE INTO journal_tree VALUES (1, ?, ?)", (tree.size, tree.subtrees))
    connection.execute("COMMIT")
