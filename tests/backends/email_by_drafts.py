"""What holds where mail goes out by way of a system's drafts, over HTTP: lost answers, and a system that fails."""

from abc import abstractmethod
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

import pytest

from connectors.email.tools import SendDraft, UpdateDraft
from connectors.errors import Conflict, InDoubt, Unavailable
from tests.backends.email import NOW, TOOL, MailWorld, Put, call, draft, found, key, raw, send, sent_out
from tests.backends.faults import Fault, Faults

SEND = TOOL["email_send_message"]


class Drafts(Protocol):
    """What a test may do to a system behind the back end's back."""

    @abstractmethod
    def drafts_of(self, address: str) -> list[Any]:
        """A mailbox's drafts."""

    @abstractmethod
    def edit_draft(self, address: str, old: bytes, new: bytes) -> None:
        """Change its drafts as a person does."""


class DraftsWorld(MailWorld):
    """A world whose system is spoken to through a proxy; `sends` is in the line of the request that sends a
    draft, `changes` in that of the one that changes one.
    """

    system: Drafts
    faults: Faults
    tokens: Any
    sends: str
    changes: str


class ByDraftsContract:
    """Beside `EmailContract`."""

    async def test_a_message_that_was_sent_with_the_answer_lost_is_found(self, world: DraftsWorld) -> None:
        made = call(key())
        world.faults.fail(Fault.LOST_ANSWER, world.sends)
        with pytest.raises(InDoubt):
            await world.email.email_send_message(made, send(world))
        sent = await world.email.find_effect(made, SEND)
        assert [each.id for each in await found(world, folder="sent")] == [sent.id]
        assert len(await sent_out(world)) == 1

    async def test_a_message_whose_sending_never_arrived_never_will_be_sent(self, world: DraftsWorld) -> None:
        made = call(key())
        world.faults.fail(Fault.OUTAGE, world.sends)
        with pytest.raises(InDoubt):
            await world.email.email_send_message(made, send(world))
        with pytest.raises(InDoubt):
            await world.email.find_effect(made, SEND)
        for _ in range(2):
            assert await world.email.find_effect(replace(made, now=NOW + timedelta(minutes=3)), SEND) is None
        with pytest.raises(Conflict):
            await world.email.email_send_message(made, send(world))
        assert await world.delivered() == []
        assert world.system.drafts_of(world.mailbox) == []

    async def test_a_draft_that_a_person_goes_on_writing_stays_when_its_sending_is_found_out(
        self, world: DraftsWorld
    ) -> None:
        kept, made = await world.email.email_create_draft(call(key()), draft(world)), call(key())
        world.faults.fail(Fault.LOST_ANSWER, world.sends)
        sending = SendDraft(mailbox=world.mailbox, draft_id=kept.id, version=kept.version)
        with pytest.raises(InDoubt):
            await world.email.email_send_draft(made, sending)
        world.system.edit_draft(world.mailbox, b"Text", b"Words of a person")
        assert await world.email.find_effect(made, TOOL["email_send_draft"])
        assert len(world.system.drafts_of(world.mailbox)) == 1

    async def test_a_draft_that_was_made_with_the_answer_lost_was_only_a_draft(self, world: DraftsWorld) -> None:
        world.faults.fail(Fault.LOST_ANSWER, "POST ")
        with pytest.raises(Unavailable, match="nothing was sent"):
            await world.email.email_send_message(call(key()), send(world))
        assert await world.delivered() == []

    async def test_a_draft_that_was_made_with_the_answer_lost_is_found(self, world: DraftsWorld) -> None:
        made = call(key())
        world.faults.fail(Fault.LOST_ANSWER, "POST ")
        with pytest.raises(InDoubt):
            await world.email.email_create_draft(made, draft(world))
        kept = await world.email.find_effect(made, TOOL["email_create_draft"])
        assert kept.body == "Text"
        assert len(world.system.drafts_of(world.mailbox)) == 1

    async def test_a_draft_that_was_changed_with_the_answer_lost_is_found(self, world: DraftsWorld) -> None:
        first = await world.email.email_create_draft(call(key()), draft(world))
        made = call(key())
        world.faults.fail(Fault.LOST_ANSWER, world.changes)
        change = UpdateDraft(mailbox=world.mailbox, draft_id=first.id, version=first.version, body="other")
        with pytest.raises(InDoubt):
            await world.email.email_update_draft(made, change)
        kept = await world.email.find_effect(made, TOOL["email_update_draft"])
        assert (kept.id, kept.body) == (first.id, "other")

    async def test_a_draft_whose_change_never_arrived_is_in_doubt_and_stays_as_it_was(self, world: DraftsWorld) -> None:
        first = await world.email.email_create_draft(call(key()), draft(world))
        made = call(key())
        world.faults.fail(Fault.OUTAGE, world.changes)
        change = UpdateDraft(mailbox=world.mailbox, draft_id=first.id, version=first.version, body="other")
        with pytest.raises(InDoubt):
            await world.email.email_update_draft(made, change)
        with pytest.raises(InDoubt):
            await world.email.find_effect(made, TOOL["email_update_draft"])

    async def test_a_draft_that_a_person_changed_is_at_another_version(self, world: DraftsWorld) -> None:
        made = await world.email.email_create_draft(call(key()), draft(world))
        world.system.edit_draft(world.mailbox, b"Text", b"Mine")
        args = SendDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version)
        with pytest.raises(Conflict, match="is now at version"):
            await world.email.email_send_draft(call(key()), args)

    @pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.OUTAGE, Fault.UNAUTHORIZED, Fault.MALFORMED])
    async def test_a_search_that_fails_is_unavailable(self, world: DraftsWorld, fault: Fault) -> None:
        await world.put([Put(raw("1@x"))])
        world.faults.fail(fault)
        with pytest.raises(Unavailable):
            await found(world)

    async def test_a_credential_that_has_expired_opens_nothing(self, world: DraftsWorld) -> None:
        world.tokens.expired = True
        with pytest.raises(Unavailable, match="refused the credential"):
            await world.email.email_send_message(call(key()), send(world))
        assert await world.delivered() == []

    async def test_it_says_which_mailboxes_it_reaches(self, world: DraftsWorld) -> None:
        assert world.mailbox in await world.email.look(call())
