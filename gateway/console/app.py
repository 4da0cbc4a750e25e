"""The console's pages by path, and what every one of them passes first."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from pathlib import Path
from urllib.parse import quote, urlsplit

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from structlog import get_logger

from gateway.console import (
    answering,
    calls,
    charts,
    inbox,
    journal,
    questions,
    roles,
    sign_in,
    sign_in_with,
    standing,
    stops,
    together,
)
from gateway.console.attempts import Attempts
from gateway.console.forms import read_form
from gateway.console.guard import Guard
from gateway.console.rendering import environment
from gateway.console.sessions import Session, Sessions
from gateway.console.stopped import is_stopped
from gateway.console.visit import COOKIE, ROOT, Console, Page, Visit
from gateway.database import Database
from gateway.gateway import Gateway
from gateway.journal import JournalUnavailable
from gateway.oauth.signing_in import SigningIn
from gateway.settings import Settings
from gateway.tokens import Tokens

log = get_logger("remit.console")

_STATIC = Path(__file__).parent / "static"
_SAID = {
    403: "This form is out of date or not from this page. Go back, load the page again and repeat it.",
    404: "There is no such page, or it is not for you.",
    405: "This page does not take that.",
    413: "That is more than a form may hold.",
    415: "That is not a form.",
    429: "Too many attempts. Wait a minute and try again.",
    503: "The journal cannot be used at the moment. Nothing was done.",
}


@dataclass(frozen=True)
class Address:
    """Where the console is reached.

    Args:
        hosts: Accepted Host headers.
        origins: Accepted Origin headers.
    """

    hosts: Sequence[str]
    origins: Sequence[str]


def console_routes(gateway: Gateway, database: Database, settings: Settings, address: Address) -> list[BaseRoute]:
    """The routes of the console for the gateway's HTTP app.

    Args:
        gateway: What it shows, and what answers pass through.
        database: Where journal, tokens and sessions are.
        settings: Where the console is reached, and how long a sign-in lasts.
        address: The accepted hosts and origins of the address served on.
    """
    tokens = Tokens(database)
    console = Console(
        gateway=gateway,
        database=database,
        tokens=tokens,
        sessions=Sessions(database, tokens, timedelta(seconds=settings.console_session)),
        signing_in=SigningIn(
            lambda: gateway.policy.current.identity, gateway.now, f"{settings.console_url}{sign_in_with.BACK}"
        ),
        seal=sign_in_with.seal(gateway.patience.state_key),
        url=settings.console_url,
        attempts=Attempts(),
        pages=environment(),
        secure=settings.console_url.startswith("https://"),
        max_form=settings.max_body,
    )
    public = urlsplit(settings.console_url)
    hosts = {*address.hosts, public.netloc} - {""}
    origins = {*address.origins, f"{public.scheme}://{public.netloc}"} - {"://"}
    guarded = Guard(_pages(console), hosts, origins)
    return [Route(ROOT, Guard(RedirectResponse(f"{ROOT}/"), hosts, origins)), Mount(ROOT, guarded)]


def _pages(console: Console) -> Starlette:
    def page(path: str, show: Page, *methods: str) -> Route:
        return Route(path, _for_signed_in(console, show), methods=methods or ("GET",))

    routes = [
        Route("/sign-in", _open(console, sign_in.form)),
        Route("/sign-in", _open(console, sign_in.sign_in), methods=["POST"]),
        Route("/sign-in/with/{issuer}", _open(console, sign_in_with.begin)),
        Route("/sign-in/back/{issuer}", _open(console, sign_in_with.end)),
        page("/sign-out", sign_in.sign_out, "POST"),
        page("/", inbox.show),
        page("/approvals/{id}", questions.show),
        page("/approvals/{id}/answer", answering.answer, "POST"),
        page("/approvals/{id}/edit", answering.edit, "POST"),
        page("/approvals/{id}/check", answering.check, "POST"),
        page("/approvals/{id}/ask-back", answering.ask_back, "POST"),
        page("/approvals/{id}/pass-on", answering.pass_on, "POST"),
        page("/approvals/{id}/together", together.show),
        page("/approvals/{id}/together", together.answer, "POST"),
        page("/standing", standing.show),
        page("/standing/{id}/end", standing.end, "POST"),
        page("/stops", stops.show),
        page("/stops", stops.stop, "POST"),
        page("/stops/{id}/resume", stops.resume, "POST"),
        page("/journal", journal.show),
        page("/calls/{id}", calls.show),
        page("/roles", roles.show_all),
        page("/roles/{role}", roles.show_one),
        page("/charts", charts.show),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]

    async def refused(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 503
        told = _SAID.get(status, "That cannot be done.")
        text = console.pages.get_template("error.html").render(status=status, told=told, session=None, here="")
        headers = error.headers if isinstance(error, HTTPException) else None
        return Response(text, status, headers, media_type="text/html")

    async def failed(request: Request, error: Exception) -> Response:
        log.error("console_failed", path=request.url.path, error=type(error).__name__)
        text = console.pages.get_template("error.html").render(
            status=500, told="Something went wrong here; it is in the gateway's log.", session=None, here=""
        )
        return Response(text, 500, media_type="text/html")

    handlers = {HTTPException: refused, JournalUnavailable: refused, Exception: failed}
    return Starlette(routes=routes, exception_handlers=handlers)


def _open(console: Console, show: Callable[[Console, Request], Awaitable[Response]]) -> Callable[..., object]:
    async def endpoint(request: Request) -> Response:
        return await show(console, request)

    return endpoint


def _for_signed_in(console: Console, show: Page) -> Callable[..., object]:
    """A page for people who are signed in; a form of theirs must carry their session's own token."""

    async def endpoint(request: Request) -> Response:
        secret = request.cookies.get(COOKIE, "")
        now = console.gateway.now()
        session = await _found(console, secret, now) if secret else None
        if session is None:
            return _to_sign_in(request)
        if request.method != "POST":
            return await show(Visit(console, request, session))
        form = await read_form(request, console.max_form)
        if not compare_digest(form["form_token"].encode(), session.form_token.encode()):
            log.warning("console_form_refused", person=session.person, path=request.url.path)
            raise HTTPException(403)
        return await show(Visit(console, request, session, form))

    return endpoint


async def _found(console: Console, secret: str, now: datetime) -> Session | None:
    identity = console.gateway.policy.current.identity
    session = await anyio.to_thread.run_sync(console.sessions.find, secret, now, identity)
    if session is not None and await is_stopped(console.gateway, session.principal):
        await anyio.to_thread.run_sync(console.sessions.end, secret, now)
        log.warning("console_session_ended", person=session.person, tenant=session.principal.tenant, reason="stopped")
        return None
    return session


def _to_sign_in(request: Request) -> Response:
    if "hx-request" in request.headers:
        # Part of a page that is open: the whole page leads to the sign-in.
        return Response(status_code=401, headers={"HX-Refresh": "true"})
    after = request.url.path if request.method == "GET" else f"{ROOT}/"
    return RedirectResponse(f"{ROOT}/sign-in?after={quote(after)}", 303)
