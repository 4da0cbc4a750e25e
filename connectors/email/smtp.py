"""Handing a message over to an SMTP server, to all of its recipients or to none (RFC 5321, 6409).

Until the server has taken every recipient and asked for the message nothing has happened, and whatever goes wrong says
so. From then on only the server's answer counts: a refusal is one, and anything else but `250` leaves a doubt.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import NoReturn

import anyio
import anyio.to_thread
from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponse,
    SMTPResponseException,
    SMTPSenderRefused,
)

from connectors.email.compose import Outgoing
from connectors.email.mail_server import Login, LoginRefused, MailServer, short, words_of
from connectors.errors import InDoubt, InvalidInput, Unavailable

_SECONDS = 10
_LAST_SECONDS = 25
_DOT = re.compile(rb"^\.", re.MULTILINE)
_GOOD, _GO_ON = 250, 354


async def hand_over(
    server: MailServer, login: Login, outgoing: Outgoing, raw: bytes, ahead: AbstractAsyncContextManager[None]
) -> None:
    """Send a message.

    Args:
        server: Where to.
        login: As whom.
        outgoing: The message.
        raw: As it was composed: in ASCII, its lines ended by CRLF.
        ahead: Around the sending of the message itself; if it raises at first, nothing is sent.

    Raises:
        LoginRefused: If the server does not take the login; nothing was sent.
        InvalidInput: If it refuses sender, a recipient or the message for good; nothing was sent to anybody.
        Unavailable: If it is not reached or refuses for now; nothing was sent to anybody.
        InDoubt: If it does not say whether it took the message.
    """
    async with _connected(server, login) as client:
        await _announce(client, login, outgoing, len(raw))
        async with ahead:
            said = await _answer_to(client, raw)
            if 400 <= said.code < 600:
                _refuse(login, said)
            if said.code != _GOOD:
                raise InDoubt("the SMTP server's answer to the message is not understood")


async def look(server: MailServer, login: Login) -> str:
    """Log in, and give the server's name for itself.

    Raises:
        LoginRefused: If the server does not take the login.
        Unavailable: If it is not reached.
    """
    async with _connected(server, login) as client:
        greeting = client.last_ehlo_response
        return words_of(login, greeting.message.split("\n")[0]) if greeting else server.host


@asynccontextmanager
async def _connected(server: MailServer, login: Login) -> AsyncIterator[SMTP]:
    try:
        tls, sock = await anyio.to_thread.run_sync(lambda: (server.tls, server.dial()))
    except OSError as error:
        raise Unavailable(f"SMTP server `{server.host}` is not reached: {short(error)}; nothing was sent") from error
    sock.setblocking(False)
    client = SMTP(
        hostname=server.host,
        sock=sock,
        use_tls=server.implicit,
        # Where the password may go in the clear, it does so only if there is no other way.
        start_tls=False if server.implicit else None if server.may_be_plain else True,
        tls_context=tls,
        timeout=_SECONDS,
        local_hostname="[127.0.0.1]",
        username=login.user,
        password=None if login.is_token else login.secret,
        oauth_token_generator=login.token if login.is_token else None,
    )
    try:
        try:
            await client.connect()
        except SMTPAuthenticationError as error:
            if 400 <= error.code < 500:
                raise Unavailable("the SMTP server does not take logins now; nothing was sent") from None
            raise LoginRefused(words_of(login, error.message)) from None
        except (SMTPException, OSError, ValueError) as error:
            why = f"{error.code} {error.message}" if isinstance(error, SMTPResponseException) else short(error)
            why = words_of(login, why)
            raise Unavailable(f"SMTP server `{server.host}` is not reached: {why}; nothing was sent") from error
        yield client
        # It has said what became of the message; how it takes its leave no longer matters.
        with suppress(SMTPException, OSError, TimeoutError), anyio.move_on_after(1):
            await client.quit()
    finally:
        client.close()


async def _announce(client: SMTP, login: Login, outgoing: Outgoing, size: int) -> None:
    """Name sender and recipients, all of whom the server must take, and have it ask for the message."""
    options = [f"SIZE={size}"] if client.supports_extension("size") else []
    try:
        await client.mail(outgoing.mailbox, options=options)
        for recipient in dict.fromkeys((*outgoing.to, *outgoing.cc)):
            await client.rcpt(recipient)
        asked = await client.execute_command(b"DATA")
    except SMTPSenderRefused as error:
        _refuse(login, SMTPResponse(error.code, error.message), "mailbox", f"from `{outgoing.mailbox}` ")
    except SMTPRecipientRefused as error:
        field = "to" if error.recipient in outgoing.to else "cc"
        _refuse(login, SMTPResponse(error.code, error.message), field, f"to `{error.recipient}` ")
    except (SMTPException, OSError, ValueError) as error:
        raise Unavailable(f"the SMTP server was lost before it was sent anything ({short(error)})") from error
    if asked.code != _GO_ON:
        _refuse(login, asked)


async def _answer_to(client: SMTP, raw: bytes) -> SMTPResponse:
    """Send the message itself, and hear what the server says to it."""
    if client.protocol is None:
        raise InDoubt("the SMTP server was lost over the message")
    try:
        client.protocol.write(_DOT.sub(b"..", raw) + (b".\r\n" if raw.endswith(b"\r\n") else b"\r\n.\r\n"))
        return await client.protocol.read_response(timeout=_LAST_SECONDS)
    except (SMTPException, OSError, ValueError) as error:
        raise InDoubt(f"the SMTP server does not say whether it took the message ({short(error)})") from error


def _refuse(login: Login, said: SMTPResponse, field: str = "", whom: str = "") -> NoReturn:
    words = f"the SMTP server refuses mail {whom}({said.code} {words_of(login, said.message)}); nothing was sent"
    if 500 <= said.code < 600:
        raise InvalidInput(words, field=field, is_untrusted=True)
    raise Unavailable(words, is_untrusted=True)
