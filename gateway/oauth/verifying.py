"""The way of one token: whose it is, whether it is good, and who calls with it."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from gateway.access import Access
from gateway.oauth.dpop import bound_to
from gateway.oauth.introspection import introspected, same_token
from gateway.oauth.jwt import MAX_TOKEN, Unverified, check_claims, check_header, signed_claims, unverified
from gateway.oauth.keys import Keys
from gateway.oauth.mapping import access_of_claims
from gateway.oauth.own import OwnTokens
from gateway.oauth.refusals import BadToken
from gateway.policy.files.identity import Identity, Issuer
from gateway.policy.judge import Policy
from gateway.tokens import PREFIX

REMEMBERED_SECONDS = 60.0
"""How long a token that was good is not looked at again."""
_MOST_REMEMBERED = 10_000


class StaticTokens(Protocol):
    """The tokens that `remit token create` made."""

    async def verify(self, token: str) -> Access | None:
        """What a token gives; None if it is unknown, expired, revoked or not for calls."""
        ...


class Verifier:
    """Verifies the tokens of callers, those of `remit token create` and those of `identity.toml`'s issuers.

    Args:
        static: Those that `remit token create` made.
        policy: The policy in force, with what `identity.toml` says.
        own: Tokens of this gateway.
        now: The clock.
    """

    def __init__(
        self,
        static: StaticTokens,
        policy: Callable[[], Policy],
        own: OwnTokens,
        now: Callable[[], datetime],
        keys: Callable[[Issuer, Callable[[], float]], Keys] = Keys,
    ) -> None:
        self._static = static
        self._policy = policy
        self._own = own
        self._now = now
        self._new_keys = keys
        self._keys: dict[tuple[object, ...], Keys] = {}
        self._seen: dict[bytes, tuple[Access, float]] = {}
        self._identity: Identity | None = None

    @property
    def identity(self) -> Identity | None:
        """What `identity.toml` says now."""
        return self._policy().identity

    async def verify(self, token: str) -> Access:
        """Verify a token.

        Raises:
            BadToken: If it is not good here.
            NobodyHere: If it is, and nobody is meant.
            IssuerUnavailable: If that cannot be found out.
        """
        if len(token) > MAX_TOKEN:
            raise BadToken("the token is too long")
        if token.startswith(PREFIX):
            # One of these is never shown to an issuer, good or not.
            if found := await self._static.verify(token):
                return found
            raise BadToken("the token is unknown, expired or revoked")
        if (identity := self.identity) is None:
            raise BadToken("the token is unknown, expired or revoked")
        self._follow(identity)
        now, name = self._time(), hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        if (seen := self._seen.get(name)) and now < seen[1]:
            return seen[0]
        access, remembered = await self._verified(token, identity, now)
        if self._identity is identity:
            self._remember(name, access, min(access.expires_at, now + remembered))
        return access

    def _follow(self, identity: Identity) -> None:
        """Forget what an earlier file said."""
        if self._identity is not identity:
            self._identity, self._seen = identity, {}
            places = {_place(issuer) for issuer in identity.issuers.values()}
            self._keys = {place: keys for place, keys in self._keys.items() if place in places}

    def _remember(self, name: bytes, access: Access, until: float) -> None:
        self._seen.pop(name, None)
        self._seen[name] = access, until
        if len(self._seen) > _MOST_REMEMBERED:
            del self._seen[next(iter(self._seen))]

    async def _verified(self, token: str, identity: Identity, now: float) -> tuple[Access, float]:
        told = unverified(token)
        if told is None:
            return await self._opaque(token, identity, now)
        if told.issuer == identity.resource:
            return self._exchanged(token, identity, now), REMEMBERED_SECONDS
        if (found := identity.by_url.get(told.issuer)) is None:
            raise BadToken("the token's issuer is none of this gateway's")
        name, issuer = found
        claims, expires_at = await self._signed(token, told, issuer, identity.resource, now)
        remembered = REMEMBERED_SECONDS
        if issuer.asks_about_jwts and issuer.introspection:
            await self._still_active(token, claims, issuer, identity.resource, now)
            remembered = issuer.introspection.remembered
        return _access(claims, name, identity, expires_at), remembered

    async def _signed(
        self, token: str, told: Unverified, issuer: Issuer, resource: str, now: float
    ) -> tuple[dict[str, Any], float]:
        check_header(told, issuer)
        key = await self._keys_of(issuer).find(told.kid, told.algorithm)
        claims = signed_claims(token, key, (told.algorithm,))
        return claims, check_claims(claims, issuer, resource, now)

    async def _still_active(
        self, token: str, claims: Mapping[str, Any], issuer: Issuer, resource: str, now: float
    ) -> None:
        told = await introspected(token, issuer, self._keys_of(issuer))
        if not same_token(claims, told):
            raise BadToken("the issuer says that the token is another one")
        # It may say less than the token does, but nothing else.
        check_claims({**claims, **told}, issuer, resource, now)

    async def _opaque(self, token: str, identity: Identity, now: float) -> tuple[Access, float]:
        if identity.opaque is None or identity.opaque[1].introspection is None:
            raise BadToken("the token is unknown, expired or revoked")
        name, issuer = identity.opaque
        claims = await introspected(token, issuer, self._keys_of(issuer))
        expires_at = check_claims(claims, issuer, identity.resource, now)
        return _access(claims, name, identity, expires_at), identity.opaque[1].introspection.remembered

    def _exchanged(self, token: str, identity: Identity, now: float) -> Access:
        access = self._own.read(token, identity.resource, now).access()
        if identity.exchange is None or access.principal.agent not in identity.exchange.agents:
            raise BadToken("tokens are not exchanged here for this agent")
        return access

    def _keys_of(self, issuer: Issuer) -> Keys:
        place = _place(issuer)
        if place not in self._keys:
            self._keys[place] = self._new_keys(issuer, self._time)
        return self._keys[place]

    def _time(self) -> float:
        return self._now().timestamp()


def _access(claims: dict[str, Any], name: str, identity: Identity, expires_at: float) -> Access:
    key = bound_to(claims)
    if identity.issuers[name].dpop and not key:
        raise BadToken("the issuer's tokens must be bound to a key (DPoP), and this one is not")
    return access_of_claims(claims, name, identity, expires_at, key)


def _place(issuer: Issuer) -> tuple[object, ...]:
    return issuer.issuer, issuer.jwks, issuer.hosts
