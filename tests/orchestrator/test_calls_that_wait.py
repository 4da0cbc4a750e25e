"""Calls of one model turn that wait for a person: a real gateway asks about them on one page."""

from pathlib import Path
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from gateway.approvals import State
from gateway.tokens import Audience
from orchestrator.gateway_client import connect
from orchestrator.grants import Issuer
from orchestrator.models.choosing import ChosenModel
from orchestrator.workflows.triage.batch import Batch
from orchestrator.workflows.triage.items import Item
from tests.console.conftest import MAYA, TRIAGE, OpenSite, Site, text_of
from tests.console.conftest import site as site  # noqa: PLC0414 - a fixture
from tests.console.test_question_page import add_ticket
from tests.console.test_together import send, states
from tests.orchestrator.fake_gateway import serving
from tests.orchestrator.test_triage_loop import replies, result

NOTES_WAIT = "p, A61, role:agent, ticket_add_note, , ask, a person reads notes\n"


async def approve_all(opened: Site) -> list[str]:
    """A person sits down once: opens the one item of the inbox, and approves what stands on its page."""
    pending = await opened.gateway.approvals.open(opened.clock(), "larkspur")
    names = [each.question.id for each in reversed(pending)]
    async with opened.signed_in(MAYA) as maya:
        inbox = await maya.see("/")
        assert text_of(inbox).count("calls of one task") == 1
        page = await maya.see(f"/approvals/{names[0]}/together")
        assert "Approve all 2" in text_of(page)
        assert (await send(maya, page, names[0], "approve")).status_code == 303
    assert await states(opened, *names) == [State.APPROVED] * 2
    return names


def two_writes(ticket: str) -> ChosenModel:
    """A model that reads a ticket and then makes two writes in one turn."""
    update: dict[str, Any] = {"ticket_id": ticket, "version": 1, "status": "open", "tags": ["late"]}
    note = {"ticket_id": ticket, "body": "It is on its way."}

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if replies(messages):
            quote = {"record_id": ticket, "quote": "Where is it?"}
            return result(info, evidence=[quote], intent="other", recommended_action="escalate")
        calls = [("ticket_update_ticket", update), ("ticket_add_note", note)]
        return ModelResponse(parts=[ToolCallPart(tool, given, tool_call_id=tool) for tool, given in calls])

    return ChosenModel("scripted", lambda: FunctionModel(respond))


async def test_what_one_turn_of_a_model_leaves_waiting_is_one_question_and_runs_once_it_is_answered(
    site: OpenSite, tmp_path: Path
) -> None:
    rules = tmp_path / "policies" / "rules.csv"
    rules.write_text(rules.read_text() + NOTES_WAIT)
    async with site(allowed_hosts=["127.0.0.1:*"]) as opened, serving(opened.app) as (address, _):
        ticket = await add_ticket(opened)
        url, token = f"{address}/mcp", opened.token(TRIAGE, Audience.MCP)
        batch = Batch(two_writes(ticket), Issuer(url, opened.token(TRIAGE, Audience.GRANTS)))
        item = Item("ticket", ticket, "Late", ("ticket_get_ticket", {"ticket_id": ticket}))
        async with connect(url=url, token=token) as client:
            await batch.work_on(client, [item], lambda _: None, lambda _: None)
            names = await approve_all(opened)
            await batch.work_on(client, [item], lambda _: None, lambda _: None)
        before, after = ([call.status for call in report.calls] for report in batch.reports)
        assert before == ["ok", "pending_approval", "pending_approval"]
        assert after == ["ok", "ok", "ok"]
        assert await states(opened, *names) == [State.SETTLED] * 2
