"""Seals what the journal holds: extends the Merkle tree by what is new, signs it and publishes the checkpoint.

Nothing is signed that does not continue what was signed before: a journal that was altered or cut off under a running
gateway gets no further checkpoint.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from connectors.embedded.engine import reason
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.journal.chain import Tree
from gateway.journal.checkpoint import Checkpoint, newest_published, open_checkpoint, publish, sign
from gateway.journal.note import BadNote, Signer
from gateway.journal.schema import checkpoints, journal
from gateway.journal.schema import tree as kept_tree

_SIZE = select(func.coalesce(func.max(journal.c.position), 0))
_NEWEST = select(checkpoints.c.note).order_by(checkpoints.c.size.desc()).limit(1)
_TREE = select(kept_tree.c.size, kept_tree.c.subtrees)
_HASHES = select(journal.c.hash).order_by(journal.c.position)
_KEEP_NOTE = text("INSERT INTO journal_checkpoints (size, note) VALUES (:size, :note) ON CONFLICT DO NOTHING")
_KEEP_TREE = text("""
INSERT INTO journal_tree (one, size, subtrees) VALUES (1, :size, :subtrees)
ON CONFLICT (one) DO UPDATE SET size = excluded.size, subtrees = excluded.subtrees
""")


class CannotSeal(Exception):
    """No checkpoint can be made of the journal as it stands; says why."""


class Sealer:
    """Makes checkpoints of one journal.

    Args:
        database: Where the journal is.
        folder: Where checkpoints are published.
        signer: The journal's key.
        now: The time; names the file that a checkpoint goes into.
    """

    def __init__(self, database: Database, folder: Path, signer: Signer, now: Callable[[], datetime]) -> None:
        self._database = database
        self._folder = folder
        self._signer = signer
        self._now = now
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
            newest = self._sign_new()
            if self._unpublished:
                publish(self._folder, self._now().date(), self._unpublished)
                self._unpublished = None
        except BadNote as error:
            raise CannotSeal(f"{error}; is `journal.key` the one that this journal began with?") from error
        except SQLAlchemyError as error:
            raise CannotSeal(reason(error)) from error
        except OSError as error:
            raise CannotSeal(str(error)) from error
        return newest

    def _sign_new(self) -> Checkpoint | None:
        if not self._looked_back:
            self._database.prepare()
        with self._database.at_one_moment(EVERY_TENANT) as connection:
            signed = self._signed_before(connection)
            size: int = connection.execute(_SIZE).scalar_one()
            if signed and size < signed.size:
                raise CannotSeal(f"the journal ends at {size}, but {signed.size} entries were signed: it was cut off")
            self._tree = self._tree_of(connection, signed) if signed else Tree()
            if size == (signed.size if signed else 0):
                return signed
            _extend(connection, self._tree, size)
        checkpoint = sign(self._tree, self._signer)
        _store(self._database, checkpoint, self._tree)
        self._newest = self._unpublished = checkpoint
        return checkpoint

    def _signed_before(self, connection: Connection) -> Checkpoint | None:
        stored = self._newest_stored(connection)
        if not self._looked_back:
            published = newest_published(self._folder, self._key)
            # What was signed and could not be published then is published now.
            self._unpublished = stored if stored and (published is None or published.size < stored.size) else None
            self._newest = max(filter(None, (stored, published)), key=_size, default=None)
            self._looked_back = True
        return max(filter(None, (stored, self._newest)), key=_size, default=None)

    def _newest_stored(self, connection: Connection) -> Checkpoint | None:
        note = connection.execute(_NEWEST).scalar()
        try:
            return None if note is None else open_checkpoint(note, self._key)
        except BadNote as error:
            raise BadNote(f"the newest checkpoint in the database: {error}") from None

    def _tree_of(self, connection: Connection, signed: Checkpoint) -> Tree:
        row = connection.execute(_TREE).first()
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


def _extend(connection: Connection, tree: Tree, size: int) -> None:
    new = _HASHES.where(journal.c.position > tree.size, journal.c.position <= size)
    for leaf in connection.execute(new).scalars():
        tree.append(leaf)
    if tree.size != size:
        raise CannotSeal(f"{size - tree.size} of the first {size} entries are missing")


def _store(database: Database, checkpoint: Checkpoint, tree: Tree) -> None:
    with database.changing(EVERY_TENANT) as connection:
        connection.execute(_KEEP_NOTE, {"size": checkpoint.size, "note": checkpoint.note})
        connection.execute(_KEEP_TREE, {"size": tree.size, "subtrees": tree.subtrees})
