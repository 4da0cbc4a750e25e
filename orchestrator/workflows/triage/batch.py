"""A run of triage: every open item, one after the other."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.gateway_client import Declared, GatewayClient, Tool
from orchestrator.grants import Issuer
from orchestrator.models.choosing import ChosenModel
from orchestrator.prompt import Prompt, load_prompt
from orchestrator.workflows.triage.item_run import ItemRun
from orchestrator.workflows.triage.items import Item, open_items
from orchestrator.workflows.triage.loop import Bounds, build_agent, triage_item
from orchestrator.workflows.triage.report import ItemReport
from orchestrator.workflows.triage.task import triage_task

MAX_FAILURES_IN_A_ROW = 3
PROMPTS = Path(__file__).parent / "prompts"


@dataclass
class Batch:
    """A run of triage as far as it has come. `run` is a prefix of its items' run ids.

    With an `issuer` each item has a grant of its own; without one its calls have all that policy allows.
    """

    chosen: ChosenModel
    issuer: Issuer | None = None
    prompt: Prompt = field(default_factory=lambda: load_prompt("triage", PROMPTS))
    run: str = field(default_factory=lambda: f"triage-{secrets.token_hex(5)}")
    reports: list[ItemReport] = field(default_factory=list)

    def declared(self, key: str) -> Declared:
        """What to state about a call made under `key`."""
        return Declared(self.run, self.chosen.label, self.prompt.label, key)

    async def find(self, client: GatewayClient, mailbox: str, limit: int) -> list[Item]:
        """List the items to triage. See `open_items`."""
        return await open_items(client, mailbox, limit, self.declared(self.run))

    @property
    def note(self) -> str:
        """Who decides, and how far each item's run is narrowed."""
        each = (
            "Each item has a grant of its own."
            if self.issuer
            else "Items have no grants: REMIT_GRANT_TOKEN is not set."
        )
        return f"{self.chosen.note} {each}"

    async def _begun(self, client: GatewayClient, offered: dict[str, Tool], item: Item, number: int) -> ItemRun:
        """An item's run; its grant is there before anything of the item is read."""
        grant = await self.issuer.grant(triage_task(item)) if self.issuer else None
        seen = await client.list_tools(grant.token) if grant else offered
        return ItemRun(client, seen, f"{self.run}-{number}", self.chosen.label, self.prompt.label, grant)

    async def work_on(
        self,
        client: GatewayClient,
        items: list[Item],
        begin: Callable[[Item], None],
        end: Callable[[ItemReport], None],
        bounds: Bounds = Bounds(),  # noqa: B008 - it is frozen
    ) -> None:
        """Triage items in turn; `begin` and `end` are told of each.

        Raises:
            GatewayError: If the gateway goes away.
            TooManyFailures: If several items fail in a row, which is not the items' fault.
        """
        offered = await client.list_tools()
        async with build_agent(self.chosen, bounds) as agent:  # closes the model's connections at the end
            for number, item in enumerate(items, start=1):
                begin(item)
                run = await self._begun(client, offered, item, number)
                report = await triage_item(agent, item, run, self.prompt, bounds)
                self.reports.append(report)
                end(report)
                last = self.reports[-MAX_FAILURES_IN_A_ROW:]
                if len(last) == MAX_FAILURES_IN_A_ROW and all(each.effect == "failed" for each in last):
                    raise TooManyFailures(f"gave up after {len(last)} failed items in a row: {report.stopped}")


class TooManyFailures(Exception):
    """Triage was given up because nothing works."""
