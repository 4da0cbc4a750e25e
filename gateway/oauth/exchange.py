"""Token exchange (RFC 8693): an agent shows its own token and a person's, and gets one to act for this person.

`POST /oauth/token`. Off unless `identity.toml` has `[exchange]`. What comes out is for this gateway alone, lasts no
longer than either of the two, opens no more than both do, and is decided like any other: both parties must be allowed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from structlog import get_logger

from gateway.access import Access
from gateway.journal import Entry, Journal, JournalUnavailable, Kind
from gateway.oauth.own import Claims, OwnTokens, acting_for
from gateway.oauth.refusals import BadToken, IssuerUnavailable, NobodyHere
from gateway.oauth.verifying import Verifier
from gateway.policy.files.identity import Identity

log = get_logger("remit.oauth")

PATH = "/oauth/token"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type
JWT = "urn:ietf:params:oauth:token-type:jwt"
_FIELDS = frozenset(
    {"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "resource", "audience"}
    | {"scope", "requested_token_type"}
)
_MAX_BODY = 2**16
_MOST_ACTORS = 10


class _Refused(Exception):
    """An error of RFC 6749, section 5.2, or RFC 8693, section 2.2.2."""

    def __init__(self, error: str, told: str, status: int = 400) -> None:
        super().__init__(told)
        self.error = error
        self.status = status


@dataclass(frozen=True)
class Exchanging:
    """Exchanges tokens.

    Args:
        verifier: Verifies both tokens.
        own: Signs what comes out.
        journal: Where it is recorded first.
        now: The clock.
    """

    verifier: Verifier
    own: OwnTokens
    journal: Journal
    now: Callable[[], datetime]

    async def exchange(self, form: Mapping[str, str], identity: Identity) -> dict[str, object]:
        """Answer one request.

        Raises:
            _Refused: If there is no token for it.
            JournalUnavailable: If that cannot be recorded; then there is none.
        """
        _check_form(form, identity)
        subject = await self._verified(form["subject_token"], "subject_token")
        actor = await self._verified(form["actor_token"], "actor_token")
        agent = _agent(subject, actor, identity)
        scopes = _scopes(form.get("scope", ""), subject, actor)
        assert identity.exchange is not None  # noqa: S101 - the caller looked
        now = self.now()
        issued = int(now.timestamp())
        expires = int(min(issued + identity.exchange.seconds, subject.expires_at, actor.expires_at))
        if expires <= issued:
            raise _Refused("invalid_request", "one of the tokens is about to expire")
        claims = Claims(
            iss=identity.resource,
            aud=identity.resource,
            sub=subject.principal.person or "",
            client_id=agent,
            tenant=subject.principal.tenant,
            act=acting_for(_chain(agent, subject)),
            roles=sorted(subject.principal.roles),
            scope=None if scopes is None else " ".join(sorted(scopes)),
            made_of=sorted(subject.tokens | actor.tokens),
            jti=token_hex(16),
            iat=issued,
            exp=expires,
        )
        await self._record(claims.access(), subject, actor, now)
        answer: dict[str, object] = {"access_token": self.own.sign(claims), "issued_token_type": ACCESS_TOKEN}
        answer |= {"token_type": "Bearer", "expires_in": expires - issued}
        return answer if claims.scope is None else {**answer, "scope": claims.scope}

    async def _verified(self, token: str, name: str) -> Access:
        try:
            access = await self.verifier.verify(token)
        except (BadToken, NobodyHere) as error:
            raise _Refused("invalid_request", f"{name}: {error}") from None
        except IssuerUnavailable as error:
            log.error("issuer_unavailable", error=str(error))
            raise _Refused("temporarily_unavailable", f"{name}: its issuer cannot be asked", 503) from None
        if access.key:
            raise _Refused("invalid_request", f"{name}: a token that is bound to a key is not exchanged")
        return access

    async def _record(self, access: Access, subject: Access, actor: Access, now: datetime) -> None:
        who = access.principal
        body = {"person": who.person, "agent": who.agent, **access.told(), "subject": subject.token, "by": actor.token}
        body["expires_at"] = datetime.fromtimestamp(access.expires_at, now.tzinfo).isoformat()
        await self.journal.append(Entry(access.token, who.tenant, who.name, now, Kind.EXCHANGED, body))


def exchange_routes(exchanging: Exchanging) -> list[BaseRoute]:
    """The route for the gateway's HTTP app. No browser sends these tokens by itself, so no origin is looked at."""

    async def endpoint(request: Request) -> Response:
        identity = exchanging.verifier.identity
        if identity is None or identity.exchange is None:
            return Response(status_code=404)
        try:
            answer: dict[str, object] = await exchanging.exchange(await _form(request), identity)
            status = 200
        except _Refused as error:
            answer, status = {"error": error.error, "error_description": str(error)}, error.status
        except JournalUnavailable:
            log.error("exchange_not_recorded")
            answer, status = {"error": "temporarily_unavailable", "error_description": "it cannot be recorded"}, 503
        return JSONResponse(answer, status, {"Cache-Control": "no-store"})

    return [Route(PATH, endpoint, methods=["POST"])]


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise _Refused("invalid_request", f"a request has {_MAX_BODY} bytes at most", 413)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=50)
    except ValueError:
        raise _Refused("invalid_request", "send a form: application/x-www-form-urlencoded") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise _Refused("invalid_request", "a parameter is sent twice")
    return form


def _check_form(form: Mapping[str, str], identity: Identity) -> None:
    if form.get("grant_type") != GRANT_TYPE:
        raise _Refused("unsupported_grant_type", f"the only grant_type here is {GRANT_TYPE}")
    if unknown := sorted(form.keys() - _FIELDS):
        raise _Refused("invalid_request", f"unknown parameter: {unknown[0][:60]!a}")
    for name in ("subject_token", "actor_token"):
        if not form.get(name):
            raise _Refused("invalid_request", f"{name} is missing")
        if form.get(f"{name}_type") not in {ACCESS_TOKEN, JWT}:
            raise _Refused("invalid_request", f"{name}_type must be {ACCESS_TOKEN}")
    if form.get("requested_token_type", ACCESS_TOKEN) not in {ACCESS_TOKEN, JWT}:
        raise _Refused("invalid_request", f"requested_token_type can only be {ACCESS_TOKEN}")
    if any(form.get(name, identity.resource) != identity.resource for name in ("resource", "audience")):
        raise _Refused("invalid_target", "tokens are issued here for this gateway alone")


def _agent(subject: Access, actor: Access, identity: Identity) -> str:
    """The agent that is to act for the subject's person, if it may by both tokens and the file."""
    who, whom = actor.principal, subject.principal
    if who.agent is None or who.person is not None:
        raise _Refused("invalid_request", "actor_token: it must be an agent's own, and of nobody else")
    if whom.person is None:
        raise _Refused("invalid_request", "subject_token: it names no person")
    if who.tenant != whom.tenant:
        raise _Refused("invalid_request", "the two tokens are of two tenants")
    bringing = identity.exchange.agents.get(who.agent, ()) if identity.exchange else ()
    held_by = "person" if whom.agent is None else f"agent:{whom.agent}"
    if held_by not in bringing:
        told = "this agent gets no tokens here for one that a person holds"
        other = "this agent gets no tokens here for one that another agent holds"
        raise _Refused("unauthorized_client", told if whom.agent is None else other)
    return who.agent


def _chain(agent: str, subject: Access) -> tuple[str, ...]:
    before = subject.actors or ((subject.principal.agent,) if subject.principal.agent else ())
    if len(before) >= _MOST_ACTORS:
        raise _Refused("invalid_request", "subject_token: too many agents have acted already")
    return (agent, *before)


def _scopes(asked: str, subject: Access, actor: Access) -> frozenset[str] | None:
    """What both tokens open, or as much of it as is asked for; None if scopes narrow neither."""
    narrowing = [access.scopes for access in (subject, actor) if access.scopes is not None]
    most = frozenset.intersection(*narrowing) if narrowing else None
    wanted = frozenset(asked.split())
    if not wanted:
        return most
    if most is not None and not wanted <= most:
        raise _Refused("invalid_scope", "the tokens do not have every scope that is asked for")
    return wanted
