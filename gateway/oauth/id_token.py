"""ID tokens: what a provider says to one client of a person who has just signed in (OpenID Connect Core 1.0)."""

from collections.abc import Mapping
from hmac import compare_digest
from typing import Any

from gateway.oauth.jwt import Unverified, moment, text
from gateway.oauth.refusals import BadToken
from gateway.policy.files.identity import Issuer

OLDEST_SECONDS = 600.0
"""How long ago one may have been issued; some providers date theirs back by minutes."""


def check_id_header(told: Unverified, issuer: Issuer) -> None:
    """Check what kind of token it says to be, before its key is looked for.

    Raises:
        BadToken: If it is no ID token by an accepted algorithm.
    """
    if told.algorithm not in issuer.algorithms:
        raise BadToken("the token's algorithm is not accepted")
    if "crit" in told.header:
        raise BadToken("the token needs something that is not understood")
    if str(told.header.get("typ", "JWT")).upper() != "JWT":
        raise BadToken("it is no ID token: its type is another one")


def check_id_claims(claims: Mapping[str, Any], issuer: Issuer, client: str, nonce: str, now: float) -> None:
    """Check that an ID token answers this very sign-in (OpenID Connect Core 1.0, section 3.1.3.7).

    Args:
        claims: Its claims, whose signature was checked.
        issuer: The issuer that was asked.
        client: The client that asked. A token for others beside it is refused: none of them is trusted here.
        nonce: What was asked with.
        now: The time in seconds since 1970.

    Raises:
        BadToken: Says what is wrong.
    """
    if claims.get("iss") != issuer.issuer:
        raise BadToken("the token is another issuer's")
    if claims.get("aud") not in (client, [client]) or claims.get("azp", client) != client:
        raise BadToken("the token is meant for somebody else")
    if not text(claims, "sub"):
        raise BadToken("the token names nobody")
    if not compare_digest(text(claims, "nonce").encode("utf-8", "surrogatepass"), nonce.encode()):
        raise BadToken("the token answers another sign-in")
    expires_at, issued_at = moment(claims, "exp"), moment(claims, "iat")
    if expires_at is None or issued_at is None:
        raise BadToken("the token does not say from when until when it is good")
    if now >= expires_at + issuer.leeway or now > issued_at + OLDEST_SECONDS + issuer.leeway:
        raise BadToken("the token has expired")
    if max(issued_at, moment(claims, "nbf") or 0.0) > now + issuer.leeway:
        raise BadToken("the token is not good yet")
