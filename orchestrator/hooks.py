"""Webhooks: `POST /hooks/NAME` of a worker begins a run, for whoever knows the hook's secret.

The secret is a bearer token, or it signs the request as Standard Webhooks 1.0 has it. `webhook-id` names the delivery:
repeated, it gets the run that it began the first time.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

import anyio
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from orchestrator.triggers import Hook, Triggers
from orchestrator.workflow import BadInput

MOST_BYTES = 256 * 1024
_SKEW_SECONDS = 300
_BODY_SECONDS = 30


def hooks_app(triggers: Triggers, routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The worker's HTTP side: the hooks, and further routes beside them."""

    async def take(request: Request) -> JSONResponse:
        try:
            name, body = request.path_params["name"], await _body(request)
            hook, id_ = triggers.known.get(name), request.headers.get("webhook-id", "")
            if not isinstance(hook, Hook) or not _is_genuine(hook, request.headers, body, triggers.now().timestamp()):
                raise HTTPException(401, "there is no such hook, or the secret or the signature is another one")
            if not 0 < len(id_) <= 200:
                raise HTTPException(400, "the header `webhook-id` must name the delivery")
            return JSONResponse({"run": await triggers.begin(name, hook, id_, {"body": _object(body)})}, 202)
        except BadInput as error:
            return JSONResponse({"error": str(error)}, 422)
        except HTTPException as refused:
            return JSONResponse({"error": refused.detail}, refused.status_code)
        except SQLAlchemyError:
            return JSONResponse({"error": "it cannot be kept just now: repeat it"}, 503)

    return Starlette(routes=[Route("/hooks/{name}", take, methods=["POST"]), *routes])


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        with anyio.fail_after(_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise HTTPException(413, f"the body may have {MOST_BYTES} bytes")
    except TimeoutError:
        raise HTTPException(408, f"the body may take {_BODY_SECONDS} seconds") from None
    return bytes(body)


def _object(body: bytes) -> object:
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is no JSON") from None


def _is_genuine(hook: Hook, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    secret = hook.secret.get_secret_value()
    if (scheme := headers.get("authorization", "").partition(" "))[0].lower() == "bearer":
        return hmac.compare_digest(scheme[2].encode(), secret.encode())
    moment = headers.get("webhook-timestamp", "")
    if not moment.isascii() or not moment.isdigit() or abs(int(moment[:12]) - now) > _SKEW_SECONDS:
        return False
    signed = f"{headers.get('webhook-id', '')}.{moment}.".encode() + body
    right = b"v1," + base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256))
    given = headers.get("webhook-signature", "").encode()
    return any(hmac.compare_digest(each, right) for each in given.split())
