"""Mail on any server that speaks IMAP and SMTP: read over the one, sent over the other, each message at most once.

Neither protocol has idempotency keys. `submissions.py` keeps beside them that a message goes out; its Message-ID
follows from the call's key, and once it is out it is put among the sent. So afterwards it is found there, or it surely
never went out, or that is in doubt: then nothing is sent again, ever.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

import anyio

from connectors.contract import CallContext, Output, Tool
from connectors.email import draft_message, imap_drafts, imap_reading, imap_watching
from connectors.email.compose import Outgoing, compose
from connectors.email.imap_boxes import Boxes, DeclaredMail
from connectors.email.imap_sent import find_sent, keep_sent
from connectors.email.imap_session import Session
from connectors.email.showing import answer, conversation, preview
from connectors.email.smtp import Envelope
from connectors.email.submissions import Handed, Submissions, draft_claim, sent_name
from connectors.email.tools import (
    AttachmentContent,
    CreateDraft,
    Draft,
    GetThread,
    MessagePage,
    MessageSummary,
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
from connectors.errors import ConnectorError, InDoubt, InvalidInput, NotFound, Unavailable
from connectors.vendor.kinds import Kind, Surroundings

_PAUSES = (0.3, 0.7, 1.5, 3.0)
"""How long, in seconds, a server that keeps what is sent is given for it."""
_NEEDED = ("inbox", "sent", "drafts")


class ImapSmtpEmail:
    """`Email` over IMAP and SMTP. A mailbox is there if it is declared.

    A reply goes to the address in `From` and nowhere else: `Reply-To` can name anybody, which is a known way to draw an
    answer to a stranger.

    Args:
        declared: Servers and mailboxes.
        surroundings: Credentials, and where it is kept what was handed over.
    """

    def __init__(self, declared: DeclaredMail, surroundings: Surroundings) -> None:
        self._declared = declared
        self._boxes = Boxes(declared, surroundings.credentials)
        self._submissions = Submissions(surroundings.company)

    async def look(self, call: CallContext) -> str:
        for mailbox in self._boxes.addresses:
            there = await self._boxes.read(call, mailbox, lambda session: set(session.folders))
            if missing := [role for role in _NEEDED if role not in there]:
                raise Unavailable(f"mailbox `{mailbox}` has no folder for {', '.join(missing)}; name it in `folders`")
        server = await self._boxes.look(call, self._boxes.addresses[0])
        return (
            f"mail by `{server}`: {', '.join(f'`{each}`' for each in self._boxes.addresses)} can be read and sent from"
        )

    async def close(self) -> None:
        await self._boxes.close()

    async def email_search_messages(self, call: CallContext, args: SearchEmail) -> MessagePage:
        return await self._boxes.read(
            call, args.mailbox, lambda session: imap_reading.search(session, call.tenant, args)
        )

    async def email_get_thread(self, call: CallContext, args: GetThread) -> Thread:
        return await self._boxes.read(
            call, args.mailbox, lambda session: imap_reading.get_thread(session, call.tenant, args)
        )

    async def email_read_attachment(self, call: CallContext, args: ReadAttachment) -> AttachmentContent:
        return await self._boxes.read(
            call, args.mailbox, lambda session: imap_reading.read_attachment(session, call.tenant, args)
        )

    async def email_create_draft(self, call: CallContext, args: CreateDraft) -> Draft:
        def goes_on_with(session: Session) -> list[str]:
            if args.in_reply_to is None:
                return []
            found = imap_reading.get_message(session, call.tenant, args.mailbox, args.in_reply_to, "in_reply_to")
            return conversation(found.parsed, args.in_reply_to)

        references = await self._boxes.read(call, args.mailbox, goes_on_with)
        draft = draft_message.new(call, args)
        handed = Handed(mailbox=args.mailbox, name=draft.id)
        return await self._put(call, "email_create_draft", draft, references, handed)

    async def email_update_draft(self, call: CallContext, args: UpdateDraft) -> Draft:
        await self._submissions.check_unclaimed(call, draft_claim(args.draft_id))
        kept, references = await self._boxes.read(
            call, args.mailbox, lambda session: imap_drafts.get(session, args.mailbox, args.draft_id)
        )
        draft = draft_message.changed(call, kept, args)
        claims = (draft_claim(args.draft_id, args.version),)
        handed = Handed(mailbox=args.mailbox, name=draft.id, claims=claims)
        return await self._put(call, "email_update_draft", draft, references, handed)

    async def email_send_draft(self, call: CallContext, args: SendDraft) -> SentMessage:
        self._boxes.check(call, args.mailbox)
        await self._submissions.check_unclaimed(call, draft_claim(args.draft_id))
        claims = (draft_claim(args.draft_id), draft_claim(args.draft_id, args.version))
        return await self._send(call, "email_send_draft", await self._written(call, args), args.draft_id, claims)

    async def email_send_message(self, call: CallContext, args: SendEmail) -> SentMessage:
        return await self._send(call, "email_send_message", await self._written(call, args))

    async def email_reply_message(self, call: CallContext, args: ReplyEmail) -> SentMessage:
        return await self._send(call, "email_reply_message", await self._written(call, args))

    async def preview_mail(self, call: CallContext, args: SendEmail | SendDraft | ReplyEmail) -> OutgoingMail:
        return preview(await self._written(call, args))

    def watch(self, call: CallContext, mailbox: str) -> AsyncIterator[MessageSummary]:
        """Tell of every message that comes into a mailbox's inbox from now on.

        Args:
            call: In whose name.
            mailbox: Whose inbox.

        Raises:
            NotFound: If the tenant has no such mailbox.
        """
        self._boxes.check(call, mailbox)
        return imap_watching.watch(call.tenant, mailbox, lambda work: self._boxes.read(call, mailbox, work))

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        handed = await self._submissions.find(call, tool.name)
        if handed is None:
            return None
        if handed.answer:
            return tool.output.model_validate_json(handed.answer)
        try:
            if tool.output is Draft:
                return await self._draft_made(call, handed)
            if handed.unfiled:
                return await self._filed(call, handed, handed.unfiled.encode())
            return await self._found(call, handed)
        except NotFound as error:
            raise InDoubt(f"it cannot be looked for any more: {error.message}") from error

    async def _written(self, call: CallContext, args: SendEmail | SendDraft | ReplyEmail) -> Outgoing:
        """The message that a call sends, as things stand."""

        def write(session: Session) -> Outgoing:
            # What cannot be kept among the sent is not sent.
            session.open("sent")
            if isinstance(args, SendEmail):
                return Outgoing(args.mailbox, args.to, args.subject, args.body, args.cc)
            if isinstance(args, SendDraft):
                draft, references = imap_drafts.get(session, args.mailbox, args.draft_id)
                draft_message.check_version(draft, args.version)
                return Outgoing(draft.mailbox, draft.to, draft.subject, draft.body, draft.cc, references)
            found = imap_reading.get_message(session, call.tenant, args.mailbox, args.message_id)
            return answer(found.parsed, args.message_id, found.at, args.mailbox, args.body)

        return await self._boxes.read(call, args.mailbox, write)

    async def _send(
        self, call: CallContext, tool: str, outgoing: Outgoing, draft: str = "", claims: tuple[str, ...] = ()
    ) -> SentMessage:
        message_id = sent_name(call, outgoing.mailbox)
        raw = compose(outgoing, message_id, call.now)
        handed = Handed(mailbox=outgoing.mailbox, name=message_id, claims=claims, draft=draft)
        has_begun = False

        async def begin() -> None:
            nonlocal has_begun
            await self._submissions.begin(call, tool, handed)
            has_begun = True

        try:
            await self._boxes.send(call, Envelope(outgoing.mailbox, outgoing.to, outgoing.cc, raw), begin)
        except (InvalidInput, Unavailable):
            if has_begun:
                await self._submissions.take_back(call, handed)
            raise
        return await self._filed(call, handed, raw)

    async def _filed(self, call: CallContext, handed: Handed, raw: bytes) -> SentMessage:
        """Put a message that was accepted for delivery among the sent, now or when the call is looked into."""
        try:
            if not self._declared.keeps_sent:
                await self._boxes.act(call, handed.mailbox, lambda session: keep_sent(session, handed.name, raw))
            for pause in _PAUSES if self._declared.keeps_sent else ():
                with suppress(InDoubt):
                    return await self._found(call, handed)
                await anyio.sleep(pause)
            return await self._found(call, handed)
        except ConnectorError as error:
            unfiled = handed.model_copy(update={"unfiled": raw.decode("ascii")})
            with suppress(Unavailable):
                await self._submissions.now(call, unfiled)
            raise InDoubt("the message was accepted for delivery, and is not among the sent yet") from error

    async def _found(self, call: CallContext, handed: Handed) -> SentMessage:
        """The message among the sent.

        Raises:
            InDoubt: If it is not there.
        """
        look = partial(find_sent, tenant=call.tenant, mailbox=handed.mailbox, message_id=handed.name)
        sent = await self._boxes.read(call, handed.mailbox, look)
        if sent is None:
            raise InDoubt(f"the mail server may have taken message `{handed.name}`, which is not among the sent")
        await self._settle(call, handed, sent)
        if handed.draft:
            with suppress(ConnectorError):
                await self._boxes.act(call, handed.mailbox, lambda session: imap_drafts.discard(session, handed.draft))
        return sent

    async def _put(self, call: CallContext, tool: str, draft: Draft, references: list[str], handed: Handed) -> Draft:
        """Put a draft into its folder; older versions of it go."""
        raw = draft_message.written(call, draft, references)
        await self._submissions.begin(call, tool, handed, unclaimed=(draft_claim(draft.id),))
        try:
            await self._boxes.act(call, draft.mailbox, lambda session: imap_drafts.put(session, raw))
        except (Unavailable, NotFound):
            await self._submissions.take_back(call, handed)
            raise
        try:
            return await self._draft_made(call, handed)
        except Unavailable as error:
            raise InDoubt(error.message) from error

    async def _draft_made(self, call: CallContext, handed: Handed) -> Draft:
        draft = await self._boxes.read(
            call, handed.mailbox, lambda session: imap_drafts.made_by(session, call, handed.mailbox)
        )
        if draft is None:
            raise InDoubt(f"draft `{handed.name}` is not in the folder, or not yet")
        await self._settle(call, handed, draft)
        with suppress(ConnectorError):
            await self._boxes.act(
                call, draft.mailbox, lambda session: imap_drafts.discard(session, draft.id, below=draft.version)
            )
        return draft

    async def _settle(self, call: CallContext, handed: Handed, made: Output) -> None:
        # Without it the mailbox tells the same.
        with suppress(Unavailable):
            done = {"answer": made.model_dump_json(), "unfiled": ""}
            await self._submissions.now(call, handed.model_copy(update=done))


KIND = Kind(
    "imap_smtp", "email", DeclaredMail, ImapSmtpEmail, shows=("password", "token", "refresh", "client", "assertion")
)
