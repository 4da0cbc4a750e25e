"""Whether an issuer's tokens can be verified as things are, for whoever sets it up."""

from collections.abc import Callable
from typing import Any

import anyio.to_thread

from gateway.oauth.fetching import checked, get_json
from gateway.oauth.introspection import secret_of
from gateway.oauth.keys import discovered, fits, public_keys
from gateway.oauth.refusals import IssuerUnavailable
from gateway.policy.files.identity import Issuer, Secret


async def obstacles(issuer: Issuer, get: Callable[[str], Any] = get_json) -> tuple[str, ...]:
    """Ask an issuer for its metadata and keys, and say what keeps its tokens from being verified; empty if nothing.

    Args:
        issuer: The issuer.
        get: Fetches a JSON object.
    """
    found = [await _keys(issuer, get)]
    if asking := issuer.introspection:
        found += [
            await _endpoint(issuer, "introspection_endpoint", "it cannot be asked about tokens", get),
            await anyio.to_thread.run_sync(_secret, asking.secret),
        ]
    if client := issuer.console:
        for name in ("authorization_endpoint", "token_endpoint"):
            found.append(await _endpoint(issuer, name, "nobody can sign in to the console", get))
        found.append(await anyio.to_thread.run_sync(_secret, client.secret) if client.secret else "")
    return tuple(each for each in found if each)


async def _keys(issuer: Issuer, get: Callable[[str], Any]) -> str:
    try:
        url = issuer.jwks or checked((await discovered(issuer, get)).get("jwks_uri"), issuer)
        keys = public_keys(await get(url))
    except IssuerUnavailable as error:
        return str(error)
    if any(fits(key, algorithm) for key in keys for algorithm in issuer.algorithms):
        return ""
    return f"none of its {len(keys)} keys is for `algorithms`: {', '.join(issuer.algorithms)}"


async def _endpoint(issuer: Issuer, name: str, without: str, get: Callable[[str], Any]) -> str:
    try:
        checked((await discovered(issuer, get)).get(name), issuer)
    except IssuerUnavailable as error:
        return f"{without}: {error}"
    return ""


def _secret(secret: Secret) -> str:
    try:
        secret_of(secret)
    except IssuerUnavailable as error:
        return str(error)
    return ""
