"""The embedded mailbox keeps the contract that every mail back end keeps."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from connectors.email.embedded import EmbeddedEmail
from connectors.embedded.database import Database
from connectors.records import MessageRecord
from tests.backends.email import TENANT, EmailContract, MailWorld, Put
from tests.sqlite import ready_company


class EmbeddedWorld(MailWorld):
    def __init__(self, database: Database, outbox: Path) -> None:
        self.email = EmbeddedEmail(database, outbox)
        self.mailbox, self.other_mailbox = "support@larkspur.example", "sales@larkspur.example"
        self._outbox = outbox

    async def put(self, messages: Sequence[Put]) -> None:
        from connectors.email.mime import parse

        records = [
            MessageRecord(
                source_id=parse(each.raw).message_id,
                mailbox=self.mailbox,
                folder=each.folder,
                unread=each.unread,
                raw=each.raw,
            )
            for each in messages
        ]
        other = MessageRecord(source_id="other@x", mailbox=self.other_mailbox, raw=b"Subject: other\n\nx\n")
        await self.email.load(TENANT, [*records, other])

    async def delivered(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self._outbox.glob("*.eml"))]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[EmbeddedWorld]:
    database = Database(ready_company(tmp_path / "company.db"))
    yield EmbeddedWorld(database, tmp_path / "outbox")
    database.close()


class TestEmbeddedEmail(EmailContract):
    pass
