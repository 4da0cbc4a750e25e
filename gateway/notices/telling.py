"""Tells approvers of open questions, those who came later included, and records whom."""

from collections.abc import Callable, Sequence

import anyio
from structlog import get_logger

from gateway.approvals import Approval
from gateway.gateway import Gateway
from gateway.journal import AlreadyRecorded, Entry, JournalUnavailable, Kind
from gateway.notices.channels import Channel, NotDelivered
from gateway.notices.notice import Notice, notice_of, people_to_tell

log = get_logger("remit.notices")

_SECONDS = 30.0


class Notices:
    """Tells of questions as they are asked, and again as lines with a delay come into force.

    Args:
        gateway: Whose questions.
        channels: The ways in which approvers are told, at least one.
        link: The page of a question by its id; empty where no console is served.
    """

    def __init__(self, gateway: Gateway, channels: Sequence[Channel], link: Callable[[str], str]) -> None:
        self._gateway = gateway
        self._channels = channels
        self._link = link
        self._wake = anyio.Event()

    def hear(self, _approval: Approval) -> None:
        """Take note that a question was asked or has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Tell, and go on telling. Runs until cancelled."""
        while True:
            self._wake = anyio.Event()
            try:
                await self.tell()
            except JournalUnavailable as error:
                log.error("approvers_not_told", error=str(error))
            with anyio.move_on_after(_SECONDS):
                await self._wake.wait()

    async def tell(self) -> None:
        """Tell whoever should have heard by now.

        Raises:
            JournalUnavailable: If the journal cannot be read, or not be written: then they may be told twice.
        """
        gateway, now = self._gateway, self._gateway.now()
        policy = gateway.policy.current
        for approval in await gateway.approvals.open(now):
            tool = gateway.catalog.tools.get(approval.question.tool)
            people = people_to_tell(approval, policy, now)
            if tool and people:
                notice = notice_of(approval, people, tool, self._link(approval.question.id))
                via = [channel.name for channel in self._channels if await _sent(channel, notice)]
                if via:
                    await self._record(approval, notice, via)

    async def _record(self, approval: Approval, notice: Notice, via: list[str]) -> None:
        question = approval.question
        body = {"tool": notice.tool, "people": list(notice.people), "via": via}
        who, once = question.principal, f"notified:{notice.id}"
        entry = Entry(question.id, who.tenant, who.name, self._gateway.now(), Kind.NOTIFIED, body, once=once)
        try:
            await self._gateway.journal.append(entry)
        except AlreadyRecorded:
            log.info("told_by_another_process", approval=question.id)


async def _sent(channel: Channel, notice: Notice) -> bool:
    try:
        await channel.send(notice)
    except NotDelivered as error:
        log.error("approvers_not_told", approval=notice.approval, via=channel.name, error=str(error))
        return False
    except Exception:
        # Else nobody would hear of the other questions either.
        log.exception("approvers_not_told", approval=notice.approval, via=channel.name)
        return False
    return True
