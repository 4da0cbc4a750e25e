"""How a client is told what it needs: `WWW-Authenticate` (RFC 6750, RFC 9449), the resource's metadata (RFC 9728)."""

from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.oauth.dpop import ALGORITHMS
from gateway.policy.files.identity import Identity

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_FOR_ANYBODY = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}


def metadata_url(resource: str) -> str:
    """Where the metadata of a resource are: the well-known place, then its own path (RFC 9728, section 3.1)."""
    parts = urlsplit(resource)
    return urlunsplit(parts._replace(path=f"{WELL_KNOWN}{parts.path.rstrip('/')}", query="", fragment=""))


def refusal(
    identity: Identity | None, status: int, error: str = "", told: str = "", scope: str = "", *, proof: bool = False
) -> Response:
    """An answer that says what is missing.

    Args:
        identity: What `identity.toml` says; None if there is none, and only tokens of `remit token create` are taken.
        status: 401, 403 or 503.
        error: The error's code; empty when the caller sent no token (RFC 6750, section 3.1).
        told: What is wrong, in words without quotes.
        scope: The scope to ask for; empty for the one to begin with.
        proof: Whether the caller tried to prove that it has the token's key.
    """
    body = {"error": error or "invalid_token", "error_description": told}
    answer = JSONResponse({name: value for name, value in body.items() if value}, status)
    if status == 503:
        answer.headers["Retry-After"] = "5"
        return answer
    parts = [("error", error), ("error_description", told)]
    if identity:
        first = "" if error == "access_denied" else next(iter(identity.scopes), "")  # no scope would help
        parts += [("scope", scope or first), ("resource_metadata", metadata_url(identity.resource))]
    said = ", ".join(f'{name}="{_quotable(value)}"' for name, value in parts if value)
    answer.headers.append("WWW-Authenticate", f"{'DPoP' if proof else 'Bearer'} {said}".strip())
    if identity and not proof and any(issuer.dpop for issuer in identity.issuers.values()):
        answer.headers.append("WWW-Authenticate", f'DPoP algs="{" ".join(ALGORITHMS)}"')
    return answer


def metadata_routes(identity: Callable[[], Identity | None]) -> list[BaseRoute]:
    """The routes under which clients find the metadata, at the resource's own place and at the root.

    Args:
        identity: What `identity.toml` says now.
    """

    async def show(request: Request) -> Response:
        found = identity()
        if found is None or request.url.path.rstrip("/") not in {
            WELL_KNOWN,
            urlsplit(metadata_url(found.resource)).path,
        }:
            return Response(status_code=404)
        return JSONResponse(metadata(found), headers={**_FOR_ANYBODY, "Cache-Control": "public, max-age=300"})

    return [Route(f"{WELL_KNOWN}{{rest:path}}", show, methods=["GET"])]


def metadata(identity: Identity) -> dict[str, object]:
    """What the resource says of itself (RFC 9728, section 2)."""
    issuers = identity.issuers.values()
    found: dict[str, object] = {
        "resource": identity.resource,
        "resource_name": "Remit",
        "authorization_servers": [issuer.issuer for issuer in issuers],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
    }
    if identity.scopes:
        found["scopes_supported"] = list(identity.scopes)
    if all(issuer.dpop for issuer in issuers):
        found["dpop_bound_access_tokens_required"] = True
    return found


def _quotable(value: str) -> str:
    return "".join(each if each.isascii() and each.isprintable() and each not in '"\\' else "'" for each in value)
