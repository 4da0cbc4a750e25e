"""A PostgreSQL connection that does not wait for ever, whatever happens to the server."""

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

_R = TypeVar("_R")


class PatientConnection(psycopg.Connection[Any]):
    """A connection that is given up if one answer takes too long.

    The server's own limits say sooner and better what went wrong; this one holds when it stands still altogether.
    """

    patience: float = 30
    """Seconds."""

    def wait(self, gen: Generator[Any, Any, _R], interval: float = 0.1, timeout: float | None = None) -> _R:
        """Wait for an answer.

        Raises:
            psycopg.OperationalError: If it does not come; the connection is closed then.
        """
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - what `Connection.wait` documents
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the server gave no answer within {self.patience:g} s") from None
