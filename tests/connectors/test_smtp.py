"""No password goes to an SMTP server in the clear."""

import asyncio
import socket

import pytest
from pydantic import SecretStr

from connectors.credentials import Access
from connectors.email import smtp
from connectors.email.mail_server import Login, MailServer
from connectors.errors import Unavailable

LOGIN = Login("support", Access("imap_smtp", "larkspur", None, 1, SecretStr("correct-horse"), "support"))


@pytest.mark.parametrize("offers", ["250-larkspur\r\n250 AUTH PLAIN LOGIN", "502 no"])
async def test_a_server_without_starttls_gets_no_password(monkeypatch: pytest.MonkeyPatch, offers: str) -> None:
    heard: list[bytes] = []
    is_over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.larkspur.example\r\n")
        while line := await reader.readline():
            heard.append(line)
            writer.write(f"{offers}\r\n".encode() if line.startswith(b"EHLO") else b"250 ok\r\n")
        writer.close()
        is_over.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        monkeypatch.setattr(MailServer, "dial", lambda _: socket.create_connection(address))
        with pytest.raises(Unavailable, match="STARTTLS"):
            await smtp.look(MailServer("mail.larkspur.example", 587, implicit=False), LOGIN)
        await is_over.wait()
    assert heard
    assert not any(b"AUTH" in line for line in heard)
