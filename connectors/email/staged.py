"""Sending by way of a system's drafts: what goes out is put there as a draft, and that draft is sent, at most once.

A draft that is still there after a while was not sent, and once it is deleted it never will be. A draft that is gone
was sent, and is found among the sent. So nearly every doubt can be settled; what is in neither place stays in doubt.
"""

from abc import abstractmethod
from datetime import timedelta

from connectors.contract import CallContext
from connectors.email.compose import compose
from connectors.email.submissions import Handed, sent_name
from connectors.email.tools import SentMessage
from connectors.email.writing import WritesMail, Written
from connectors.errors import ConnectorError, InDoubt, Unavailable

_UNDER_WAY = timedelta(minutes=2)
"""How long a system that was told to send a draft may still be at it."""


class SendsDrafts(WritesMail):
    """A system that sends the drafts that it keeps."""

    @abstractmethod
    async def send_kept(self, call: CallContext, mailbox: str, name: str) -> None:
        """Send a draft."""

    async def send(self, call: CallContext, tool: str, written: Written, claims: tuple[str, ...] = ()) -> SentMessage:
        mailbox = written.outgoing.mailbox
        raw = compose(written.outgoing, sent_name(call, mailbox), call.now)
        try:
            name, thread = await self.keep(call, mailbox, raw, written.in_thread, "")
        except InDoubt as error:
            raise Unavailable(f"{error.message}; it was only to be a draft, and nothing was sent") from error
        handed = Handed(mailbox=mailbox, name=name, thread=thread, claims=claims, draft=written.draft, at=call.now)
        try:
            await self._submissions.begin(call, tool, handed)
        except ConnectorError:
            await self._discard(call, mailbox, name)
            raise
        try:
            await self.send_kept(call, mailbox, name)
        except InDoubt:
            raise
        except ConnectorError:
            await self._submissions.take_back(call, handed)
            await self._discard(call, mailbox, name)
            raise
        return await self._awaited(call, handed)

    async def look_into(self, call: CallContext, handed: Handed) -> SentMessage | None:
        is_over = handed.at is None or call.now - handed.at >= _UNDER_WAY
        if is_over and await self.delete(call, handed.mailbox, handed.name):
            await self._submissions.fence(call, handed)
            return None
        # By now a person may have gone on writing in the draft that it was.
        return await self._found(call, handed.model_copy(update={"draft": ""}))

    async def _found(self, call: CallContext, handed: Handed) -> SentMessage:
        try:
            return await super()._found(call, handed)
        except InDoubt:
            raise
        except ConnectorError as error:
            raise InDoubt(f"it was sent or is being sent, and cannot be looked for: {error.message}") from error
