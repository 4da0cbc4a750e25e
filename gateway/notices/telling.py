"""Tells approvers of open questions, those who came later included, and records whom."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import anyio
from structlog import get_logger

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.approvals import Approval
from gateway.approvals.together import by_task
from gateway.gateway import Gateway
from gateway.journal import AlreadyRecorded, Entry, JournalUnavailable, Kind
from gateway.notices.channels import Channel, NotDelivered
from gateway.notices.notice import Notice, notice_of, people_to_tell

log = get_logger("remit.notices")

_SECONDS = 30.0


class Notices:
    """Tells of questions as they are asked, and again as lines with a delay come into force.

    What a task asks within a short time is told at once: whoever hears of every call for itself stops reading.

    Args:
        gateway: Whose questions.
        channels: The ways in which approvers are told, at least one.
        link: The page of a question by its id; empty where no console is served.
        gather: How long after a task's first question that nobody has heard of the others are waited for.
    """

    def __init__(
        self, gateway: Gateway, channels: Sequence[Channel], link: Callable[[str], str], gather: timedelta
    ) -> None:
        self._gateway = gateway
        self._channels = channels
        self._link = link
        self._gather = gather
        self._wake = anyio.Event()

    def hear(self, _approval: Approval) -> None:
        """Take note that a question was asked or has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Tell, and go on telling. Runs until cancelled."""
        while True:
            self._wake = anyio.Event()
            seconds = _SECONDS
            try:
                seconds = await self.tell()
            except JournalUnavailable as error:
                log.error("approvers_not_told", error=str(error))
            # What is asked meanwhile is waited for as well: a question that wakes this up is looked at again in time.
            with anyio.move_on_after(seconds):
                await self._wake.wait()

    async def tell(self) -> float:
        """Tell whoever should have heard by now; give the seconds after which to look again.

        Raises:
            JournalUnavailable: If the journal cannot be read, or not be written: then they may be told twice.
        """
        gateway, now = self._gateway, self._gateway.now()
        policy, tools = gateway.policy.current, gateway.catalog.tools
        wait = _SECONDS
        for task in by_task(await gateway.approvals.open(now, EVERY_TENANT)):
            untold = [
                (each, people)
                for each in task
                if each.question.tool in tools and (people := people_to_tell(each, policy, now))
            ]
            if not untold:
                continue
            left = self._due(untold[0][0]) - now
            if left > timedelta():
                wait = min(wait, left.total_seconds())
                continue
            for people, approvals in _by_people(untold):
                await self._tell(notice_of(approvals, people, tools, self._link), approvals)
        return wait

    def _due(self, first: Approval) -> datetime:
        """When a task is told of: early enough to answer the first question of it that nobody has heard of."""
        asked_at, expires_at = first.question.asked_at, first.question.expires_at
        return asked_at + min(self._gather, (expires_at - asked_at) / 2)

    async def _tell(self, notice: Notice, approvals: Sequence[Approval]) -> None:
        via = [channel.name for channel in self._channels if await _sent(channel, notice)]
        if via:
            # They have heard of it, and would again if that were not on record when the process ends now.
            with anyio.CancelScope(shield=True):
                for approval in approvals:
                    await self._record(approval, notice, via)

    async def _record(self, approval: Approval, notice: Notice, via: list[str]) -> None:
        question = approval.question
        body = {"tool": question.tool, "people": list(notice.people), "via": via}
        who, once = question.principal, f"notified:{question.id}:{notice.id}"
        entry = Entry(question.id, who.tenant, who.name, self._gateway.now(), Kind.NOTIFIED, body, once=once)
        try:
            await self._gateway.journal.append(entry)
        except AlreadyRecorded:
            log.info("told_by_another_process", approval=question.id)


def _by_people(
    untold: Sequence[tuple[Approval, tuple[str, ...]]],
) -> list[tuple[tuple[str, ...], tuple[Approval, ...]]]:
    """Who is told of what in one notice: nobody gets two of them, and nobody hears of what is not theirs."""
    of_person: dict[str, tuple[Approval, ...]] = {}
    for approval, people in untold:
        for person in people:
            of_person[person] = (*of_person.get(person, ()), approval)
    told: dict[tuple[str, ...], list[str]] = {}
    for person, approvals in of_person.items():
        told.setdefault(tuple(each.question.id for each in approvals), []).append(person)
    return [(tuple(people), of_person[people[0]]) for people in told.values()]


async def _sent(channel: Channel, notice: Notice) -> bool:
    try:
        await channel.send(notice)
    except NotDelivered as error:
        log.error("approvers_not_told", approval=notice.asked[0].approval, via=channel.name, error=str(error))
        return False
    except Exception:
        # Else nobody would hear of the other questions either.
        log.exception("approvers_not_told", approval=notice.asked[0].approval, via=channel.name)
        return False
    return True
