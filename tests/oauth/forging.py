"""Makes tokens and proofs as an attacker, or another issuer, would."""

import base64
import hashlib
import hmac
import json
from typing import Any
from uuid import uuid4

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

Key = ECKey | OKPKey | RSAKey


def signed(claims: dict[str, Any], key: Key, **header: Any) -> str:
    """A JWT; `alg` RS256 and the type of access tokens unless `header` says otherwise."""
    header = {"alg": "RS256", "typ": "at+jwt", **header}
    said = f"{encoded(header)}.{encoded(claims)}"
    return f"{said}.{_base64(JWSRegistry.algorithms[header['alg']].sign(said.encode(), key))}"


def hs256(claims: dict[str, Any], secret: bytes, kid: str) -> str:
    """A JWT by a shared secret, as which the library would not take a public key."""
    said = f"{encoded({'alg': 'HS256', 'typ': 'at+jwt', 'kid': kid})}.{encoded(claims)}"
    return f"{said}.{_base64(hmac.digest(secret, said.encode(), 'sha256'))}"


def unsigned(claims: dict[str, Any], alg: str = "none") -> str:
    return f"{encoded({'alg': alg, 'typ': 'at+jwt'})}.{encoded(claims)}."


def encoded(data: dict[str, Any]) -> str:
    return _base64(json.dumps(data).encode())


def claims_of(token: str) -> dict[str, Any]:
    return decoded(token.split(".")[1])


def proof(key: ECKey, url: str, now: float, token: str = "", method: str = "POST", **changed: Any) -> str:
    """A DPoP proof for a request; without a token, for the token endpoint."""
    claims = {"jti": str(uuid4()), "htm": method, "htu": url, "iat": int(now)}
    if token:
        claims["ath"] = _base64(hashlib.sha256(token.encode()).digest())
    jwk = key.as_dict(private=False)
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": {name: jwk[name] for name in ("kty", "crv", "x", "y")}}
    return signed({**claims, **changed.pop("claims", {})}, key, **{**header, **changed})


def decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
