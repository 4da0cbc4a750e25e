"""The model that stands in where there is no key: deterministic rules that answer like a model, call by call.

It runs through the same loop, tools and bounds as a real model and sees the same text, so that everything around
the model can be tried and tested without one.
"""

import json
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from orchestrator.evidence import Evidence
from orchestrator.fence import unfence
from orchestrator.workflows.triage.report import Action, Triage
from orchestrator.workflows.triage.rules import Reading, read_text, reply_in

ORDER_INTENTS = frozenset({"refund", "delivery", "defect", "billing", "order_change"})
KNOWN_SENDERS_ONLY = frozenset({"refund", "billing", "order_change", "account"})
"""Intents about money, orders and access: from somebody that the CRM does not know, a person looks first."""
LEADS_REFUND = 200
"""Above this, a refund is for the support lead to decide."""


def respond(prompt: str, messages: list[ModelMessage], parameters: ModelRequestParameters) -> ModelResponse:  # noqa: ARG001 - triage has one prompt
    """Answer one model request: look things up, then give the result."""
    case = _Case(messages, {tool.name for tool in parameters.function_tools})
    calls = case.look_up() or case.look_up_order()
    if not calls:
        calls = [(parameters.output_tools[0].name, case.result().model_dump())]
    return ModelResponse(parts=[ToolCallPart(name, arguments) for name, arguments in calls])


class _Case:
    """One item as far as the messages show it; built anew from them at every request."""

    def __init__(self, messages: list[ModelMessage], tools: set[str]) -> None:
        self.tools = tools
        self.answers: dict[str, dict[str, Any]] = {}
        self.tried: set[str] = set()
        for message in messages:
            for part in message.parts:
                if isinstance(part, ToolCallPart):
                    self.tried.add(part.tool_name)
                elif isinstance(part, ToolReturnPart) and isinstance(part.content, dict):
                    self.answers[part.tool_name] = unfence(part.content)
        data = json.loads(_prompt(messages).removeprefix("DATA\n"))
        (self.kind, fenced), *_ = data.items()
        self.item: dict[str, Any] = unfence(fenced)
        if self.kind == "ticket":
            comments = [each for each in self.item["comments"] if not each["by_staff"]] or self.item["comments"]
            self.sender, self.name = self.item["requester_email"], self.item["requester_name"]
            self.body: str = comments[-1]["body"]
        else:
            inbound = [each for each in self.item["messages"] if each["folder"] != "sent"] or self.item["messages"]
            self.latest = inbound[-1]
            self.sender, self.name = self.latest["sender_email"], self.latest["sender_name"]
            self.body = self.latest["body"]
        self.reading: Reading = read_text(self.item["subject"], self.body)

    def look_up(self) -> list[tuple[str, dict[str, Any]]]:
        """Find the customer and what the documents say, at once."""
        return self._new(
            ("crm_search_contacts", {"email": self.sender, "limit": 1}),
            ("knowledge_search_documents", {"query": self.reading.query, "limit": 3}),
        )

    def look_up_order(self) -> list[tuple[str, dict[str, Any]]]:
        """Find the order that is named, else the customer's latest."""
        if self.reading.intent not in ORDER_INTENTS or not self.contact:
            return []
        which = (
            {"number": self.reading.order_number} if self.reading.order_number else {"contact_id": self.contact["id"]}
        )
        return self._new(("crm_get_orders", {**which, "limit": 1}))

    def result(self) -> Triage:
        """Sum up, with quotes from what was read."""
        evidence = [
            Evidence(record_id=self.item["id"], quote=self.reading.signal or self.item["subject"] or self.item["id"])
        ]
        evidence += [
            Evidence(record_id=each["document_id"], quote=" ".join(each["text"].split())[:200])
            for each in self.passages[:2]
            if each["text"].strip()
        ]
        return Triage(
            intent=self.reading.intent,
            confidence=self.reading.confidence,
            customer_id=self.contact["id"] if self.contact else None,
            evidence=evidence,
            recommended_action=self.action,
            risk="high" if self.stranger or self.foreign_order else self.reading.risk,
            next_step=self._next_step(),
            priority=self.reading.priority,
            summary=self._summary(),
            reply="" if self.action in ("escalate", "ignore") else self._reply(),
        )

    @property
    def action(self) -> Action:
        doubtful = not self.reading.machine and (self.stranger or self.foreign_order or self.large_refund)
        return "escalate" if doubtful else self.reading.action

    @property
    def foreign_order(self) -> bool:
        """Whether the order that is named is another customer's."""
        account = self.contact["account_id"] if self.contact else None
        return any(each["account_id"] != account for each in self._found("crm_get_orders", "orders"))

    @property
    def large_refund(self) -> bool:
        orders = self._found("crm_get_orders", "orders")
        return self.reading.intent == "refund" and any(float(each["total"]) > LEADS_REFUND for each in orders)

    @property
    def stranger(self) -> bool:
        looked = self.answers.get("crm_search_contacts", {}).get("status") == "ok"
        return looked and not self.contact and self.reading.intent in KNOWN_SENDERS_ONLY

    @property
    def contact(self) -> dict[str, Any] | None:
        return next(iter(self._found("crm_search_contacts", "contacts")), None)

    @property
    def passages(self) -> list[dict[str, Any]]:
        return [each for each in self._found("knowledge_search_documents", "passages") if each["origin"] != "external"]

    def _found(self, tool: str, part: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.answers.get(tool, {}).get("result", {}).get(part, [])
        return found

    def _new(self, *calls: tuple[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
        return [(name, arguments) for name, arguments in calls if name in self.tools and name not in self.tried]

    def _reply(self) -> str:
        name = self.contact["name"] if self.contact else self.name or self.sender
        return reply_in(self.reading.language, _line(name), _line(self.item["subject"]))

    def _summary(self) -> str:
        orders = [] if self.foreign_order else self._found("crm_get_orders", "orders")
        lines = [f"Order {each['number']}: {each['status']}." for each in orders]
        lines += [f"See “{each['title']}” ({each['document_id']})." for each in self.passages[:2]]
        return "\n".join(lines)[:2_000]

    def _next_step(self) -> str:
        if self.reading.hostile:
            return "It tries to steer an assistant or get past a check: answer nothing, tell security."
        if self.stranger:
            return "The sender is not in the CRM and asks about money, an order or access: check who it is first."
        if self.foreign_order:
            return "The order that is named is another customer's: check who asks, and tell nothing about it."
        if self.large_refund:
            return f"The order is worth more than {LEADS_REFUND}: the support lead decides on a refund."
        if self.action == "ignore":
            return "A machine wrote this: nothing needs to be answered."
        if self.action == "escalate":
            return "A person should take this one over: it is a complaint or a matter of law or safety."
        if self.reading.intent == "other":
            return "The rules found no intent: read it and decide."
        return f"Check the proposed reply on {self.reading.intent.replace('_', ' ')} and send it."


def _line(text: str) -> str:
    return " ".join(text.split())[:500]


def _prompt(messages: list[ModelMessage]) -> str:
    parts = [part for message in messages if isinstance(message, ModelRequest) for part in message.parts]
    contents = [part.content for part in parts if isinstance(part, UserPromptPart)]
    first = contents[0] if isinstance(contents[0], str) else contents[0][0]
    return str(first)
