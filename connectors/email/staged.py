"""Writing with systems that keep drafts: what goes out is put there as a draft, and that draft is sent, at most once.

A draft that is still there after a while was not sent, and once it is deleted it never will be. A draft that is gone
was sent, and is found among the sent. So nearly every doubt can be settled; what is in neither place stays in doubt.
"""

from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import anyio

from connectors.contract import CallContext, Output, Tool
from connectors.email import draft_message
from connectors.email.compose import Outgoing, compose
from connectors.email.mime import ParsedMessage
from connectors.email.showing import answer, conversation, preview
from connectors.email.submissions import Handed, Submissions, draft_claim, sent_name
from connectors.email.tools import (
    CreateDraft,
    Draft,
    OutgoingMail,
    ReplyEmail,
    SendDraft,
    SendEmail,
    SentMessage,
    UpdateDraft,
)
from connectors.embedded.database import Database
from connectors.errors import ConnectorError, InDoubt, NotFound, Unavailable

_UNDER_WAY = timedelta(minutes=2)
"""How long a system that was told to send a draft may still be at it."""
_PAUSES = (0.3, 0.7, 1.5, 3.0)
"""How long, in seconds, what was sent is waited for to be among the sent."""


@dataclass(frozen=True)
class Original:
    """A message that is answered, when it was sent, and the system's name for its conversation."""

    parsed: ParsedMessage
    at: datetime
    in_thread: str


@dataclass(frozen=True)
class Kept:
    """A draft as a system keeps it.

    Args:
        name: The system's name for it.
        draft: The draft.
        references: The conversation that it goes on with.
        in_thread: The system's name for that.
        mark: What the call that wrote it has left in it.
    """

    name: str
    draft: Draft
    references: list[str]
    in_thread: str
    mark: str


class MailSystem(Protocol):
    """What a system must be able to do."""

    @abstractmethod
    def check(self, call: CallContext, mailbox: str) -> None:
        """Raise `NotFound` if the caller's tenant has no such mailbox."""

    @abstractmethod
    async def message(self, call: CallContext, mailbox: str, id_: str, field: str) -> Original:
        """A message by its id; `NotFound` names the field."""

    @abstractmethod
    async def draft(self, call: CallContext, mailbox: str, id_: str) -> Kept:
        """A draft by its id, or `NotFound`."""

    @abstractmethod
    async def keep(self, call: CallContext, mailbox: str, raw: bytes, in_thread: str, over: str) -> tuple[str, str]:
        """Keep a draft, in place of one of that name if there is one; its name and its conversation's."""

    @abstractmethod
    async def send(self, call: CallContext, mailbox: str, name: str) -> None:
        """Send a draft."""

    @abstractmethod
    async def delete(self, call: CallContext, mailbox: str, name: str) -> bool:
        """Delete a draft, and say whether it was there, unsent."""

    @abstractmethod
    async def sent(self, call: CallContext, handed: Handed) -> SentMessage | None:
        """The message that the call sent; None if it is not among the sent."""


class Staged:
    """Drafts and sending over such a system.

    Args:
        system: The system.
        company: Where it is kept what was handed over to it.
    """

    def __init__(self, system: MailSystem, company: Database) -> None:
        self._system = system
        self._submissions = Submissions(company)

    async def create_draft(self, call: CallContext, args: CreateDraft) -> Draft:
        """See `Email.email_create_draft`."""
        self._system.check(call, args.mailbox)
        references: list[str] = []
        in_thread = ""
        if args.in_reply_to:
            original = await self._system.message(call, args.mailbox, args.in_reply_to, "in_reply_to")
            references, in_thread = conversation(original.parsed, args.in_reply_to), original.in_thread
        draft = draft_message.new(call, args)
        raw = draft_message.written(call, draft, references)
        return await self._put(
            call, "email_create_draft", Handed(mailbox=args.mailbox, name=draft.id), raw, in_thread, ""
        )

    async def update_draft(self, call: CallContext, args: UpdateDraft) -> Draft:
        """See `Email.email_update_draft`."""
        kept = await self._unsent(call, args)
        raw = draft_message.written(call, draft_message.changed(call, kept.draft, args), kept.references)
        claims = (draft_claim(args.draft_id, args.version),)
        handed = Handed(mailbox=args.mailbox, name=args.draft_id, claims=claims)
        return await self._put(call, "email_update_draft", handed, raw, kept.in_thread, kept.name)

    async def send_draft(self, call: CallContext, args: SendDraft) -> SentMessage:
        """See `Email.email_send_draft`."""
        kept = await self._unsent(call, args)
        claims = (draft_claim(args.draft_id), draft_claim(args.draft_id, args.version))
        outgoing, in_thread = _of_draft(kept, args.version)
        sent = await self._send(call, "email_send_draft", outgoing, in_thread, claims)
        await self._discard(call, args.mailbox, kept.name)
        return sent

    async def send(self, call: CallContext, tool: str, args: SendEmail | ReplyEmail) -> SentMessage:
        """See `Email.email_send_message` and `Email.email_reply_message`."""
        return await self._send(call, tool, *await self.written(call, args))

    async def written(self, call: CallContext, args: SendEmail | SendDraft | ReplyEmail) -> tuple[Outgoing, str]:
        """The message that a call sends, as things stand, and the system's name for its conversation."""
        self._system.check(call, args.mailbox)
        if isinstance(args, SendEmail):
            return Outgoing(args.mailbox, args.to, args.subject, args.body, args.cc), ""
        if isinstance(args, SendDraft):
            return _of_draft(await self._system.draft(call, args.mailbox, args.draft_id), args.version)
        original = await self._system.message(call, args.mailbox, args.message_id, "message_id")
        outgoing = answer(original.parsed, args.message_id, original.at, args.mailbox, args.body)
        return outgoing, original.in_thread

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        """See `RemembersEffects`."""
        handed = await self._submissions.find(call, tool.name)
        if handed is None:
            return None
        if handed.answer:
            return tool.output.model_validate_json(handed.answer)
        try:
            if tool.output is Draft:
                return await self._draft_made(call, handed)
            if handed.at and call.now - handed.at < _UNDER_WAY:
                return await self._found(call, handed)
            if await self._system.delete(call, handed.mailbox, handed.name):
                await self._submissions.fence(call, handed)
                return None
            return await self._found(call, handed)
        except NotFound as error:
            raise InDoubt(f"it is not there, or not yet: {error.message}") from error

    async def _unsent(self, call: CallContext, args: SendDraft | UpdateDraft) -> Kept:
        self._system.check(call, args.mailbox)
        await self._submissions.check_unclaimed(call, draft_claim(args.draft_id))
        return await self._system.draft(call, args.mailbox, args.draft_id)

    async def _put(self, call: CallContext, tool: str, handed: Handed, raw: bytes, in_thread: str, over: str) -> Draft:
        await self._submissions.begin(call, tool, handed, unclaimed=(draft_claim(handed.name),))
        try:
            await self._system.keep(call, handed.mailbox, raw, in_thread, over)
        except InDoubt:
            raise
        except ConnectorError:
            await self._submissions.take_back(call, handed)
            raise
        try:
            return await self._draft_made(call, handed)
        except (Unavailable, NotFound) as error:
            raise InDoubt(error.message) from error

    async def _draft_made(self, call: CallContext, handed: Handed) -> Draft:
        kept = await self._system.draft(call, handed.mailbox, handed.name)
        if kept.mark != draft_message.mark(call):
            raise InDoubt(f"draft `{handed.name}` is not as the call wants it, or not yet")
        await self._settle(call, handed, kept.draft)
        return kept.draft

    async def _send(
        self, call: CallContext, tool: str, outgoing: Outgoing, in_thread: str, claims: tuple[str, ...] = ()
    ) -> SentMessage:
        mailbox = outgoing.mailbox
        raw = compose(outgoing, sent_name(call, mailbox), call.now)
        try:
            name, thread = await self._system.keep(call, mailbox, raw, in_thread, "")
        except InDoubt as error:
            raise Unavailable(f"{error.message}; it was only to be a draft, and nothing was sent") from error
        handed = Handed(mailbox=mailbox, name=name, thread=thread, claims=claims, at=call.now)
        try:
            await self._submissions.begin(call, tool, handed)
        except ConnectorError:
            await self._discard(call, mailbox, name)
            raise
        try:
            await self._system.send(call, mailbox, name)
        except InDoubt:
            raise
        except ConnectorError:
            await self._submissions.take_back(call, handed)
            await self._discard(call, mailbox, name)
            raise
        for pause in _PAUSES:
            with suppress(InDoubt):
                return await self._found(call, handed)
            await anyio.sleep(pause)
        return await self._found(call, handed)

    async def _found(self, call: CallContext, handed: Handed) -> SentMessage:
        try:
            sent = await self._system.sent(call, handed)
        except ConnectorError as error:
            raise InDoubt(f"it was sent or is being sent, and cannot be looked for: {error.message}") from error
        if sent is None:
            raise InDoubt("it was sent or is being sent, and is not among the sent yet")
        await self._settle(call, handed, sent)
        return sent

    async def _settle(self, call: CallContext, handed: Handed, made: Output) -> None:
        # Without it the system tells the same.
        with suppress(Unavailable):
            await self._submissions.now(call, handed.model_copy(update={"answer": made.model_dump_json()}))

    async def _discard(self, call: CallContext, mailbox: str, name: str) -> None:
        with suppress(ConnectorError):
            await self._system.delete(call, mailbox, name)


def _of_draft(kept: Kept, version: int) -> tuple[Outgoing, str]:
    draft = kept.draft
    draft_message.check_version(draft, version)
    return Outgoing(draft.mailbox, draft.to, draft.subject, draft.body, draft.cc, kept.references), kept.in_thread


class WritesByDrafts:
    """The tools that write and send, as every system has them that keeps drafts."""

    _staged: Staged

    async def email_create_draft(self, call: CallContext, args: CreateDraft) -> Draft:
        return await self._staged.create_draft(call, args)

    async def email_update_draft(self, call: CallContext, args: UpdateDraft) -> Draft:
        return await self._staged.update_draft(call, args)

    async def email_send_draft(self, call: CallContext, args: SendDraft) -> SentMessage:
        return await self._staged.send_draft(call, args)

    async def email_send_message(self, call: CallContext, args: SendEmail) -> SentMessage:
        return await self._staged.send(call, "email_send_message", args)

    async def email_reply_message(self, call: CallContext, args: ReplyEmail) -> SentMessage:
        return await self._staged.send(call, "email_reply_message", args)

    async def preview_mail(self, call: CallContext, args: SendEmail | SendDraft | ReplyEmail) -> OutgoingMail:
        return preview((await self._staged.written(call, args))[0])

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        return await self._staged.find_effect(call, tool)
