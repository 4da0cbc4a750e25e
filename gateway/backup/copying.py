"""Copies of SQLite databases, all as of one moment, while a gateway goes on writing to them."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from gateway.backup.manifest import BadBackup

_BUSY_SECONDS = 30.0
_PAGES = 2_000
"""Copied at a time: some 8 MB."""

Told = Callable[[int, int], None]
"""Is told how many pages are copied, and of how many."""


def copy_at_one_moment(files: Mapping[Path, Path], told: Told) -> None:
    """Copy databases.

    For the moment in which they begin to be read, nobody writes to any of them: no effect is in one copy whose intent
    is missing in the other. From then on each is read as it stood, and gateways go on.

    Args:
        files: Where each copy is made, and of which database.
        told: Hears how far it is.

    Raises:
        BadBackup: If one cannot be read or copied.
    """
    try:
        with ExitStack() as opened:
            sources = {copy: opened.enter_context(closing(_opened(path))) for copy, path in files.items()}
            with ExitStack() as locks:
                for path in set(files.values()):
                    locks.enter_context(closing(_opened(path))).execute("BEGIN IMMEDIATE")
                for source in sources.values():
                    source.execute("BEGIN")
                    source.execute("SELECT count(*) FROM sqlite_master").fetchall()
            for copy, source in sources.items():
                _copy(source, copy, told)
    except sqlite3.Error as error:
        raise BadBackup(f"a database cannot be copied: {error}; is there room on the disk?") from error


def _opened(path: Path) -> sqlite3.Connection:
    # Not made if it is not there.
    where = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(where, timeout=_BUSY_SECONDS, uri=True, isolation_level=None)


def _copy(source: sqlite3.Connection, copy: Path, told: Told) -> None:
    def progress(_status: int, left: int, pages: int) -> None:
        told(pages - left, pages)

    with closing(sqlite3.connect(copy)) as target:
        source.backup(target, pages=_PAGES, progress=progress)
        # A copy has no second process beside it: it is one whole file.
        target.execute("PRAGMA journal_mode=DELETE")
