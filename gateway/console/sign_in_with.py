"""Signing in with the company's identity provider: there and back, remembered by the browser in a sealed cookie."""

from hmac import compare_digest

import anyio.to_thread
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from structlog import get_logger

from gateway.console.sessions import AlreadyUsed, Session, SignedIn
from gateway.console.sign_in import count_failure, is_secure, let_in, page, safe
from gateway.console.stopped import is_stopped
from gateway.console.visit import ROOT, Console
from gateway.oauth.refusals import BadToken, IssuerUnavailable, NobodyHere
from gateway.oauth.signing_in import SECONDS, Begun, UnknownIssuer
from gateway.sessions.sealed_id import Seal

log = get_logger("remit.console")

BACK = f"{ROOT}/sign-in/back"
_COOKIE = "remit_sign_in"
_PATH = f"{ROOT}/sign-in"
_LONGEST_AFTER = 500
_NOT_BEGUN = "This sign-in was not begun in this browser, was used, or took too long. Begin it once more."
_REFUSED = "That did not sign you in. Begin it once more; the gateway's log has the reason."
_NOBODY = (
    "You are signed in there, and nobody who is known here. Ask whoever runs this gateway; its log has the reason."
)
_UNAVAILABLE = "The identity provider cannot be asked at the moment. Try again."


class _Refused(Exception):
    """Nobody is signed in: what the person is told, what the log is told, and the status."""

    def __init__(self, told: str, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.told = told
        self.status = status


def seal(key: bytes) -> Seal:
    """What seals a sign-in that was begun, so that any process can end it.

    Args:
        key: The same in every process.
    """
    return Seal(key, SECONDS, b"remit console sign-in")


async def begin(console: Console, request: Request) -> Response:
    """Send a person to the issuer that the path names."""
    given = request.query_params.get("after", "")
    after = safe(given if len(given) <= _LONGEST_AFTER else "")
    begun = console.signing_in.begin(request.path_params["issuer"], after)
    try:
        address = await console.signing_in.address(begun) if console.url else ""
    except UnknownIssuer:
        address = ""
    except IssuerUnavailable as error:
        log.error("issuer_unavailable", issuer=begun.issuer, error=str(error))
        return page(console, after, _UNAVAILABLE, 503)
    if not address:
        raise HTTPException(404)
    response = RedirectResponse(address, 303)
    sealed = console.seal.closed(begun.model_dump_json().encode())
    response.set_cookie(
        _COOKIE,
        sealed,
        max_age=int(SECONDS),
        path=_PATH,
        secure=is_secure(console, request),
        httponly=True,
        samesite="lax",  # the way back is a link from another site
    )
    return response


async def end(console: Console, request: Request) -> Response:
    """Begin a session for whoever comes back from the issuer with an answer to what this browser asked."""
    begun = _begun(console, request)
    if begun is None:
        # A sign-in that runs in this browser goes on: anybody can send people to this address.
        return _refused(console, request, "", _Refused(_NOT_BEGUN, "not begun here"))
    try:
        name, session = await _signed_in(console, request, begun)
    except _Refused as refusal:
        response: Response = _refused(console, request, begun.after, refusal)
    else:
        response = _welcome(console, begun.after)
        let_in(response, name, session, secure=is_secure(console, request))
    secure = is_secure(console, request)
    response.delete_cookie(_COOKIE, _PATH, secure=secure, httponly=True, samesite="lax")
    return response


def _begun(console: Console, request: Request) -> Begun | None:
    """The sign-in that the browser has begun, if this is the answer to it."""
    content = console.seal.content(request.cookies.get(_COOKIE, ""))
    try:
        begun = Begun.model_validate_json(content) if content else None
    except ValidationError:
        return None
    # Of a parameter that comes twice neither counts (RFC 6749, section 3.1).
    states = request.query_params.getlist("state") or [""]
    if begun is None or len(request.query_params.multi_items()) != len(request.query_params):
        return None
    same = compare_digest(states[0].encode("utf-8", "surrogatepass"), begun.state.encode())
    is_here = begun.issuer == request.path_params["issuer"]
    return begun if same and is_here and console.signing_in.is_running(begun) else None


async def _signed_in(console: Console, request: Request, begun: Begun) -> tuple[str, Session]:
    try:
        principal, issuer = await console.signing_in.person(begun, request.query_params)
    except (BadToken, UnknownIssuer) as error:
        raise _Refused(_REFUSED, str(error)) from None
    except NobodyHere as error:
        raise _Refused(_NOBODY, f"{error}: {error.detail}" if error.detail else str(error)) from None
    except IssuerUnavailable as error:
        raise _Refused(_UNAVAILABLE, str(error), 503) from None
    if await is_stopped(console.gateway, principal):
        raise _Refused(_NOBODY, "stopped")
    by = SignedIn(principal, begun.issuer, issuer, begun.state)
    try:
        name, session = await anyio.to_thread.run_sync(console.sessions.start, by, console.gateway.now())
    except AlreadyUsed:
        raise _Refused(_NOT_BEGUN, "the sign-in was used before") from None
    address = request.client.host if request.client else ""
    log.info("console_signed_in", address=address, person=session.person, tenant=principal.tenant, issuer=begun.issuer)
    return name, session


def _refused(console: Console, request: Request, after: str, refusal: _Refused) -> HTMLResponse:
    if refusal.status != 503:
        count_failure(console, request)
    address, issuer = request.client.host if request.client else "", request.path_params["issuer"][:60]
    log.warning("console_sign_in_refused", address=address, issuer=issuer, reason=str(refusal))
    return page(console, after, refusal.told, refusal.status)


def _welcome(console: Console, after: str) -> HTMLResponse:
    # The session's cookie is for requests from here alone, so a redirect, which is still the other site's, lacks it.
    shown = {"after": after, "session": None, "here": ""}
    return HTMLResponse(console.pages.get_template("signed_in.html").render(**shown))
