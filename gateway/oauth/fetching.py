"""Asks an issuer over HTTP: only at addresses that the operator named, for a bounded time, for a bounded answer."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from gateway.oauth.refusals import IssuerUnavailable
from gateway.outbound import answer_of, place
from gateway.policy.files.identity import Issuer, is_safe

MAX_ANSWER = 2**18
_SECONDS = 5.0


class Declined(IssuerUnavailable):
    """The issuer does not take what it was sent."""


class NotFound(IssuerUnavailable):
    """There is nothing at the address."""


def checked(url: object, issuer: Issuer) -> str:
    """An address that an issuer's metadata name, if it may be asked.

    Raises:
        IssuerUnavailable: If it is not `https`, or on a host that `identity.toml` does not name: whoever can change the
            metadata would have the gateway call anything that it can reach.
    """
    if not isinstance(url, str) or not url:
        raise IssuerUnavailable("its metadata do not say where")
    try:
        host = urlsplit(url).netloc.lower()
    except ValueError:
        raise IssuerUnavailable("its metadata name no address") from None
    if host not in {urlsplit(issuer.issuer).netloc.lower(), *issuer.hosts}:
        raise IssuerUnavailable(f"its metadata name the host `{host[:100]}`, which is not among its `hosts`")
    if not is_safe(url) or (url.startswith("http:") and not issuer.issuer.startswith("http:")):
        raise IssuerUnavailable(f"its metadata name `{url[:100]}`, which is not `https`")
    return url


async def get_json(url: str) -> dict[str, Any]:
    """The JSON object at an address. Redirects are not followed.

    Raises:
        NotFound: If there is nothing.
        IssuerUnavailable: If it cannot be had.
    """
    return await _asked("GET", url, None, None)


async def post_form(url: str, form: Mapping[str, str], client: tuple[str, str] | None = None) -> dict[str, Any]:
    """The JSON object that a form is answered with.

    Args:
        url: The address.
        form: The form's fields.
        client: The id and secret that the gateway shows (RFC 6749, section 2.3.1).

    Raises:
        Declined: If it is answered with status 400 (RFC 6749, section 5.2).
        IssuerUnavailable: If it cannot be had.
    """
    return await _asked("POST", url, form, client)


async def _asked(
    method: str, url: str, form: Mapping[str, str] | None, client: tuple[str, str] | None
) -> dict[str, Any]:
    auth = httpx.BasicAuth(*client) if client else None
    try:
        return _object(*await answer_of(method, url, form=form, auth=auth, seconds=_SECONDS, largest=MAX_ANSWER))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise IssuerUnavailable(f"`{place(url)}` cannot be reached: {type(error).__name__}") from None
    except (_Unusable, httpx.StreamError, ValueError, RecursionError) as error:
        kind = {"404": NotFound, "400": Declined}.get(str(error), IssuerUnavailable)
        told = error if isinstance(error, _Unusable | httpx.StreamError) else "no JSON"
        raise kind(f"`{place(url)}` gave no usable answer: {told}") from None


class _Unusable(Exception):
    pass


def _object(status: int, body: bytes) -> dict[str, Any]:
    if status != httpx.codes.OK:
        raise _Unusable(str(status))
    found = json.loads(body)
    if not isinstance(found, dict):
        raise _Unusable("no JSON object")
    return found
