"""Tokens that the issuer is asked about (RFC 7662): opaque ones, and others whose revocation must count at once."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread

from gateway.oauth.fetching import checked, post_form
from gateway.oauth.keys import Keys
from gateway.oauth.refusals import BadToken, IssuerUnavailable
from gateway.policy.files.identity import Issuer, Secret


async def introspected(token: str, issuer: Issuer, keys: Keys) -> dict[str, Any]:
    """The claims that the issuer says an active token has; whether they are good here is not checked yet.

    Args:
        token: The token.
        issuer: The issuer, which says who asks.
        keys: Where its metadata are.

    Raises:
        BadToken: If the token is not active, or none of access.
        IssuerUnavailable: If the issuer cannot be asked.
    """
    asking = issuer.introspection
    if asking is None:
        raise BadToken("the token is none that can be checked here")
    url = checked((await keys.metadata()).get("introspection_endpoint"), issuer)
    client = asking.client_id, await anyio.to_thread.run_sync(secret_of, asking.secret)
    async with keys.turn():
        told = await post_form(url, {"token": token, "token_type_hint": "access_token"}, client)
    if told.get("active") is not True:
        raise BadToken("the token is unknown, expired or revoked")
    if str(told.get("token_type", "")).lower() not in {"", "bearer", "dpop", "access_token"}:
        raise BadToken("it is no access token")
    # The issuer was asked at its own address, so what it leaves out is its own.
    return {"iss": issuer.issuer, **{name: value for name, value in told.items() if value is not None}}


def secret_of(secret: Secret) -> str:
    """A secret's text, read anew each time so that a new one counts without a restart; off the event loop.

    Raises:
        IssuerUnavailable: If there is none.
    """
    try:
        found = os.environ.get(secret.env, "") if secret.env else Path(secret.file or "").read_text("utf-8").strip()
    except (OSError, ValueError):
        found = ""
    if not found:
        raise IssuerUnavailable(f"there is no secret in `{secret.env or secret.file}`")
    return found


def same_token(checked_here: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether what was checked here and what the issuer says are about one token of one subject."""
    return all(told.get(name) in (None, checked_here.get(name)) for name in ("sub", "jti", "client_id"))
