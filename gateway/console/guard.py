"""What stands before every page of the console: which requests come in at all, and the headers that go out."""

from collections.abc import Collection
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every response, errors and static files included."""


@dataclass(frozen=True)
class Guard:
    """Lets in what comes from the console's own pages and address.

    Args:
        app: What is guarded.
        hosts: Accepted Host headers; `name:*` is any port.
        origins: Accepted Origin headers; likewise.
    """

    app: ASGIApp
    hosts: Collection[str]
    origins: Collection[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        headers = Headers(scope=scope)
        if not _accepted(headers.get("host", ""), self.hosts):
            await PlainTextResponse("unknown host\n", 421)(scope, receive, send_with_headers)
        elif scope["method"] not in {"GET", "HEAD"} and not self._from_own_page(headers):
            await PlainTextResponse("the form does not come from this console\n", 403)(
                scope, receive, send_with_headers
            )
        else:
            await self.app(scope, receive, send_with_headers)

    def _from_own_page(self, headers: Headers) -> bool:
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None and site != "same-origin":
            return False
        # Under `no-referrer` a browser sends `null` for its own pages too (Fetch Standard, "append a request Origin
        # header"); then Sec-Fetch-Site alone tells.
        if origin is None or origin == "null":
            return site is not None
        return _accepted(origin, self.origins)


def _accepted(value: str, patterns: Collection[str]) -> bool:
    name, colon, port = value.rpartition(":")
    return value in patterns or (bool(colon) and port.isdigit() and f"{name}:*" in patterns)
