"""The way to a vendor's host: to public addresses alone, unless its declaration says that it is inside.

The address that was looked at is the one that is connected to, so that a name which changes its address in between
leads nowhere.
"""

import ssl
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from socket import IPPROTO_TCP, SOCK_STREAM
from typing import Any

import anyio
import anyio.to_thread
import httpcore
import httpx

_AT_ONCE = 16
_KEPT_SECONDS = 30.0
_LOOK_UP_SECONDS = 5.0


class Guarded(httpcore.AsyncNetworkBackend):
    """Connects to addresses that it is allowed to.

    Args:
        inside: Whether private addresses are.
    """

    def __init__(self, *, inside: bool) -> None:
        self._inside = inside
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to one of a host's addresses.

        Raises:
            httpcore.ConnectError: If it has none that is allowed, or none that answers.
        """
        address = await _allowed(host, port, inside=self._inside)
        return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - httpcore's
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - httpcore's
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: a vendor is reached by its name."""
        raise httpcore.ConnectError(f"no socket of this machine: {path}")

    async def sleep(self, seconds: float) -> None:
        """Sleep for so many seconds."""
        await self._plain.sleep(seconds)


async def _allowed(host: str, port: int, *, inside: bool) -> str:
    try:
        with anyio.fail_after(_LOOK_UP_SECONDS):
            found = await anyio.getaddrinfo(host, port, type=SOCK_STREAM, proto=IPPROTO_TCP)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise httpcore.ConnectError(f"`{host}` has no address: {type(error).__name__}") from None
    if (address := allowed_of(found, inside=inside)) is None:
        raise httpcore.ConnectError(f"`{host}` is at an address that is not allowed")
    return address


def allowed_of(found: Sequence[tuple[Any, ...]], *, inside: bool) -> str | None:
    """The address to connect to, of those that a host was found to have; None unless all of them are allowed.

    Args:
        found: What `getaddrinfo` gave.
        inside: As for `is_allowed`.
    """
    addresses = [str(each[-1][0]) for each in found]
    return addresses[0] if addresses and all(is_allowed(each, inside=inside) for each in addresses) else None


def is_allowed(address: str, *, inside: bool) -> bool:
    """Whether a vendor may be at an address.

    Args:
        address: IPv4 or IPv6.
        inside: Whether it is declared to be inside: then at a private one too, but never at one of the link alone,
            where clouds keep the machine's own credentials.
    """
    where = ip_address(address.partition("%")[0])
    if isinstance(where, IPv6Address):
        where = where.ipv4_mapped or where.sixtofour or where
    return where.is_global and not where.is_multicast if not inside else not _is_special(where)


def _is_special(where: IPv4Address | IPv6Address) -> bool:
    is_kept_back = where.is_reserved and not where.is_loopback
    return where.is_link_local or where.is_multicast or where.is_unspecified or is_kept_back


class _Pool(httpcore.AsyncConnectionPool):
    """Connections that are given back whenever their requests go away.

    httpcore 1.0 keeps for ever what it gave to a request that was cancelled while it waited for its turn.
    """

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        try:
            return await super().handle_async_request(request)
        except BaseException:
            wanted = {id(each.connection) for each in self._requests}
            held = [each for each in self._connections if not each.is_idle() and not each.is_closed()]
            lost = [each for each in held if id(each) not in wanted]
            for each in lost:
                self._connections.remove(each)
            with anyio.CancelScope(shield=True):
                await self._close_connections([*lost, *self._assign_requests_to_connections()])
            raise


class VendorTransport(httpx.AsyncHTTPTransport):
    """Sends over TLS to allowed addresses; a few connections at a time, kept open for the next request.

    Args:
        trust: Whom to trust.
        inside: Whether private addresses are allowed.
    """

    def __init__(self, trust: ssl.SSLContext, *, inside: bool) -> None:
        super().__init__(verify=trust, trust_env=False)
        self._pool = _Pool(
            ssl_context=trust,
            max_connections=_AT_ONCE,
            max_keepalive_connections=_AT_ONCE,
            keepalive_expiry=_KEPT_SECONDS,
            network_backend=Guarded(inside=inside),
        )


async def trust_of(ca: Path | None) -> ssl.SSLContext:
    """Whom to trust: the usual authorities, or those in a file.

    Raises:
        OSError: If the file cannot be used.
    """
    if ca not in _TRUSTS:
        # Made once, for it reads and parses all certificates.
        _TRUSTS[ca] = await anyio.to_thread.run_sync(_trust, ca)
    return _TRUSTS[ca]


_TRUSTS: dict[Path | None, ssl.SSLContext] = {}


def _trust(ca: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca) if ca else httpx.create_ssl_context()
