"""Who calls: the principal behind a request.

Over HTTP a bearer token names the principal; over stdio, and on loopback without authentication, the operator does.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import anyio.to_thread
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from gateway.principal import Principal
from gateway.tokens import Audience, Token, Tokens

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

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what the token grants; None if unknown, expired, revoked or not for calls (RFC 6750, section 3.1)."""
        found = await self._find(token)
        if found is None or not found.good_at(self._now()) or found.audience is not Audience.MCP:
            return None
        who = found.principal
        claims = {"iss": "remit", "tenant": who.tenant, "person": who.person, "agent": who.agent}
        client = who.agent or who.person or ""
        # The session layer keeps this object: the secret itself does not belong in it.
        return AccessToken(token=found.id, client_id=client, scopes=[], subject=who.person, claims=claims)

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


def principal_of(user: Any) -> Principal | None:  # noqa: ANN401 - whatever the HTTP layer attached
    """The principal of an authenticated HTTP request's user, or None if it is not authenticated."""
    if not isinstance(user, AuthenticatedUser):
        return None
    claims = user.access_token.claims or {}
    return Principal(claims["tenant"], claims["person"], claims["agent"])
