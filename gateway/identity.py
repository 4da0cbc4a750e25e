"""Who calls: what the token behind a request gives, as the MCP layer carries it.

Over HTTP a token names the principal; over stdio, and on loopback without authentication, the operator does.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import anyio.to_thread
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.authentication import AuthCredentials

from gateway.access import Access
from gateway.tokens import PREFIX, Audience, Token, Tokens

_REMEMBERED_SECONDS = 5
_REMEMBERED_TOKENS = 1_000


class StaticTokenVerifier:
    """Verifies bearer tokens against the store. A revoked token is refused within five seconds.

    Args:
        tokens: The store.
        now: The clock.
    """

    def __init__(self, tokens: Tokens, now: Callable[[], datetime]) -> None:
        self._tokens = tokens
        self._now = now
        self._seen: dict[str, tuple[float, Token]] = {}

    async def verify(self, token: str) -> Access | None:
        """Return what the token gives; None if unknown, expired, revoked or not for calls (RFC 6750, section 3.1)."""
        found = await self._find(token) if token.startswith(PREFIX) else None
        if found is None or not found.good_at(self._now()) or found.audience is not Audience.MCP:
            return None
        return Access(found.principal, found.id, expires_at=found.expires_at.timestamp())

    async def _find(self, secret: str) -> Token | None:
        time = self._now().timestamp()
        if (seen := self._seen.get(secret)) and time - seen[0] < _REMEMBERED_SECONDS:
            return seen[1]
        found = await anyio.to_thread.run_sync(self._tokens.find, secret)
        if len(self._seen) >= _REMEMBERED_TOKENS:
            self._seen.clear()
        if found:
            self._seen[secret] = (time, found)
        return found


class Caller(AuthenticatedUser):
    """The user of a request, as the SDK knows users.

    Args:
        access: What its token gives.
    """

    def __init__(self, access: Access) -> None:
        who = access.principal
        # The session layer keeps this object and lets nobody else into the session: the token itself has no place here.
        issuer = {"iss": f"{access.issuer or 'remit'} {who.tenant}"}
        super().__init__(
            AccessToken(token=access.token, client_id=who.name, scopes=[], subject=who.name, claims=issuer)
        )
        self.access = access


def caller(access: Access) -> tuple[AuthCredentials, Caller]:
    """What a request carries of who makes it."""
    return AuthCredentials(), Caller(access)


def access_of(user: Any) -> Access | None:  # noqa: ANN401 - whatever the HTTP layer attached
    """What an authenticated HTTP request's token gives, or None if it is not authenticated."""
    return user.access if isinstance(user, Caller) else None
