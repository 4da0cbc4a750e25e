"""Mail on Gmail and Google Workspace, by the Gmail API: read as raw messages, sent by way of drafts.

https://developers.google.com/workspace/gmail/api/reference/rest
"""

from collections.abc import Sequence
from typing import Any, Literal

from connectors.contract import CallContext
from connectors.email import draft_message
from connectors.email import gmail_messages as messages
from connectors.email import gmail_wire as wire
from connectors.email.declared_mailbox import DeclaredMailboxes
from connectors.email.mime import ParsedMessage
from connectors.email.showing import (
    MAX_THREAD_MESSAGES,
    attachment_id,
    attachment_of,
    no_attachment,
    part_of,
    sent_as,
    thread,
)
from connectors.email.staged import SendsDrafts
from connectors.email.submissions import Handed, sent_name
from connectors.email.tools import (
    AttachmentContent,
    GetThread,
    MessagePage,
    ReadAttachment,
    SearchEmail,
    SentMessage,
    Thread,
)
from connectors.email.writing import Kept, Original
from connectors.embedded.pages import decode_cursor, encode_cursor
from connectors.errors import NotFound
from connectors.vendor.api import Api, Reply, segment
from connectors.vendor.each import each_of
from connectors.vendor.kinds import Consent, Kind, Surroundings, Url
from connectors.vendor.site import Site

_LARGEST = 10_000_000
_AT_ONCE = 6
_FIELDS = "id,threadId,labelIds,snippet,internalDate,sizeEstimate,payload(mimeType,filename,headers,parts)"
# Gmail may give what is sent a Message-ID of its own; then it keeps ours beside it.
_NAMES = {"message-id", "x-google-original-message-id"}


class DeclaredGmail(DeclaredMailboxes):
    """Mailboxes at Gmail."""

    kind: Literal["gmail"] = "gmail"
    url: Url = "https://gmail.googleapis.com"


class GmailEmail(SendsDrafts):
    """`Email` over the Gmail API.

    Args:
        declared: Which mailboxes there are.
        surroundings: Credentials, and where it is kept what was handed over.
    """

    def __init__(self, declared: DeclaredGmail, surroundings: Surroundings) -> None:
        super().__init__(declared, surroundings.company)
        self._declared = declared
        self._apis = {name: Api(_site(declared, name), surroundings.credentials) for name in declared.all_shown}

    async def look(self, call: CallContext) -> str:
        for mailbox in self._declared.addresses:
            await self._read(call, mailbox, "profile")
        return f"Gmail: {self._declared.named} can be read and sent from"

    async def close(self) -> None:
        for api in self._apis.values():
            await api.close()

    async def email_search_messages(self, call: CallContext, args: SearchEmail) -> MessagePage:
        params: dict[str, Any] = {"q": messages.query_of(args), "maxResults": args.limit}
        if args.cursor:
            params["pageToken"] = str(decode_cursor(args.cursor, (str,))[0])
        page = (await self._read(call, args.mailbox, "messages", params=params)).as_(wire.MessageList)
        found = await self._each(call, args.mailbox, [each.id for each in page.messages], "full")
        told = [messages.told(each, messages.parsed(each)) for each in found]
        return MessagePage(
            messages=[each for each in told if args.sender in {None, each.sender_email}],
            next_cursor=encode_cursor([page.next_page_token]) if page.next_page_token else "",
        )

    async def email_get_thread(self, call: CallContext, args: GetThread) -> Thread:
        missing = NotFound(f"there is no conversation `{args.thread_id}` in `{args.mailbox}`", field="thread_id")
        self._find(call, args.mailbox)
        where = f"threads/{messages.own_id(args.thread_id, missing)}"
        reply = await self._read(call, args.mailbox, where, params={"format": "minimal"}, missing=missing)
        there = [each for each in reply.as_(wire.Thread).messages if not messages.UNSEEN & set(each.label_ids)]
        if not there:
            raise missing
        last = there[-MAX_THREAD_MESSAGES:]
        small, large = ([each.id for each in last if (each.size_estimate > _LARGEST) == is_] for is_ in (False, True))
        found = await self._each(call, args.mailbox, small, "raw")
        found += await self._each(call, args.mailbox, large, "full")
        known = [(each, messages.parsed(each)) for each in found]
        told = sorted(((messages.told(*each), each[1]) for each in known), key=lambda pair: (pair[0].at, pair[0].id))
        if not told:
            raise missing
        return thread(args.thread_id, args.mailbox, told, attachment_id)

    async def email_read_attachment(self, call: CallContext, args: ReadAttachment) -> AttachmentContent:
        message_id, index = attachment_of(args.attachment_id)
        _, parsed = await self._message(call, args.mailbox, message_id, no_attachment(args))
        return part_of(parsed, index, args)

    # What `writing.py` and `staged.py` ask for

    async def message(self, call: CallContext, mailbox: str, id_: str, field: str) -> Original:
        missing = NotFound(f"there is no message `{id_}` in `{mailbox}`; search for it first", field=field)
        found, parsed = await self._message(call, mailbox, id_, missing)
        return Original(parsed, parsed.sent_at or found.arrived, found.thread_id)

    async def draft(self, call: CallContext, mailbox: str, id_: str) -> Kept:
        query = {"q": f"rfc822msgid:{draft_message.message_id(id_, mailbox)}"}
        listed = (await self._read(call, mailbox, "drafts", params=query)).as_(wire.DraftList)
        missing = NotFound(f"there is no draft `{id_}` in `{mailbox}`; create one first", field="draft_id")
        if not listed.drafts:
            raise missing
        where = f"drafts/{segment(listed.drafts[0].id)}"
        found = (await self._read(call, mailbox, where, params={"format": "raw"}, missing=missing)).as_(wire.Draft)
        raw = messages.decoded(found.message)
        head = draft_message.headers(raw)
        if head.get(draft_message.ID) != id_:
            raise missing
        draft, references = draft_message.read(raw, mailbox, messages.version_of(found.message.id))
        return Kept(found.id, draft, references, str(head.get(draft_message.CALL, "")), found.message.thread_id)

    async def keep(self, call: CallContext, mailbox: str, raw: bytes, in_thread: str, over: str) -> tuple[str, str]:
        method, where = ("PUT", f"drafts/{segment(over)}") if over else ("POST", "drafts")
        reply = await self._act(call, mailbox, method, where, {"message": messages.encoded(raw, in_thread)})
        made = reply.as_(wire.NamedDraft)
        return made.id, made.message.thread_id

    async def send_kept(self, call: CallContext, mailbox: str, name: str) -> None:
        await self._act(call, mailbox, "POST", "drafts/send", {"id": name})

    async def delete(self, call: CallContext, mailbox: str, name: str) -> bool:
        try:
            await self._read(call, mailbox, f"drafts/{segment(name)}", method="DELETE")
        except NotFound:
            return False
        return True

    async def sent(self, call: CallContext, handed: Handed) -> SentMessage | None:
        params = {"format": "full", "fields": f"id,messages({_FIELDS})"}
        try:
            reply = await self._read(call, handed.mailbox, f"threads/{segment(handed.thread)}", params=params)
        except NotFound:
            return None
        for each in reply.as_(wire.Thread).messages:
            names = {header.value for header in each.payload.headers if header.name.lower() in _NAMES}
            if "SENT" in each.label_ids and f"<{sent_name(call, handed.mailbox)}>" in names:
                return sent_as(messages.told(each, messages.parsed(each)), handed.mailbox)
        return None

    # The rest

    def _find(self, call: CallContext, mailbox: str) -> Api:
        """How a mailbox is reached.

        Raises:
            NotFound: If the tenant has no such mailbox.
        """
        return self._apis[self._declared.shown_for(self._declared.find(call, mailbox))]

    async def _read(
        self,
        call: CallContext,
        mailbox: str,
        what: str,
        *,
        method: str = "GET",
        **more: Any,  # noqa: ANN401 - as `Api` takes it
    ) -> Reply:
        return await self._find(call, mailbox).read(call, method, _path(mailbox, what), **more)

    async def _act(self, call: CallContext, mailbox: str, method: str, what: str, body: object) -> Reply:
        return await self._find(call, mailbox).act(call, method, _path(mailbox, what), json=body)

    async def _each(self, call: CallContext, mailbox: str, ids: Sequence[str], form: str) -> list[wire.Message]:
        """Messages by their ids, in this order; those that are gone are left out."""
        params = {"format": form} | ({"fields": _FIELDS} if form == "full" else {})

        async def get(id_: str) -> wire.Message | None:
            try:
                return (await self._read(call, mailbox, f"messages/{segment(id_)}", params=params)).as_(wire.Message)
            except NotFound:
                return None

        return [found for found in await each_of(ids, get, at_once=_AT_ONCE) if found]

    async def _message(
        self, call: CallContext, mailbox: str, id_: str, missing: NotFound
    ) -> tuple[wire.Message, ParsedMessage]:
        self._find(call, mailbox)
        where = f"messages/{messages.own_id(id_, missing)}"
        found = (await self._read(call, mailbox, where, params={"format": "raw"}, missing=missing)).as_(wire.Message)
        return found, messages.parsed(found)


def _site(declared: DeclaredGmail, credential: str) -> Site:
    return Site("Gmail", declared.url, credential, inside=declared.inside, explain=wire.explain)


def _path(mailbox: str, what: str) -> str:
    return f"/gmail/v1/users/{segment(mailbox)}/{what}"


KIND = Kind(
    "gmail",
    "email",
    DeclaredGmail,
    GmailEmail,
    shows=("refresh", "assertion", "token"),
    scopes=("https://www.googleapis.com/auth/gmail.modify",),
    consent=lambda _declared: Consent(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        {"access_type": "offline", "prompt": "consent"},
    ),
)
