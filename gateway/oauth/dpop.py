"""Proof that whoever shows a token has the key that it is bound to (DPoP, RFC 9449, section 4.3)."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from gateway.oauth.jwt import moment, signed_claims, text, unverified
from gateway.oauth.keys import fits
from gateway.oauth.refusals import BadProof, BadToken

ALGORITHMS = ("ES256", "ES384", "PS256", "RS256", "Ed25519", "EdDSA")
SECONDS = 60
"""How far the time of a proof may lie from now, on either side."""
_PORTS = {"https": 443, "http": 80}
_KINDS = ("RSA", "EC", "OKP")  # no set, in which nothing can be looked for that has no hash
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_LONGEST = 4_096


@dataclass(frozen=True, slots=True)
class Proof:
    """A good proof, which counts once.

    Args:
        key: The thumbprint of its key.
        id: Its `jti`.
    """

    key: str
    id: str


def checked(given: Sequence[str], key: str, token: str, method: str, url: str, now: float) -> Proof:
    """Check the proof that came with a request.

    Args:
        given: The values of its `DPoP` headers.
        key: The thumbprint of the key that the token is bound to.
        token: The token.
        method: The request's method.
        url: Where the request was meant to go: this gateway's resource URL.
        now: The time in seconds since 1970.

    Raises:
        BadProof: If there is not exactly one, or it does not prove what it must.
    """
    if len(given) != 1 or len(given[0]) > _LONGEST:
        raise BadProof("the token is bound to a key: send one proof in the header `DPoP`")
    proof = given[0]
    told = unverified(proof)
    if (
        told is None
        or told.header.get("typ") != "dpop+jwt"
        or told.algorithm not in ALGORITHMS
        or "crit" in told.header
    ):
        raise BadProof("the proof is no DPoP proof by an accepted algorithm")
    public = _key(told.header.get("jwk"))
    if not fits(public, told.algorithm) or public.thumbprint() != key:
        raise BadProof("the proof is by another key than the token's")
    try:
        claims = signed_claims(proof, public, (told.algorithm,))
        issued, proof_id = moment(claims, "iat"), text(claims, "jti")
        same_request = text(claims, "htm") == method and _same_place(text(claims, "htu"), url)
        same_token = text(claims, "ath") == _hash(token)
    except BadToken:
        raise BadProof("the proof is not signed by its key, or its claims are not what they must be") from None
    if not same_request or not same_token:
        raise BadProof("the proof is for another request or another token")
    if issued is None or abs(now - issued) > SECONDS:
        raise BadProof("the proof is too old, or its time is not yet: is the clock right?")
    if not proof_id:
        raise BadProof("the proof has no id")
    return Proof(key, proof_id)


def bound_to(claims: dict[str, Any]) -> str:
    """The thumbprint of the key that a token is bound to; empty if it is bound to none (RFC 9449, section 6.1).

    Raises:
        BadToken: If it is bound in a way that is not understood: it must not be taken for unbound.
    """
    bound = claims.get("cnf")
    if bound is None:
        return ""
    if not isinstance(bound, dict) or set(bound) != {"jkt"} or not isinstance(bound["jkt"], str) or not bound["jkt"]:
        raise BadToken("the token is bound to its caller in a way that is not understood")
    return bound["jkt"]


def _key(given: Any) -> RSAKey | ECKey | OKPKey:  # noqa: ANN401 - whatever the caller sent
    if not isinstance(given, dict) or not _PRIVATE.isdisjoint(given) or given.get("kty") not in _KINDS:
        raise BadProof("the proof names no public key")
    try:
        key = JWKRegistry.import_key(given)
    except (JoseError, ValueError, TypeError, KeyError):
        raise BadProof("the proof names no public key") from None
    if not isinstance(key, RSAKey | ECKey | OKPKey) or (isinstance(key, RSAKey) and key.raw_value.key_size > 4_096):
        raise BadProof("the proof names no public key")
    return key


def _same_place(one: str, other: str) -> bool:
    """Whether two URLs are the same without query and fragment, in normal form (RFC 9449, section 4.3, number 9)."""
    return _normal(one) == _normal(other)


def _normal(url: str) -> tuple[str, str | None, int | None, str]:
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), parts.hostname, parts.port or _PORTS.get(parts.scheme.lower()), parts.path or "/"
    except ValueError:
        return "", None, None, ""


def _hash(token: str) -> str:
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
