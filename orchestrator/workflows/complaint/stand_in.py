"""Rules that answer in the place of a model."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.workflows.complaint.specialists import GRAVE
from orchestrator.workflows.stand_ins import answered, asked, said_by_outsiders
from orchestrator.workflows.triage.rules import read_text, reply_in

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import ModelRequestParameters

_NEXT = {
    "law": "Have the legal team read it before anybody answers.",
    "safety": "Call the customer today, and have the product looked at before it is used again.",
    "quality": "Have the product looked at, and offer what the rules say.",
}


def respond(prompt: str, messages: "Sequence[ModelMessage]", parameters: "ModelRequestParameters") -> "ModelResponse":
    """Answer one request of the workflow's prompts."""
    data = asked(messages)
    if prompt == "triage":
        return answered(parameters, _triage(data))
    return answered(parameters, _write(data) if prompt == "write" else _look(prompt, data))


def _triage(data: dict[str, Any]) -> dict[str, Any]:
    item, said = data["item"], said_by_outsiders(data["item"])
    text = f"{item['subject']}\n{said}"
    grave = [name for name, words in GRAVE.items() if re.search(words, text, re.IGNORECASE)]
    reading = read_text(item["subject"], said)
    is_about_goods = bool(
        re.search(r"broken|defect|fault|damage|drift|wrong|kaputt|defekt|cass|roto", text, re.IGNORECASE)
    )
    kind = next((each for each in ("safety", "law") if each in grave), "quality" if is_about_goods else "service")
    summary = f"The customer writes about {kind}, in their own words below."
    evidence = [{"record_id": item["id"], "quote": " ".join(reading.signal.split())[:300] or item["subject"][:300]}]
    found = {"kind": kind, "vulnerable": "vulnerable" in grave, "summary": summary, "evidence": evidence}
    return {**found, "confidence": max(0.5, reading.confidence)}


def _look(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    orders = data["orders"]
    known = ", ".join(f"order {each['number']} is {each['status']}" for each in orders) or "no order is known"
    evidence = [{"record_id": each["id"], "quote": each["number"]} for each in orders[:2]]
    findings = f"The records show: {known}. What the customer claims beyond that is not checked yet."
    return {"findings": findings, "next_step": _NEXT[kind], "evidence": evidence}


def _write(data: dict[str, Any]) -> dict[str, Any]:
    item, customer = data["item"], data["customer"]
    reading = read_text(item["subject"], said_by_outsiders(item))
    name = customer.get("name") or item.get("requester_name") or item.get("messages", [{}])[-1].get("sender_name", "")
    body = reply_in(reading.language, name, " ".join(str(item["subject"]).split()))
    return {"body": body, "evidence": [{"record_id": item["id"], "quote": str(item["subject"])[:300] or item["id"]}]}
