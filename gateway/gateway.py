"""The parts that every call passes through, the call as it arrived, and how something is recorded about it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from time import time_ns
from typing import Any

import anyio
from pydantic import BaseModel

from connectors.contract import Tool, no_progress
from connectors.registry import BackEnds
from gateway.access import Access
from gateway.activity.activity import Activity
from gateway.approvals.book import ApprovalBook
from gateway.canonical import digest
from gateway.catalog import Catalog
from gateway.declared import Declared
from gateway.earlier import Earlier
from gateway.flow.arguments import Traced
from gateway.flow.runs import Runs
from gateway.grants.book import GrantBook
from gateway.grants.bounds import why_outside
from gateway.grants.grant import NOTHING_MADE, Grant, narrow
from gateway.held import Patience
from gateway.inquiries.inquiry import Client, Resumed
from gateway.journal import Entry, Journal, Kind
from gateway.journal.calls import RecordedCalls
from gateway.journal.entry import Beside
from gateway.journal.uses import Use
from gateway.leaving import Leaving
from gateway.limits.kept import LimitUses
from gateway.metrics import Metrics
from gateway.oauth.own import OwnTokens
from gateway.oauth.scopes import within_scopes
from gateway.policy.decision import Decision
from gateway.policy.judge import Policy
from gateway.policy.language.history import History
from gateway.policy_source import PolicySource
from gateway.principal import Principal
from gateway.resilience import Resilience
from gateway.results.bounding import Limits
from gateway.run_history import RunHistory
from gateway.running import Running
from gateway.settled import SettledAnswers
from gateway.slots import Slots
from gateway.stopping.in_force import StopsInForce
from gateway.telemetry.spans import Telemetry
from gateway.upstream.watching import Upstreams


@dataclass(frozen=True)
class Gateway:
    """Everything a call passes through, wired once by `app.py`."""

    catalog: Catalog
    policy: PolicySource
    journal: Journal
    history: RunHistory
    runs: Runs
    approvals: ApprovalBook
    grants: GrantBook
    exchanged: OwnTokens
    """The tokens that agents get for a person's."""
    settled: SettledAnswers
    back_ends: BackEnds
    upstreams: Upstreams
    slots: Slots
    metrics: Metrics
    telemetry: Telemetry
    patience: Patience
    resilience: Resilience
    running: Running
    recorded: RecordedCalls
    stops: StopsInForce
    activity: Activity
    uses: LimitUses
    leaving: Leaving
    timeout: float
    given_up_after: timedelta
    """How long after its intent another process may still carry a call out and record its outcome."""
    limits: Limits
    """How much text a result may hold."""
    secret: bytes
    """Names calls and questions by what they would do."""
    now: Callable[[], datetime]

    def is_fresh(self, begun_at: datetime) -> bool:
        """Whether a call that was begun then may still be carried out somewhere."""
        return self.now() < begun_at + self.given_up_after

    def waits_for_client(self, earlier: Earlier) -> bool:
        """Whether a begun call goes on as soon as its client has answered."""
        return earlier.waits_for_client(
            self.now(), timedelta(seconds=self.patience.answer_seconds), self.given_up_after
        )


def new_call_id() -> str:
    """Make a name for a call."""
    # The time first: the journal's index then grows at its end alone, which halves what a commit writes.
    return f"call_{time_ns():016x}{token_hex(8)}"


@dataclass(frozen=True)
class ToolCall:
    """One `tools/call` as it arrived."""

    principal: Principal
    tool: str
    arguments: Mapping[str, Any]
    declared: Declared = field(default_factory=Declared)
    client: str = ""
    access: Access | None = None
    """What the caller's token gives, if it came with one."""
    trace: str = ""
    """The trace that it belongs to, as whoever called says or as the gateway records it."""
    progress: Callable[[float, float | None, str], Awaitable[None]] = no_progress
    id: str = field(default_factory=new_call_id)
    key: str = ""
    """What whoever repeats it knows it by: the name of its approval or of its idempotency key; then it runs once."""
    grant: Grant | None = None
    """The grant that it presents, once that is verified."""
    made: Mapping[str, int] = field(default_factory=lambda: NOTHING_MADE)
    """How many calls were made under that grant so far, by tool, where it limits them."""
    from_client: Client = field(default_factory=Client)
    """What the client that makes it can do for whoever carries it out."""
    resumed: Resumed | None = None
    """The inquiry that it answers, if it goes on with a call that asked."""
    uses: tuple[Use, ...] = ()
    """What it used up of limits, once it is begun."""


@dataclass(frozen=True)
class Decided:
    """A call with what policy said to it.

    Args:
        call: The call.
        tool: The tool that it means.
        arguments: Its validated arguments.
        policy: The policy that decided.
        decision: What it said.
        earlier: What the run was allowed before, as far as rules look back; None if it could not be read.
        traced: Where its arguments come from.
        facts: What every entry about the call tells: arguments, rules, reason, policy.
    """

    call: ToolCall
    tool: Tool
    arguments: BaseModel
    policy: Policy
    decision: Decision
    earlier: History | None
    traced: Traced
    facts: dict[str, Any]


def decide(
    gateway: Gateway,
    call: ToolCall,
    policy: Policy,
    tool: Tool,
    arguments: BaseModel,
    earlier: History | None,
    traced: Traced,
) -> Decided:
    """Let policy say what it says to a call with these arguments, and then its grant, which can only deny."""
    with gateway.telemetry.span("decide"):
        now = gateway.now()
        decision = policy.decide(call.principal, tool.name, arguments.model_dump(), now, earlier, traced.flow)
        if call.grant:
            decision = narrow(decision, why_outside(call.grant, tool, arguments, call.made))
        decision = within_scopes(decision, policy, call.access, tool, now)
    facts = {
        "arguments": arguments.model_dump(mode="json"),
        "arguments_hash": digest(arguments, gateway.secret),
        "verdict": decision.verdict,
        "rules": list(decision.rules),
        "reason": decision.reason,
        "policy_version": decision.policy_version,
        **traced.told(),
    }
    return Decided(call, tool, arguments, policy, decision, earlier, traced, facts)


async def record(
    gateway: Gateway,
    call: ToolCall,
    kind: Kind,
    *,
    once: str | None = None,
    beside: tuple[Beside, ...] = (),
    uses: tuple[Use, ...] = (),
    **facts: Any,  # noqa: ANN401 - JSON data
) -> None:
    """Make an entry about a call durable.

    Raises:
        AlreadyRecorded: If its `once` is in the journal.
        OverLimit: If it uses up more than a limit leaves.
        JournalUnavailable: If it cannot be made durable.
    """
    who = {"person": call.principal.person, "agent": call.principal.agent, "client": call.client}
    granted = {"grant": call.grant.id} if call.grant else {}
    came_with = call.access.told() if call.access else {}
    traced = {"trace": call.trace} if call.trace else {}
    body = {"tool": call.tool[:100], **who, **came_with, **granted, **traced, **call.declared.told(), **facts}
    # What was decided is recorded even if the caller has gone: nobody tries policy out without a trace.
    with anyio.CancelScope(shield=True), gateway.telemetry.span("journal", entry=kind.value):
        who_calls = call.principal.tenant, call.principal.name
        await gateway.journal.append(
            Entry(call.id, *who_calls, gateway.now(), kind, body, once, beside=beside, uses=uses)
        )
