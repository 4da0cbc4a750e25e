"""Where questions are asked, found and answered: approvals over the journal."""

from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio.to_thread

from connectors.contract import Tool
from gateway.approvals import Approval, State, answered, asked, question_of, read_approval
from gateway.journal import AlreadyRecorded, Journal, read_journal
from gateway.journal.database import connect_to_read
from gateway.policy.decision import Decision
from gateway.policy.judge import Policy
from gateway.principal import Principal

_MAX_TURNS = 1_000
_ASKED_SINCE = (
    "SELECT call_id FROM journal WHERE tenant = ? AND kind = 'asked' AND at >= ? ORDER BY position DESC LIMIT ?"
)


class UnknownApproval(Exception):
    """There is no such question in this tenant."""


class ApprovalBook:
    """Every question that was ever asked, in the journal of one database.

    Args:
        journal: Where questions and answers are recorded.
        path: The journal's database file, to read from.
        ttl: How long a person has to answer, and how long the end of a question is remembered for whoever repeats it.
    """

    def __init__(self, journal: Journal, path: Path, ttl: timedelta) -> None:
        self._journal = journal
        self._path = path
        self._ttl = ttl

    async def attach(
        self,
        principal: Principal,
        tool: Tool,
        arguments: dict[str, Any],
        decision: Decision,
        said: dict[str, Any],
        now: datetime,
    ) -> Approval:
        """Find the question that a call raises, or ask it.

        Args:
            principal: Who calls.
            tool: The tool.
            arguments: The validated arguments as JSON data.
            decision: The decision that asks.
            said: What the caller declared of itself.
            now: The time of the call.

        Raises:
            JournalUnavailable: If it can neither be found nor asked.
        """
        for turn in range(_MAX_TURNS):
            question = question_of(principal, tool, arguments, decision, turn, now, self._ttl)
            approval = await self.find(question.id)
            if approval is None:
                try:
                    await self._journal.append(asked(question, said))
                except AlreadyRecorded:
                    approval = await self.find(question.id)
            approval = approval or Approval(question)
            if not self._is_over(approval, now):
                return approval
        raise UnknownApproval(f"`{tool.name}` was asked about in this way {_MAX_TURNS} times")

    async def find(self, approval_id: str) -> Approval | None:
        """Find a question by its id."""
        entries = await anyio.to_thread.run_sync(lambda: list(read_journal(self._path, call_id=approval_id)))
        return read_approval(entries)

    async def recent(self, tenant: str, now: datetime, last: int = 200) -> list[Approval]:
        """The questions of a tenant that may still be answered or repeated, newest first."""
        ids = await anyio.to_thread.run_sync(self._asked_since, tenant, now - 2 * self._ttl, last)
        found = [await self.find(each) for each in ids]
        return [approval for approval in found if approval]

    async def answer(
        self, approval_id: str, approver: Principal, policy: Policy, approve: bool, note: str, now: datetime
    ) -> Approval:
        """Record a person's yes or no.

        Raises:
            UnknownApproval: If there is no such question in the approver's tenant.
            NotAnswerable: If this person cannot answer it now, or another answer was first.
            JournalUnavailable: If the answer cannot be recorded; then it was not given.
        """
        approval = await self.find(approval_id)
        if approval is None or approval.question.principal.tenant != approver.tenant:
            raise UnknownApproval(f"there is no approval `{approval_id[:64]}`; `remit approvals list` shows them")
        try:
            await self._journal.append(answered(approval, approver, policy, approve, note, now))
        except AlreadyRecorded:
            # Somebody else was faster: say what they said.
            approval = await self.find(approval_id)
            assert approval is not None  # noqa: S101 - it was just found
            answered(approval, approver, policy, approve, note, now)
        found = await self.find(approval_id)
        assert found is not None  # noqa: S101 - it was just answered
        return found

    def _asked_since(self, tenant: str, since: datetime, last: int) -> list[str]:
        with closing(connect_to_read(self._path)) as connection:
            return [row[0] for row in connection.execute(_ASKED_SINCE, (tenant, since.isoformat(), last))]

    def _is_over(self, approval: Approval, now: datetime) -> bool:
        """Say whether it ended so long ago that the same call is a new question."""
        state = approval.state(now)
        ended = {State.SETTLED: approval.settled_at, State.EXPIRED: approval.question.expires_at}
        ended[State.REFUSED] = approval.answered_at
        at = ended.get(state)
        return at is not None and now >= at + self._ttl
