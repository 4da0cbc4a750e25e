"""Who is signed in: sessions on the server, of which a browser holds only the random name."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import CheckConstraint, Column, MetaData, Row, Table, Text, select
from sqlalchemy.exc import IntegrityError

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.oauth.mapping import meaning_of
from gateway.policy.files.identity import Identity, Issuer
from gateway.principal import Principal
from gateway.tokens import Token, Tokens, hash_of

metadata = MetaData()
_sessions = Table(
    "console_sessions",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("token_id", Text),
    Column("issuer", Text),
    Column("meaning", Text),
    Column("state", Text, unique=True),
    Column("roles", Text),
    Column("started_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("ended_at", Text),
    CheckConstraint("(token_id IS NULL) <> (issuer IS NULL)"),
)
_KEPT = timedelta(days=7)


class AlreadyUsed(Exception):
    """The sign-in has begun a session before."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What an issuer of `identity.toml` said of a person, once.

    Args:
        principal: The person, alone, with the roles that claims give.
        name: What the file calls the issuer.
        issuer: What the file says of it.
        state: Names the sign-in.
    """

    principal: Principal
    name: str
    issuer: Issuer
    state: str


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
        tokens: What sessions may begin with; a revoked token takes its sessions with it.
        length: How long a session lasts; never longer than its token.
    """

    def __init__(self, database: Database, tokens: Tokens, length: timedelta) -> None:
        self._database = database
        self._tokens = tokens
        self._length = length
        database.prepare()

    def start(self, by: Token | SignedIn, now: datetime) -> tuple[str, Session]:
        """Begin a session and return the secret name for the browser, which is kept nowhere, with the session.

        Raises:
            AlreadyUsed: If the sign-in with an issuer has begun one.
        """
        secret, who = secrets.token_urlsafe(32), by.principal
        until = now + self._length if isinstance(by, SignedIn) else min(now + self._length, by.expires_at)
        session = Session(who, _form_token(secret), until)
        row = {"hash": hash_of(secret), "tenant": who.tenant, "person": session.person, **_kept_by(by)}
        times = {"started_at": _text(now), "expires_at": _text(session.expires_at)}
        try:
            with self._database.changing(who.tenant) as connection:
                old = (_sessions.c.tenant == who.tenant, _sessions.c.expires_at < _text(now - _KEPT))
                connection.execute(_sessions.delete().where(*old))
                connection.execute(_sessions.insert().values(**row, **times))
        except IntegrityError:
            if isinstance(by, SignedIn):
                raise AlreadyUsed from None
            raise
        return secret, session

    def find(self, secret: str, now: datetime, identity: Identity | None) -> Session | None:
        """Find a session in force; one whose ground is gone is ended.

        Args:
            secret: Its name.
            now: The time.
            identity: What `identity.toml` says now.
        """
        query = select(_sessions).where(_sessions.c.hash == hash_of(secret), _sessions.c.ended_at.is_(None))
        # Whose it is, is known once it is found.
        with self._database.looking(EVERY_TENANT) as connection:
            row = connection.execute(query).first()
        if row is None or now >= (expires_at := datetime.fromisoformat(row.expires_at)):
            return None
        if not self._is_still_good(row, now, identity):
            self.end(secret, now)
            return None
        roles = frozenset(json.loads(row.roles)) if row.roles else frozenset()
        return Session(Principal(row.tenant, row.person, roles=roles), _form_token(secret), expires_at)

    def _is_still_good(self, row: Row[Any], now: datetime, identity: Identity | None) -> bool:
        if row.issuer is None:
            return self._tokens.is_good(row.token_id, now)
        issuer = identity.issuers.get(row.issuer) if identity else None
        return issuer is not None and issuer.console is not None and meaning_of(issuer) == row.meaning

    def end(self, secret: str, now: datetime) -> None:
        """End a session; ending it twice does nothing."""
        running = _sessions.update().where(_sessions.c.hash == hash_of(secret), _sessions.c.ended_at.is_(None))
        with self._database.changing(EVERY_TENANT) as connection:
            connection.execute(running.values(ended_at=_text(now)))


def _kept_by(by: Token | SignedIn) -> dict[str, str]:
    """What a session stands on."""
    if isinstance(by, Token):
        return {"token_id": by.id}
    roles = json.dumps(sorted(by.principal.roles))
    return {"issuer": by.name, "meaning": meaning_of(by.issuer), "state": hash_of(by.state), "roles": roles}


def _form_token(secret: str) -> str:
    # One way: a form's token, which stands in pages, does not give the session's name away.
    return hashlib.sha256(b"form " + secret.encode("utf-8", "surrogatepass")).hexdigest()


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
