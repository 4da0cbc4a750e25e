"""Grants over HTTP: `POST /grants` and `POST /grants/{id}/revoke`, for whoever holds a token that may issue them.

The tokens that models' connections use are refused here, so a model that was taken over grants itself nothing.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

import anyio.to_thread
from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from structlog import get_logger

from gateway.grants.book import GrantBook, UnfitTerms
from gateway.grants.grant import ID, Terms
from gateway.grants.issuing import may_issue
from gateway.journal import JournalUnavailable
from gateway.principal import Principal
from gateway.tokens import Audience, Token, Tokens

log = get_logger("remit.grants")

MAX_BODY = 2**18
_BEARER = {"WWW-Authenticate": "Bearer"}


class Asked(Terms):
    """What is asked for: terms, and whom and how long they are for.

    Args:
        agent: The agent that is to act for the person of the token; empty for the token's own caller.
        ttl: Seconds that the grant is to last; None for as long as is usual.
    """

    agent: Annotated[str, Field(max_length=200)] = ""
    ttl: Annotated[float, Field(ge=1, le=86_400)] | None = None

    @property
    def terms(self) -> Terms:
        """The terms alone."""
        return Terms.model_validate({name: getattr(self, name) for name in Terms.model_fields})


class Refused(Exception):
    """A request that is not answered with what it asks for.

    Args:
        status: The HTTP status.
        kind: Why, for programs.
        message: Why, for people.
        field: What is at fault, if something in the body is.
    """

    def __init__(self, status: int, kind: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.told = {"kind": kind, "message": message, **({"field": field} if field else {})}


def grant_routes(grants: GrantBook, tokens: Tokens, now: Callable[[], datetime]) -> list[BaseRoute]:
    """The routes for the gateway's HTTP app. A browser cannot send the token by itself, so no origin is looked at.

    Args:
        grants: The grants.
        tokens: Where issuing tokens are found.
        now: The clock.
    """

    async def issue(request: Request) -> JSONResponse:
        issuer = await _issuer(request, tokens, now())
        asked = await _read(request)
        principal = _for_whom(issuer.principal, asked.agent)
        lasting = None if asked.ttl is None else timedelta(seconds=asked.ttl)
        try:
            issued = await grants.issue(principal, asked.terms, now(), issuer.id, lasting)
        except UnfitTerms as error:
            raise Refused(400, "invalid_input", error.message, error.field) from None
        grant = issued.grant
        times = {"issued_at": grant.issued_at.isoformat(), "expires_at": grant.expires_at.isoformat()}
        return JSONResponse({"id": grant.id, "run": grant.run, "token": issued.token, **times}, 201)

    async def revoke(request: Request) -> JSONResponse:
        issuer = await _issuer(request, tokens, now())
        grant_id = request.path_params["id"]
        kept = await grants.find(issuer.principal.tenant, grant_id) if ID.fullmatch(grant_id) else None
        if kept is None or not may_issue(issuer.principal, kept.principal):
            raise Refused(404, "not_found", "there is no such grant of yours in force")
        revoked = await grants.revoke(issuer.principal.tenant, grant_id, now(), issuer.id)
        return JSONResponse({"id": grant_id, "revoked": True, "was_in_force": revoked})

    return [
        Route("/grants", _answered(issue), methods=["POST"]),
        Route("/grants/{id:str}/revoke", _answered(revoke), methods=["POST"]),
    ]


def _answered(handle: Callable[[Request], Awaitable[JSONResponse]]) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def endpoint(request: Request) -> JSONResponse:
        try:
            return await handle(request)
        except Refused as error:
            return JSONResponse({"error": error.told}, error.status, _BEARER if error.status == 401 else None)
        except JournalUnavailable:
            log.error("grant_not_recorded")
            told = {
                "kind": "journal_unavailable",
                "message": "it cannot be recorded, so nothing was done: try again later",
            }
            return JSONResponse({"error": told}, 503)

    return endpoint


async def _issuer(request: Request, tokens: Tokens, now: datetime) -> Token:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Refused(401, "not_authenticated", "send a bearer token made with `remit token create --may-grant`")
    found = await anyio.to_thread.run_sync(tokens.find, secret.strip())
    if found is None or not found.good_at(now):
        raise Refused(401, "not_authenticated", "the token is unknown, expired or revoked")
    if found.audience is not Audience.GRANTS:
        raise Refused(403, "not_allowed", "the token does not issue grants: `remit token create --may-grant` makes one")
    return found


async def _read(request: Request) -> Asked:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(413, "too_large", f"a grant is asked for in {MAX_BODY} bytes at most")
    try:
        return Asked.model_validate_json(bytes(body))
    except ValidationError as error:
        problem: Any = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part)[:100] for part in problem["loc"])[:200]
        message = problem["msg"].removeprefix("Value error, ")
        told = f"{message[0].lower()}{message[1:]}".encode("utf-8", "backslashreplace").decode()
        raise Refused(400, "invalid_input", told[:300], field.encode("utf-8", "backslashreplace").decode()) from None


def _for_whom(issuer: Principal, agent: str) -> Principal:
    try:
        wanted = Principal(issuer.tenant, issuer.person, agent) if agent else issuer
    except ValueError as error:
        raise Refused(400, "invalid_input", str(error), "agent") from None
    if not may_issue(issuer, wanted):
        told = "the token issues grants for its own caller, and a person's for agents that act for this person"
        raise Refused(403, "not_allowed", told, "agent")
    return wanted
