"""Triage of one item: an agent loop with bounded steps, tokens and time, over the gateway's tools."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.models.choosing import ChosenModel
from orchestrator.prompt import Prompt
from orchestrator.workflows.triage.item_run import ItemRun
from orchestrator.workflows.triage.items import Item
from orchestrator.workflows.triage.report import Effect, ItemReport, Triage, effect_of, unsupported

if TYPE_CHECKING:
    from pydantic_ai import Agent


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far one item may go.

    Args:
        requests: Model requests.
        tool_calls: Calls to the gateway that the model may make.
        tokens: Tokens in and out, over all requests.
        answer_tokens: Tokens of one model response.
        seconds: Wall-clock time.
    """

    requests: int = 10
    tool_calls: int = 16
    tokens: int = 80_000
    answer_tokens: int = 4_000
    seconds: float = 180.0


def build_agent(chosen: ChosenModel, bounds: Bounds) -> "Agent[ItemRun, Triage]":
    """Make the agent whose loop triages items; it may serve any number of them."""
    from pydantic_ai import Agent, ModelRetry, RunContext
    from pydantic_ai.settings import ModelSettings

    from orchestrator.workflows.triage.toolset import GatewayToolset

    agent = Agent(
        chosen.build(),
        name="triage",
        deps_type=ItemRun,
        output_type=Triage,
        toolsets=[GatewayToolset()],
        retries=2,
        model_settings=ModelSettings(max_tokens=bounds.answer_tokens, timeout=60.0),
    )

    @agent.output_validator
    def rests_on_what_was_read(context: RunContext[ItemRun], triage: Triage) -> Triage:
        missing = unsupported(triage.evidence, context.deps.read)
        if triage.customer_id and triage.customer_id not in context.deps.customers:
            missing.append(triage.customer_id)
        if missing:
            raise ModelRetry(f"Not in anything you read: {missing}. Use ids and word-for-word quotes only.")
        return triage

    return agent


async def triage_item(
    agent: "Agent[ItemRun, Triage]", item: Item, run: ItemRun, prompt: Prompt, bounds: Bounds
) -> ItemReport:
    """Triage one item. Whatever the model does, this ends within the bounds and hands doubt to a person.

    Raises:
        GatewayError: If the gateway goes away.
    """
    from pydantic_ai.exceptions import AgentRunError, ModelAPIError, RunTimedOut, UsageLimitExceeded
    from pydantic_ai.usage import RunUsage, UsageLimits

    usage = RunUsage()

    def report(effect: Effect, triage: Triage | None = None, stopped: str = "") -> ItemReport:
        return ItemReport(
            item=item.id,
            kind=item.kind,
            subject=item.subject,
            run=run.run,
            model=run.model,
            prompt=run.prompt,
            effect=effect,
            triage=triage,
            customer=run.customers.get(triage.customer_id or "", "") if triage else "",
            stopped=stopped,
            grant=run.grant.id if run.grant else "",
            calls=run.calls,
            model_requests=usage.requests,
            tokens=usage.total_tokens,
        )

    shown = await run.call(*item.read_with, step="read")
    if shown["status"] != "ok":
        return report("failed", stopped=f"the item cannot be read: {run.calls[-1].reason}")
    data = json.dumps({item.kind: shown["result"]}, ensure_ascii=False)
    try:
        result = await agent.run(
            f"Triage this {item.kind}.\n\nDATA\n{data}",
            deps=run,
            instructions=prompt.render(run.mark),
            usage=usage,
            usage_limits=UsageLimits(
                request_limit=bounds.requests,
                tool_calls_limit=bounds.tool_calls,
                total_tokens_limit=bounds.tokens,
            ),
            timeout=bounds.seconds,
        )
    except ModelAPIError as error:
        return report("failed", stopped=f"the model does not answer: {_line(error)}")
    except AgentRunError as error:
        limit = isinstance(error, UsageLimitExceeded | RunTimedOut)
        why = "reached a limit" if limit else "got no usable answer from the model"
        return report("escalated", await _escalate(item, run, why), f"{why}: {_line(error)}")
    return report(effect_of(result.output, run.calls), result.output)


async def _escalate(item: Item, run: ItemRun, why: str) -> Triage:
    """Leave word for a person: a note on a ticket; a conversation simply stays unread."""
    if item.kind == "ticket":
        body = f"Automatic triage {why} and gave up on this ticket. Please take over."
        await run.call("ticket_add_note", {"ticket_id": item.id, "body": body}, step="escalate")
    return Triage(
        intent="other",
        confidence=0.0,
        customer_id=None,
        evidence=[],
        recommended_action="escalate",
        risk="medium",
        next_step=f"Read it yourself: triage {why}.",
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
