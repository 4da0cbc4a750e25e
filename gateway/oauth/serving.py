"""What the HTTP app needs to know who calls: the guard before the MCP endpoint, and the routes of OAuth."""

from collections.abc import Callable
from functools import partial

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from structlog import get_logger

from gateway.access import Access
from gateway.database import Database
from gateway.gateway import Gateway, ToolCall, record
from gateway.identity import StaticTokenVerifier, caller
from gateway.journal import Kind
from gateway.oauth.challenge import metadata_routes
from gateway.oauth.dpop import Proof
from gateway.oauth.exchange import Exchanging, exchange_routes
from gateway.oauth.guard import Guard
from gateway.oauth.proofs import Proofs
from gateway.oauth.scopes import closed, missing
from gateway.oauth.verifying import Verifier
from gateway.policy.decision import SCOPE, Verdict

log = get_logger("remit.oauth")


def authorization(
    gateway: Gateway,
    static: StaticTokenVerifier,
    app: ASGIApp,
    counted: Callable[[ASGIApp], ASGIApp],
    max_body: int,
    database: Database | None,
) -> tuple[Guard, list[BaseRoute]]:
    """Put the guard before the MCP endpoint.

    Args:
        gateway: Whose policy says which issuers are trusted.
        static: Verifies the tokens of `remit token create`.
        app: The endpoint.
        counted: Counts the requests to an app by who sends them.
        max_body: Bytes of the largest request that is read.
        database: Where used proofs are kept; without one, tokens that are bound to a key are refused.

    Returns:
        The endpoint behind the guard, and the routes of OAuth.
    """
    verifier = Verifier(static, lambda: gateway.policy.current, gateway.exchanged, gateway.now)
    proofs = Proofs(database, _seconds(gateway)) if database else None
    guard = Guard(
        app=app,
        counted=counted,
        verifier=verifier,
        user=caller,
        use=partial(_use, proofs),
        lacking=partial(_lacking, gateway),
        now=_seconds(gateway),
        max_body=max_body,
    )
    exchanging = Exchanging(verifier, gateway.exchanged, gateway.journal, gateway.now)
    return guard, [*metadata_routes(lambda: verifier.identity), *exchange_routes(exchanging)]


def _seconds(gateway: Gateway) -> "partial[float]":
    return partial(_time, gateway)


def _time(gateway: Gateway) -> float:
    return gateway.now().timestamp()


async def _use(proofs: Proofs | None, proof: Proof, tenant: str) -> bool:
    try:
        return proofs is not None and await anyio.to_thread.run_sync(proofs.use, proof, tenant)
    except SQLAlchemyError as error:
        log.error("proof_not_kept", error=type(error).__name__)
        return False


async def _lacking(gateway: Gateway, access: Access, name: str) -> tuple[str, str] | None:
    """The scope that opens the tool of this name, if the caller sees it and its token lacks one, and that in words.

    Raises:
        JournalUnavailable: If the refusal cannot be recorded.
    """
    policy, tool = gateway.policy.current, gateway.catalog.tools.get(name)
    if tool is None or not policy.shows(access.principal, name, gateway.now()):
        return None
    if not (scope := missing(policy, access, tool)):
        return None
    reason = closed(tool, scope)
    call = ToolCall(access.principal, name, {}, access=access)
    version = policy.version
    await record(gateway, call, Kind.DENIED, verdict=Verdict.DENY, rules=[SCOPE], reason=reason, policy_version=version)
    return scope, reason
