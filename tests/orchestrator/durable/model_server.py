"""A provider of models on this machine: speaks OpenAI's form, and answers a key once however often it is asked."""

import asyncio
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_MARK = re.compile(r"mark \d{5}")
_LATEST_SECONDS = 0.05


@dataclass
class ModelServer:
    """Opens a ticket if it is given a tool for that, and then says what it is about. `paid` counts answers by key."""

    chance: Random
    paid: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    _answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    async def _complete(self, request: Request) -> Response:
        key = request.headers["idempotency-key"]
        try:
            asked = await request.json()
        except ClientDisconnect:  # the worker was killed while it asked
            return Response(status_code=400)
        self.asked[key] += 1
        if key not in self._answers:
            self._answers[key] = _answer(key, asked)
            self.paid[key] += 1
        await asyncio.sleep(self.chance.random() * _LATEST_SECONDS)
        return JSONResponse(self._answers[key])


def _answer(key: str, asked: dict[str, Any]) -> dict[str, Any]:
    found = _MARK.search(json.dumps(asked["messages"]))
    assert found, "the data are in the conversation"
    mark, tools = found[0], [tool["function"]["name"] for tool in asked["tools"]]
    if "ticket_create_ticket" in tools and asked["messages"][-1]["role"] != "tool":
        ticket = {"subject": mark, "body": "b", "requester_name": "Kim", "requester_email": "kim@customer.example"}
        call = _call("ticket_create_ticket", ticket)
    else:
        call = _call("final_result", {"says": f"about {mark}"})
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "id": f"cmpl-{key}",
        "object": "chat.completion",
        "created": 1,
        "model": "local",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


def _call(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": "call", "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}
