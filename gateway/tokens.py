"""Static bearer tokens: made once, shown once, kept as hashes.

A token is 256 random bits, so a plain SHA-256 keeps it safe: there is nothing to guess.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, MetaData, Select, Table, Text, select

from connectors.embedded.tenancy import EVERY_TENANT, EveryTenant, Tenant
from gateway.database import Database
from gateway.principal import Principal

PREFIX = "remit_"
"""What every token of the store begins with, and no other."""

metadata = MetaData()
_tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("person", Text),
    Column("agent", Text),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("revoked_at", Text),
    Column("audience", Text, nullable=False, server_default="mcp"),
)


class Audience(StrEnum):
    """What a token opens, and nothing else: what an assistant holds neither answers a question nor grants a task."""

    MCP = "mcp"
    CONSOLE = "console"
    GRANTS = "grants"
    """To issue grants and take them back."""


@dataclass(frozen=True)
class Token:
    """What is known of a token; never the token itself."""

    id: str
    principal: Principal
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    audience: Audience = Audience.MCP

    def good_at(self, now: datetime) -> bool:
        """Say whether it is neither expired nor revoked."""
        return self.revoked_at is None and now < self.expires_at


class Tokens:
    """The tokens in one database; used off the event loop.

    Args:
        database: Where they are kept; the table is made if absent.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.prepare()

    def create(
        self, principal: Principal, now: datetime, expires_at: datetime, audience: Audience = Audience.MCP
    ) -> tuple[str, Token]:
        """Make a token and return its secret text, which is kept nowhere, with what is known of it.

        Raises:
            ValueError: If it is for the console and not for a person alone.
        """
        if audience is Audience.CONSOLE and (principal.agent is not None or principal.person is None):
            raise ValueError("only a person signs in to the console: name a person and no agent")
        secret = f"{PREFIX}{secrets.token_urlsafe(32)}"
        token = Token(f"tok_{secrets.token_hex(6)}", principal, now, expires_at, None, audience)
        row = {"tenant": principal.tenant, "person": principal.person, "agent": principal.agent}
        times = {"created_at": now.isoformat(), "expires_at": expires_at.isoformat()}
        with self._database.changing(principal.tenant) as connection:
            connection.execute(
                _tokens.insert().values(id=token.id, hash=hash_of(secret), audience=audience.value, **row, **times)
            )
        return secret, token

    def revoke(self, token_id: str, now: datetime) -> bool:
        """Revoke a token; say whether there was such a token in force."""
        in_force = _tokens.update().where(_tokens.c.id == token_id, _tokens.c.revoked_at.is_(None))
        with self._database.changing(EVERY_TENANT) as connection:
            return connection.execute(in_force.values(revoked_at=now.isoformat())).rowcount == 1

    def find(self, secret: str) -> Token | None:
        """Find what is known of a token by its secret text, expired and revoked ones included."""
        return next(iter(self._read(_KNOWN.where(_tokens.c.hash == hash_of(secret)))), None)

    def is_good(self, token_id: str, now: datetime) -> bool:
        """Say whether a token is known by this id, and neither expired nor revoked."""
        found = self._read(_KNOWN.where(_tokens.c.id == token_id))
        return any(token.good_at(now) for token in found)

    def all(self, tenant: Tenant = EVERY_TENANT) -> list[Token]:
        """Every token of a tenant, or of all, oldest first."""
        theirs = _KNOWN if isinstance(tenant, EveryTenant) else _KNOWN.where(_tokens.c.tenant == tenant)
        return self._read(theirs.order_by(_tokens.c.created_at, _tokens.c.id), tenant)

    def _read(self, query: Select[Any], tenant: Tenant = EVERY_TENANT) -> list[Token]:
        # Whose a token is, is known once it is found.
        with self._database.looking(tenant) as connection:
            return [_token(row) for row in connection.execute(query)]


_KNOWN: Select[Any] = select(*(column for column in _tokens.c if column.name != "hash"))


def hash_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _token(row: Sequence[Any]) -> Token:
    token_id, tenant, person, agent, created, expires, revoked, audience = row
    return Token(
        token_id,
        Principal(tenant, person, agent),
        datetime.fromisoformat(created),
        datetime.fromisoformat(expires),
        datetime.fromisoformat(revoked) if revoked else None,
        Audience(audience),
    )
