"""Shows the page to whoever may see it. It only shows: questions are answered by `remit runs answer`."""

import base64
import hmac
import time
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from orchestrator.durable.store import State, Store
from orchestrator.measures import figure, measures
from orchestrator.promotion import acts_of, look, short_of_rising, wilson
from orchestrator.workflow import Workflows

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SLOTS = {"1": 24, "7": 28, "30": 30}
_DAY_MS = 86_400_000


def page_routes(store: Store, workflows: Workflows, token: str = "") -> list[Route]:
    """The page's routes, for the worker's HTTP side.

    Args:
        store: The runs.
        workflows: Those that the worker knows.
        token: What a caller must have, as bearer token or as the password of basic authentication; without one only
            this machine is answered, and nobody through a proxy.
    """
    files = FileSystemLoader(Path(__file__).parent)
    pages = Environment(loader=files, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    pages.filters["moment"] = lambda at: f"{datetime.fromtimestamp(at / 1_000, UTC):%Y-%m-%d %H:%M}"

    async def show(request: Request) -> Response:
        if refused := _refused(request, token):
            return refused
        days, workflow = request.query_params.get("days", "1"), request.query_params.get("workflow", "")
        if days not in _SLOTS:
            return PlainTextResponse("`days` is 1, 7 or 30", 400, _HEADERS)
        until = time.time_ns() // 1_000_000
        span = (until - int(days) * _DAY_MS, until, _SLOTS[days])
        known = {"days": days, "workflow": workflow, "workflows": sorted(each.name for each in workflows), "span": span}
        acts = [act for act in acts_of(workflows) if workflow in ("", act.workflow)]
        html = pages.get_template("page.html").render(
            **known,
            counts=await store.count(workflow),
            runs=await store.list([State.WAITING, State.FAILED], workflow, 50),
            acts=[(act, *await look(store.database, act)) for act in acts],
            figures=[await figure(store.database, each, *span, workflow) for each in measures()],
            wilson=wilson,
            short_of_rising=short_of_rising,
        )
        return HTMLResponse(html, headers=_HEADERS)

    async def style(_: Request) -> Response:
        return FileResponse(Path(__file__).with_name("page.css"), headers={"X-Content-Type-Options": "nosniff"})

    return [Route("/measures", show), Route("/measures.css", style)]


def _refused(request: Request, token: str) -> Response | None:
    if token:
        ask = {**_HEADERS, "WWW-Authenticate": 'Basic realm="remit", charset="UTF-8"'}
        is_right = hmac.compare_digest(_given(request.headers), token.encode())
        return None if is_right else PlainTextResponse("the page's token is missing or wrong", 401, ask)
    forwarded = any(name in request.headers for name in ("forwarded", "x-forwarded-for"))
    caller = request.client.host if request.client else ""
    # A page elsewhere may have its name lead to this machine: the host that is asked for must be this machine's too.
    if caller in _LOOPBACK and request.url.hostname in _LOOPBACK and not forwarded:
        return None
    return PlainTextResponse("without a token this page is for the worker's own machine", 403, _HEADERS)


def _given(headers: Headers) -> bytes:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return given.encode()
    try:
        return base64.b64decode(given, validate=True).partition(b":")[2] if scheme.lower() == "basic" else b""
    except ValueError:
        return b""
