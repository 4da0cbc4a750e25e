"""A person's consent at a vendor: an authorization code, by way of their browser, for a refresh token (OAuth 2.1).

The browser comes back to this machine (RFC 8252, section 7.3), so this is for the administrator's own terminal.
"""

import asyncio
from collections.abc import Callable
from secrets import compare_digest, token_urlsafe
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from pydantic import SecretStr

from connectors.vendor.kinds import Consent
from gateway.credentials.kinds import RefreshToken

_PATIENCE_SECONDS = 300.0
_LONGEST_REQUEST = 16_384
_PAGE = "<!doctype html><meta charset=utf-8><title>Remit</title><p>{told} You can close this page."


class NotConsented(Exception):
    """There is no refresh token; one line that says why."""


async def consented(
    consent: Consent,
    client_id: str,
    client_secret: SecretStr | None,
    scopes: tuple[str, ...],
    open_page: Callable[[str], None],
    seconds: float = _PATIENCE_SECONDS,
) -> RefreshToken:
    """Send a person to a vendor and wait until they have consented.

    Args:
        consent: Where to.
        client_id: The gateway's name there, with `http://127.0.0.1` among its redirect addresses.
        client_secret: Its secret, if it has one.
        scopes: What is asked for.
        open_page: Shows the person the address to open.
        seconds: How long they have.

    Raises:
        NotConsented: If they have not.
    """
    state, answered = token_urlsafe(16), asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(_listener(state, answered), "127.0.0.1", 0, limit=_LONGEST_REQUEST)
    async with server:
        secret = client_secret.get_secret_value() if client_secret else None
        redirect = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with AsyncOAuth2Client(
            client_id,
            secret,
            scope=" ".join(scopes),
            redirect_uri=redirect,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            timeout=15,
            trust_env=False,
        ) as client:
            verifier = generate_token(48)
            url, _ = client.create_authorization_url(
                consent.authorize_url, state=state, code_verifier=verifier, **consent.extra
            )
            open_page(url)
            try:
                code = await asyncio.wait_for(answered, seconds)
                token = await client.fetch_token(consent.token_url, code=code, code_verifier=verifier)
            except TimeoutError:
                raise NotConsented(f"nobody consented within {seconds:g} s") from None
            except (OAuthError, httpx.HTTPError, ValueError) as error:
                raise NotConsented(f"the vendor gave no token: {type(error).__name__}") from None
    if not isinstance(found := token.get("refresh_token"), str):
        raise NotConsented("the vendor gave no refresh token; is offline access among the scopes?")
    return RefreshToken(
        token_url=consent.token_url,
        client_id=client_id,
        client_secret=client_secret,
        scopes=scopes,
        refresh_token=SecretStr(found),
    )


def _listener(state: str, answered: "asyncio.Future[str]") -> Callable[..., Any]:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told = "That was not for Remit."
        try:
            line = (await asyncio.wait_for(reader.readline(), 10)).decode("ascii", "replace")
            given = {name: values[0] for name, values in parse_qs(urlsplit(line.split(" ")[1]).query).items()}
        except (IndexError, ValueError, TimeoutError):
            given = {}
        # Whoever does not know the state is not the one who was sent.
        if compare_digest(given.get("state", "").encode(), state.encode()) and not answered.done():
            if "code" in given:
                answered.set_result(given["code"])
                told = "Remit has your consent."
            else:
                answered.set_exception(NotConsented("the vendor says that consent was not given"))
                told = "You have not consented."
        page = _PAGE.format(told=told).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + page)
        await writer.drain()
        writer.close()

    return listen
