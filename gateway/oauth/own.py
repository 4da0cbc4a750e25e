"""Tokens of this gateway, for agents that exchanged a person's: signed JWTs (RFC 9068) that only it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64encode
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.access import Access
from gateway.oauth.jwt import Registry, signed_claims
from gateway.oauth.mapping import token_name
from gateway.oauth.refusals import BadToken
from gateway.policy.files.identity import OWN
from gateway.principal import Principal

_ALGORITHM = "Ed25519"
Moment = Annotated[int, Field(ge=0, le=2**40)]


class Actor(BaseModel):
    """Who acts, and for whom it acts in turn (RFC 8693, section 4.1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sub: str
    act: "Actor | None" = None


class Claims(BaseModel):
    """What a token says.

    Args:
        iss: This gateway's resource URL.
        aud: Likewise.
        sub: The person that the agent acts for.
        client_id: The agent.
        tenant: Their tenant.
        act: Who acts for whom.
        roles: The roles that the person's identity provider gives.
        scope: What the person's token was issued for; None leaves all that policy allows.
        made_of: The names of the tokens that it was exchanged for.
        jti: Names the token.
        iat: Issued at, in seconds since 1970.
        exp: Expires at, in seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    iss: str
    aud: str
    sub: str
    client_id: str
    tenant: str
    act: Actor
    roles: list[str] = []
    scope: str | None = None
    made_of: list[str] = []
    jti: str
    iat: Moment
    exp: Moment

    def access(self) -> Access:
        """What it gives."""
        principal = Principal(self.tenant, self.sub, self.client_id, frozenset(self.roles))
        scopes = None if self.scope is None else frozenset(self.scope.split())
        named = token_name({"iss": self.iss, "jti": self.jti})
        actors, made_of = tuple(_chain(self.act)), frozenset(self.made_of)
        return Access(principal, named, OWN, actors, scopes, float(self.exp), made_of=made_of)


@dataclass(frozen=True, slots=True)
class OwnTokens:
    """Signs tokens and knows them again.

    Args:
        seed: The private key: the same in every process of a home.
    """

    seed: bytes

    def sign(self, claims: Claims) -> str:
        """Make a token."""
        header = {"alg": _ALGORITHM, "typ": "at+jwt"}
        return jwt.encode(header, claims.model_dump(exclude_none=True), self._key, registry=Registry((_ALGORITHM,)))

    def read(self, token: str, resource: str, now: float) -> Claims:
        """Read a token that was signed here and is good now.

        Raises:
            BadToken: If it is not.
        """
        found: Mapping[str, Any] = signed_claims(token, self._key, (_ALGORITHM,))
        try:
            claims = Claims.model_validate(found)
        except (ValidationError, RecursionError):
            raise BadToken("the token is none of this gateway's") from None
        if claims.iss != resource or claims.aud != resource:
            raise BadToken("the token is meant for somebody else")
        if now >= claims.exp:
            raise BadToken("the token has expired")
        return claims

    @property
    def _key(self) -> OKPKey:
        return _key(self.seed)


def acting_for(actors: tuple[str, ...]) -> Actor:
    """The `act` claim of a chain of actors, the present one first."""
    first, *others = actors
    return Actor(sub=first, act=acting_for(tuple(others)) if others else None)


def _chain(actor: Actor | None) -> list[str]:
    found: list[str] = []
    while actor is not None:
        found.append(actor.sub)
        actor = actor.act
    return found


@cache
def _key(seed: bytes) -> OKPKey:
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    parts = {"d": urlsafe_b64encode(seed).decode(), "x": urlsafe_b64encode(public).decode()}
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", **parts})
