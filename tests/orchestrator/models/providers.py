"""A server that speaks as the providers of models do: OpenAI chat completions and embeddings, Anthropic messages."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.orchestrator.fake_gateway import serving


@dataclass(frozen=True)
class Says:
    """An answer: a text, calls with raw arguments, and the tokens that it took, of which some were cached."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    tokens: int = 100
    cached: int = 0
    output: int = 10
    measured: bool = True


@dataclass(frozen=True)
class Fails:
    """An error as providers tell it."""

    status: int
    retry_after: str = ""


class Hangs:
    """No answer at all."""


class Drops:
    """The connection breaks in the middle of the answer."""


class Page:
    """A web page, as from a portal in between."""


class Nothing:
    """An answer with a count of what it took and nothing else in it."""


Plan = Says | Fails | Hangs | Drops | Page | Nothing


@dataclass
class Providers:
    """What the server is to answer, by model, one plan after the other and the last for ever; and what it was asked."""

    plans: dict[str, list[Plan]]
    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    paid: Counter[str] = field(default_factory=Counter)
    answered: dict[str, Says] = field(default_factory=dict)
    knows_keys: bool = False
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def models(self) -> list[str]:
        """The models that were asked, in order."""
        return [body["model"] for _, _, body in self.asked]

    def keys(self) -> list[str]:
        """The idempotency keys that came."""
        return [headers.get("idempotency-key", "") for _, headers, _ in self.asked]

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append((request.url.path, dict(request.headers), body))
        key = request.headers.get("idempotency-key", "")
        if self.knows_keys and key in self.answered:
            return _speak(request.url.path, body, self.answered[key])
        plans = self.plans[body["model"]]
        plan = plans.pop(0) if len(plans) > 1 else plans[0]
        if isinstance(plan, Says):
            self.paid[body["model"]] += 1
            self.answered[key] = plan
            return _speak(request.url.path, body, plan)
        if isinstance(plan, Hangs):
            await self.let_go.wait()
        if isinstance(plan, Drops):
            return _Broken(stream=body.get("stream", False), openai="/v1/chat" in request.url.path)
        if isinstance(plan, Fails):
            headers = {"retry-after": plan.retry_after} if plan.retry_after else {}
            error = {"type": "error", "error": {"type": "api_error", "message": "secret words of the provider"}}
            return JSONResponse(error, plan.status, headers=headers)
        if isinstance(plan, Nothing):
            usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
            return JSONResponse({"id": "1", "object": "chat.completion", "created": 1, "choices": [], "usage": usage})
        return HTMLResponse("<h1>Log in</h1>")


@asynccontextmanager
async def providers(**plans: list[Plan]) -> AsyncIterator[tuple[Providers, str]]:
    """Run the server; gives it and its address. The names of plans are models, with `_` for `-`."""
    server = Providers({name.replace("_", "-"): each for name, each in plans.items()})
    paths = ("/v1/chat/completions", "/v1/embeddings", "/v1/messages")
    app = Starlette(routes=[Route(path, server.answer, methods=["POST"]) for path in paths])
    async with serving(app) as (address, _):
        try:
            yield server, address
        finally:
            server.let_go.set()


class _Broken(Response):
    """An answer that ends before it is over."""

    def __init__(self, *, stream: bool, openai: bool) -> None:
        self.stream, self.openai = stream, openai

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = b"text/event-stream" if self.stream else b"application/json"
        headers = [(b"content-type", kind), (b"content-length", b"100000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        usage = {"input_tokens": 70, "output_tokens": 1}
        begun = {"type": "message_start", "message": _message("claude", [], usage) | {"stop_reason": None}}
        piece = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small"}
        piece |= {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "ye"}, "finish_reason": None}]}
        pieces = f"data: {json.dumps(piece)}\n\n" if self.openai else _event("message_start", begun)
        part = pieces if self.stream else '{"id": '
        await send({"type": "http.response.body", "body": part.encode(), "more_body": True})
        # It says that this is all, which is not true: the server hangs up.
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _speak(path: str, body: dict[str, Any], says: Says) -> Response:
    if path == "/v1/embeddings":
        data = [
            {"object": "embedding", "index": place, "embedding": [float(len(text)), 0.5]}
            for place, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": says.tokens, "total_tokens": says.tokens}
        return JSONResponse({"object": "list", "model": body["model"], "data": data, "usage": usage})
    events = _openai(body, says) if path == "/v1/chat/completions" else _anthropic(body, says)
    if body.get("stream"):
        return StreamingResponse(iter(events[1]), media_type="text/event-stream")
    return Response(json.dumps(events[0]), media_type="application/json")


def _openai(body: dict[str, Any], says: Says) -> tuple[dict[str, Any], list[str]]:
    usage = {
        "prompt_tokens": says.tokens,
        "completion_tokens": says.output,
        "total_tokens": says.tokens + says.output,
        "prompt_tokens_details": {"cached_tokens": says.cached},
    }
    calls: list[dict[str, Any]] = [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place, (name, arguments) in enumerate(says.calls)
    ]
    finish = "tool_calls" if calls else "stop"
    message = {"role": "assistant", "content": says.text or None} | ({"tool_calls": calls} if calls else {})
    about = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": body["model"]}
    whole = about | {
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
    }
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": each} for each in says.text)]
    for place, call in enumerate(calls):
        arguments = call["function"]["arguments"]
        deltas.append({"tool_calls": [{"index": place, **call, "function": {**call["function"], "arguments": ""}}]})
        deltas += [{"tool_calls": [{"index": place, "function": {"arguments": each}}]} for each in arguments]
    chunk = about | {"object": "chat.completion.chunk"}
    pieces = [chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    pieces.append(chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if says.measured:
        whole["usage"] = usage
        if body.get("stream_options", {}).get("include_usage"):
            pieces.append(chunk | {"choices": [], "usage": usage})
    return whole, [*(f"data: {json.dumps(piece)}\n\n" for piece in pieces), "data: [DONE]\n\n"]


def _message(model: str, content: list[dict[str, Any]], usage: dict[str, int]) -> dict[str, Any]:
    about = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "stop_sequence": None}
    stop = "tool_use" if any(each["type"] == "tool_use" for each in content) else "end_turn"
    return about | {"content": content, "stop_reason": stop, "usage": usage}


def _anthropic(body: dict[str, Any], says: Says) -> tuple[dict[str, Any], list[str]]:
    # Here cached tokens are not among the others.
    usage = {
        "input_tokens": says.tokens - says.cached,
        "cache_read_input_tokens": says.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": says.output,
    }
    content: list[dict[str, Any]] = [{"type": "text", "text": says.text}] if says.text else []
    for place, (name, arguments) in enumerate(says.calls):
        content.append({"type": "tool_use", "id": f"toolu_{place}", "name": name, "input": arguments})
    message = _message(body["model"], content, usage)
    begun = message | {"content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": begun})]
    for place, block in enumerate(content):
        nothing: dict[str, Any] = {"text": ""} if block["type"] == "text" else {"input": {}}
        empty = block | nothing
        events.append(("content_block_start", {"index": place, "content_block": empty}))
        raw = block.get("text") or block["input"]
        kind, field_ = ("text_delta", "text") if block["type"] == "text" else ("input_json_delta", "partial_json")
        events += [("content_block_delta", {"index": place, "delta": {"type": kind, field_: each}}) for each in raw]
        events.append(("content_block_stop", {"index": place}))
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events.append(("message_delta", {"delta": stop, "usage": {"output_tokens": says.output}}))
    events.append(("message_stop", {}))
    for block in content:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["input"])
    return message, [_event(name, {"type": name, **data}) for name, data in events]


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
