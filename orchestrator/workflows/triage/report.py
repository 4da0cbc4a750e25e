"""What triage says about an item: the model's findings, and beside them what really happened."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Intent = Literal[
    "refund", "delivery", "defect", "billing", "order_change", "how_to", "quote", "account", "complaint", "other"
]
Action = Literal["reply", "refund", "replace", "investigate", "escalate", "ignore"]
Risk = Literal["low", "medium", "high"]
Effect = Literal["drafted", "updated", "escalated", "proposed", "failed"]


class Evidence(BaseModel):
    """A word-for-word quote from something that was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record_id: Annotated[str, Field(max_length=60, description="Id of the record or document, such as `doc_…`.")]
    quote: Annotated[str, Field(min_length=1, max_length=400, description="Copied word for word.")]


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


class Call(BaseModel):
    """One call to the gateway and how it ended."""

    model_config = ConfigDict(frozen=True)

    tool: str
    status: Literal["ok", "denied", "pending_approval", "failed"]
    call_id: str = ""
    rules: list[str] = []
    reason: str = ""


class ItemReport(BaseModel):
    """Everything about one item. `effect` is read off the calls that succeeded, not off the model's words."""

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
    grant: str = ""
    calls: list[Call] = []
    model_requests: int = 0
    tokens: int = 0


def effect_of(triage: Triage, calls: Iterable[Call]) -> Effect:
    """Say what became of an item: what was recommended counts only for escalation, the rest is what was done."""
    done = {call.tool for call in calls if call.status == "ok"}
    if triage.recommended_action == "escalate":
        return "escalated"
    if done & {"email_create_draft", "ticket_add_note", "ticket_add_reply"}:
        return "drafted"
    return "updated" if "ticket_update_ticket" in done else "proposed"


def unsupported(evidence: list[Evidence], read: Iterable[str]) -> list[str]:
    """List what evidence names or quotes that is not in the texts that were read, ignoring case and white space."""
    seen = _plain(" ".join(read))
    return [claim for each in evidence for claim in (each.record_id, each.quote) if claim and _plain(claim) not in seen]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
