"""Static bearer tokens: made once, shown once, kept as hashes.

A token is 256 random bits, so a plain SHA-256 keeps it safe: there is nothing to guess.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.principal import Principal

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    person TEXT,
    agent TEXT,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    revoked_at TEXT
)
"""
_BUSY_SECONDS = 5


@dataclass(frozen=True)
class Token:
    """What is known of a token; never the token itself."""

    id: str
    principal: Principal
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    def good_at(self, now: datetime) -> bool:
        """Say whether it is neither expired nor revoked."""
        return self.revoked_at is None and now < self.expires_at


class Tokens:
    """The tokens in one SQLite file. Every call opens it anew; it is used off the event loop.

    Args:
        path: The database file; made if absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as connection:
            connection.execute(_SCHEMA)

    def create(self, principal: Principal, now: datetime, expires_at: datetime) -> tuple[str, Token]:
        """Make a token and return its secret text, which is kept nowhere, with what is known of it."""
        secret = f"remit_{secrets.token_urlsafe(32)}"
        token = Token(f"tok_{secrets.token_hex(6)}", principal, now, expires_at, None)
        row = (token.id, _hash(secret), principal.tenant, principal.person, principal.agent)
        with self._open() as connection:
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (*row, now.isoformat(), expires_at.isoformat()),
            )
        return secret, token

    def revoke(self, token_id: str, now: datetime) -> bool:
        """Revoke a token; say whether there was such a token in force."""
        with self._open() as connection:
            changed = connection.execute(
                "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (now.isoformat(), token_id)
            )
            return changed.rowcount == 1

    def find(self, secret: str) -> Token | None:
        """Find what is known of a token by its secret text, expired and revoked ones included."""
        with self._open() as connection:
            row = connection.execute(f"{_SELECT} WHERE hash = ?", (_hash(secret),)).fetchone()
        return _token(row) if row else None

    def all(self) -> list[Token]:
        """Every token, oldest first."""
        with self._open() as connection:
            return [_token(row) for row in connection.execute(f"{_SELECT} ORDER BY created_at, id")]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS)) as connection, connection:
            yield connection


_SELECT = "SELECT id, tenant, person, agent, created_at, expires_at, revoked_at FROM tokens"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _token(row: tuple[str, str, str | None, str | None, str, str, str | None]) -> Token:
    token_id, tenant, person, agent, created, expires, revoked = row
    return Token(
        token_id,
        Principal(tenant, person, agent),
        datetime.fromisoformat(created),
        datetime.fromisoformat(expires),
        datetime.fromisoformat(revoked) if revoked else None,
    )
