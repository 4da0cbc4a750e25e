"""Signing in with a console token, and out. `sign_in_with.py` has the other way in."""

import re
from urllib.parse import quote

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from structlog import get_logger

from gateway.console.forms import read_form
from gateway.console.sessions import Session
from gateway.console.stopped import is_stopped
from gateway.console.visit import COOKIE, ROOT, Console, Visit, back_to
from gateway.tokens import Audience, Token

log = get_logger("remit.console")

_AFTER = re.compile(rf"{ROOT}(/[A-Za-z0-9_.-]+)*/?")
_LONGEST_TOKEN = 200
_REFUSED = "This is not a console token in force. Make one with `remit token create --person NAME --console`."


async def form(console: Console, request: Request) -> Response:
    """Show the form."""
    return page(console, request.query_params.get("after", ""), "", 200)


async def sign_in(console: Console, request: Request) -> Response:
    """Begin a session for whoever shows a console token."""
    address = request.client.host if request.client else ""
    now = console.gateway.now()
    given = await read_form(request, console.max_form)
    secret = given["token"].strip()
    token = await anyio.to_thread.run_sync(console.tokens.find, secret) if len(secret) <= _LONGEST_TOKEN else None
    reason = await _obstacle(token, console)
    if token is None or reason:
        count_failure(console, request)
        log.warning("console_sign_in_refused", address=address, reason=reason, token=token.id if token else None)
        return page(console, given["after"], _REFUSED, 403)
    name, session = await anyio.to_thread.run_sync(console.sessions.start, token, now)
    log.info(
        "console_signed_in", address=address, person=session.person, tenant=session.principal.tenant, token=token.id
    )
    response = back_to(safe(given["after"]).removeprefix(ROOT))
    let_in(response, name, session, secure=is_secure(console, request))
    return response


def count_failure(console: Console, request: Request) -> None:
    """Count an attempt that failed: nothing can be guessed here, so nobody behind the same address is locked out by it.

    Raises:
        HTTPException: With 429 if they are too many.
    """
    address = request.client.host if request.client else ""
    if not console.attempts.admit(address, console.gateway.now().timestamp()):
        raise HTTPException(429, headers={"Retry-After": "60"})


def let_in(response: Response, name: str, session: Session, *, secure: bool) -> None:
    """Give the browser the name of its session."""
    response.set_cookie(
        COOKIE, name, expires=session.expires_at, path=ROOT, secure=secure, httponly=True, samesite="strict"
    )


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    console = visit.console
    await anyio.to_thread.run_sync(console.sessions.end, visit.request.cookies[COOKIE], visit.now)
    log.info("console_signed_out", person=visit.session.person, tenant=visit.person.tenant)
    response = back_to("/sign-in")
    response.delete_cookie(COOKIE, ROOT, secure=is_secure(console, visit.request), httponly=True, samesite="strict")
    return response


async def _obstacle(token: Token | None, console: Console) -> str:
    if token is None:
        return "unknown token"
    if token.audience is not Audience.CONSOLE:
        return "a token for calls"
    if token.principal.agent is not None or token.principal.person is None:
        return "not a person's"
    if not token.good_at(console.gateway.now()):
        return "expired or revoked"
    return "stopped" if await is_stopped(console.gateway, token.principal) else ""


def page(console: Console, after: str, problem: str, status: int) -> HTMLResponse:
    """The sign-in page."""
    after = safe(after)
    offers = console.signing_in.offers() if console.url else {}
    # At the console's own address, where people come back to: the cookie of a sign-in must be there.
    ways = [(label, f"{console.url}{ROOT}/sign-in/with/{name}?after={quote(after)}") for name, label in offers.items()]
    shown = {"after": after, "problem": problem, "ways": ways, "session": None, "here": ""}
    return HTMLResponse(console.pages.get_template("sign_in.html").render(**shown), status)


def safe(after: str) -> str:
    """Where to go afterwards: a page of the console, and nowhere else."""
    return after if _AFTER.fullmatch(after) else f"{ROOT}/"


def is_secure(console: Console, request: Request) -> bool:
    """Whether cookies go over TLS only."""
    return console.secure or request.url.scheme == "https"
