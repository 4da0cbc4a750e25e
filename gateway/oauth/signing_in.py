"""Signing people in with an issuer: OpenID Connect's authorization code flow with PKCE (RFC 7636), as its client.

What has to be remembered between the two halves is a `Begun`, which whoever uses this keeps for the browser alone.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlencode, urlsplit

import anyio.to_thread
from pydantic import BaseModel, ConfigDict

from gateway.oauth.fetching import Declined, checked, get_json, post_form
from gateway.oauth.id_token import check_id_claims, check_id_header
from gateway.oauth.introspection import secret_of
from gateway.oauth.jwt import MAX_TOKEN, signed_claims, unverified
from gateway.oauth.keys import Keys
from gateway.oauth.mapping import person_of_claims
from gateway.oauth.refusals import BadToken
from gateway.policy.files.identity import ConsoleClient, Identity, Issuer
from gateway.principal import Principal

SECONDS = 600.0
"""How long a person may take to sign in."""
_LONGEST_CODE = 4_096


class UnknownIssuer(Exception):
    """`identity.toml` does not let anybody sign in with an issuer of this name."""


class Begun(BaseModel):
    """A sign-in that was begun in one browser.

    Args:
        issuer: What `identity.toml` calls the issuer.
        state: Comes back with the answer.
        nonce: Comes back in the ID token.
        verifier: Proves that whoever redeems the code has asked for it.
        after: The page to show then.
        expires_at: Until when it can be ended, in seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    issuer: str
    state: str
    nonce: str
    verifier: str
    after: str
    expires_at: float


class SigningIn:
    """Signs people in with the issuers of `identity.toml` that have `[….console]`.

    Args:
        identity: What the file says now.
        now: The clock.
        back: Where people come back to, without the issuer's name at its end: from the settings, never from a request.
        get: Fetches a JSON object.
        post: Sends a form and fetches the JSON object that answers it.
    """

    def __init__(
        self,
        identity: Callable[[], Identity | None],
        now: Callable[[], datetime],
        back: str,
        get: Callable[[str], Any] = get_json,
        post: Callable[[str, Mapping[str, str], tuple[str, str] | None], Any] = post_form,
    ) -> None:
        self._identity = identity
        self._now = now
        self._back = back
        self._get = get
        self._post = post
        self._keys: dict[tuple[object, ...], Keys] = {}

    def offers(self) -> dict[str, str]:
        """What each issuer that people can sign in with is called, by its name in the file."""
        found = self._identity()
        issuers = found.issuers if found else {}
        return {name: each.console.name or name for name, each in issuers.items() if each.console}

    def begin(self, name: str, after: str) -> Begun:
        """Begin a sign-in."""
        expires_at = self._now().timestamp() + SECONDS
        state, nonce, verifier = token_urlsafe(32), token_urlsafe(32), token_urlsafe(48)
        return Begun(issuer=name, state=state, nonce=nonce, verifier=verifier, after=after, expires_at=expires_at)

    def is_running(self, begun: Begun) -> bool:
        """Whether a sign-in can still be ended."""
        return self._now().timestamp() < begun.expires_at

    async def address(self, begun: Begun) -> str:
        """Where the issuer asks the person (OpenID Connect Core 1.0, section 3.1.2.1).

        Raises:
            UnknownIssuer: If nobody can sign in with it.
            IssuerUnavailable: If it does not say where.
        """
        issuer, client = self._found(begun.issuer)
        told = await self._keys_of(issuer).metadata()
        address = checked(told.get("authorization_endpoint"), issuer)
        asked = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": self._back_from(begun),
            "scope": " ".join(dict.fromkeys(("openid", *client.scopes))),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": _challenge(begun.verifier),
            "code_challenge_method": "S256",
        }
        return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(asked)}"

    async def person(self, begun: Begun, answer: Mapping[str, str]) -> tuple[Principal, Issuer]:
        """Who has signed in, and with whom.

        Args:
            begun: The sign-in, as this browser has it, and whose `state` the answer has.
            answer: The parameters of the authorization response.

        Raises:
            UnknownIssuer: If nobody can sign in with it any more.
            BadToken: If the answer is not good.
            NobodyHere: If it is, and means nobody.
            IssuerUnavailable: If the issuer cannot be asked.
        """
        issuer, client = self._found(begun.issuer)
        keys = self._keys_of(issuer)
        told = await keys.metadata()
        _check_sender(answer, issuer, told)
        token = await self._redeemed(_code(answer), begun, issuer, client, told)
        claims = await _claims(token, begun, issuer, client, keys, self._now().timestamp())
        return person_of_claims(claims, issuer, client.client_id), issuer

    async def _redeemed(
        self, code: str, begun: Begun, issuer: Issuer, client: ConsoleClient, told: Mapping[str, Any]
    ) -> str:
        """The ID token for a code (OpenID Connect Core 1.0, section 3.1.3)."""
        url = checked(told.get("token_endpoint"), issuer)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._back_from(begun)}
        shown, basic = await _shown(client, told)
        try:
            async with self._keys_of(issuer).turn():
                got = await self._post(url, {**form, "code_verifier": begun.verifier, **shown}, basic)
        except Declined:
            raise BadToken("the issuer does not take the code: it is used, old or another's") from None
        token = got.get("id_token")
        if not isinstance(token, str) or len(token) > MAX_TOKEN:
            raise BadToken("the issuer gave no ID token for the code")
        return token

    def _back_from(self, begun: Begun) -> str:
        # One address for each issuer, so that no other issuer's answer is taken for its (RFC 9700, section 4.4.2).
        return f"{self._back}/{begun.issuer}"

    def _found(self, name: str) -> tuple[Issuer, ConsoleClient]:
        identity = self._identity()
        issuer = identity.issuers.get(name) if identity else None
        if issuer is None or issuer.console is None:
            raise UnknownIssuer(name)
        return issuer, issuer.console

    def _keys_of(self, issuer: Issuer) -> Keys:
        place = issuer.issuer, issuer.jwks, issuer.hosts
        if place not in self._keys:
            self._keys[place] = Keys(issuer, lambda: self._now().timestamp(), self._get)
        return self._keys[place]


async def _claims(
    token: str, begun: Begun, issuer: Issuer, client: ConsoleClient, keys: Keys, now: float
) -> Mapping[str, Any]:
    told = unverified(token)
    if told is None:
        raise BadToken("the issuer's ID token is no JWT")
    check_id_header(told, issuer)
    key = await keys.find(told.kid, told.algorithm)
    claims = signed_claims(token, key, (told.algorithm,))
    check_id_claims(claims, issuer, client.client_id, begun.nonce, now)
    return claims


def _check_sender(answer: Mapping[str, str], issuer: Issuer, told: Mapping[str, Any]) -> None:
    """Check that the answer is the issuer's that was asked (RFC 9207, section 2.4)."""
    sender = answer.get("iss")
    if sender is None and told.get("authorization_response_iss_parameter_supported") is True:
        raise BadToken("the answer does not say whose it is")
    if sender not in (None, issuer.issuer):
        raise BadToken("the answer is another issuer's")


def _code(answer: Mapping[str, str]) -> str:
    if "error" in answer:
        raise BadToken(f"the issuer answered `{ascii(answer['error'])[1:-1][:60]}`")
    code = answer.get("code", "")
    if not 0 < len(code) <= _LONGEST_CODE:
        raise BadToken("the answer has no code")
    return code


async def _shown(client: ConsoleClient, told: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, str] | None]:
    """What a client shows of itself: fields of the form, or id and secret in the header (RFC 6749, section 2.3.1)."""
    if client.secret is None:
        return {"client_id": client.client_id}, None
    secret = await anyio.to_thread.run_sync(secret_of, client.secret)
    ways = told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    if isinstance(ways, list) and "client_secret_basic" not in ways and "client_secret_post" in ways:
        return {"client_id": client.client_id, "client_secret": secret}, None
    return {}, (client.client_id, secret)


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
