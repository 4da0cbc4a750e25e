"""Mail by Microsoft Graph, against an emulator that is strict in what it takes: the contract, and lost answers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.credentials import Access
from connectors.email.graph import GraphEmail
from connectors.email.graph_boxes import DeclaredGraph
from connectors.embedded.database import Database
from connectors.vendor.kinds import Surroundings
from tests.backends.email import TENANT, EmailContract, Put, call, found, key, send
from tests.backends.email_by_drafts import ByDraftsContract, DraftsWorld
from tests.backends.emulators.graph import Graph
from tests.backends.faults import Faults, faulty
from tests.backends.serving import serving_app
from tests.sqlite import ready_company

_FOLDERS = {"inbox": "inbox", "sent": "sentitems", "archive": "archive"}
_MAILBOXES = ("support@larkspur.example", "sales@larkspur.example")


@dataclass
class Token:
    """One token for all mailboxes."""

    expired: bool = False

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        return Access(back_end, tenant, None, 1, SecretStr("expired" if self.expired else "token-of-larkspur"))

    async def refused(self, access: Access) -> Access | None:
        return None


@dataclass
class GraphWorld(DraftsWorld):
    system: Graph
    faults: Faults
    company: Database
    tokens: Token = field(default_factory=Token)
    sends = "/send"
    changes = "PATCH "

    def __post_init__(self) -> None:
        self.mailbox, self.other_mailbox = _MAILBOXES
        mailboxes = [{"address": each} for each in _MAILBOXES]
        declared = {"tenant": TENANT, "url": self.faults.url, "inside": True, "mailboxes": mailboxes}
        self.email = GraphEmail(DeclaredGraph.model_validate(declared), Surroundings(self.tokens, self.company))

    async def put(self, messages: Sequence[Put]) -> None:
        for each in messages:
            self.system.put(self.mailbox, each.raw, _FOLDERS[each.folder], unread=each.unread)

    async def delivered(self) -> list[bytes]:
        return self.system.sent


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GraphWorld]:
    database, graph = Database(ready_company(tmp_path / "company.db")), Graph(_MAILBOXES, "token-of-larkspur")
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving_app(graph.app()))
        made = GraphWorld(graph, await stack.enter_async_context(faulty(url)), database)
        yield made
        await made.email.close()
    database.close()


class TestGraph(EmailContract, ByDraftsContract):
    pass


async def test_what_was_sent_is_waited_for_to_be_among_the_sent(
    world: GraphWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.email.writing._PAUSES", (0.0, 0.0, 0.0))
    world.system.lag = 2
    sent = await world.email.email_send_message(call(key()), send(world))
    assert [each.id for each in await found(world, folder="sent")] == [sent.id]


async def test_what_was_sent_is_found_under_another_id_too(world: GraphWorld) -> None:
    world.system.renames = True
    made = call(key())
    sent = await world.email.email_send_message(made, send(world))
    assert [each.id for each in await found(world, folder="sent")] == [sent.id]
    assert len(await world.delivered()) == 1
