"""HTTP requests beyond `requests` limits are answered 429 before anything else is done for them."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from math import ceil

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.gateway import Gateway
from gateway.identity import access_of
from gateway.limits.requests import Requests
from gateway.policy.files.limits import ADDRESS, Limit

_UNCOUNTED = frozenset({"/healthz", "/readyz"})
"""A flood does not make whoever asks for these think that the gateway is down."""
_NETWORK_BITS = 64


class Flood:
    """Counts what comes to one process.

    Args:
        gateway: Whose policy counts.
        clock: Seconds of a clock that only goes forward.
    """

    def __init__(self, gateway: Gateway, clock: Callable[[], float] = time.monotonic) -> None:
        self._gateway = gateway
        self._clock = clock
        # Each has a memory of its own: strangers from many addresses do not make callers forgotten.
        self._of_addresses, self._of_callers = Requests(), Requests()

    def by_address(self, app: ASGIApp) -> ASGIApp:
        """The app, with requests counted by where they come from; for before it is known who sends them."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] not in _UNCOUNTED:
                limits = self._gateway.policy.current.limits_on_requests()
                if refused := self._refused(self._of_addresses, limits, {ADDRESS: address(scope)}):
                    return await refused(scope, receive, send)
            return await app(scope, receive, send)

        return counted

    def by_caller(self, app: ASGIApp) -> ASGIApp:
        """The app, with requests counted by who sends them; inside what finds that out."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if access := access_of(scope.get("user")):
                principal = access.principal
                limits = self._gateway.policy.current.limits_on_requests(principal)
                who = {"tenant": principal.tenant, "person": principal.person, "agent": principal.agent}
                # One tenant's people are others than another's of the same name.
                who = {name: value and f"{principal.tenant} {value}" for name, value in who.items()}
                if refused := self._refused(self._of_callers, limits, {**who, ADDRESS: address(scope)}):
                    return await refused(scope, receive, send)
            return await app(scope, receive, send)

        return counted

    def _refused(
        self, requests: Requests, limits: Sequence[Limit], who: Mapping[str, str | None]
    ) -> JSONResponse | None:
        too_many = requests.count(limits, who, self._clock())
        if too_many is None:
            return None
        self._gateway.metrics.refused_by_limit(too_many.limits)
        seconds = max(ceil(too_many.seconds), 1)
        told = f"limit {' and '.join(too_many.limits)} is reached; nothing was done, come back in {seconds} s"
        answer = {"error": "too_many_requests", "error_description": told, "retry_after": seconds}
        return JSONResponse(answer, 429, {"Retry-After": str(seconds)})


def address(scope: Scope) -> str:
    """Where a request comes from: its address, of IPv6 the network of 64 bits that one sender has for itself."""
    return _sender((scope.get("client") or ("",))[0])


@lru_cache(maxsize=10_000)
def _sender(host: str) -> str:
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> _NETWORK_BITS << _NETWORK_BITS)}/{_NETWORK_BITS}"
