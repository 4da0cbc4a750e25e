"""Access tokens that are signed JWTs: checked by the issuer's key, then claim by claim (RFC 9068, RFC 8725)."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from gateway.oauth.keys import PublicKey
from gateway.oauth.refusals import BadToken
from gateway.policy.files.identity import Issuer

MAX_TOKEN = 16_384
_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_SHORT = 500


class Registry(JWSRegistry):
    """Exactly the algorithms that are allowed; headers that are not understood are left alone (RFC 7515, section 4)."""

    max_header_length = 8_192

    def __init__(self, algorithms: Collection[str]) -> None:
        super().__init__(algorithms=list(algorithms), strict_check_header=False)

    def get_alg(self, name: str) -> Any:  # noqa: ANN401 - the library does not export its type
        """The algorithm, if it is allowed."""
        if name not in (self.allowed or ()) or name not in self.algorithms:
            raise BadToken("the token's algorithm is not accepted")
        return self.algorithms[name]


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a JWT says of itself before anybody has checked it: only good to find the key that checks it."""

    header: Mapping[str, Any]
    issuer: str

    @property
    def algorithm(self) -> str:
        """The algorithm of its signature."""
        return str(self.header.get("alg"))

    @property
    def kid(self) -> str | None:
        """The name of the key."""
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) else None


def unverified(token: str) -> Unverified | None:
    """Take a token apart; None if it is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        header, payload = (json.loads(urlsafe_b64decode(part.encode("ascii"))) for part in parts[:2])
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not isinstance(payload, dict) or "alg" not in header:
        return None
    return Unverified(header, str(payload.get("iss")))


def signed_claims(token: str, key: PublicKey, algorithms: Collection[str]) -> dict[str, Any]:
    """The claims of a JWT that the key signed.

    Raises:
        BadToken: If it did not, or not by one of the algorithms.
    """
    try:
        signed = jws.deserialize_compact(token, key, registry=Registry(algorithms))
        if signed.payload is None:
            raise BadToken("the token's signature is not good")
        claims = json.loads(signed.payload)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise BadToken("the token's signature is not good") from None
    if not isinstance(claims, dict):
        raise BadToken("the token has no claims")
    return claims


def check_header(told: Unverified, issuer: Issuer) -> None:
    """Check what kind of token it says to be, before its key is looked for.

    Raises:
        BadToken: If it is none that the issuer's part of `identity.toml` accepts.
    """
    if told.algorithm not in issuer.algorithms:
        raise BadToken("the token's algorithm is not accepted")
    if "crit" in told.header:
        raise BadToken("the token needs something that is not understood")
    if not issuer.any_type and str(told.header.get("typ")).lower() not in _TYPES:
        raise BadToken("it is no access token: its type is not `at+jwt`")


def check_claims(claims: Mapping[str, Any], issuer: Issuer, resource: str, now: float) -> float:
    """Check that a token is this issuer's, meant for this gateway, and good now; say until when, in seconds since 1970.

    Raises:
        BadToken: Says what is wrong.
    """
    if claims.get("iss") != issuer.issuer:
        raise BadToken("the token is another issuer's")
    check_audience(claims.get("aud"), issuer.audience or resource)
    expires_at = moment(claims, "exp")
    if expires_at is None:
        raise BadToken("the token does not say until when it is good")
    if now >= expires_at + issuer.leeway:
        raise BadToken("the token has expired")
    for name in ("nbf", "iat"):
        if (since := moment(claims, name)) is not None and since > now + issuer.leeway:
            raise BadToken("the token is not good yet")
    return expires_at + issuer.leeway


def check_audience(audience: object, wanted: str) -> None:
    """Check that a token is meant for this gateway (RFC 8707; RFC 7519, section 4.1.3). URLs are compared as texts.

    Raises:
        BadToken: If it is meant for somebody else, or for nobody in particular.
    """
    listed = audience if isinstance(audience, list) else [audience]
    if wanted not in listed:
        raise BadToken("the token is meant for somebody else")


def moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A claim that is a time, in seconds since 1970; None if it is not there.

    Raises:
        BadToken: If it is no time.
    """
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise BadToken(f"the token's `{name}` is no time")
    return float(value)


def text(claims: Mapping[str, Any], name: str) -> str:
    """A claim that is a short text; empty if it is not there.

    Raises:
        BadToken: If it is something else.
    """
    value = claims.get(name, "")
    if not isinstance(value, str) or len(value) > _SHORT:
        raise BadToken(f"the token's `{name}` is no short text")
    return value
