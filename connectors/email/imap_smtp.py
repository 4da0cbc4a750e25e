"""Mail on any server that speaks IMAP and SMTP: read over the one, sent over the other, each message at most once.

Neither protocol has idempotency keys. `submissions.py` keeps beside them that a message goes out; its Message-ID
follows from the call's key, and once it is out it is put among the sent. So afterwards it is found there, or it surely
never went out, or that is in doubt: then nothing is sent again, ever.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from connectors.contract import CallContext
from connectors.email import imap_drafts, imap_reading, imap_watching, smtp
from connectors.email.compose import compose
from connectors.email.imap_boxes import Boxes, DeclaredMail
from connectors.email.imap_sent import find_sent, keep_sent
from connectors.email.submissions import Handed, sent_name
from connectors.email.tools import (
    AttachmentContent,
    Draft,
    GetThread,
    MessagePage,
    MessageSummary,
    ReadAttachment,
    ReplyEmail,
    SearchEmail,
    SendDraft,
    SendEmail,
    SentMessage,
    Thread,
)
from connectors.email.writing import Kept, Original, WritesMail, Written
from connectors.errors import ConnectorError, InDoubt, Unavailable
from connectors.vendor.kinds import Kind, Surroundings

_NEEDED = ("inbox", "sent", "drafts")


class ImapSmtpEmail(WritesMail):
    """`Email` over IMAP and SMTP.

    Args:
        declared: Servers and mailboxes.
        surroundings: Credentials, and where it is kept what was handed over.
    """

    def __init__(self, declared: DeclaredMail, surroundings: Surroundings) -> None:
        super().__init__(declared, surroundings.company)
        self._declared = declared
        self._boxes = Boxes(declared, surroundings.credentials)

    async def look(self, call: CallContext) -> str:
        for mailbox in self._declared.addresses:
            there = await self._boxes.read(call, mailbox, lambda session: set(session.folders))
            if missing := [role for role in _NEEDED if role not in there]:
                raise Unavailable(f"mailbox `{mailbox}` has no folder for {', '.join(missing)}; name it in `folders`")
        server = await self._boxes.submit(call, self._declared.addresses[0], smtp.look)
        return f"mail by `{server}`: {self._declared.named} can be read and sent from"

    async def close(self) -> None:
        await self._boxes.close()

    async def email_search_messages(self, call: CallContext, args: SearchEmail) -> MessagePage:
        return await self._boxes.read(call, args.mailbox, lambda session: imap_reading.search(session, args))

    async def email_get_thread(self, call: CallContext, args: GetThread) -> Thread:
        return await self._boxes.read(call, args.mailbox, lambda session: imap_reading.get_thread(session, args))

    async def email_read_attachment(self, call: CallContext, args: ReadAttachment) -> AttachmentContent:
        return await self._boxes.read(call, args.mailbox, lambda session: imap_reading.read_attachment(session, args))

    def watch(self, call: CallContext, mailbox: str) -> AsyncIterator[MessageSummary]:
        """Tell of every message that comes into a mailbox's inbox from now on.

        Args:
            call: In whose name.
            mailbox: Whose inbox.

        Raises:
            NotFound: If the tenant has no such mailbox.
        """
        self._declared.find(call, mailbox)
        return imap_watching.watch(mailbox, lambda work: self._boxes.read(call, mailbox, work))

    async def message(self, call: CallContext, mailbox: str, id_: str, field: str) -> Original:
        return await self._boxes.read(call, mailbox, lambda session: imap_reading.get_message(session, id_, field))

    async def draft(self, call: CallContext, mailbox: str, id_: str) -> Kept:
        return await self._boxes.read(call, mailbox, lambda session: imap_drafts.get(session, id_))

    async def keep(self, call: CallContext, mailbox: str, raw: bytes, in_thread: str, over: str) -> tuple[str, str]:
        # The versions before it go once it is known to be there.
        await self._boxes.act(call, mailbox, lambda session: imap_drafts.put(session, raw))
        return over, in_thread

    async def delete(self, call: CallContext, mailbox: str, name: str) -> bool:
        return await self._boxes.act(call, mailbox, lambda session: imap_drafts.discard(session, name))

    async def written(self, call: CallContext, args: SendEmail | SendDraft | ReplyEmail) -> Written:
        # What cannot be kept among the sent is not sent.
        await self._boxes.read(call, args.mailbox, lambda session: session.open("sent"))
        return await super().written(call, args)

    async def send(self, call: CallContext, tool: str, written: Written, claims: tuple[str, ...] = ()) -> SentMessage:
        outgoing = written.outgoing
        message_id = sent_name(call, outgoing.mailbox)
        raw = compose(outgoing, message_id, call.now)
        handed = Handed(mailbox=outgoing.mailbox, name=message_id, claims=claims, draft=written.draft)
        ahead = self._submissions.going_ahead(call, tool, handed)
        hand_over = partial(smtp.hand_over, outgoing=outgoing, raw=raw, ahead=ahead)
        await self._boxes.submit(call, outgoing.mailbox, hand_over)
        return await self._filed(call, handed, raw)

    async def sent(self, call: CallContext, handed: Handed) -> SentMessage | None:
        return await self._boxes.read(call, handed.mailbox, lambda session: find_sent(session, handed.name))

    async def look_into(self, call: CallContext, handed: Handed) -> SentMessage:
        if handed.unfiled:
            return await self._filed(call, handed, handed.unfiled.encode())
        return await self._found(call, handed)

    async def _filed(self, call: CallContext, handed: Handed, raw: bytes) -> SentMessage:
        """Put a message that was accepted for delivery among the sent, now or when the call is looked into."""
        try:
            if self._declared.keeps_sent:
                return await self._awaited(call, handed)
            await self._boxes.act(call, handed.mailbox, lambda session: keep_sent(session, handed.name, raw))
            return await self._found(call, handed)
        except ConnectorError as error:
            unfiled = handed.model_copy(update={"unfiled": raw.decode("ascii")})
            with suppress(Unavailable):
                await self._submissions.now(call, unfiled)
            raise InDoubt("the message was accepted for delivery, and is not among the sent yet") from error

    async def _draft_made(self, call: CallContext, handed: Handed) -> Draft:
        draft = await super()._draft_made(call, handed)
        with suppress(ConnectorError):
            await self._boxes.act(
                call, draft.mailbox, lambda session: imap_drafts.discard(session, draft.id, below=draft.version)
            )
        return draft


KIND = Kind(
    "imap_smtp", "email", DeclaredMail, ImapSmtpEmail, shows=("password", "token", "refresh", "client", "assertion")
)
