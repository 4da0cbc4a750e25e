"""Asking a server for JSON over HTTP: one address, no redirect, for a bounded time, for a bounded answer."""

import ssl
from collections.abc import Mapping
from functools import cache
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx


async def answer_of(
    method: str,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    auth: httpx.BasicAuth | None = None,
    seconds: float,
    largest: int,
    trust_env: bool = True,
) -> tuple[int, bytes]:
    """Send a request; return the status and the body of the answer, whatever they are.

    Args:
        method: `GET` or `POST`.
        url: The address. Whoever calls has made sure that it may be asked.
        form: What is sent; None for nothing.
        auth: What the gateway shows.
        seconds: How long all of it may take.
        largest: How many bytes the body may have.
        trust_env: Whether proxies and the like that the environment names are used.

    Raises:
        httpx.HTTPError, httpx.InvalidURL: If it cannot be reached.
        httpx.StreamError: If the body is larger; says so.
        TimeoutError: If it takes longer.
    """
    trust = await anyio.to_thread.run_sync(_trust)
    with anyio.fail_after(seconds):
        async with (
            httpx.AsyncClient(verify=trust, follow_redirects=False, timeout=seconds, trust_env=trust_env) as http,
            http.stream(method, url, data=form, auth=auth, headers={"Accept": "application/json"}) as answer,
        ):
            return answer.status_code, await _bounded(answer, largest)


def place(url: str) -> str:
    """An address as messages name it: without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"[:200]


@cache
def _trust() -> ssl.SSLContext:
    # Made once, for it reads and parses all certificates.
    return httpx.create_ssl_context()


async def _bounded(answer: httpx.Response, largest: int) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > largest:
            raise httpx.StreamError(f"more than {largest} bytes")
    return bytes(body)
