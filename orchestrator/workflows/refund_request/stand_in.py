"""Rules that answer in the place of a model."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.workflows.stand_ins import answered, asked, said_by_outsiders
from orchestrator.workflows.triage.rules import read_text

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import ModelRequestParameters

_REASONS = {
    "damaged": r"damag|broken|crack|shatter|kaputt|besch.digt|endommag|cass|da[ñn]ad|dannegg|kapot|uszkodz|skad",
    "wrong_item": r"wrong|not what we ordered|instead of|falsch|mauvais|equivocad|sbagliat|verkeerd|z.ego|fel vara",
    "late": r"\blate\b|delay|versp.t|retard|retraso|ritardo|vertraging|op.(ź|z)nien|f.rsen",
    "duplicate_charge": r"twice|double|doppelt|deux fois|dos veces|due volte|dubbel|podw.jnie|dubbelt",
    "not_as_described": r"not as described|does not do|doesn.t do|nicht wie beschrieben|pas conforme",
}
_ORDER = re.compile(r"\b[A-Za-z]{2}-\d{4,8}\b")
_SUM = re.compile(
    r"(?:refund|back|return)\w*\s+(?:of\s+|us\s+)?(?:EUR|€|USD|\$|GBP|£)?\s?(\d+(?:\.\d\d)?)\b(?!\s*days)",
    re.IGNORECASE,
)
_WANTS = re.compile(
    r"refund|money back|reimburs|erstatt|geld zur|rembours|reembols|rimbors|terugbetal|zwrot|.terbetal", re.IGNORECASE
)


def respond(prompt: str, messages: "Sequence[ModelMessage]", parameters: "ModelRequestParameters") -> "ModelResponse":
    """Answer one request of the workflow's prompts."""
    data = asked(messages)
    return answered(parameters, _extract(data["item"]) if prompt == "extract" else _reply(data))


def _extract(item: dict[str, Any]) -> dict[str, Any]:
    said = said_by_outsiders(item)
    text = f"{item['subject']}\n{said}"
    number, named = _ORDER.search(text), _SUM.search(text)
    reading = read_text(item["subject"], said)
    is_wanted = bool(_WANTS.search(text)) or reading.intent == "refund"
    reason = next((name for name, words in _REASONS.items() if re.search(words, text, re.IGNORECASE)), "goodwill")
    found = {"order_number": number[0] if number else "", "reason": reason, "confidence": 0.9 if is_wanted else 0.3}
    return {**found, "amount": named[1] if named else None}


def _reply(data: dict[str, Any]) -> dict[str, Any]:
    order = data["order"]
    rule = next((each for each in data["rules"] if "days of delivery" in each["text"]), None)
    evidence = [{"record_id": order["id"], "quote": order["number"]}]
    if rule:
        line = next(line for line in rule["text"].splitlines() if "days of delivery" in line)
        evidence.append({"record_id": rule["document_id"], "quote": line.strip()[:300]})
    body = (
        f"Dear {data['name']},\n\nthank you for your message about order {order['number']}. {data['happened']}\n\n"
        "Kind regards\nCustomer support"
    )
    return {"body": body, "evidence": evidence}
