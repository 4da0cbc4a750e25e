"""`GET /approvals/changes`: tells a caller which of its questions have changed, so it need not repeat calls."""

from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog import get_logger

from gateway.approvals.changes import Changed, Changes, UnknownCursor
from gateway.identity import access_of
from gateway.journal import JournalUnavailable
from gateway.principal import Principal

log = get_logger("remit.approvals")

PATH = "approvals/changes"
"""Where it lies beside the MCP endpoint."""


def changes_endpoint(changes: Changes, now: Callable[[], datetime], operator_named: Principal | None) -> ASGIApp:
    """The endpoint, behind whatever finds out who asks.

    Args:
        changes: What it tells of.
        now: The clock.
        operator_named: Who asks where no token says it; None refuses them.
    """

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        access = access_of(scope.get("user"))
        principal = access.principal if access else operator_named
        answer = await _answer(Request(scope), changes, principal, now())
        await answer(scope, receive, send)

    return endpoint


async def _answer(request: Request, changes: Changes, principal: Principal | None, now: datetime) -> JSONResponse:
    if principal is None:
        return _refused(401, "not_authenticated", "send a bearer token")
    unknown = sorted(set(request.query_params) - {"after"})
    if unknown or len(request.query_params.getlist("after")) > 1:
        return _refused(400, "invalid_input", "only `after` can be said, once")
    try:
        if after := request.query_params.get("after"):
            changed, cursor = await changes.since(principal, after, now)
        else:
            changed, cursor = [], await changes.begin(principal)
    except UnknownCursor:
        return _refused(400, "unknown_cursor", "this caller was given no such cursor: begin anew without `after`")
    except JournalUnavailable:
        log.error("changes_not_read")
        return _refused(503, "journal_unavailable", "the journal cannot be read: try again later")
    told = {"changes": [_told(each) for each in changed], "next": cursor}
    return JSONResponse(told, headers={"Cache-Control": "no-store"})


def _told(changed: Changed) -> dict[str, str]:
    asked_back = {"asked_back": changed.asked_back} if changed.asked_back else {}
    return {"id": changed.id, "state": changed.state.value, **asked_back}


def _refused(status: int, kind: str, message: str) -> JSONResponse:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}
    return JSONResponse({"error": {"kind": kind, "message": message}}, status, headers.get(status))
