"""The mailboxes of one declaration at Microsoft Graph: requests to them, and what more than one tool asks for.

Every id is asked for as an immutable one, so that it stays when the message is moved.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal

from connectors.contract import CallContext
from connectors.credentials import Credentials
from connectors.email import graph_messages as messages
from connectors.email import graph_wire as wire
from connectors.email.declared_mailbox import DeclaredMailboxes
from connectors.email.mime import ParsedMessage, parse
from connectors.email.showing import UNDATED
from connectors.email.tools import Folder, MessageSummary
from connectors.errors import InvalidInput, NotFound
from connectors.vendor.api import Api, Reply, segment
from connectors.vendor.each import each_of
from connectors.vendor.kinds import Url
from connectors.vendor.site import Site

FOLDERS: dict[Folder, str] = {"inbox": "inbox", "sent": "sentitems", "archive": "archive"}
"""What Graph calls the folders."""
FIELDS = (
    "id,conversationId,parentFolderId,internetMessageId,subject,bodyPreview,from,toRecipients,ccRecipients,isRead,"
    "isDraft,receivedDateTime,sentDateTime"
)
"""What is asked for of a message."""
IMMUTABLE = {"Prefer": 'IdType="ImmutableId"'}
OF_A_CONVERSATION = 500

_LARGEST = 30_000_000
_AT_ONCE = 4
"""Requests that Graph takes for one mailbox at a time."""
_OF_A_SECOND = 200
_CONVERSATIONS_AT_ONCE = 10


class DeclaredGraph(DeclaredMailboxes):
    """Mailboxes at Microsoft 365."""

    kind: Literal["microsoft_graph"] = "microsoft_graph"
    url: Url = "https://graph.microsoft.com"


class GraphBoxes:
    """The mailboxes.

    Args:
        declared: Which there are.
        credentials: Where tokens come from.
    """

    def __init__(self, declared: DeclaredGraph, credentials: Credentials) -> None:
        self._declared = declared
        self._apis = {name: Api(_site(declared, name), credentials) for name in declared.all_shown}
        self._folders: dict[str, dict[str, Folder]] = {}

    async def close(self) -> None:
        """Close all connections."""
        for api in self._apis.values():
            await api.close()

    def _api(self, call: CallContext, mailbox: str) -> Api:
        return self._apis[self._declared.shown_for(self._declared.find(call, mailbox))]

    async def read(
        self,
        call: CallContext,
        mailbox: str,
        what: str,
        *,
        method: str = "GET",
        **more: Any,  # noqa: ANN401 - as `Api` takes it
    ) -> Reply:
        given = {"headers": IMMUTABLE, **more}
        return await self._api(call, mailbox).read(call, method, _path(mailbox, what), **given)

    async def act(
        self,
        call: CallContext,
        mailbox: str,
        method: str,
        what: str,
        **more: Any,  # noqa: ANN401 - as above
    ) -> Reply:
        given = {"headers": IMMUTABLE, **more}
        return await self._api(call, mailbox).act(call, method, _path(mailbox, what), **given)

    async def raw(self, call: CallContext, mailbox: str, name: str) -> bytes:
        where = _path(mailbox, f"messages/{segment(name)}/$value")
        return await self._api(call, mailbox).download(call, where, _LARGEST, IMMUTABLE)

    async def folders(self, call: CallContext, mailbox: str) -> dict[str, Folder]:
        """Which folder of the contract each of Graph's is, by its id there."""
        if mailbox not in self._folders:
            found: dict[str, Folder] = {}
            for folder, known_as in FOLDERS.items():
                with suppress(NotFound):
                    where = f"mailFolders/{known_as}"
                    reply = await self.read(call, mailbox, where, params={"$select": "id"})
                    found[reply.as_(wire.Folder).id] = folder
            self._folders[mailbox] = found
        return self._folders[mailbox]

    async def resolved(
        self, call: CallContext, mailbox: str, id_: str, by: Literal["id", "conversation_id"], missing: NotFound
    ) -> wire.Message:
        """The message that an id of ours names.

        Raises:
            NotFound: If there is none.
        """
        at = messages.when_of(id_)
        if at is None:
            raise missing
        until = messages.moment(at + timedelta(seconds=1))
        within = f"receivedDateTime ge {messages.moment(at)} and receivedDateTime lt {until}"
        fields = "id,conversationId,receivedDateTime,isDraft"
        params = {"$filter": within, "$select": fields, "$top": _OF_A_SECOND}
        page = (await self.read(call, mailbox, "messages", params=params)).as_(wire.Page)
        found = [each for each in page.value if not each.is_draft and messages.is_of(id_, getattr(each, by))]
        if not found:
            raise missing
        return found[0]

    async def told(
        self, call: CallContext, mailbox: str, found: Sequence[tuple[wire.Message, ParsedMessage]]
    ) -> list[MessageSummary]:
        """Messages with the ids of their conversations, which their first messages give them."""
        names = await self.folders(call, mailbox)
        first = {each.conversation_id: each.received_date_time or UNDATED for each, _ in found}
        wanted = list(first)
        for start in range(0, len(wanted), _CONVERSATIONS_AT_ONCE):
            some = wanted[start : start + _CONVERSATIONS_AT_ONCE]
            any_of = " or ".join(f"conversationId eq {messages.literal(name)}" for name in some)
            fields = "id,conversationId,parentFolderId,isDraft,receivedDateTime"
            params = {"$filter": any_of, "$select": fields, "$top": OF_A_CONVERSATION}
            for each in (await self.read(call, mailbox, "messages", params=params)).as_(wire.Page).value:
                if not each.is_draft and each.parent_folder_id in names and each.conversation_id in first:
                    earlier = each.received_date_time or UNDATED
                    first[each.conversation_id] = min(first[each.conversation_id], earlier)
        return [
            messages.told(
                each,
                parsed,
                messages.shown("thr", first[each.conversation_id], each.conversation_id),
                names.get(each.parent_folder_id, "sent"),
            )
            for each, parsed in found
        ]

    async def whole(
        self, call: CallContext, mailbox: str, found: Sequence[wire.Message]
    ) -> list[tuple[wire.Message, ParsedMessage]]:
        """Messages with all that is in them; of one that is too large, what the list said of it."""

        async def get(message: wire.Message) -> tuple[wire.Message, ParsedMessage]:
            try:
                return message, parse(await self.raw(call, mailbox, message.id))
            except (InvalidInput, NotFound):
                return message, messages.parsed(message)

        return await each_of(found, get, at_once=_AT_ONCE)


def _site(declared: DeclaredGraph, credential: str) -> Site:
    return Site(
        "Microsoft Graph",
        declared.url,
        credential,
        inside=declared.inside,
        request_ids=("request-id",),
        explain=wire.explain,
    )


def _path(mailbox: str, what: str) -> str:
    return f"/v1.0/users/{segment(mailbox)}/{what}"
