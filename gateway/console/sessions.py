"""Who is signed in: sessions on the server, of which a browser holds only the random name."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Column, MetaData, Table, Text, select

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.principal import Principal
from gateway.tokens import Token, Tokens, hash_of

metadata = MetaData()
_sessions = Table(
    "console_sessions",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("token_id", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("ended_at", Text),
)
_KEPT = timedelta(days=7)


@dataclass(frozen=True)
class Session:
    """A person's sign-in.

    Args:
        principal: The person, alone.
        form_token: What each of this session's forms has to carry.
        expires_at: From then on it is none.
    """

    principal: Principal
    form_token: str
    expires_at: datetime

    @property
    def person(self) -> str:
        """The person's `sub`."""
        return self.principal.person or ""


class Sessions:
    """The sessions in one database; used off the event loop.

    Args:
        database: Where they are kept; the table is made if absent.
        tokens: What sessions begin with; a revoked token takes its sessions with it.
        length: How long a session lasts; never longer than its token.
    """

    def __init__(self, database: Database, tokens: Tokens, length: timedelta) -> None:
        self._database = database
        self._tokens = tokens
        self._length = length
        database.prepare()

    def start(self, token: Token, now: datetime) -> tuple[str, Session]:
        """Begin a session and return the secret name for the browser, which is kept nowhere, with the session."""
        secret = secrets.token_urlsafe(32)
        session = Session(token.principal, _form_token(secret), min(now + self._length, token.expires_at))
        row = {"hash": hash_of(secret), "tenant": token.principal.tenant, "person": session.person}
        times = {"started_at": _text(now), "expires_at": _text(session.expires_at)}
        with self._database.changing(token.principal.tenant) as connection:
            old = (_sessions.c.tenant == token.principal.tenant, _sessions.c.expires_at < _text(now - _KEPT))
            connection.execute(_sessions.delete().where(*old))
            connection.execute(_sessions.insert().values(token_id=token.id, **row, **times))
        return secret, session

    def find(self, secret: str, now: datetime) -> Session | None:
        """Find a session in force."""
        columns = (_sessions.c.tenant, _sessions.c.person, _sessions.c.token_id, _sessions.c.expires_at)
        query = select(*columns).where(_sessions.c.hash == hash_of(secret), _sessions.c.ended_at.is_(None))
        # Whose it is, is known once it is found.
        with self._database.looking(EVERY_TENANT) as connection:
            row = connection.execute(query).first()
        if row is None or now >= (expires_at := datetime.fromisoformat(row.expires_at)):
            return None
        if not self._tokens.is_good(row.token_id, now):
            return None
        return Session(Principal(row.tenant, person=row.person), _form_token(secret), expires_at)

    def end(self, secret: str, now: datetime) -> None:
        """End a session; ending it twice does nothing."""
        running = _sessions.update().where(_sessions.c.hash == hash_of(secret), _sessions.c.ended_at.is_(None))
        with self._database.changing(EVERY_TENANT) as connection:
            connection.execute(running.values(ended_at=_text(now)))


def _form_token(secret: str) -> str:
    # One way: a form's token, which stands in pages, does not give the session's name away.
    return hashlib.sha256(b"form " + secret.encode("utf-8", "surrogatepass")).hexdigest()


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
