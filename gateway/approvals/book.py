"""Where questions are asked, found and answered: approvals over the journal."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import anyio.to_thread

from connectors.contract import Tool
from connectors.embedded.tenancy import EVERY_TENANT, Tenant
from gateway.approvals import answering, standing
from gateway.approvals.answering import NotAnswerable
from gateway.approvals.approval import Approval, Question, Ruling, State, question_id, read_approval, schema_hash
from gateway.approvals.changes import Changes
from gateway.approvals.deciding import Decider
from gateway.approvals.standing import Standing, Terms
from gateway.approvals.standing_book import StandingBook
from gateway.catalog import validate
from gateway.database import Database
from gateway.flow.arguments import UNTRACED, Traced
from gateway.journal import AlreadyRecorded, Entry, Journal, JournalUnavailable, Kind, read_journal
from gateway.journal.reading import calls_with, read_calls
from gateway.policy.decision import Decision, Verdict
from gateway.policy.judge import Policy
from gateway.principal import Principal
from gateway.run_history import RunHistory

_MAX_TURNS = 1_000
_MAX_TRIES = 20
_MOST_OPEN = 10_000
_MOST_OF_ONE_CALLER = 500
_DECIDED_AT_ONCE = 32  # They share the journal's commits.


class UnknownApproval(Exception):
    """There is no such question in this tenant."""


class TooManyAsked(Exception):
    """So many calls of this caller wait for a person that no further one is asked about."""


class KeyUsedOtherwise(Exception):
    """The caller's idempotency key stands for a call of another tool or with other arguments."""


class ApprovalBook:
    """Every question that was ever asked, in the journal of one database.

    Args:
        journal: Where questions and answers are recorded.
        database: The journal's, to read from.
        tools: Every tool by name.
        history: What runs did before, for deciding again.
        ttl: How long a person has to answer, and how long the end of a question is remembered for whoever repeats it.
        secret: Names questions.
    """

    def __init__(
        self,
        journal: Journal,
        database: Database,
        tools: Mapping[str, Tool],
        history: RunHistory,
        ttl: timedelta,
        secret: bytes,
    ) -> None:
        self._journal = journal
        self._database = database
        self._tools = tools
        self._decider = Decider(tools, history)
        self._ttl = ttl
        self._secret = secret
        self.standing = StandingBook(journal, database)
        self.changes = Changes(database, secret)
        self.listeners: list[Callable[[Approval], None]] = []
        """Told of each question that was asked or has changed, in this process."""

    async def raised(
        self,
        principal: Principal,
        tool: Tool,
        arguments: dict[str, Any],
        said: dict[str, Any],
        now: datetime,
        key: str,
        traced: Traced = UNTRACED,
    ) -> tuple[Question, Approval | None]:
        """The question that a call raises, and what has become of it if it was asked already.

        Args:
            principal: Who calls.
            tool: The tool.
            arguments: The validated arguments as JSON data.
            said: What the caller declared of itself.
            now: The time of the call.
            key: The caller's idempotency key; the question is then named by it, and its end stays its end.
            traced: Where the arguments come from.

        Raises:
            KeyUsedOtherwise: If the key named another call.
            JournalUnavailable: If the journal cannot be read.
        """
        for turn in range(_MAX_TURNS):
            question = Question(
                id=question_id(principal, tool, arguments, key, turn, self._secret),
                principal=principal,
                tool=tool.name,
                schema_hash=schema_hash(tool),
                arguments=arguments,
                asked_at=now,
                expires_at=now + self._ttl,
                said=said,
                flow=traced.flow,
                places=traced.told_places(),
            )
            approval = await self.find(principal.tenant, question.id)
            if approval and not _is_about(approval, tool, arguments):
                raise KeyUsedOtherwise
            if approval is None or key or not self._is_over(approval, now):
                return question, approval
        raise UnknownApproval(f"`{tool.name}` was asked about in this way {_MAX_TURNS} times")

    async def ask(
        self, question: Question, found: Approval | None, decision: Decision, policy: Policy, now: datetime
    ) -> Approval:
        """Ask a question, unless it was asked already; open it again if another ruling asked it.

        Args:
            question: The question, as `raised` gave it.
            found: What has become of it, as `raised` gave it.
            decision: The decision that asks.
            policy: The policy that made it.
            now: The time of the call.

        Raises:
            TooManyAsked: If too many of the caller's questions are open; then it was not asked.
            JournalUnavailable: If it can neither be found nor asked.
        """
        ruling = answering.ruling_of(decision, policy, question)
        return await self._under(found or await self._asked(question, ruling), ruling, now)

    async def reopen(self, approval: Approval, now: datetime) -> Approval:
        """Open a question again whose edited call is asked about by other rules than when it was edited.

        Raises:
            JournalUnavailable: If that cannot be recorded.
        """
        reopened = await self._recorded(answering.rebound(approval, approval.ruling, now))
        return reopened or await self._again(approval)

    async def find(self, tenant: str, approval_id: str) -> Approval | None:
        """Find a tenant's question by its id."""
        return read_approval(await self._entries(tenant, approval_id))

    async def recent(self, tenant: str, now: datetime, last: int = 200) -> list[Approval]:
        """The questions of a tenant that may still be answered or repeated, newest first."""
        return await self._asked_since(now - 2 * self._ttl, tenant, last)

    async def open(self, now: datetime, tenant: Tenant) -> list[Approval]:
        """The questions of a tenant that wait for an answer, newest first."""
        found = await self._asked_since(now - self._ttl, tenant, _MOST_OPEN)
        return [approval for approval in found if approval.state(now) is State.PENDING]

    async def answer(
        self,
        approval_id: str,
        approver: Principal,
        policy: Policy,
        approve: bool,
        note: str,
        now: datetime,
        *,
        seen: str | None = None,
        terms: Terms | None = None,
        together: Sequence[str] = (),
    ) -> Approval:
        """Record a person's yes or no.

        Args:
            approval_id: The question.
            approver: Who answers.
            policy: The policy in force.
            approve: Yes or no.
            note: A line for the record; with a no, the caller is told it.
            now: The time.
            seen: The `binding` of what the person was shown; None answers whatever stands there.
            terms: What else the yes covers.
            together: The other questions that the person answers with it.

        Raises:
            UnknownApproval: If there is no such question in the approver's tenant.
            NotAnswerable: If this person cannot answer it now, or it is not what they were shown.
            JournalUnavailable: If the answer cannot be recorded; then it was not given.
        """

        async def event(approval: Approval) -> Entry:
            if approve and terms:
                # Or nothing is recorded at all.
                self._given(approval, approver, policy, terms, now)
                if await self.standing.find(approver.tenant, standing.standing_id(approval_id)):
                    raise NotAnswerable(f"{approval_id}: a standing approval was given with it before: say yes without")
            return answering.answered(approval, approver, policy, approve, note, now, together)

        approval = await self._change(approval_id, approver, policy, now, seen, event)
        if approve and terms:
            await self._journal.append(self._given(approval, approver, policy, terms, now))
        return approval

    async def edit(
        self,
        approval_id: str,
        approver: Principal,
        policy: Policy,
        arguments: Mapping[str, Any],
        note: str,
        now: datetime,
        *,
        seen: str | None = None,
    ) -> Approval:
        """Record a yes to the call with other arguments, which policy decides about first.

        Raises:
            InvalidArguments: If they do not fit the tool's input.
            UnknownApproval: If there is no such question in the approver's tenant.
            NotAnswerable: If this person cannot answer it now, or policy denies the edited call.
            JournalUnavailable: If the answer cannot be recorded; then it was not given.
        """

        async def event(approval: Approval) -> Entry:
            question = approval.question
            checked = validate(self._tools[question.tool], arguments)
            decision = await self._decider.decide(question, checked.model_dump(), policy, now)
            data = checked.model_dump(mode="json")
            return answering.edited(approval, approver, policy, data, decision, note, now)

        return await self._change(approval_id, approver, policy, now, seen, event)

    async def ask_back(
        self, approval_id: str, approver: Principal, policy: Policy, text: str, now: datetime
    ) -> Approval:
        """Ask the caller something; the question stays open.

        Raises:
            UnknownApproval: If there is no such question in the approver's tenant.
            NotAnswerable: If this person cannot ask now.
            JournalUnavailable: If it cannot be recorded; then it was not asked.
        """

        async def event(approval: Approval) -> Entry:
            return answering.asked_back(approval, approver, policy, text, now)

        return await self._change(approval_id, approver, policy, now, None, event)

    async def delegate(self, approval_id: str, approver: Principal, policy: Policy, to: str, now: datetime) -> Approval:
        """Pass one's right to answer this question on to a colleague, named without prefix.

        Raises:
            UnknownApproval: If there is no such question in the approver's tenant.
            NotAnswerable: If this person cannot answer it now, or the colleague never could.
            JournalUnavailable: If it cannot be recorded.
        """

        async def event(approval: Approval) -> Entry:
            return answering.delegated(approval, approver, policy, to, now)

        return await self._change(approval_id, approver, policy, now, None, event)

    async def reply(self, approval: Approval, caller: Principal, text: str, now: datetime) -> Approval:
        """Record what the caller says to what was asked back; nothing if nothing was, or it is not their question.

        Raises:
            JournalUnavailable: If it cannot be recorded.
        """
        for _ in range(_MAX_TRIES):
            entry = answering.replied(approval, caller, text, now)
            if entry is None:
                return approval
            if changed := await self._recorded(entry):
                return changed
            approval = await self._again(approval)
        return approval

    async def decide_again(self, policy: Policy, now: datetime) -> int:
        """Decide every open question of every tenant again under a new policy; say how many changed.

        Raises:
            JournalUnavailable: If they cannot be read or recorded.
        """
        found = await self._asked_since(now - self._ttl, EVERY_TENANT, _MOST_OPEN)
        stale = [each for each in found if each.is_open(now) and each.ruling.policy_version != policy.version]
        at_once, changed, failures = anyio.Semaphore(_DECIDED_AT_ONCE), 0, list[JournalUnavailable]()

        async def decide(approval: Approval) -> None:
            nonlocal changed
            async with at_once:
                try:
                    again = await self._decided_again(approval, policy, now)
                except JournalUnavailable as error:
                    failures.append(error)
                else:
                    changed += again.events != approval.events

        async with anyio.create_task_group() as tasks:
            for approval in stale:
                tasks.start_soon(decide, approval)
        if failures:
            raise failures[0]
        return changed

    async def end_standing(self, standing_id: str, approver: Principal, policy: Policy, now: datetime) -> Standing:
        """Take a standing approval back; whoever could have given it may.

        Raises:
            UnknownApproval: If there is none of this name in the tenant that still holds.
            NotAnswerable: If this person may not.
            JournalUnavailable: If it cannot be recorded; then it still holds.
        """
        found = await self.standing.find(approver.tenant, standing_id)
        approval = await self.find(approver.tenant, f"apr_{standing_id.partition('_')[2]}")
        if not found or not approval or not found.holds(now):
            raise UnknownApproval(f"there is no standing approval `{standing_id[:64]}` in force")
        if not answering.may_answer(policy, approver, approval.question):
            raise NotAnswerable(f"{standing_id}: {approver.person} may not answer for `{found.tool}`")
        try:
            await self._journal.append(standing.ended(found, approver, now))
        except AlreadyRecorded:
            raise UnknownApproval(f"`{standing_id}` was taken back already") from None
        return found

    async def _asked(self, question: Question, ruling: Ruling) -> Approval:
        await self._refuse_a_flood(question)
        body = {
            "tool": question.tool,
            "person": question.principal.person,
            "agent": question.principal.agent,
            "arguments": question.arguments,
            "schema_hash": question.schema_hash,
            "said": question.said,
            "flow": question.flow.told(),
            "places": question.places,
            "rules": list(ruling.rules),
            "reason": ruling.reason,
            "policy_version": ruling.policy_version,
            "quorum": ruling.quorum,
            "expires_at": question.expires_at.isoformat(),
            **({"claimed": sorted(question.principal.roles)} if question.principal.roles else {}),
        }
        who, once = question.principal, f"asked:{question.id}"
        asked = Entry(question.id, who.tenant, who.name, question.asked_at, Kind.ASKED, body, once=once)
        if approval := await self._recorded(asked):
            return approval
        found = await self.find(question.principal.tenant, question.id)
        assert found is not None  # noqa: S101 - the journal just said that it holds it
        return found

    async def _refuse_a_flood(self, question: Question) -> None:
        """Let no caller bury what others ask.

        Raises:
            TooManyAsked: If as many as may be of the caller's newest questions are all open.
        """
        who, now = question.principal, question.asked_at

        def read() -> list[str]:
            return calls_with(
                self._database,
                Kind.ASKED,
                now - self._ttl,
                tenant=who.tenant,
                principal=who.name,
                last=_MOST_OF_ONE_CALLER,
            )

        ids = await anyio.to_thread.run_sync(read)
        if len(ids) == _MOST_OF_ONE_CALLER and all(each.is_open(now) for each in await self._all(who.tenant, ids)):
            raise TooManyAsked(f"{_MOST_OF_ONE_CALLER} calls of this caller wait for a person already")

    async def _under(self, approval: Approval, ruling: Ruling, now: datetime) -> Approval:
        """The question under what policy says now: answers to another ruling do not count."""
        for _ in range(_MAX_TRIES):
            asked = approval.ruling
            same = (asked.rules, asked.policy_version) == (ruling.rules, ruling.policy_version)
            if not approval.is_open(now) or (same and not approval.withdrawn):
                return approval
            if changed := await self._recorded(answering.rebound(approval, ruling, now)):
                return changed
            approval = await self._again(approval)
        raise NotAnswerable(f"{approval.question.id}: others change it at this moment: look again")

    async def _decided_again(self, approval: Approval, policy: Policy, now: datetime) -> Approval:
        """An open question that another policy asked, under this one."""
        for _ in range(_MAX_TRIES):
            question = approval.question
            if not approval.is_open(now) or approval.ruling.policy_version == policy.version:
                return approval
            decision = await self._decider.decide_as_asked(question, policy, now)
            if decision.verdict is Verdict.ASK:
                entry = answering.rebound(approval, answering.ruling_of(decision, policy, question), now)
            else:
                entry = answering.withdrawn(approval, decision, now)
            if changed := await self._recorded(entry):
                return changed
            approval = await self._again(approval)
        return approval

    async def _change(
        self,
        approval_id: str,
        approver: Principal,
        policy: Policy,
        now: datetime,
        seen: str | None,
        event: Callable[[Approval], Awaitable[Entry]],
    ) -> Approval:
        """Record what a person says to a question as it stands; if somebody was faster, look again."""
        for _ in range(_MAX_TRIES):
            approval = await self.find(approver.tenant, approval_id)
            if approval is None:
                raise UnknownApproval(f"there is no approval `{approval_id[:64]}`; `remit approvals list` shows them")
            approval = await self._decided_again(approval, policy, now)
            if seen not in (None, approval.binding) and approval.state(now) is State.PENDING:
                raise NotAnswerable(f"{approval_id}: it has changed since you were shown it: look at it again")
            if changed := await self._recorded(await event(approval)):
                return changed
        raise NotAnswerable(f"{approval_id}: others change it at this moment: look again")

    def _given(self, approval: Approval, approver: Principal, policy: Policy, terms: Terms, now: datetime) -> Entry:
        return standing.given(approval, approver, policy, self._tools[approval.question.tool], terms, now)

    async def _recorded(self, entry: Entry) -> Approval | None:
        """Record an event of a question and give the question after it; None if another event was faster."""
        try:
            await self._journal.append(entry)
        except AlreadyRecorded:
            return None
        approval = await self.find(entry.tenant, entry.call_id)
        assert approval is not None  # noqa: S101 - the entry is one of its own
        for listener in self.listeners:
            listener(approval)
        return approval

    async def _again(self, approval: Approval) -> Approval:
        """The question as it stands now."""
        question = approval.question
        return await self.find(question.principal.tenant, question.id) or approval

    async def _entries(self, tenant: str, call_id: str) -> list[Entry]:
        return await anyio.to_thread.run_sync(lambda: list(read_journal(self._database, tenant, call_id=call_id)))

    async def _asked_since(self, since: datetime, tenant: Tenant, last: int) -> list[Approval]:
        ids = await anyio.to_thread.run_sync(
            lambda: calls_with(self._database, Kind.ASKED, since, tenant=tenant, last=last)
        )
        return await self._all(tenant, ids)

    async def _all(self, tenant: Tenant, ids: Sequence[str]) -> list[Approval]:
        def read() -> list[Approval]:
            found = map(read_approval, read_calls(self._database, tenant, ids))
            return [approval for approval in found if approval]

        return await anyio.to_thread.run_sync(read)

    def _is_over(self, approval: Approval, now: datetime) -> bool:
        """Say whether it ended so long ago that the same call is a new question."""
        ended = {State.SETTLED: approval.settled_at, State.EXPIRED: approval.question.expires_at}
        ended[State.REFUSED] = approval.refusal.at if approval.refusal else None
        at = ended.get(approval.state(now))
        return at is not None and (approval.question.erased or now >= at + self._ttl)


def _is_about(approval: Approval, tool: Tool, arguments: dict[str, Any]) -> bool:
    """Whether a question is about a call, as far as that can still be known."""
    asked = approval.question
    return asked.tool == tool.name and (asked.erased or asked.arguments == arguments)
