"""How a grant travels: a signed token (JWS, RFC 7515) that names it, whom it is for and until when.

The terms stay with the gateway, for they are personal data; the token has their hash, so the signature covers them.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.grants.grant import BadGrant, Grant, Terms
from gateway.principal import Principal

MAX_TOKEN = 16_384
_ALGORITHM = "HS256"
# No other token of the home has this type (RFC 8725, section 3.11).
_TYPE = "remit-grant+jwt"
_NOT_OURS = "the grant was not issued here: get one from `remit grant` or `POST /grants`, or leave `remit/grant` out"
Moment = Annotated[int, Field(ge=0, le=2**40)]


class Claims(BaseModel):
    """What a token says.

    Args:
        iss: Who issued it.
        aud: What it is for.
        jti: The grant's id.
        run: Its run.
        tenant: The tenant, person and agent that it is good for.
        person: See `tenant`.
        agent: See `tenant`.
        terms: The hash of its terms.
        iat: Issued at, in seconds since 1970.
        exp: Expires at, in seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    iss: Literal["remit"] = "remit"
    aud: Literal["remit/grant"] = "remit/grant"
    jti: str
    run: str
    tenant: str
    person: str | None = None
    agent: str | None = None
    terms: str
    iat: Moment
    exp: Moment

    @property
    def principal(self) -> Principal:
        """Whom it is good for."""
        return Principal(self.tenant, self.person, self.agent)

    @property
    def issued_at(self) -> datetime:
        """When it was issued."""
        return datetime.fromtimestamp(self.iat, UTC)

    @property
    def expires_at(self) -> datetime:
        """When it expires."""
        return datetime.fromtimestamp(self.exp, UTC)

    def with_terms(self, terms: Terms) -> Grant:
        """The grant."""
        return Grant(self.jti, self.run, self.principal, terms, self.issued_at, self.expires_at)


def sign(grant: Grant, key: bytes) -> str:
    """Make a grant's token."""
    who = grant.principal
    claims = Claims(
        jti=grant.id,
        run=grant.run,
        tenant=who.tenant,
        person=who.person,
        agent=who.agent,
        terms=hash_of(grant.terms),
        iat=int(grant.issued_at.timestamp()),
        exp=int(grant.expires_at.timestamp()),
    )
    header = {"alg": _ALGORITHM, "typ": _TYPE}
    return jwt.encode(header, claims.model_dump(), OctKey.import_key(key), algorithms=[_ALGORITHM])


def read(token: str, key: bytes) -> Claims:
    """Read a token that was signed with a key.

    Raises:
        BadGrant: If it was not, whatever algorithm it names, or is no token of a grant.
    """
    if len(token) > MAX_TOKEN:
        raise BadGrant(_NOT_OURS)
    try:
        found = jwt.decode(token, OctKey.import_key(key), algorithms=[_ALGORITHM])
        if found.header.get("typ") != _TYPE:
            raise BadGrant(_NOT_OURS)
        return Claims.model_validate(found.claims)
    except (JoseError, ValidationError, ValueError, RecursionError):
        raise BadGrant(_NOT_OURS) from None


def hash_of(terms: Terms) -> str:
    """A hash over terms in one spelling."""
    told: dict[str, Any] = terms.model_dump(mode="json")
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
