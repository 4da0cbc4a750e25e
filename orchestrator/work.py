"""What a workflow works with: its run's steps, the gateway's tools, models and people, all of them durable."""

import hashlib
import json
import time
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

from orchestrator.durable.run import Parked, Run, TryLater
from orchestrator.durable.store import Begin, Done
from orchestrator.gateway_client import Declared, Denied, Failed, GatewayClient, GatewayError, Ok, Pending, Tool
from orchestrator.grants import Grant, Issuer, Task
from orchestrator.models.asking import LEVELS, Models, Payer
from orchestrator.prompt import Prompt, load_prompt
from orchestrator.workflow import Workflow

T = TypeVar("T")
Settled = Ok | Denied | Failed
"""How a call ends: whatever waits for a person is waited for."""

_MARGIN_MS = 2_000
_AGAIN_SECONDS = 30
"""When a call that waits for a person is looked after at the latest, should nobody tell of the answer."""
_PASSING = ("unavailable", "timeout", "busy", "journal_unavailable", "in_doubt")
_PATIENCE = 8
"""How often a call that the gateway could not carry out is repeated before that is its outcome."""


@dataclass(frozen=True)
class Surroundings:
    """What a worker works in.

    Args:
        models: Chooses and asks models.
        issuer: Where grants are issued; None works without.
        hears: Whether somebody wakes a run when a person has answered; otherwise it looks for itself now and then.
    """

    models: Models
    issuer: Issuer | None = None
    hears: bool = False


class CannotReadAgain(Exception):
    """A run whose grant is over cannot get another one, because what it has read is not there any more."""


@dataclass(frozen=True, slots=True)
class Said:
    """What to state about a call.

    Args:
        prompt: The label of the prompt that led to it, for the journal.
        model: And the model.
        case: For whoever approves: `recommendation`, `evidence`, `confidence`, `risk`, `alternatives`.
    """

    prompt: str = ""
    model: str = ""
    case: Mapping[str, Any] | None = None


class Work:
    """A run's hands: made by the worker, given to the workflow's function as its first argument.

    Args:
        run: The run.
        gateway: A connection to the gateway.
        around: What the worker works in.
        workflow: What the run goes through.
    """

    def __init__(self, run: Run, gateway: GatewayClient, around: Surroundings, workflow: Workflow) -> None:
        self.run = run
        self.gateway = gateway
        self.around = around
        self.workflow = workflow
        self._grant: Grant | None = None
        self._is_fresh = False
        self.mark = run.unguessable("mark")[:12]
        self.step, self.note, self.keep = run.step, run.note, run.keep
        self.wait, self.sleep, self.ask = run.wait, run.sleep, run.ask

    @property
    def payer(self) -> Payer:
        """On whose account the run's requests to models are."""
        kept = self.run.kept
        return Payer(kept.id, kept.workflow, kept.team, kept.customer)

    @property
    def sees(self) -> str:
        """How confidential the most confidential is that the run has read."""
        return _seen(self.run.done)

    def prompt(self, name: str) -> Prompt:
        """A prompt of the workflow."""
        return load_prompt(name, self.workflow.folder / "prompts")

    async def child(self, name: str, wanted: Begin) -> str:
        """Begin another run and wait for its end, as `Run.child`; what it has read counts as read by this one."""
        begun = self.run.upcoming(f"{name}.begun")
        result = await self.run.child(name, wanted)

        async def seen() -> str:
            return _seen(await self.run.store.steps(self.run.done[begun].facts["run"]))

        await self.run.step(f"{name}.read", seen, str, facts=lambda level: {"confidentiality": level})
        return result

    async def grant(self, task: Task) -> None:
        """Narrow all calls from here on to what a task needs; before anything of outsiders was read.

        A run may outlive its grant. Then it gets a new one, and under it reads again whatever it has read: the gateway
        knows of no run but a grant's, and must go on knowing what this one has seen. Without an issuer nothing is
        narrowed beyond what policy allows.

        Raises:
            TryLater: If no grant is to be had now.
            CannotReadAgain: If the grant is over and something may no longer be read.
        """
        if self.around.issuer is None:
            return
        fresh = "grant" not in self.run.done
        self._grant = await self._issued("grant", self.around.issuer, task)
        for number in count(2):
            name = f"grant{number}"
            # One that was issued just now is good, whatever the clock here says.
            if name not in self.run.done and (fresh or not self._grant.is_over(datetime.now(UTC))):
                self._is_fresh = fresh
                return
            fresh = name not in self.run.done
            self._grant = await self._issued(name, self.around.issuer, task)
            await self.run.step(f"{name}.read", self._read_again, int)

    async def _issued(self, name: str, issuer: Issuer, task: Task) -> Grant:
        issued, given = lambda: _answering(issuer.grant(task)), asdict(task)
        return await self.run.step(name, issued, Grant, given=given, facts=lambda grant: {"grant": grant.id})

    async def _read_again(self) -> int:
        offered = await _answering(self.gateway.list_tools(self._token))
        read = [step.facts for step in self.run.done.values() if step.kind == "call" and step.facts["status"] == "ok"]
        # What is not offered any more may have been a read.
        reads = [facts for facts in read if facts["tool"] not in offered or offered[facts["tool"]].read_only]
        for number, facts in enumerate(reads):
            tool, arguments = facts["tool"], facts["arguments"]
            name = f"again:{self._token[-12:]}:{number}"
            outcome = await self._attempt(name, tool, arguments, Said()) if tool in offered else None
            if not isinstance(outcome, Ok):
                raise CannotReadAgain(
                    f"the run's grant is over, and `{tool}` gives no more what it gave: begin it anew"
                )
        return len(reads)

    @property
    def _token(self) -> str:
        return self._grant.token if self._grant else ""

    async def tools(self, names: Sequence[str]) -> dict[str, Tool]:
        """Those of the tools that the gateway offers to this run, with their narrowed schemas.

        Raises:
            TryLater: If the gateway does not answer.
        """

        async def listed() -> dict[str, Tool]:
            offered = await _answering(self.gateway.list_tools(self._token))
            return {name: offered[name] for name in names if name in offered}

        return await self.run.step("tools", listed, dict[str, Tool], given=list(names))

    async def call(self, name: str, tool: str, arguments: Mapping[str, Any], said: "Said | None" = None) -> Settled:
        """Call a tool once, however often the run is taken up; where policy asks a person, wait for the answer.

        Args:
            name: The step's name.
            tool: The tool.
            arguments: Its arguments.
            said: What to state about the call.

        Raises:
            TryLater: If the gateway or the system behind it does not answer.
        """
        outcome = await self.try_call(name, tool, arguments, said)
        if isinstance(outcome, Pending):
            raise self.parked(outcome)
        return outcome

    async def try_call(
        self, name: str, tool: str, arguments: Mapping[str, Any], said: "Said | None" = None
    ) -> Settled | Pending:
        """Call a tool as `call` does, but do not wait for a person: the same call may be tried again later."""
        numbered = self.run.upcoming(name)
        if numbered in self.run.done:
            return await self.run.step(name, _never, Settled, kind="call", given=[tool, arguments])
        began = time.monotonic()
        told, reply = await self.run.store.event(reply_event(self.run.id, numbered, self.run.done))
        outcome = await self._attempt(numbered, tool, arguments, said or Said(), str(reply) if told else "")
        lasted = round((time.monotonic() - began) * 1_000)
        if isinstance(outcome, Pending):
            if (asked := f"{numbered}.asked") not in self.run.done:
                about = {"approval": outcome.approval.id, "rules": outcome.rules, "url": outcome.approval.url}
                await self.run.note(asked, None, kind="person", facts={"tool": tool, **about})
            if told:
                await self.run.note(_replied(numbered, self.run.done), None, kind="event")
            return outcome
        facts = facts_of(tool, arguments, outcome) | {"milliseconds": lasted}
        return await self.run.note(name, outcome, Settled, kind="call", given=[tool, arguments], facts=facts)

    async def _attempt(
        self, name: str, tool: str, arguments: Mapping[str, Any], said: "Said", reply: str = ""
    ) -> Settled | Pending:
        # The step's name makes the key: the same step is the same call, whoever makes it.
        canonical = json.dumps([name, tool, arguments], sort_keys=True)
        key = f"{self.run.id}:{hashlib.sha256(canonical.encode()).hexdigest()[:24]}"
        declared = Declared(self.run.id, said.model, said.prompt, key, self._token, said.case, reply)
        outcome = await _answering(self.gateway.call(tool, dict(arguments), declared))
        if isinstance(outcome, Failed) and outcome.error.kind in _PASSING and self.run.tries < _PATIENCE:
            raise TryLater(f"`{tool}`: {outcome.error.message}")
        if isinstance(outcome, Denied) and self._is_over:
            raise TryLater("the run's grant is over: it gets another one")
        return outcome

    @property
    def _is_over(self) -> bool:
        # As above, what was issued just now is good: else a clock that is ahead would ask for grants without end.
        return bool(self._grant and not self._is_fresh and self._grant.is_over(datetime.now(UTC)))

    def parked(self, outcome: Pending) -> Parked:
        """What to raise so that the run waits for the answer to a call."""
        approval, moments = outcome.approval, []
        why = f"approver asks: {approval.asked_back}" if approval.asked_back else f"needs approval: {outcome.reason}"
        if approval.expires_at:
            # Later than now, whatever the gateway's clock says: it would be looked after again and again.
            moments.append(max(int(approval.expires_at.timestamp() * 1_000), self.run.now()) + _MARGIN_MS)
        if not self.around.hears:
            moments.append(self.run.now() + _AGAIN_SECONDS * 1_000)
        return Parked(frozenset({f"approval:{approval.id}"}), why, min(moments, default=None))


def reply_event(run: str, call: str, done: Collection[str]) -> str:
    """The event of the next reply to an approver of a call: each is sent once, so that it answers no later question.

    Args:
        run: The run's id.
        call: The name of the call's step.
        done: The names of the run's steps.
    """
    return f"reply:{run}:{_replied(call, done)}"


def _replied(call: str, done: Collection[str]) -> str:
    return next(name for number in count(1) if (name := f"{call}.replied{number}") not in done)


def _seen(done: Mapping[str, Done]) -> str:
    seen = {str(step.facts.get("confidentiality") or LEVELS[0]) for step in done.values()}
    # A level that is not known here is one that nobody may see.
    return max(seen, key=LEVELS.index, default=LEVELS[0]) if seen <= set(LEVELS) else LEVELS[-1]


async def _answering(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except GatewayError as error:
        raise TryLater(str(error)) from None


def facts_of(tool: str, arguments: Mapping[str, Any], outcome: Settled) -> dict[str, Any]:
    """What is kept of a call beside its outcome, for people and measures."""
    facts = {"tool": tool, "arguments": dict(arguments), "status": outcome.status, "call": outcome.call_id}
    if isinstance(outcome, Ok):
        return facts | {"confidentiality": outcome.confidentiality or LEVELS[1]}
    if isinstance(outcome, Denied):
        return facts | {"rules": outcome.rules, "reason": outcome.reason}
    return facts | {"error": outcome.error.kind, "reason": outcome.error.message}


async def _never() -> Any:  # noqa: ANN401 - it gives nothing
    raise AssertionError("the step is done")
