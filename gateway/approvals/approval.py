"""A question, what an answer to it is about, and what has become of it: read off its entries in the journal."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import BaseModel

from connectors.contract import Tool
from gateway.canonical import keyed_hash, keyed_name
from gateway.journal import Entry, Kind
from gateway.policy.language.flow import UNTOUCHED, Flow
from gateway.policy.language.flow_written import flow_from
from gateway.principal import Principal

_PREFIX = "apr_"


class State(StrEnum):
    """Where a question stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    STARTED = "started"
    SETTLED = "settled"


@dataclass(frozen=True)
class Question:
    """One exact call that a person is asked about, as it was asked first.

    Args:
        id: `apr_` and 24 hexadecimal digits over who asks and what would be done, or over the caller's key.
        principal: Who asks.
        tool: The tool's name.
        schema_hash: SHA-256 over the tool's input schema, in hexadecimal.
        arguments: The validated arguments as JSON data.
        asked_at: When.
        expires_at: From then on it counts as refused.
        said: What the caller declared of itself and of its case: recorded and never believed.
        flow: What the gateway knew of the flow into the call.
        places: For each argument where the gateway had seen its values.
        erased: Whether what it is about, or something that was said to it, is gone for ever; then it is over.
    """

    id: str
    principal: Principal
    tool: str
    schema_hash: str
    arguments: dict[str, Any]
    asked_at: datetime
    expires_at: datetime
    said: dict[str, Any] = field(default_factory=dict)
    flow: Flow = UNTOUCHED
    places: dict[str, list[str]] = field(default_factory=dict)
    erased: bool = False


@dataclass(frozen=True)
class Ruling:
    """Why a person is asked, under one policy.

    Args:
        rules: The rules that ask.
        reason: The same in a sentence.
        policy_version: The policy in which they ask.
        quorum: How many different people must say yes.
    """

    rules: tuple[str, ...]
    reason: str
    policy_version: str
    quorum: int


@dataclass(frozen=True)
class Edit:
    """What an approver changed the call to.

    Args:
        by: Who changed it.
        arguments: The whole new arguments as JSON data; policy did not deny them.
        quorum: How many people must say yes to them, the editor included.
        rules: The rules that said so, or allowed them.
    """

    by: str
    arguments: dict[str, Any]
    quorum: int
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Vote:
    """One person's yes, or the no that ends a question.

    Args:
        person: Who.
        authority: Whose right it was given by: the same person, or the one who passed the question on.
        at: When.
        note: A line for the record.
    """

    person: str
    authority: str
    at: datetime
    note: str


@dataclass(frozen=True)
class Remark:
    """Something that an approver asked back, or the caller's reply: text of an agent is data, never an instruction."""

    by: str
    at: datetime
    text: str
    is_reply: bool


@dataclass(frozen=True)
class Approval:
    """A question with what has become of it.

    `ruling` and `edit` say what an answer is about at present. `delegates` holds (to whom, by whom) it was passed on.
    `events` counts what followed the question: the next event says this number, which the journal takes once.
    """

    question: Question
    ruling: Ruling
    edit: Edit | None = None
    votes: tuple[Vote, ...] = ()
    refusal: Vote | None = None
    withdrawn: str = ""
    remarks: tuple[Remark, ...] = ()
    delegates: tuple[tuple[str, str], ...] = ()
    notified: frozenset[str] = frozenset()
    started: bool = False
    settled_at: datetime | None = None
    events: int = 0

    @property
    def arguments(self) -> dict[str, Any]:
        """What would be done."""
        return self.edit.arguments if self.edit else self.question.arguments

    @property
    def quorum(self) -> int:
        """How many people must say yes."""
        return self.edit.quorum if self.edit else self.ruling.quorum

    @property
    def unanswered_remark(self) -> str:
        """What was asked back and not replied to yet."""
        return self.remarks[-1].text if self.remarks and not self.remarks[-1].is_reply else ""

    @property
    def binding(self) -> str:
        """A hash over everything that a yes is a yes to; it changes when any of it does."""
        question, ruling = self.question, self.ruling
        shown = [question.id, question.schema_hash, self.arguments, ruling.rules, ruling.policy_version, self.quorum]
        return _sha256([*shown, self.edit.by if self.edit else None])[:32]

    def state(self, now: datetime) -> State:
        """Where it stands at a moment."""
        if self.settled_at:
            return State.SETTLED
        if self.started:
            return State.STARTED
        if self.refusal:
            return State.REFUSED
        if self.question.erased or now >= self.question.expires_at:
            return State.EXPIRED
        if self.withdrawn:
            return State.WITHDRAWN
        return State.APPROVED if len(self.votes) >= self.quorum else State.PENDING

    def is_open(self, now: datetime) -> bool:
        """Whether it can still change."""
        return self.state(now) in {State.PENDING, State.APPROVED, State.WITHDRAWN}


def schema_hash(tool: Tool) -> str:
    """SHA-256 over a tool's input schema: a yes to a call does not hold for a tool that has changed."""
    return _schema_hash(tool.input)


@cache
def _schema_hash(model: type[BaseModel]) -> str:
    return _sha256(model.model_json_schema())


def question_id(principal: Principal, tool: Tool, arguments: dict[str, Any], key: str, turn: int, secret: bytes) -> str:
    """The name of the question that a call raises: the same call has the same name.

    Args:
        principal: Who calls.
        tool: The tool.
        arguments: The validated arguments as JSON data.
        key: The caller's idempotency key, which then names the call whatever its arguments; empty if it gave none.
        turn: How often the same question was asked and came to an end before.
        secret: The gateway's, for names: nobody else can try guesses at the arguments against the name.
    """
    if key:
        return _PREFIX + keyed_name(principal, key, secret).partition("_")[2]
    bound = [principal.tenant, principal.parties, tool.name, arguments, schema_hash(tool), turn]
    return _PREFIX + keyed_hash(json.dumps(bound, sort_keys=True), secret)[:24]


def _sha256(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def read_approval(entries: Iterable[Entry]) -> Approval | None:
    """Read what became of a question off its entries, oldest first; None if it was never asked."""
    approval: Approval | None = None
    for entry in entries:
        if entry.kind is Kind.ASKED:
            approval = _asked(entry)
        elif approval and (follow := _FOLLOW.get(entry.kind)):
            approval = follow(approval, entry)
        if approval and entry.erased:
            approval = replace(approval, question=replace(approval.question, erased=True))
    return approval


def _asked(entry: Entry) -> Approval:
    body = entry.body
    question = Question(
        id=entry.call_id,
        principal=Principal(entry.tenant, body["person"], body["agent"], frozenset(body.get("claimed", ()))),
        tool=body["tool"],
        # Unsaid by the first version: such a question holds for no tool, and the call raises another one.
        schema_hash=body.get("schema_hash", ""),
        arguments=body.get("arguments", {}),
        asked_at=entry.at,
        expires_at=datetime.fromisoformat(body["expires_at"]),
        said=body.get("said", {}),
        flow=flow_from(body.get("flow", {})),
        places=body.get("places", {}),
    )
    return Approval(question, _ruling(body))


def _ruling(body: dict[str, Any]) -> Ruling:
    return Ruling(tuple(body["rules"]), body["reason"], body["policy_version"], body.get("quorum", 1))


def _answered(approval: Approval, entry: Entry) -> Approval:
    body = entry.body
    vote = Vote(body["approver"], body.get("authority", body["approver"]), entry.at, body.get("note", ""))
    if not body["approved"]:
        return _next(approval, refusal=vote)
    if body.get("edited") is not None:
        edit = Edit(vote.person, body["edited"], body["quorum"], tuple(body["rules"]))
        return _next(approval, edit=edit, votes=(vote,))
    return _next(approval, votes=(*approval.votes, vote))


def _rebound(approval: Approval, entry: Entry) -> Approval:
    return _next(approval, ruling=_ruling(entry.body), edit=None, votes=(), withdrawn="")


def _withdrawn(approval: Approval, entry: Entry) -> Approval:
    # The policy that withdrew it is the one that it was last decided by.
    ruling = replace(approval.ruling, policy_version=entry.body["policy_version"])
    return _next(approval, ruling=ruling, withdrawn=entry.body.get("reason", "erased"), edit=None, votes=())


def _asked_back(approval: Approval, entry: Entry) -> Approval:
    remark = Remark(entry.body["approver"], entry.at, entry.body.get("text", ""), is_reply=False)
    return _next(approval, remarks=(*approval.remarks, remark))


def _replied(approval: Approval, entry: Entry) -> Approval:
    remark = Remark(entry.principal, entry.at, entry.body.get("text", ""), is_reply=True)
    return _next(approval, remarks=(*approval.remarks, remark))


def _delegated(approval: Approval, entry: Entry) -> Approval:
    return _next(approval, delegates=(*approval.delegates, (entry.body["to"], entry.body["authority"])))


def _ended(approval: Approval, entry: Entry) -> Approval:
    return approval if entry.body["status"] == "in_doubt" else replace(approval, settled_at=entry.at)


def _next(approval: Approval, **changes: Any) -> Approval:  # noqa: ANN401 - fields of the approval
    return replace(approval, events=approval.events + 1, **changes)


_FOLLOW: dict[Kind, Callable[[Approval, Entry], Approval]] = {
    Kind.ANSWERED: _answered,
    Kind.REBOUND: _rebound,
    Kind.WITHDRAWN: _withdrawn,
    Kind.ASKED_BACK: _asked_back,
    Kind.REPLIED: _replied,
    Kind.DELEGATED: _delegated,
    Kind.NOTIFIED: lambda approval, entry: replace(
        approval, notified=approval.notified | set(entry.body.get("people", ()))
    ),
    Kind.INTENT: lambda approval, _entry: replace(approval, started=True),
    Kind.OUTCOME: _ended,
    Kind.SETTLED: _ended,
}
