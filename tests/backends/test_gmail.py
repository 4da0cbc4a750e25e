"""Mail by the Gmail API, against an emulator that is held to the API's description: the contract, and lost answers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.credentials import Access
from connectors.email.gmail import DeclaredGmail, GmailEmail
from connectors.embedded.database import Database
from connectors.vendor.kinds import Surroundings
from tests.backends.email import TENANT, EmailContract, Put
from tests.backends.email_by_drafts import ByDraftsContract, DraftsWorld
from tests.backends.emulators.gmail import Gmail
from tests.backends.faults import Faults, faulty
from tests.backends.serving import serving_app
from tests.sqlite import ready_company

_LABELS = {"inbox": ("INBOX",), "sent": ("SENT",), "archive": ()}


@dataclass
class Tokens:
    """Each mailbox's credential is a token of its own."""

    expired: bool = False

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        return Access(back_end, tenant, None, 1, SecretStr("expired" if self.expired else f"token-of-{back_end}"))

    async def refused(self, access: Access) -> Access | None:
        return None


@dataclass
class GmailWorld(DraftsWorld):
    system: Gmail
    faults: Faults
    company: Database
    tokens: Tokens = field(default_factory=Tokens)
    sends = "drafts/send"
    changes = "PUT "

    def __post_init__(self) -> None:
        self.mailbox, self.other_mailbox = "support@larkspur.example", "sales@larkspur.example"
        self.system.tokens |= {self.mailbox: "token-of-support", self.other_mailbox: "token-of-sales"}
        declared = {
            "tenant": TENANT,
            "url": self.faults.url,
            "inside": True,
            "mailboxes": [
                {"address": self.mailbox, "credential": "support"},
                {"address": self.other_mailbox, "credential": "sales"},
            ],
        }
        self.email = GmailEmail(DeclaredGmail.model_validate(declared), Surroundings(self.tokens, self.company))

    async def put(self, messages: Sequence[Put]) -> None:
        for each in messages:
            self.system.put(self.mailbox, each.raw, *_LABELS[each.folder], *(("UNREAD",) if each.unread else ()))

    async def delivered(self) -> list[bytes]:
        return self.system.sent


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GmailWorld]:
    database, gmail = Database(ready_company(tmp_path / "company.db")), Gmail({})
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving_app(gmail.app()))
        made = GmailWorld(gmail, await stack.enter_async_context(faulty(url)), database)
        yield made
        await made.email.close()
    database.close()


class TestGmail(EmailContract, ByDraftsContract):
    pass
