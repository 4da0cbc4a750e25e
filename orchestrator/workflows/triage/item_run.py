"""One item's run: the calls it makes, under which keys, and what a model gets to see of the answers."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchestrator.fence import fence, new_mark, texts, unfence
from orchestrator.gateway_client import Declared, Failed, GatewayClient, Ok, Tool
from orchestrator.grants import Grant
from orchestrator.workflows.triage.report import Call

TRIAGE_TOOLS = (
    "crm_search_contacts",
    "crm_get_account",
    "crm_get_orders",
    "knowledge_search_documents",
    "ticket_search_tickets",
    "ticket_update_ticket",
    "ticket_add_note",
    "email_create_draft",
)
"""What triage hands to a model, as far as the gateway offers it: nothing that sends, pays or deletes."""


@dataclass
class ItemRun:
    """One item's run: makes its calls, and remembers what was called and read."""

    client: GatewayClient
    offered: dict[str, Tool]
    run: str
    model: str
    prompt: str
    grant: Grant | None = None
    mark: str = field(default_factory=new_mark)
    calls: list[Call] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    customers: dict[str, str] = field(default_factory=dict)

    @cached_property
    def tools(self) -> dict[str, Tool]:
        """The tools that the model gets to see."""
        return {name: self.offered[name] for name in TRIAGE_TOOLS if name in self.offered}

    def _declared(self, key: str) -> Declared:
        return Declared(self.run, self.model, self.prompt, key, self.grant.token if self.grant else "")

    async def call(self, tool: str, arguments: dict[str, Any], step: str) -> dict[str, Any]:
        """Call a tool and get the outcome as a model may see it: outside text fenced and bounded.

        `step` says where in the run the call stands. With the tool and the arguments it makes the idempotency key,
        because providers repeat or leave out the ids of calls.
        """
        canonical = json.dumps([step, tool, arguments], sort_keys=True)
        key = f"{self.run}:{hashlib.sha256(canonical.encode()).hexdigest()[:24]}"
        outcome = await self.client.call(tool, arguments, self._declared(key))
        refusal = outcome.error.message if isinstance(outcome, Failed) else getattr(outcome, "reason", "")
        self.calls.append(
            Call(
                tool=tool,
                status=outcome.status,
                call_id=outcome.call_id,
                rules=getattr(outcome, "rules", []),
                reason=refusal,
            )
        )
        if not isinstance(outcome, Ok):
            return outcome.model_dump(exclude={"call_id"})
        shown = fence(outcome.result, outcome.untrusted, self.mark)
        self.read.extend(texts(unfence(shown)))
        if tool == "crm_search_contacts":
            found = outcome.result.get("contacts", [])
            self.customers |= {each["id"]: f"{each['name']}, {each.get('account_name', '')}" for each in found}
        return {"status": "ok", "result": shown}
