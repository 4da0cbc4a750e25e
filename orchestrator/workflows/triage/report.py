"""What triage says about an item: the model's findings, and beside them what really happened."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.durable.store import Done
from orchestrator.evidence import Evidence
from orchestrator.models.asking import Account
from orchestrator.workflows.triage.items import Item

Intent = Literal[
    "refund", "delivery", "defect", "billing", "order_change", "how_to", "quote", "account", "complaint", "other"
]
Action = Literal["reply", "refund", "replace", "investigate", "escalate", "ignore"]
Risk = Literal["low", "medium", "high"]
Priority = Literal["low", "normal", "high", "urgent"]
Effect = Literal["replied", "drafted", "updated", "escalated", "proposed", "failed"]
Text = Annotated[str, Field(min_length=1, max_length=400)]


class Triage(BaseModel):
    """The result of triaging one item."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    intent: Annotated[Intent, Field(description="What the customer wants.")]
    confidence: Annotated[float, Field(ge=0, le=1, description="How sure you are of the intent.")]
    customer_id: Annotated[
        str | None,
        Field(max_length=60, description="The contact's id, such as `con_…`, if the CRM knows the customer."),
    ]
    evidence: Annotated[list[Evidence], Field(max_length=8, description="What the findings rest on.")]
    recommended_action: Annotated[Action, Field(description="What a person should do about it.")]
    risk: Annotated[Risk, Field(description="What could go wrong if the recommendation is followed unread.")]
    next_step: Annotated[str, Field(min_length=1, max_length=400, description="One sentence for a colleague.")]
    alternatives: Annotated[list[Text], Field(max_length=3, description="What else could be done.")] = []
    priority: Annotated[Priority, Field(description="How urgent it is.")] = "normal"
    summary: Annotated[
        str, Field(max_length=2_000, description="For a colleague: what the customer needs and what you found.")
    ] = ""
    reply: Annotated[
        str, Field(max_length=6_000, description="The proposed answer in the customer's language; empty for none.")
    ] = ""


class Found(BaseModel):
    """What a run found out, or why it did not. `customer` is the customer's name as the CRM has it."""

    model_config = ConfigDict(frozen=True)

    triage: Triage
    customer: str = ""
    stopped: str = ""


class Call(BaseModel):
    """One call to the gateway and how it ended."""

    model_config = ConfigDict(frozen=True)

    tool: str
    status: Literal["ok", "denied", "pending_approval", "failed"]
    call_id: str = ""
    rules: list[str] = []
    reason: str = ""


class ItemReport(BaseModel):
    """Everything about one item. `effect` is read off the calls that succeeded, not off the model's words.

    `waiting` says what the run waits for, and is empty once it has ended.
    """

    model_config = ConfigDict(frozen=True)

    item: str
    kind: Literal["ticket", "email"]
    subject: str
    run: str
    model: str
    prompt: str
    effect: Effect
    triage: Triage | None = None
    customer: str = ""
    stopped: str = ""
    waiting: str = ""
    grant: str = ""
    calls: list[Call] = []
    model_requests: int = 0
    tokens: int = 0


def report_of(item: Item, run: str, done: Mapping[str, Done], *, stopped: str = "", waiting: str = "") -> ItemReport:
    """Report on a run as far as it has come.

    Args:
        item: The item.
        run: The run's id.
        done: Its steps.
        stopped: Why it came no further; then it failed.
        waiting: What it waits for.
    """
    found = Found.model_validate_json(done["findings"].output) if "findings" in done else None
    accounts, calls = accounts_of(done), list(_calls(done))
    return ItemReport(
        item=item.id,
        kind=item.kind,
        subject=item.subject,
        run=run,
        model=accounts[-1].model if accounts else "",
        prompt=accounts[-1].prompt if accounts else "",
        effect="failed" if stopped else effect_of(found.triage if found else None, calls),
        triage=found.triage if found else None,
        customer=found.customer if found else "",
        stopped=stopped or (found.stopped if found else ""),
        waiting=waiting,
        grant=done["grant"].facts["grant"] if "grant" in done else "",
        calls=calls,
        model_requests=len(accounts),
        tokens=sum(each.input_tokens + each.output_tokens for each in accounts),
    )


def accounts_of(done: Mapping[str, Done]) -> list[Account]:
    """What each answer of a model took, in their order."""
    return [Account.model_validate(each.facts) for each in done.values() if each.kind == "model"]


def _calls(done: Mapping[str, Done]) -> Iterator[Call]:
    for step in done.values():
        facts: dict[str, Any] = step.facts
        said = {"tool": facts.get("tool"), "rules": facts.get("rules", [])}
        if step.kind == "call":
            yield Call(**said, status=facts["status"], call_id=facts["call"], reason=facts.get("reason", ""))
        elif "approval" in facts and step.name.removesuffix(".asked") not in done:
            yield Call(**said, status="pending_approval", reason=f"approval {facts['approval']}")


def effect_of(triage: Triage | None, calls: Iterable[Call]) -> Effect:
    """Say what became of an item: what was recommended counts only for escalation, the rest is what was done."""
    done = {call.tool for call in calls if call.status == "ok"}
    if triage and triage.recommended_action == "escalate":
        return "escalated"
    if done & {"email_reply_message", "ticket_add_reply"}:
        return "replied"
    if done & {"email_create_draft", "ticket_add_note"}:
        return "drafted"
    return "updated" if "ticket_update_ticket" in done else "proposed"


def wrong_with(triage: Triage, missing: Sequence[str], customers: Collection[str]) -> list[str]:
    """Evaluate findings by rule: say what they rest on that is in nothing that was read.

    Args:
        triage: The findings.
        missing: What their evidence names or quotes that was not read.
        customers: The ids of the contacts that were found.
    """
    made_up = [triage.customer_id] if triage.customer_id and triage.customer_id not in customers else []
    told = [*missing, *made_up]
    return [f"Not in what you read, or not in that record: {told}. Use ids and word-for-word quotes."] if told else []
