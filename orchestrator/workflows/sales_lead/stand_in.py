"""Rules that answer in the place of a model."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.workflows.stand_ins import answered, asked, said_by_outsiders

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import ModelRequestParameters

_WANTS = re.compile(
    r"quot|pric(e|ing)|offer|interested|looking for|buy|purchase|demo|angebot|preis|devis|presupuesto|preventivo|"
    r"offerte|wycen|offert",
    re.IGNORECASE,
)


def respond(prompt: str, messages: "Sequence[ModelMessage]", parameters: "ModelRequestParameters") -> "ModelResponse":
    """Answer one request of the workflow's prompts."""
    data = asked(messages)
    return answered(parameters, _plan(data) if prompt == "plan" else _reply(prompt, data))


def _plan(data: dict[str, Any]) -> dict[str, Any]:
    item = data["item"]
    said = said_by_outsiders(item)
    line = next((each for each in (item["subject"], *re.split(r"(?<=[.!?])\s+|\n+", said)) if _WANTS.search(each)), "")
    quote = " ".join((line or item["subject"] or item["id"]).split())[:300]
    evidence = [{"record_id": item["id"], "quote": quote}]
    deal = next((each for each in data["deals"] if each["stage"] not in ("won", "lost")), None)
    if deal:
        evidence.append({"record_id": deal["id"], "quote": deal["title"]})
    step = f"Go on with the open deal {deal['title']}." if deal else "Send a quotation, after asking what it is for."
    found = {"interest": f"They write: {quote}" if line else "They do not ask for an offer.", "evidence": evidence}
    if not line:
        return {**found, "is_lead": False, "next_step": "Leave it to support.", "confidence": 0.6}
    return {**found, "is_lead": True, "next_step": step, "confidence": 0.8}


def _reply(prompt: str, data: dict[str, Any]) -> dict[str, Any]:
    subject = " ".join(str(data["item"]["subject"]).split())
    told = {
        "reply": f"thank you for your interest. A colleague of mine reads your message about “{subject}” and writes to "
        "you with an offer. Could you tell us what you will use it for, and by when you need it?",
        "follow_up": f"some days ago we wrote to you about “{subject}”. Is it still of interest, and can we help with "
        "anything that is open?",
    }
    body = f"Dear {data['name'] or 'customer'},\n\n{told[prompt]}\n\nKind regards\nSales"
    evidence = [{"record_id": data["item"]["id"], "quote": str(data["item"]["subject"])[:300] or data["item"]["id"]}]
    return {"body": body, "evidence": evidence}
