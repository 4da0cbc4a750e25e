"""The embedded mailbox: real messages in a database, and an outbox instead of the world."""

from collections.abc import Callable, Sequence
from pathlib import Path

import anyio.to_thread
from sqlalchemy import Connection

from connectors.contract import CallContext, Output, Tool
from connectors.email import drafts, reading
from connectors.email.compose import Outgoing, compose
from connectors.email.loading import load, message_row_id
from connectors.email.mime import parse
from connectors.email.outbox import Outbox
from connectors.email.showing import answer, conversation, preview, sent_as
from connectors.email.submissions import sent_name
from connectors.email.tables import outbox
from connectors.email.tools import (
    AttachmentContent,
    CreateDraft,
    Draft,
    GetThread,
    MessagePage,
    OutgoingMail,
    ReadAttachment,
    ReplyEmail,
    SearchEmail,
    SendDraft,
    SendEmail,
    SentMessage,
    Thread,
    UpdateDraft,
)
from connectors.embedded.database import Database
from connectors.embedded.loading import LoadReport
from connectors.errors import Conflict
from connectors.records import MessageRecord


class EmbeddedEmail:
    """`Email` over the embedded database. Nothing leaves the machine: what is sent is kept, and can be looked at.

    A mailbox is there once messages were loaded for it. A reply goes to the address in `From` and nowhere else:
    `Reply-To` can name anybody, which is a known way to draw an answer to a stranger.

    Args:
        database: Where the mail is kept.
        outbox: A folder in which every sent message is also written as an `.eml` file, if given.
    """

    def __init__(self, database: Database, outbox: Path | None = None) -> None:
        self._database = database
        self._outbox = Outbox(outbox) if outbox else None

    async def load(self, tenant: str, records: Sequence[MessageRecord]) -> LoadReport:
        """Store messages that are not stored yet, all or none.

        Args:
            tenant: Whose mail.
            records: In any order; conversations come out the same.
        """
        return await self._database.change(tenant, lambda connection: load(connection, tenant, records))

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        found = await self._database.find_effect(call, tool)
        if self._outbox and isinstance(found, SentMessage):
            # Whoever sent it may have ended before its file got its name.
            await anyio.to_thread.run_sync(self._outbox.publish, found)
        return found

    async def email_search_messages(self, call: CallContext, args: SearchEmail) -> MessagePage:
        return await self._database.read(call.tenant, lambda connection: reading.search(connection, call.tenant, args))

    async def email_get_thread(self, call: CallContext, args: GetThread) -> Thread:
        return await self._database.read(
            call.tenant, lambda connection: reading.get_thread(connection, call.tenant, args)
        )

    async def email_read_attachment(self, call: CallContext, args: ReadAttachment) -> AttachmentContent:
        return await self._database.read(
            call.tenant, lambda connection: reading.read_attachment(connection, call.tenant, args)
        )

    async def email_create_draft(self, call: CallContext, args: CreateDraft) -> Draft:
        def work(connection: Connection) -> Draft:
            reading.check_mailbox(connection, call.tenant, args.mailbox)
            if args.in_reply_to:
                reading.get_message(connection, call.tenant, args.mailbox, args.in_reply_to, "in_reply_to")
            return drafts.create(connection, call, args)

        return await self._database.write(call, "email_create_draft", Draft, work)

    async def email_update_draft(self, call: CallContext, args: UpdateDraft) -> Draft:
        return await self._database.write(
            call, "email_update_draft", Draft, lambda connection: drafts.update(connection, call, args)
        )

    async def email_send_draft(self, call: CallContext, args: SendDraft) -> SentMessage:
        def send(connection: Connection) -> SentMessage:
            sent = self._send(connection, call, _written(connection, call.tenant, args))
            drafts.mark_sent(connection, call, args.draft_id, sent.id)
            return sent

        return await self._sent(call, "email_send_draft", send)

    async def email_send_message(self, call: CallContext, args: SendEmail) -> SentMessage:
        def send(connection: Connection) -> SentMessage:
            return self._send(connection, call, _written(connection, call.tenant, args))

        return await self._sent(call, "email_send_message", send)

    async def email_reply_message(self, call: CallContext, args: ReplyEmail) -> SentMessage:
        def send(connection: Connection) -> SentMessage:
            return self._send(connection, call, _written(connection, call.tenant, args))

        return await self._sent(call, "email_reply_message", send)

    async def preview_mail(self, call: CallContext, args: SendEmail | SendDraft | ReplyEmail) -> OutgoingMail:
        written = await self._database.read(call.tenant, lambda connection: _written(connection, call.tenant, args))
        return preview(written)

    def _send(self, connection: Connection, call: CallContext, outgoing: Outgoing) -> SentMessage:
        """Write the message, keep it in the mailbox's `sent` folder and in the outbox."""
        message_id = sent_name(call, outgoing.mailbox)
        raw = compose(outgoing, message_id, call.now)
        record = MessageRecord(source_id=message_id, mailbox=outgoing.mailbox, folder="sent", raw=raw)
        if load(connection, call.tenant, [record]).added != 1:
            raise Conflict(f"`{outgoing.mailbox}` has a message of this call already; look into its `sent` folder")
        id_ = message_row_id(record, call.tenant)
        stored = reading.get_message(connection, call.tenant, outgoing.mailbox, id_)
        connection.execute(
            outbox.insert().values(
                tenant=call.tenant,
                id=id_,
                mailbox=outgoing.mailbox,
                actor=call.actor,
                key=call.key,
                recipients=[*outgoing.to, *outgoing.cc],
                at=stored.at,
            )
        )
        sent = sent_as(stored, outgoing.mailbox)
        if self._outbox:
            self._outbox.stage(sent, raw)
        return sent

    async def _sent(self, call: CallContext, tool: str, send: Callable[[Connection], SentMessage]) -> SentMessage:
        sent = await self._database.write(call, tool, SentMessage, send)
        if self._outbox:
            await anyio.to_thread.run_sync(self._outbox.publish, sent)
        return sent


def _written(connection: Connection, tenant: str, args: SendEmail | SendDraft | ReplyEmail) -> Outgoing:
    """The message that a call sends, as things stand."""
    reading.check_mailbox(connection, tenant, args.mailbox)
    if isinstance(args, SendEmail):
        return Outgoing(args.mailbox, args.to, args.subject, args.body, args.cc)
    if isinstance(args, SendDraft):
        draft = drafts.get_unsent(connection, tenant, args.mailbox, args.draft_id, args.version)
        references = _conversation(connection, tenant, draft.in_reply_to)
        return Outgoing(draft.mailbox, draft.to, draft.subject, draft.body, draft.cc, references)
    original = reading.get_message(connection, tenant, args.mailbox, args.message_id)
    parsed = parse(reading.get_raw(connection, tenant, original.id))
    return answer(parsed, original.id, original.at, args.mailbox, args.body)


def _conversation(connection: Connection, tenant: str, message_id: str | None) -> list[str]:
    """The Message-IDs that an answer to the message refers to, oldest first."""
    return conversation(parse(reading.get_raw(connection, tenant, message_id)), message_id) if message_id else []
