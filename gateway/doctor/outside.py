"""What the gateway has to do with the world: its address, the console's, whoever is told, whoever watches."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from urllib.parse import urlsplit

import anyio
import httpx

from gateway.doctor.finding import Finding, ok, warning, wrong
from gateway.settings import Settings, is_loopback

_PATIENCE_SECONDS = 5.0
_PORTS = {"https": 443, "http": 80}


async def address(host: str, port: int, _settings: Settings) -> Sequence[Finding]:
    """Whether the address to be served on is free, or a gateway has it already."""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
        await listener.aclose()
    except OSError as error:
        if await _answers(shown):
            return [ok("address", f"a gateway serves at {shown}")]
        told = f"{shown} cannot be listened on: {error.strerror or type(error).__name__}"
        return [wrong("address", told, "give `remit serve` another one, or end what has it")]
    return [ok("address", f"{shown} is free")]


async def _answers(shown: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE_SECONDS) as http:
            answer = await http.get(f"http://{shown}/healthz")
            return bool(answer.json() == {"status": "alive"})
    except (httpx.HTTPError, ValueError):
        return False


async def console(settings: Settings) -> Sequence[Finding]:
    """Where people answer questions."""
    if not settings.console:
        return [warning("console", "it is off", "then questions are answered by `remit approvals` alone")]
    tells = settings.notify_mailbox or settings.notify_webhook
    if not settings.console_url:
        if not tells:
            return [ok("console", "at the address served on, which must name this machine")]
        told = "`console_url` is not set: what approvers are sent leads to the address served on"
        return [warning("console", told, "set `console_url` to where they reach it")]
    where = urlsplit(settings.console_url)
    if where.scheme != "https" and not is_loopback(where.hostname or ""):
        told = f"`{settings.console_url}` is not over TLS: nobody can sign in there"
        return [wrong("console", told, "put HTTPS in front and set `console_url` to it")]
    return [ok("console", f"at {settings.console_url}/console")]


async def notices(settings: Settings) -> Sequence[Finding]:
    """Whether approvers hear of questions."""
    if not (settings.notify_mailbox or settings.notify_webhook):
        then = "set `notify_mailbox` or `notify_webhook`; otherwise they have to look"
        return [warning("notices", "nobody is told that a question waits", then)]
    found = [ok("notices", f"by mail from {settings.notify_mailbox}")] if settings.notify_mailbox else []
    return [*found, await _reached("notices", settings.notify_webhook)] if settings.notify_webhook else found


async def telemetry(settings: Settings) -> Sequence[Finding]:
    """Whether somebody can see what happens."""
    found = []
    if settings.metrics_token is None:
        told = "`metrics_token` is not set: nobody can read `/metrics`"
        found.append(warning("metrics", told, "set it and let Prometheus scrape: docs/operations.md"))
    if not settings.telemetry:
        return found
    if find_spec("opentelemetry.sdk") is None:
        then = "install `remit[telemetry]`, or turn it off: a start is refused until then"
        return [*found, wrong("telemetry", "its packages are not installed", then)]
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost:4318"
    return [*found, await _reached("telemetry", endpoint)]


async def _reached(about: str, url: str) -> Finding:
    """Whether something listens there; nothing is sent."""
    where = urlsplit(url)
    host, port = where.hostname or "", where.port or _PORTS.get(where.scheme, 443)
    shown = f"{where.scheme}://{host}:{port}"
    try:
        with anyio.fail_after(_PATIENCE_SECONDS):
            if where.scheme == "https":
                await (await anyio.connect_tcp(host, port, tls=True, tls_standard_compatible=False)).aclose()
            else:
                await (await anyio.connect_tcp(host, port)).aclose()
    except (OSError, TimeoutError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        told = f"nothing usable listens at {shown}: {type(error).__name__}"
        return wrong(about, told, "is it running, and reachable from here?")
    return ok(about, f"{shown} is reached")
