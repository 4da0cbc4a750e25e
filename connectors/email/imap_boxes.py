"""The mailboxes of one declaration: who logs in to each, and the connections that are kept to it."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

from connectors.contract import CallContext
from connectors.credentials import Credentials
from connectors.email.declared_mailbox import DeclaredMailboxes
from connectors.email.imap_names import mark_of
from connectors.email.imap_pool import Pool
from connectors.email.imap_session import Role, Session, connect
from connectors.email.mail_server import Login, LoginRefused, MailServer, mail_server
from connectors.errors import Unavailable

T = TypeVar("T")


def _server(url: str) -> str:
    mail_server(url)
    return url


class DeclaredMail(DeclaredMailboxes):
    """A mail system that is spoken to by IMAP and SMTP.

    `imap` and `smtp` say where: `imaps://…` and `smtps://…` for TLS from the start, `imap://…` and `smtp://…` for
    STARTTLS. `ca` is a file of certificates to trust in place of the system's. `folders` names those that the server
    neither marks (RFC 6154) nor calls as usual. With `keeps_sent` the server itself puts what is sent among the sent.
    """

    kind: Literal["imap_smtp"] = "imap_smtp"
    imap: Annotated[str, AfterValidator(_server)]
    smtp: Annotated[str, AfterValidator(_server)]
    ca: Annotated[Path | None, Field(strict=False)] = None
    folders: Annotated[dict[Role, str], Field(default_factory=dict)]
    keeps_sent: bool = False


class Boxes:
    """The mailboxes, each with its own login and connections.

    Args:
        declared: Which there are.
        credentials: Where passwords and tokens come from, for each call anew.
    """

    def __init__(self, declared: DeclaredMail, credentials: Credentials) -> None:
        self._declared = declared
        self._credentials = credentials
        self._imap = mail_server(declared.imap, declared.ca, inside=declared.inside)
        self._smtp = mail_server(declared.smtp, declared.ca, inside=declared.inside)
        self._pools: dict[str, tuple[Login, Pool]] = {}

    async def read(self, call: CallContext, mailbox: str, work: Callable[[Session], T]) -> T:
        """Do what changes nothing.

        Raises:
            NotFound: If the tenant has no such mailbox.
            Unavailable: If the server does not answer, or does not let in.
        """
        return await self._as_owner(call, mailbox, lambda login: self._pool(mailbox, login).read(work))

    async def act(self, call: CallContext, mailbox: str, work: Callable[[Session], T]) -> T:
        """Do one thing that changes the mailbox.

        Raises:
            NotFound: If the tenant has no such mailbox.
            Unavailable: If the server refuses it, is not reached or does not let in; nothing was done.
            InDoubt: If the connection is lost over it.
        """
        return await self._as_owner(call, mailbox, lambda login: self._pool(mailbox, login).act(work))

    async def submit(self, call: CallContext, mailbox: str, attempt: Callable[[MailServer, Login], Awaitable[T]]) -> T:
        """Do something with the SMTP server; raises what that does."""
        return await self._as_owner(call, mailbox, lambda login: attempt(self._smtp, login))

    async def _as_owner(self, call: CallContext, mailbox: str, attempt: Callable[[Login], Awaitable[T]]) -> T:
        """Log in with what is kept for the mailbox, and once more if that has become another meanwhile."""
        declared = self._declared.find(call, mailbox)
        shown = self._declared.shown_for(declared)
        access = await self._credentials.of(shown, call.tenant)
        for _ in range(2):
            try:
                return await attempt(Login(declared.login or access.user or mailbox, access))
            except LoginRefused:
                other = await self._credentials.refused(access)
                if other is None:
                    break
                access = other
        raise Unavailable(f"the mail server refuses the credential `{shown}` for `{mailbox}`; nothing was done")

    def _pool(self, mailbox: str, login: Login) -> Pool:
        """The connections under this login; those under an earlier one are closed."""
        known, pool = self._pools.get(mailbox, (None, None))
        if pool is None or known != login:
            if pool:
                pool.close()
            mark = mark_of(self._declared.tenant, mailbox)
            pool = Pool(partial(connect, self._imap, login, mailbox, mark, self._declared.folders))
            self._pools[mailbox] = login, pool
        return pool

    async def close(self) -> None:
        """Close all connections."""
        for _, pool in self._pools.values():
            pool.close()
