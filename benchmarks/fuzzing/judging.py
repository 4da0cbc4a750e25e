"""What is wrong with an answer, or with what a back end did, by the model and by what must hold of every answer."""

import json
import re
from collections.abc import Iterable
from typing import Any

from benchmarks.fuzzing.asgi import Response
from benchmarks.fuzzing.asking import Asked
from benchmarks.fuzzing.model import Verdict, verdict
from benchmarks.fuzzing.world import MARKERS, Done, World
from gateway.principal import Principal

_INTERNALS = re.compile(
    rb'Traceback|File \\?"|\.py\b|site-packages|sqlalchemy|sqlite|pydantic\.dev|psycopg|asyncio|anyio|0x[0-9a-f]{8}',
    re.IGNORECASE,
)
_STATUS_OF = {"ok": Verdict.ALLOW, "pending_approval": Verdict.ASK, "denied": Verdict.DENY}


def wrong_with_answer(world: World, asked: Asked, response: Response) -> Iterable[str]:
    """Say everything that is wrong with an answer."""
    came = response.body
    if not response.status:
        yield "no answer, of which a web server makes a 500"
    if response.status >= 500 and not (response.status == 503 and b"retry-after" in dict(response.headers)):
        yield f"status {response.status}"
    yield from _leaked(world, asked, came)
    if asked.caller is None and b'"result"' in came:
        yield "an answer without a good token"
    answer = _answer(response)
    if answer.get("status") == "failed" and (answer.get("error") or {}).get("kind") == "internal":
        yield "an internal error"
    if asked.caller and (status := answer.get("status")):
        yield from _against_model(asked, asked.caller, status, answer)


def _leaked(world: World, asked: Asked, came: bytes) -> Iterable[str]:
    sent = asked.request.body
    if (found := _INTERNALS.search(came)) and found.group().lower() not in sent.lower():
        yield f"internals: {found.group()!r}"
    if any(secret.encode() in came and secret.encode() not in sent for secret in world.secrets):
        yield "a secret or a path"
    for tenant, mark in MARKERS.items():
        if mark.encode() in came and (asked.caller is None or asked.caller.tenant != tenant):
            yield f"data of {tenant}"


def _answer(response: Response) -> dict[str, Any]:
    text = response.body
    if response.is_stream:
        lines = [line[5:] for line in text.splitlines() if line.startswith(b"data:") and line[5:].strip()]
        text = lines[-1] if lines else b""
    try:
        read = json.loads(text)
        return dict(read["result"]["structuredContent"])
    except (ValueError, KeyError, TypeError):
        return {}


def _against_model(asked: Asked, caller: Principal, status: str, answer: dict[str, Any]) -> Iterable[str]:
    call = _read(asked.request.body)
    if call is None:
        if status == "ok":
            yield "something was done for what is no call"
        return
    if status != "ok" and not asked.unchanged:
        return
    try:
        said = verdict(caller, call["name"], call["arguments"])
    except (TypeError, KeyError, ValueError) as error:
        yield f"`{status}` for arguments that the model cannot read: {error!r}"
        return
    if status == "ok" and said is not Verdict.ALLOW:
        yield f"done although the model says {said.name}"
    fails_closed = str(answer.get("reason")).startswith("what is stopped cannot be read")
    if asked.unchanged and not fails_closed and status in _STATUS_OF and _STATUS_OF[status] is not said:
        yield f"`{status}` although the model says {said.name}: {answer.get('reason')}"


def _read(body: bytes) -> dict[str, Any] | None:
    """The call in a request, as the standard library reads it: of a doubled key the last."""
    try:
        params = json.loads(body)["params"]
        arguments = params.get("arguments") or {}
        return {"name": str(params["name"]), "arguments": dict(arguments)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def wrong_with_effect(done: Done, callers: Iterable[Principal]) -> Iterable[str]:
    """Say everything that is wrong with what a back end was told.

    Args:
        done: What it was told.
        callers: Who was calling at that time.
    """
    able = [who for who in callers if who.tenant == done.tenant and (who.person or who.agent) == done.actor]
    if not any(verdict(who, done.tool, done.args) is Verdict.ALLOW for who in able):
        yield f"{done.tool} for {done.actor} in {done.tenant} with {done.args}"
