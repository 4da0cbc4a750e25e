"""One request to an ASGI app as bytes, without a client library that would put right what is wrong with it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message

SECONDS = 60.0
STREAM_SECONDS = 0.2


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass
class Response:
    """What came back; a stream is left after a moment."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    left: bool = False

    @property
    def is_stream(self) -> bool:
        return any(name == b"content-type" and b"event-stream" in value for name, value in self.headers)

    def header(self, wanted: bytes) -> bytes:
        return next((value for name, value in self.headers if name.lower() == wanted), b"")


async def send(app: ASGIApp, request: Request) -> Response:
    """Send a request and return the whole answer.

    Raises:
        TimeoutError: If there is none within a minute.
    """
    response, body = Response(), [request.body]
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            response.status, response.headers = message["status"], list(message["headers"])
            if request.method == "GET" and response.is_stream:
                asyncio.get_running_loop().call_later(STREAM_SECONDS, gone.set)
        elif message["type"] == "http.response.body":
            response.body += message.get("body", b"")
            if not message.get("more_body"):
                gone.set()

    path, _, query = request.path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": list(request.headers), "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8_000),
    }  # fmt: skip
    async with asyncio.timeout(SECONDS):
        await app(scope, receive, sent)
    return response
