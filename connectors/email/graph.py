"""Mail on Microsoft 365 and Exchange Online, by Microsoft Graph: read as raw messages, sent by way of drafts.

Every id is asked for as an immutable one, so that a draft keeps it when it is sent.
https://learn.microsoft.com/graph/api/resources/message
"""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from connectors.contract import CallContext
from connectors.email import draft_message
from connectors.email import graph_messages as messages
from connectors.email import graph_wire as wire
from connectors.email.graph_boxes import FIELDS, FOLDERS, IMMUTABLE, OF_A_CONVERSATION, DeclaredGraph, GraphBoxes
from connectors.email.mime import parse
from connectors.email.showing import (
    MAX_THREAD_MESSAGES,
    UNDATED,
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
from connectors.errors import Conflict, NotFound
from connectors.vendor.api import segment
from connectors.vendor.kinds import Kind, Surroundings

_ATTACHED = "attachments($select=id)"
# A property of ours says which call wrote a draft: headers cannot be changed.
_MARK = "String {8f2d3c1a-5f1e-4b6e-9a57-2d1c4be1a6b0} Name RemitCall"
_MARKED = f"singleValueExtendedProperties($filter=id eq '{_MARK}')"


class GraphEmail(SendsDrafts):
    """`Email` over Microsoft Graph.

    Args:
        declared: Which mailboxes there are.
        surroundings: Credentials, and where it is kept what was handed over.
    """

    def __init__(self, declared: DeclaredGraph, surroundings: Surroundings) -> None:
        super().__init__(declared, surroundings.company)
        self._declared = declared
        self._boxes = GraphBoxes(declared, surroundings.credentials)

    async def look(self, call: CallContext) -> str:
        for mailbox in self._declared.addresses:
            await self._boxes.folders(call, mailbox)
        return f"Microsoft Graph: {self._declared.named} can be read and sent from"

    async def close(self) -> None:
        await self._boxes.close()

    async def email_search_messages(self, call: CallContext, args: SearchEmail) -> MessagePage:
        self._declared.find(call, args.mailbox)
        names = await self._boxes.folders(call, args.mailbox)
        page, cursor = await self._page(call, args)
        wanted = [
            each
            for each in page
            if not each.is_draft
            and names.get(each.parent_folder_id) is not None
            and (args.unread is None or args.unread != each.is_read)
        ]
        told = await self._boxes.told(call, args.mailbox, [(each, messages.parsed(each)) for each in wanted])
        return MessagePage(
            messages=[each for each in told if args.sender in {None, each.sender_email}], next_cursor=cursor
        )

    async def email_get_thread(self, call: CallContext, args: GetThread) -> Thread:
        self._declared.find(call, args.mailbox)
        missing = NotFound(f"there is no conversation `{args.thread_id}` in `{args.mailbox}`", field="thread_id")
        first = await self._boxes.resolved(call, args.mailbox, args.thread_id, "conversation_id", missing)
        wanted = f"conversationId eq {messages.literal(first.conversation_id)}"
        params = {"$filter": wanted, "$select": FIELDS, "$top": OF_A_CONVERSATION}
        page = (await self._boxes.read(call, args.mailbox, "messages", params=params)).as_(wire.Page)
        names = await self._boxes.folders(call, args.mailbox)
        there = [each for each in page.value if not each.is_draft and each.parent_folder_id in names]
        there.sort(key=lambda each: (each.at or UNDATED, each.id))
        if not there:
            raise missing
        known = await self._boxes.whole(call, args.mailbox, there[-MAX_THREAD_MESSAGES:])
        told = [messages.told(each, parsed, args.thread_id, names[each.parent_folder_id]) for each, parsed in known]
        pairs = [(each, parsed) for each, (_, parsed) in zip(told, known, strict=True)]
        return thread(args.thread_id, args.mailbox, pairs, attachment_id)

    async def email_read_attachment(self, call: CallContext, args: ReadAttachment) -> AttachmentContent:
        self._declared.find(call, args.mailbox)
        message_id, index = attachment_of(args.attachment_id)
        found = await self._boxes.resolved(call, args.mailbox, message_id, "id", no_attachment(args))
        return part_of(parse(await self._boxes.raw(call, args.mailbox, found.id)), index, args)

    # What `writing.py` and `staged.py` ask for; a draft's name is its id, and its version where that matters.

    async def message(self, call: CallContext, mailbox: str, id_: str, field: str) -> Original:
        missing = NotFound(f"there is no message `{id_}` in `{mailbox}`; search for it first", field=field)
        found = await self._boxes.resolved(call, mailbox, id_, "id", missing)
        parsed = parse(await self._boxes.raw(call, mailbox, found.id))
        return Original(parsed, parsed.sent_at or found.received_date_time or UNDATED, found.conversation_id)

    async def draft(self, call: CallContext, mailbox: str, id_: str) -> Kept:
        name = messages.literal(f"<{draft_message.message_id(id_, mailbox)}>")
        params = {"$filter": f"internetMessageId eq {name}", "$select": FIELDS, "$expand": _MARKED}
        page = (await self._boxes.read(call, mailbox, "messages", params=params)).as_(wire.Page)
        drafts = [each for each in page.value if each.is_draft]
        missing = NotFound(f"there is no draft `{id_}` in `{mailbox}`; create one first", field="draft_id")
        if not drafts:
            raise missing
        found = drafts[0]
        raw = await self._boxes.raw(call, mailbox, found.id)
        head = draft_message.headers(raw)
        if head.get(draft_message.ID) != id_:
            raise missing
        version = int.from_bytes(found.etag.encode()[-64:]) % (2**31 - 1) + 1
        draft, references = draft_message.read(raw, mailbox, version)
        marks = [each.value for each in found.single_value_extended_properties if each.id == _MARK]
        mark = marks[0] if marks else str(head.get(draft_message.CALL, ""))
        return Kept(f"{found.id} {found.etag}", draft, references, mark, found.conversation_id)

    async def keep(
        self,
        call: CallContext,
        mailbox: str,
        raw: bytes,
        in_thread: str,  # noqa: ARG002 - the headers of what it answers put it into the conversation
        over: str,
    ) -> tuple[str, str]:
        if over:
            return await self._changed(call, mailbox, raw, over)
        headers = {**IMMUTABLE, "Content-Type": "text/plain"}
        given = {"content": messages.encoded(raw), "headers": headers}
        reply = await self._boxes.act(call, mailbox, "POST", "messages", **given)
        made = reply.as_(wire.Message)
        return made.id, made.conversation_id

    async def send_kept(self, call: CallContext, mailbox: str, name: str) -> None:
        await self._boxes.act(call, mailbox, "POST", f"messages/{segment(name.split(' ', maxsplit=1)[0])}/send")

    async def delete(self, call: CallContext, mailbox: str, name: str) -> bool:
        # What was sent has the same id: it is deleted only as the draft that it was seen to be.
        where = f"messages/{segment(name.split(' ', maxsplit=1)[0])}"
        try:
            found = (await self._boxes.read(call, mailbox, where, params={"$select": "id,isDraft"})).as_(wire.Message)
            if not found.is_draft:
                return False
            await self._boxes.read(call, mailbox, where, method="DELETE", headers={**IMMUTABLE, "If-Match": found.etag})
        except (NotFound, Conflict):
            return False
        return True

    async def sent(self, call: CallContext, handed: Handed) -> SentMessage | None:
        found = await self._sent_by_id(call, handed) or await self._sent_by_name(call, handed)
        if found is None:
            return None
        (told,) = await self._boxes.told(call, handed.mailbox, [(found, messages.parsed(found))])
        return sent_as(told, handed.mailbox)

    # The rest

    async def _sent_by_id(self, call: CallContext, handed: Handed) -> wire.Message | None:
        where = f"messages/{segment(handed.name)}"
        try:
            reply = await self._boxes.read(call, handed.mailbox, where, params={"$select": FIELDS})
        except NotFound:
            return None
        found = reply.as_(wire.Message)
        return None if found.is_draft else found

    async def _sent_by_name(self, call: CallContext, handed: Handed) -> wire.Message | None:
        """The documentation names exceptions to an id's lasting; then the Message-ID is what is left."""
        name = messages.literal(f"<{sent_name(call, handed.mailbox)}>")
        params = {"$filter": f"internetMessageId eq {name}", "$select": FIELDS}
        where = f"mailFolders/{FOLDERS['sent']}/messages"
        page = (await self._boxes.read(call, handed.mailbox, where, params=params)).as_(wire.Page)
        return next((each for each in page.value if not each.is_draft), None)

    async def _page(self, call: CallContext, args: SearchEmail) -> tuple[list[wire.Message], str]:
        """A page of what is searched for, and where the next one starts."""
        kind, until, skipped = decode_cursor(args.cursor, (str, str, int)) if args.cursor else ("", "", 0)
        where = f"mailFolders/{FOLDERS[args.folder]}/messages" if args.folder else "messages"
        params: dict[str, Any] = {"$select": FIELDS, "$expand": _ATTACHED, "$top": args.limit}
        if args.query:
            params |= {"$search": messages.search_of(args)} | ({"$skiptoken": until} if kind == "search" else {})
        else:
            params |= {"$filter": messages.filter_of(args, str(until)), "$orderby": "receivedDateTime desc"}
            params |= {"$skip": skipped} if skipped else {}
        try:
            page = (await self._boxes.read(call, args.mailbox, where, params=params)).as_(wire.Page)
        except NotFound:
            return [], ""
        if not page.next_link or not page.value:
            return page.value, ""
        if args.query:
            token = parse_qs(urlsplit(page.next_link).query).get("$skiptoken", [""])[0]
            return page.value, encode_cursor(["search", token, 0]) if 0 < len(token) <= _LONGEST_TOKEN else ""
        last = messages.moment(page.value[-1].received_date_time or UNDATED)
        same = sum(messages.moment(each.received_date_time or UNDATED) == last for each in page.value)
        before = int(skipped) if last == until else 0
        return page.value, encode_cursor(["filter", last, same + before])

    async def _changed(self, call: CallContext, mailbox: str, raw: bytes, over: str) -> tuple[str, str]:
        """Change a draft, unless somebody else has changed it since."""
        name, etag = over.split(" ", 1)
        parsed = parse(raw)
        mark = str(draft_message.headers(raw)[draft_message.CALL])
        body = {
            "subject": parsed.subject,
            "body": {"contentType": "text", "content": parsed.text},
            "toRecipients": [{"emailAddress": {"address": each}} for each in parsed.to],
            "ccRecipients": [{"emailAddress": {"address": each}} for each in parsed.cc],
            "singleValueExtendedProperties": [{"id": _MARK, "value": mark}],
        }
        headers = {**IMMUTABLE, "If-Match": etag}
        reply = await self._boxes.act(call, mailbox, "PATCH", f"messages/{segment(name)}", json=body, headers=headers)
        made = reply.as_(wire.Message)
        return made.id, made.conversation_id


_LONGEST_TOKEN = 330
"""What a cursor has room for."""


KIND = Kind(
    "microsoft_graph",
    "email",
    DeclaredGraph,
    GraphEmail,
    shows=("client", "refresh", "token"),
    scopes=("https://graph.microsoft.com/.default",),
)
