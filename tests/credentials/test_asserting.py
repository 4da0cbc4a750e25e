"""A private key that vouches for a user gets a token (RFC 7523)."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from pydantic import ValidationError

from gateway.credentials.endpoint import renew
from gateway.credentials.kinds import Content
from tests.credentials.conftest import START
from tests.credentials.endpoint import CLIENT, Endpoint, token_endpoint


def pem_of(key: Any, password: bytes | None = None) -> str:
    sealed = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)
    return pem.decode()


RSA, EC = pem_of(rsa.generate_private_key(65537, 2048)), pem_of(ec.generate_private_key(ec.SECP256R1()))


def vouching(endpoint: Endpoint, pem: str, **more: Any) -> Content:
    given = {"kind": "assertion", "token_url": endpoint.url, "client_id": CLIENT, "private_key": pem, **more}
    return Content.model_validate({"given": given})


@pytest.mark.parametrize(("pem", "algorithm", "kind"), [(RSA, "RS256", RSAKey), (EC, "ES256", ECKey)])
async def test_a_token_is_got_for_what_the_key_signs(pem: str, algorithm: str, kind: Any) -> None:
    async with token_endpoint() as endpoint:
        more = {"subject": "remit@vendor.example", "audience": "https://login.vendor.example", "scopes": ("api",)}
        got = await renew(vouching(endpoint, pem, **more), START)
    assert got.access
    assert got.access.get_secret_value() == "access-1"
    [form] = endpoint.forms
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(form["assertion"], kind.import_key(pem), algorithms=[algorithm]).claims
    now = int(START.timestamp())
    assert {name: claims[name] for name in ("iss", "sub", "aud", "scope", "iat", "exp")} == {
        "iss": CLIENT,
        "sub": "remit@vendor.example",
        "aud": "https://login.vendor.example",
        "scope": "api",
        "iat": now,
        "exp": now + 180,
    }


async def test_unsaid_the_client_vouches_for_itself_before_the_endpoint_and_never_twice_alike() -> None:
    async with token_endpoint() as endpoint:
        content = vouching(endpoint, RSA)
        await renew(content, START)
        await renew(content, START)
    first, second = (jwt.decode(form["assertion"], RSAKey.import_key(RSA)).claims for form in endpoint.forms)
    assert (first["sub"], first["aud"]) == (CLIENT, endpoint.url)
    assert first["jti"] != second["jti"]


@pytest.mark.parametrize(
    "pem",
    [
        "not a key at all",
        pem_of(rsa.generate_private_key(65537, 2048), b"password"),
        pem_of(ed25519.Ed25519PrivateKey.generate()),
        RSAKey.import_key(RSA).as_pem(private=False).decode(),
    ],
)
async def test_what_cannot_sign_is_refused_without_being_repeated(pem: str) -> None:
    async with token_endpoint() as endpoint:
        with pytest.raises(ValidationError) as raised:
            vouching(endpoint, pem)
    assert "RSA or EC private key in PEM, without a password" in str(raised.value)
    assert pem.splitlines()[0] not in str(raised.value)
