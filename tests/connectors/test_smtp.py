"""No password goes to an SMTP server in the clear, and what a server says is told as it says it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress

import pytest
from pydantic import SecretStr

from connectors.credentials import Access
from connectors.email import smtp
from connectors.email.compose import Outgoing
from connectors.email.mail_server import Login, LoginRefused, MailServer
from connectors.errors import ConnectorError, Unavailable

LOGIN = Login("support", Access("imap_smtp", "larkspur", None, 1, SecretStr("correct-horse"), "support"))


@asynccontextmanager
async def answering(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, str]) -> AsyncIterator[list[bytes]]:
    """Every server is one that says this to that, and `250 ok` to anything else; gives what it hears."""
    heard: list[bytes] = []
    is_over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(f"{answers.get('', '220 mail.larkspur.example')}\r\n".encode())
            while line := await reader.readline():
                heard.append(line)
                writer.write(f"{answers.get(line[:4].decode(), '250 ok')}\r\n".encode())
        writer.close()
        is_over.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        monkeypatch.setattr(MailServer, "dial", lambda _: socket.create_connection(address))
        try:
            yield heard
        finally:
            await is_over.wait()


@pytest.mark.parametrize("offers", ["250-larkspur\r\n250 AUTH PLAIN LOGIN", "502 no"])
async def test_a_server_without_starttls_gets_no_password(monkeypatch: pytest.MonkeyPatch, offers: str) -> None:
    async with answering(monkeypatch, {"EHLO": offers}) as heard:
        with pytest.raises(Unavailable, match="STARTTLS"):
            await smtp.look(MailServer("mail.larkspur.example", 587, implicit=False), LOGIN)
    assert heard
    assert not any(b"AUTH" in line for line in heard)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"": "554 No service here"}, r"is not reached: 554 No service here; nothing was sent$"),
        ({"AUTH": "535 5.7.8 No correct-horse"}, r"^5\.7\.8 No \[credential\]$"),
        ({"AUTH": "535 "}, "^$"),
        ({"RCPT": "550 Unknown"}, r"to `li@customer\.example` \(550 Unknown\)"),
        ({"RCPT": "550 "}, r"to `li@customer\.example` \(550 \)"),
    ],
)
async def test_a_refusal_is_told_in_the_servers_words(
    monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, str], told: str
) -> None:
    takes_logins = {"EHLO": "250-larkspur\r\n250 AUTH PLAIN", "AUTH": "235 ok"}
    mail = Outgoing("support@larkspur.example", ["li@customer.example"], "Lamp", "Hello")
    async with answering(monkeypatch, takes_logins | dict(answers)):
        with pytest.raises((ConnectorError, LoginRefused), match=told):
            await smtp.hand_over(MailServer("127.0.0.1", 587, implicit=False), LOGIN, mail, b"", nullcontext())
