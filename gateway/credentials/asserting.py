"""Signs what the gateway vouches for where it gets a token for a key (RFC 7523)."""

from datetime import datetime, timedelta
from secrets import token_hex

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

_LIFE = timedelta(minutes=3)  # as long as the strictest vendor takes it


def signing_key(pem: str) -> tuple[str, RSAKey | ECKey]:
    """A private key, and the algorithm that it signs with.

    Raises:
        ValueError: If it is none.
    """
    for algorithm, kind in (("RS256", RSAKey), ("ES256", ECKey)):
        try:
            key: RSAKey | ECKey = kind.import_key(pem)
        except (JoseError, ValueError, TypeError):
            continue
        if key.is_private:
            return algorithm, key
    raise ValueError("no RSA or EC private key in PEM without a password")


def assertion(pem: str, issuer: str, subject: str, audience: str, scopes: tuple[str, ...], now: datetime) -> str:
    """A signed assertion (RFC 7523, section 3).

    Args:
        pem: The private key.
        issuer: The gateway's name there.
        subject: For whom a token is wanted.
        audience: To whom it is said.
        scopes: What for; some vendors want them in here (Google), the others do not mind.
        now: The time.
    """
    algorithm, key = signing_key(pem)
    claims = {"iss": issuer, "sub": subject, "aud": audience, "jti": token_hex(16)}
    claims |= {"iat": int(now.timestamp()), "exp": int((now + _LIFE).timestamp())}  # type: ignore[dict-item]
    claims |= {"scope": " ".join(scopes)} if scopes else {}
    return jwt.encode({"alg": algorithm, "typ": "JWT"}, claims, key, algorithms=[algorithm])
