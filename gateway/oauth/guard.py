"""Stands before the MCP endpoint: no request passes without a token that is good, proven, and open for what it asks."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urljoin

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog import get_logger

from gateway.access import Access
from gateway.journal import JournalUnavailable
from gateway.oauth.challenge import refusal
from gateway.oauth.dpop import Proof, checked
from gateway.oauth.refusals import BadProof, BadToken, IssuerUnavailable, NobodyHere
from gateway.oauth.verifying import Verifier
from gateway.policy.files.identity import Identity

log = get_logger("remit.oauth")


@dataclass(frozen=True)
class Guard:
    """Lets a request through to the MCP endpoint once it is known who makes it.

    Args:
        app: The endpoint, which refuses whatever has no user.
        counted: Counts the requests to an app by who sends them, and turns away those that are too many, before
            anything is recorded about them.
        verifier: Verifies tokens.
        user: Makes what the endpoint takes for a request's user.
        use: Uses a DPoP proof in a tenant; says whether it had not been used.
        lacking: The scope that opens a tool that the caller sees and its token does not open, and that in words; None
            for every other name. It records that the tool was called.
        now: The time in seconds since 1970.
        max_body: Bytes of the largest request that is read.
        beside: Where the app lies beside the gateway's resource; empty for the resource itself.
    """

    app: ASGIApp
    counted: Callable[[ASGIApp], ASGIApp]
    verifier: Verifier
    user: Callable[[Access], tuple[Any, Any]]
    use: Callable[[Proof, str], Awaitable[bool]]
    lacking: Callable[[Access, str], Awaitable[tuple[str, str] | None]]
    now: Callable[[], float]
    max_body: int
    beside: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request (ASGI)."""
        access = await self._access(scope)
        if isinstance(access, Response):
            await access(scope, receive, send)
            return
        scope["auth"], scope["user"] = self.user(access)
        await self.counted(partial(self._known, access))(scope, receive, send)

    async def _known(self, access: Access, scope: Scope, receive: Receive, send: Send) -> None:
        # One look at the file for the whole request.
        identity = self.verifier.identity
        if access.scopes is not None and identity:
            try:
                refused, receive = await self._within_scopes(access, identity, scope, receive)
            except JournalUnavailable:
                log.error("refusal_not_recorded")
                refused = refusal(identity, 503, "temporarily_unavailable", "it cannot be recorded at the moment")
            if refused:
                await refused(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _access(self, scope: Scope) -> Access | Response:
        """Who makes a request, or what is answered instead."""
        headers = Headers(scope=scope)
        identity = self.verifier.identity
        given = headers.getlist("authorization")
        scheme, _, token = (given[0] if given else "").partition(" ")
        token, is_proven = token.strip(), scheme.lower() == "dpop"
        if not given or not token or scheme.lower() not in {"bearer", "dpop"}:
            return refusal(identity, 401)
        if len(given) > 1:
            return refusal(identity, 401, "invalid_request", "send one Authorization header")
        try:
            access = await self.verifier.verify(token)
            await self._proven(access, token, headers, scope["method"], is_proven=is_proven)
        except BadToken as error:
            return refusal(identity, 401, "invalid_token", str(error), proof=is_proven)
        except BadProof as error:
            return refusal(identity, 401, "invalid_dpop_proof", str(error), proof=True)
        except NobodyHere as error:
            log.warning("token_of_nobody", why=str(error), detail=error.detail[:200])
            return refusal(identity, 403, "access_denied", f"{error}: ask whoever runs this gateway")
        except IssuerUnavailable as error:
            log.error("issuer_unavailable", error=str(error))
            return refusal(identity, 503, "temporarily_unavailable", "the token's issuer cannot be asked at the moment")
        return access

    async def _proven(self, access: Access, token: str, headers: Headers, method: str, *, is_proven: bool) -> None:
        if not access.key:
            if is_proven:
                raise BadToken("the token is bound to no key: send it as a bearer token")
            return
        if not is_proven:
            raise BadProof("the token is bound to a key: send it with the scheme DPoP and a proof")
        identity = self.verifier.identity
        place = urljoin(identity.resource, self.beside) if identity else ""
        proof = checked(headers.getlist("dpop"), access.key, token, method, place, self.now())
        if not await self.use(proof, access.principal.tenant):
            raise BadProof("the proof was used already")

    async def _within_scopes(
        self, access: Access, identity: Identity, scope: Scope, receive: Receive
    ) -> tuple[Response | None, Receive]:
        """What is answered to a call of a tool that the token does not open, and the request, to be read again."""
        if access.scopes is None or access.scopes.isdisjoint(identity.scopes):
            told = "the token has none of this gateway's scopes"
            return refusal(identity, 403, "insufficient_scope", told), receive
        if scope["method"] != "POST" or any("*" in identity.scopes.get(each, ()) for each in access.scopes):
            return None, receive
        body, again = await _read(receive, self.max_body)
        found = await self.lacking(access, name) if (name := _tool_called(body)) else None
        if found is None:
            return None, again
        needed, told = found
        # With those that it has, or the client would lose them by asking for the other one alone.
        wanted = " ".join(each for each in identity.scopes if each == needed or each in access.scopes)
        return refusal(identity, 403, "insufficient_scope", told, wanted), again


def _tool_called(body: bytes) -> str:
    """The tool that a request calls; empty if it calls none. Whoever is not understood here is understood later."""
    try:
        request = json.loads(body)
        if isinstance(request, dict) and request.get("method") == "tools/call":
            name = request["params"]["name"]
            return name if isinstance(name, str) else ""
    except (ValueError, RecursionError, TypeError, KeyError):
        pass
    return ""


async def _read(receive: Receive, most: int) -> tuple[bytes, Receive]:
    """A request's body, as far as it may be long, and what gives the whole request again."""
    read: list[Message] = []
    size, more = 0, True
    while more and size <= most:
        message = await receive()
        read.append(message)
        size += len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
    body = b"".join(message.get("body", b"") for message in read)
    waiting = iter(read)

    async def again() -> Message:
        return next(waiting, None) or await receive()

    return body if size <= most else b"", again
