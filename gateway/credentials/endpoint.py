"""Asks an OAuth token endpoint for a new token: for a bounded time, for a bounded answer, and nowhere else."""

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import httpx
from pydantic import SecretStr

from gateway.credentials.asserting import assertion
from gateway.credentials.kinds import Assertion, ClientCredentials, Content, RefreshToken, scopes_in
from gateway.outbound import answer_of, place

SECONDS = 10.0
_LARGEST = 2**16
_LONGEST_TOKEN = 16_384
_USUAL_LIFE = 300.0
_LONGEST_LIFE = 366 * 86_400.0
# RFC 6749, section 5.2, RFC 8707 and RFC 7009; another word is the server's own and not repeated.
_ERRORS = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"}
    | {"invalid_scope", "invalid_target", "temporarily_unavailable", "server_error", "access_denied"}
)


class NotRenewed(Exception):
    """There is no new token; says why, in words of the gateway."""


async def renew(content: Content, now: datetime) -> Content:
    """Get a new token.

    Args:
        content: What it is got for; it holds the newest refresh token.
        now: The time.

    Raises:
        NotRenewed: If there is none.
    """
    given = content.given
    if not isinstance(given, ClientCredentials | RefreshToken | Assertion):
        raise NotRenewed("nothing can be got for it")
    answer = await _asked(given, now)
    token, kept = answer.get("access_token"), given
    if (
        not isinstance(token, str)
        or not 8 <= len(token) <= _LONGEST_TOKEN
        or not token.isascii()
        or not token.isprintable()
    ):
        raise NotRenewed(f"`{place(given.token_url)}` gave no token")
    if str(answer.get("token_type", "")).lower() != "bearer":
        raise NotRenewed(f"`{place(given.token_url)}` gave a token of another type than `Bearer`")
    following = answer.get("refresh_token")
    if isinstance(kept, RefreshToken) and isinstance(following, str) and len(following) <= _LONGEST_TOKEN and following:
        kept = kept.model_copy(update={"refresh_token": SecretStr(following)})
    scopes = scopes_in(answer.get("scope"))
    # Unsaid, it is what was asked for (RFC 6749, section 5.1).
    scopes = scopes if scopes is not None else given.scopes or content.scopes
    return Content(
        given=kept,
        scopes=scopes,
        access=SecretStr(token),
        got_at=now,
        expires_at=now + timedelta(seconds=_life(answer.get("expires_in"))),
    )


def _life(told: object) -> float:
    try:
        seconds = float(told)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return _USUAL_LIFE
    return min(seconds, _LONGEST_LIFE) if seconds > 0 else _USUAL_LIFE


async def _asked(given: ClientCredentials | RefreshToken | Assertion, now: datetime) -> dict[str, Any]:
    form, auth = (_asserted(given, now), None) if isinstance(given, Assertion) else _form(given)
    where = place(given.token_url)
    try:
        status, body = await answer_of(
            "POST", given.token_url, form=form, auth=auth, seconds=SECONDS, largest=_LARGEST, trust_env=False
        )
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError) as error:
        raise NotRenewed(f"`{where}` cannot be reached: {type(error).__name__}") from None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if status != httpx.codes.OK or not isinstance(found, dict):
        code = found.get("error") if isinstance(found, dict) else None
        told = f" `{code}`" if isinstance(code, str) and code in _ERRORS else ""
        raise NotRenewed(f"`{where}` answered {status}{told}")
    return found


def _asserted(given: Assertion, now: datetime) -> dict[str, str]:
    audience = given.audience or given.token_url
    pem, subject = given.private_key.get_secret_value(), given.subject or given.client_id
    signed = assertion(pem, given.client_id, subject, audience, given.scopes, now)
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}


def _form(given: ClientCredentials | RefreshToken) -> tuple[dict[str, str], httpx.BasicAuth | None]:
    form: dict[str, str] = {}
    if isinstance(given, RefreshToken):
        form = {"grant_type": "refresh_token", "refresh_token": given.refresh_token.get_secret_value()}
    else:
        form = {"grant_type": "client_credentials"}
    form |= {"scope": " ".join(given.scopes)} if given.scopes else {}
    form |= {"resource": given.resource} if given.resource else {}
    if given.client_secret is None:
        return {**form, "client_id": given.client_id}, None
    secret = given.client_secret.get_secret_value()
    if given.client_auth == "post":
        return {**form, "client_id": given.client_id, "client_secret": secret}, None
    # Both are form-encoded first (RFC 6749, section 2.3.1).
    return form, httpx.BasicAuth(quote_plus(given.client_id), quote_plus(secret))
