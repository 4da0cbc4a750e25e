"""The tools that write, the same over every system that keeps drafts. How a message goes out is each system's own."""

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import anyio

from connectors.contract import CallContext, Output, Tool
from connectors.email import draft_message
from connectors.email.compose import Outgoing
from connectors.email.declared_mailbox import DeclaredMailboxes
from connectors.email.mime import ParsedMessage
from connectors.email.showing import answer, conversation, preview
from connectors.email.submissions import Handed, Submissions, draft_claim
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

_PAUSES = (0.3, 0.7, 1.5, 3.0)
"""How long, in seconds, what was sent is waited for to be among the sent."""


@dataclass(frozen=True)
class Original:
    """A message that is answered, when it was sent, and the system's name for its conversation, if it needs one."""

    parsed: ParsedMessage
    at: datetime
    in_thread: str = ""


@dataclass(frozen=True)
class Kept:
    """A draft as a system keeps it.

    Args:
        name: The system's name for it.
        draft: The draft.
        references: The conversation that it goes on with.
        mark: What the call that wrote it has left in it.
        in_thread: The system's name for the conversation, if it needs one.
    """

    name: str
    draft: Draft
    references: list[str]
    mark: str
    in_thread: str = ""


@dataclass(frozen=True)
class Written:
    """A message that a call sends, the system's name for its conversation, and for the draft that it was, if any."""

    outgoing: Outgoing
    in_thread: str = ""
    draft: str = ""


class WritesMail(ABC):
    """What of `Email` writes. A mailbox is there if it is declared.

    A reply goes to the address in `From` and nowhere else: `Reply-To` can name anybody, which is a known way to draw an
    answer to a stranger.

    Args:
        mailboxes: Which there are.
        company: Where it is kept what was handed over to the system.
    """

    def __init__(self, mailboxes: DeclaredMailboxes, company: Database) -> None:
        self._mailboxes = mailboxes
        self._submissions = Submissions(company)

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
    async def delete(self, call: CallContext, mailbox: str, name: str) -> bool:
        """Delete a draft, and say whether it was there, unsent."""

    @abstractmethod
    async def send(self, call: CallContext, tool: str, written: Written, claims: tuple[str, ...] = ()) -> SentMessage:
        """Send a message, at most once for the call, which has what it claims to itself."""

    @abstractmethod
    async def sent(self, call: CallContext, handed: Handed) -> SentMessage | None:
        """The message that the call sent; None if it is not among the sent."""

    @abstractmethod
    async def look_into(self, call: CallContext, handed: Handed) -> SentMessage | None:
        """What became of a message that was handed over; None if it was not sent, and never will be."""

    async def email_create_draft(self, call: CallContext, args: CreateDraft) -> Draft:
        self._mailboxes.find(call, args.mailbox)
        references: list[str] = []
        in_thread = ""
        if args.in_reply_to:
            original = await self.message(call, args.mailbox, args.in_reply_to, "in_reply_to")
            references, in_thread = conversation(original.parsed, args.in_reply_to), original.in_thread
        draft = draft_message.new(call, args)
        raw = draft_message.written(call, draft, references)
        handed = Handed(mailbox=args.mailbox, name=draft.id)
        return await self._put(call, "email_create_draft", handed, raw, in_thread, "")

    async def email_update_draft(self, call: CallContext, args: UpdateDraft) -> Draft:
        self._mailboxes.find(call, args.mailbox)
        await self._submissions.check_unclaimed(call, draft_claim(args.draft_id))
        kept = await self.draft(call, args.mailbox, args.draft_id)
        raw = draft_message.written(call, draft_message.changed(call, kept.draft, args), kept.references)
        claims = (draft_claim(args.draft_id, args.version),)
        handed = Handed(mailbox=args.mailbox, name=args.draft_id, claims=claims)
        return await self._put(call, "email_update_draft", handed, raw, kept.in_thread, kept.name)

    async def email_send_draft(self, call: CallContext, args: SendDraft) -> SentMessage:
        self._mailboxes.find(call, args.mailbox)
        await self._submissions.check_unclaimed(call, draft_claim(args.draft_id))
        claims = (draft_claim(args.draft_id), draft_claim(args.draft_id, args.version))
        return await self.send(call, "email_send_draft", await self.written(call, args), claims)

    async def email_send_message(self, call: CallContext, args: SendEmail) -> SentMessage:
        return await self.send(call, "email_send_message", await self.written(call, args))

    async def email_reply_message(self, call: CallContext, args: ReplyEmail) -> SentMessage:
        return await self.send(call, "email_reply_message", await self.written(call, args))

    async def preview_mail(self, call: CallContext, args: SendEmail | SendDraft | ReplyEmail) -> OutgoingMail:
        return preview((await self.written(call, args)).outgoing)

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        handed = await self._submissions.find(call, tool.name)
        if handed is None:
            return None
        if handed.answer:
            return tool.output.model_validate_json(handed.answer)
        try:
            return await (self._draft_made(call, handed) if tool.output is Draft else self.look_into(call, handed))
        except NotFound as error:
            raise InDoubt(f"it is not there, or not yet: {error.message}") from error

    async def written(self, call: CallContext, args: SendEmail | SendDraft | ReplyEmail) -> Written:
        """The message that a call sends, as things stand."""
        self._mailboxes.find(call, args.mailbox)
        if isinstance(args, SendEmail):
            return Written(Outgoing(args.mailbox, args.to, args.subject, args.body, args.cc))
        if isinstance(args, SendDraft):
            kept = await self.draft(call, args.mailbox, args.draft_id)
            draft = kept.draft
            draft_message.check_version(draft, args.version)
            outgoing = Outgoing(draft.mailbox, draft.to, draft.subject, draft.body, draft.cc, kept.references)
            return Written(outgoing, kept.in_thread, kept.name)
        original = await self.message(call, args.mailbox, args.message_id, "message_id")
        outgoing = answer(original.parsed, args.message_id, original.at, args.mailbox, args.body)
        return Written(outgoing, original.in_thread)

    async def _put(self, call: CallContext, tool: str, handed: Handed, raw: bytes, in_thread: str, over: str) -> Draft:
        async with self._submissions.going_ahead(call, tool, handed, unclaimed=(draft_claim(handed.name),)):
            await self.keep(call, handed.mailbox, raw, in_thread, over)
        try:
            return await self._draft_made(call, handed)
        except (Unavailable, NotFound) as error:
            raise InDoubt(error.message) from error

    async def _draft_made(self, call: CallContext, handed: Handed) -> Draft:
        kept = await self.draft(call, handed.mailbox, handed.name)
        if kept.mark != draft_message.mark(call):
            raise InDoubt(f"draft `{handed.name}` is not as the call wants it, or not yet")
        await self._settle(call, handed, kept.draft)
        return kept.draft

    async def _found(self, call: CallContext, handed: Handed) -> SentMessage:
        """The message among the sent; the draft that it was goes.

        Raises:
            InDoubt: If it is not there.
        """
        sent = await self.sent(call, handed)
        if sent is None:
            raise InDoubt(f"message `{handed.name}` may have been sent, and is not among the sent, or not yet")
        await self._settle(call, handed, sent)
        if handed.draft:
            await self._discard(call, handed.mailbox, handed.draft)
        return sent

    async def _awaited(self, call: CallContext, handed: Handed) -> SentMessage:
        """The same, once it is there: a system may take a while."""
        for pause in _PAUSES:
            with suppress(InDoubt):
                return await self._found(call, handed)
            await anyio.sleep(pause)
        return await self._found(call, handed)

    async def _settle(self, call: CallContext, handed: Handed, made: Output) -> None:
        # Without it the system tells the same.
        with suppress(Unavailable):
            done = {"answer": made.model_dump_json(), "unfiled": ""}
            await self._submissions.now(call, handed.model_copy(update=done))

    async def _discard(self, call: CallContext, mailbox: str, name: str) -> None:
        with suppress(ConnectorError):
            await self.delete(call, mailbox, name)
