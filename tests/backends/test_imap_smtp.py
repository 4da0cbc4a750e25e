"""Mail over IMAP and SMTP, with a real Dovecot and a real Postfix: the contract, and what else the protocols do to it."""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from connectors.credentials import Access
from connectors.email.imap_boxes import DeclaredMail, DeclaredMailbox
from connectors.email.imap_smtp import ImapSmtpEmail
from connectors.email.tools import GetThread, SearchEmail, SendDraft, UpdateDraft
from connectors.embedded.database import Database
from connectors.errors import Conflict, InDoubt, InvalidInput, NotFound, Unavailable
from connectors.vendor.kinds import Surroundings
from tests.backends.conftest import required
from tests.backends.email import (
    CUSTOMER,
    TENANT,
    TOOL,
    EmailContract,
    MailWorld,
    Put,
    call,
    draft,
    found,
    key,
    raw,
    send,
    sent_out,
    thread_of,
)
from tests.backends.systems.mail import PASSWORD, MailSystem, is_installed, mail_system
from tests.backends.tcp_faults import Action, Fault, TcpFaults, tcp_faults

_FOLDERS = {"inbox": "", "sent": "Sent", "archive": "Archive"}
_numbers = itertools.count(1)


@dataclass
class Passwords:
    """Where the back end gets what it shows: the password, or whatever a test says."""

    password: str = PASSWORD
    after: str = ""
    """What is shown once `password` was refused."""
    asked: list[str] = field(default_factory=list)

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        self.asked.append(back_end)
        return Access(back_end, tenant, None, 1, SecretStr(self.password), "by-address")

    async def refused(self, access: Access) -> Access | None:
        if not self.after:
            return None
        return Access(access.back_end, access.tenant, None, 2, SecretStr(self.after), access.user)


@dataclass
class ImapWorld(MailWorld):
    """A fresh mailbox on the mail system, with a proxy before each of its servers.

    Args:
        system: The mail system.
        imap: The proxy before Dovecot.
        smtp: The proxy before Postfix.
        company: Where the back end keeps what it hands over.
    """

    system: MailSystem
    imap: TcpFaults
    smtp: TcpFaults
    company: Database
    passwords: Passwords = field(default_factory=Passwords)
    recipients: set[str] = field(default_factory=lambda: {CUSTOMER, "li@customer.example", "mallory@evil.example"})

    def __post_init__(self) -> None:
        number = next(_numbers)
        self.mailbox, self.other_mailbox = (f"{name}{number}@larkspur.example" for name in ("support", "sales"))
        for address in self.recipients:
            shutil.rmtree(self.system.maildir(address), ignore_errors=True)
        self.email = self.back_end()

    def back_end(self, **more: object) -> ImapSmtpEmail:
        """The back end, as it is declared unless more is said."""
        mailboxes = [DeclaredMailbox(address=each, login=each) for each in (self.mailbox, self.other_mailbox)]
        given = {
            "tenant": TENANT,
            "imap": f"imaps://127.0.0.1:{self.imap.port}",
            "smtp": f"smtps://127.0.0.1:{self.smtp.port}",
            "ca": self.system.ca,
            "inside": True,
            "mailboxes": mailboxes,
        }
        return ImapSmtpEmail(DeclaredMail.model_validate(given | more), Surroundings(self.passwords, self.company))

    async def put(self, messages: Sequence[Put]) -> None:
        for folder, name in _FOLDERS.items():
            if there := [(each.raw, each.unread) for each in messages if each.folder == folder]:
                await asyncio.to_thread(self.system.put, self.mailbox, there, name)

    async def delivered(self) -> list[bytes]:
        with anyio.fail_after(10):
            while not self.system.is_idle():  # noqa: ASYNC110 - the queue is a folder
                await anyio.sleep(0.02)
        return [message for address in sorted(self.recipients) for message in self.system.raws(address)]


@pytest.fixture(scope="session")
def mail() -> Iterator[MailSystem]:
    required(is_installed(), "the mail system")
    # Paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="mail") as folder, mail_system(Path(folder)) as system:
        yield system


@pytest.fixture
async def world(mail: MailSystem, tmp_path: Path) -> AsyncIterator[ImapWorld]:
    database = Database(f"sqlite:///{tmp_path}/company.db")
    async with AsyncExitStack() as stack:
        imap = await stack.enter_async_context(tcp_faults(mail.ports.imaps, mail.folder))
        smtp = await stack.enter_async_context(tcp_faults(mail.ports.submissions, mail.folder))
        made = ImapWorld(mail, imap, smtp, database)
        yield made
        await made.email.close()
    database.close()


class TestImapSmtp(EmailContract):
    pass
