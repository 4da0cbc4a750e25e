"""DPoP proofs that were used, for all processes on a database: each counts once (RFC 9449, section 11.1)."""

import hashlib
from collections.abc import Callable

from sqlalchemy import Column, MetaData, Table, Text
from sqlalchemy.exc import IntegrityError

from gateway.database import Database
from gateway.oauth.dpop import SECONDS, Proof

metadata = MetaData()
_proofs = Table(
    "dpop_proofs",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("used_at", Text, nullable=False),
)
_KEPT = 3 * SECONDS
_FORGET_EVERY = 60.0


class Proofs:
    """Remembers used proofs for as long as they would be accepted; used off the event loop.

    Args:
        database: Where they are kept; the table is made if absent.
        clock: The time in seconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._forgot_at = 0.0
        database.prepare()

    def use(self, proof: Proof, tenant: str) -> bool:
        """Use a proof; say whether it had not been used.

        Raises:
            SQLAlchemyError: If that cannot be kept; then it must not count.
        """
        now = self._clock()
        name = hashlib.sha256(repr((proof.key, proof.id)).encode("utf-8", "backslashreplace")).hexdigest()
        try:
            with self._database.changing(tenant) as connection:
                if now - self._forgot_at >= _FORGET_EVERY:
                    connection.execute(_proofs.delete().where(_proofs.c.used_at < _text(now - _KEPT)))
                    self._forgot_at = now
                connection.execute(_proofs.insert().values(hash=name, tenant=tenant, used_at=_text(now)))
        except IntegrityError:
            return False
        return True


def _text(seconds: float) -> str:
    return f"{seconds:020.3f}"
