"""Where a mail server is and how it is reached: encrypted from the start or by STARTTLS, and as whom."""

import socket
import ssl
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from connectors.credentials import Access
from connectors.errors import Unavailable
from connectors.vendor.network import allowed_of

_CONNECT_SECONDS = 5
_PORTS = {"imaps": 993, "imap": 143, "smtps": 465, "smtp": 587}


@dataclass(frozen=True)
class MailServer:
    """A server.

    Args:
        host: Its name, which its certificate must bear.
        port: Its port.
        implicit: Whether TLS comes first (RFC 8314), rather than after STARTTLS.
        ca: A file of certificates to trust in place of the system's.
        inside: Whether it may be at a private address.
    """

    host: str
    port: int
    implicit: bool
    ca: Path | None = None
    inside: bool = False

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """What its certificate is checked by.

        Raises:
            Unavailable: If the file of certificates cannot be used.
        """
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise Unavailable(f"`{self.ca}` has no usable certificates; nothing was done") from error

    def dial(self) -> socket.socket:
        """Connect to it, where it may be; blocks.

        Raises:
            OSError: If it is not reached.
        """
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        if (address := allowed_of(found, inside=self.inside)) is None:
            raise PermissionError(f"`{self.host}` is at an address that is not allowed; say `inside` if it should be")
        return socket.create_connection((address, self.port), timeout=_CONNECT_SECONDS)

    @property
    def may_be_plain(self) -> bool:
        """Whether a password may go to it without encryption: only on this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def mail_server(url: str, ca: Path | None = None, *, inside: bool = False) -> MailServer:
    """Read where a server is.

    Args:
        url: `imaps://HOST` or `smtps://HOST` for TLS from the start, `imap://HOST` or `smtp://HOST` for STARTTLS; each
            with an optional port.
        ca: A file of certificates to trust in place of the system's.
        inside: Whether it may be at a private address.

    Raises:
        ValueError: If it is something else; says what is wrong.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(
            f"`{url}` is no mail server; write such as `imaps://mail.example` or `smtp://mail.example:587`"
        )
    if parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"`{url.rpartition('@')[2]}` must have a host and a port only; a login goes by `credential`")
    return MailServer(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme.endswith("s"), ca, inside)


@dataclass(frozen=True)
class Login:
    """As whom a mailbox is opened.

    Args:
        user: The name to log in with.
        access: The password, or token (XOAUTH2).
    """

    user: str
    access: Access

    @property
    def secret(self) -> str:
        return self.access.secret.get_secret_value()

    @property
    def is_token(self) -> bool:
        """Whether the secret is an OAuth access token."""
        return not self.access.user

    async def token(self) -> str:
        """The secret, for whoever awaits a token."""
        return self.secret


class LoginRefused(Exception):
    """A server does not take the login."""


def short(said: object) -> str:
    """What a server or an error says, on one short line."""
    return " ".join(str(said).split())[:200] or type(said).__name__


def words_of(login: Login, said: object) -> str:
    """What it says without the secret, which may be nothing."""
    return " ".join(login.access.hide(str(said)).split())[:200]
